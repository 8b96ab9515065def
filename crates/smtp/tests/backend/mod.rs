//! Answers the events of a server session as a small site would: `here.example` is hosted, `ann` and `bob` live
//! there, and `ann@here.example` may log in with `secret`.

use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_sasl::{BadExchange, Turn};
use kings_smtp::claim::{Attribute, Claim};
use kings_smtp::reply::Reply;
use kings_smtp::server::{Event, FutureRelease, Role, Session, Settings, Trust};

#[path = "../../../sasl/tests/house/mod.rs"]
mod house;

use house::{Answer, House};

const LOGIN: &str = "ann@here.example";

/// A message that was answered with 250.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) envelope: Envelope,
    pub(crate) content: Vec<u8>,
}

pub(crate) struct Backend {
    /// Most recipients of one transaction.
    pub(crate) most_recipients: usize,
    /// No space for any message.
    pub(crate) full: bool,
    /// Each recipient has an answer of its own.
    pub(crate) lmtp: bool,
    /// Everything accepted, in order.
    pub(crate) messages: Vec<Message>,
    content: Vec<u8>,
    pub(crate) house: House,
}

/// The roles a server plays, by their port; 24 is LMTP.
pub(crate) fn session(port: u16, message_bytes: u64, trust: Trust, dsn: bool) -> Session {
    let role = match port {
        24 => Role::Lmtp,
        25 => Role::Inbound,
        _ => Role::Submission,
    };
    let future = FutureRelease { longest: 864_000, latest: DateTime::from_unix(1_795_000_000) };
    let settings = Settings {
        hostname: Domain::parse("mx.here.example").expect("a domain"),
        role,
        start_tls: port != 465,
        message_bytes,
        recipients: 100,
        dsn,
        bare_paths: role == Role::Submission,
        origin: (role != Role::Inbound).then(|| Domain::parse("here.example").expect("a domain")),
        future_release: (role == Role::Submission).then_some(future),
        trust,
    };
    Session::new(settings, port == 465)
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            most_recipients: 3,
            full: false,
            lmtp: false,
            messages: Vec::new(),
            content: Vec::new(),
            house: House::new(LOGIN),
        }
    }
}

impl Backend {
    /// Does what one event asks for. `StartTls` and `Closed` are the caller's.
    pub(crate) fn answer(&mut self, event: Event, session: &mut Session) {
        let reply = match event {
            Event::Login(turn) => match self.log_in(&turn) {
                Ok(reply) => reply,
                Err(challenge) => return session.challenge(&challenge),
            },
            Event::Mail(path, _) => self.mail(&path, session.client().logged_in),
            Event::Rcpt(recipient) => {
                let sofar = session.envelope().expect("inside a transaction").recipients.len();
                self.rcpt(&recipient.path, sofar, session.client().logged_in)
            }
            Event::Begin if self.full => Reply::NO_SPACE,
            Event::Begin => Reply::START_MAIL,
            Event::Content => return self.content.extend_from_slice(session.content()),
            Event::Discard => return self.content.clear(),
            Event::End(envelope) if self.lmtp => {
                self.content.extend_from_slice(session.content());
                return session.answer_each(&self.end_each(envelope));
            }
            Event::End(envelope) => {
                self.content.extend_from_slice(session.content());
                self.end(envelope)
            }
            Event::Xclient(claim) => become_other(&claim),
            Event::Xforward(_) | Event::Hello { .. } => Reply::OK,
            Event::StartTls | Event::Closed => return,
        };
        session.answer(&reply);
    }

    /// The reply that ends a login, or the challenge that goes on with it.
    fn log_in(&mut self, turn: &Turn) -> Result<Reply, Vec<u8>> {
        match self.house.answer(turn) {
            Answer::Challenge(challenge) => Err(challenge),
            Answer::LoggedIn => Ok(Reply::LOGGED_IN),
            Answer::Refused(BadExchange::Malformed) => Ok(Reply::BAD_LOGIN_DATA),
            Answer::Refused(_) => Ok(Reply::LOGIN_REFUSED),
        }
    }

    /// `busy@` stands for a server that is stopping.
    fn mail(&mut self, path: &ReversePath, logged_in: bool) -> Reply {
        self.content.clear();
        match path.address().map(Address::to_string).as_deref() {
            Some("busy@elsewhere.example") => Reply::SHUTDOWN,
            sender if logged_in && sender != Some(LOGIN) => Reply::SENDER_NOT_YOURS,
            _ => Reply::SENDER_OK,
        }
    }

    fn rcpt(&self, path: &ForwardPath, sofar: usize, logged_in: bool) -> Reply {
        match path {
            _ if sofar >= self.most_recipients => Reply::TOO_MANY_RECIPIENTS,
            ForwardPath::Address(address) if !is_hosted(address) && !logged_in => Reply::RELAY_DENIED,
            ForwardPath::Address(address) if is_hosted(address) && !lives_here(address) => {
                Reply::UNKNOWN_USER
            }
            ForwardPath::Address(_) | ForwardPath::Postmaster => Reply::RECIPIENT_OK,
        }
    }

    /// Mail for `trouble@` cannot be stored now.
    fn end(&mut self, envelope: Envelope) -> Reply {
        let content = std::mem::take(&mut self.content);
        if envelope.recipients.iter().any(is_in_trouble) {
            return Reply::TRY_LATER;
        }
        self.messages.push(Message { envelope, content });
        Reply::accepted(TraceId::new(0, u32::try_from(self.messages.len()).expect("few messages")))
    }

    /// The same for each recipient: who is in trouble hears so, the others have their mail.
    fn end_each(&mut self, mut envelope: Envelope) -> Vec<Reply> {
        let all = std::mem::take(&mut envelope.recipients);
        let (_, happy): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_in_trouble);
        envelope.recipients = happy;
        let accepted = if envelope.recipients.is_empty() { Reply::TRY_LATER } else { self.end(envelope) };
        self.content.clear();
        let outcome = |to| if is_in_trouble(to) { Reply::TRY_LATER } else { accepted.clone() };
        all.iter().map(outcome).collect()
    }
}

fn is_in_trouble(recipient: &Recipient) -> bool {
    recipient.path.to_string().starts_with("<trouble@")
}

/// Only `ann` can be logged in by somebody else.
fn become_other(claim: &Claim) -> Reply {
    match &claim.login {
        Attribute::Is(login) if login != LOGIN => Reply::LOGIN_REFUSED,
        _ => Reply::OK,
    }
}

/// The relay rule: who is not hosted here is outside, whatever the local part looks like.
pub(crate) fn is_hosted(address: &Address) -> bool {
    address.domain().is_some_and(|domain| domain.as_str() == "here.example")
}

fn lives_here(address: &Address) -> bool {
    let folded = address.folded();
    matches!(folded.local_part.as_str(), "ann" | "bob" | "jürgen" | "john doe" | "postmaster" | "trouble")
}
