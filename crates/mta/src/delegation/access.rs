//! Tables of access(5): who is let in by address, name, sender and recipient, without a program that is asked.

use std::str::FromStr;

use kings_directory::{Keys, Lookup, Meaning, Sought, Unavailable};
use kings_mail::path::ForwardPath;
use kings_smtp::reply::Reply;

use super::services::Heard;
use super::{Action, Request, Stage};

/// The tables of port 25, asked about each recipient.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// By the name and the address of the client (Postfix's `check_client_access`).
    pub clients: Lookup<Answer>,
    /// By what it says in EHLO (`check_helo_access`).
    pub names: Lookup<Answer>,
    /// By the reverse-path (`check_sender_access`).
    pub senders: Lookup<Answer>,
    /// By the recipient (`check_recipient_access`).
    pub recipients: Lookup<Answer>,
    /// What parts a name from its tag.
    pub delimiters: String,
}

/// The right side of a line.
#[derive(Clone, Debug)]
pub struct Answer(Action);

impl Meaning for Answer {
    const NEEDS_VALUE: bool = true;
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Action::parse(text)
            .map(Self)
            .map_err(|error| format!("{error} is none of access(5) that is done here"))
    }
}

impl Access {
    /// Whether there are tables to be asked at this stage.
    pub(super) fn are_asked_at(&self, stage: Stage) -> bool {
        let Self { clients, names, senders, recipients, delimiters: _ } = self;
        let is_empty = clients.is_empty() && names.is_empty() && senders.is_empty() && recipients.is_empty();
        stage == Stage::Rcpt && !is_empty
    }

    /// What the tables want done with the message, or the reply that refuses the recipient. OK says no more than that
    /// its own table has nothing against it, as in a list of restrictions for each.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Vec<Action>, Reply> {
        let mut heard = Heard::default();
        for table in 0..4 {
            let answer = self.look(table, request).await.map_err(|Unavailable| Reply::TRY_LATER)?;
            let Some(Answer(action)) = answer.filter(|Answer(action)| *action != Action::Permit) else {
                continue;
            };
            if heard.take(action)?.is_break() {
                break;
            }
        }
        heard.end()
    }

    async fn look(&self, table: usize, request: &Request<'_>) -> Result<Option<Answer>, Unavailable> {
        let caller = request.caller;
        match table {
            0 => {
                // A name that does not lead back is anybody's.
                let name = caller.reverse_name.as_ref().filter(|(_, leads_back)| *leads_back);
                if let Some((name, _)) = name
                    && let Some(answer) = self.clients.find_for(&Sought::host(name)).await?
                {
                    return Ok(Some(answer));
                }
                self.clients.find_for(&Sought::client(caller.peer.ip())).await
            }
            1 => self.names.find_for(&Sought::host(&caller.helo)).await,
            2 => self.senders.find(request.reverse_path.address(), &self.delimiters).await,
            _ => match request.recipient {
                Some(ForwardPath::Address(address)) => {
                    self.recipients.find_for(&Keys::Access.of(Some(address), &self.delimiters)).await
                }
                Some(ForwardPath::Postmaster) | None => Ok(None),
            },
        }
    }
}
