//! Answers the events of a server session as a small site would: `here.example` is hosted, `ann` and `bob` live
//! there, and `ann@here.example` may log in with `secret`.

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::envelope::Envelope;
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_sasl::Credentials;
use kings_smtp::reply::Reply;
use kings_smtp::server::{Event, Session, Settings};

const LOGIN: &str = "ann@here.example";
const PASSWORD: &str = "secret";

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
    /// Everything accepted, in order.
    pub(crate) messages: Vec<Message>,
    content: Vec<u8>,
}

/// The roles a server plays, by their port.
pub(crate) fn session(port: u16, message_bytes: u64) -> Session {
    let hostname = Domain::parse("mx.here.example").expect("a domain");
    let settings = Settings { hostname, login_required: port != 25, start_tls: port != 465, message_bytes };
    Session::new(settings, port == 465)
}

impl Default for Backend {
    fn default() -> Self {
        Self { most_recipients: 3, full: false, messages: Vec::new(), content: Vec::new() }
    }
}

impl Backend {
    /// Does what one event asks for. `StartTls` and `Closed` are the caller's.
    pub(crate) fn answer(&mut self, event: Event, session: &mut Session) {
        let reply = match event {
            Event::Login(credentials) => log_in(&credentials),
            Event::Mail(path, _) => self.mail(&path, session.client().logged_in),
            Event::Rcpt(recipient) => {
                let sofar = session.envelope().expect("inside a transaction").recipients.len();
                self.rcpt(&recipient.path, sofar, session.client().logged_in)
            }
            Event::Begin if self.full => Reply::NO_SPACE,
            Event::Begin => Reply::START_MAIL,
            Event::Content => return self.content.extend_from_slice(session.content()),
            Event::Discard => return self.content.clear(),
            Event::End(envelope) => {
                self.content.extend_from_slice(session.content());
                self.end(envelope)
            }
            Event::StartTls | Event::Closed => return,
        };
        session.answer(&reply);
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
        if envelope.recipients.iter().any(|recipient| recipient.path.to_string().starts_with("<trouble@")) {
            return Reply::TRY_LATER;
        }
        self.messages.push(Message { envelope, content });
        Reply::accepted(TraceId::new(0, u32::try_from(self.messages.len()).expect("few messages")))
    }
}

fn log_in(Credentials { login, password }: &Credentials) -> Reply {
    let right = login == LOGIN && password.expose() == PASSWORD;
    if right { Reply::LOGGED_IN } else { Reply::LOGIN_REFUSED }
}

/// The relay rule: who is not hosted here is outside, whatever the local part looks like.
pub(crate) fn is_hosted(address: &Address) -> bool {
    address.domain().is_some_and(|domain| domain.as_str() == "here.example")
}

fn lives_here(address: &Address) -> bool {
    let folded = address.folded();
    matches!(folded.local_part.as_str(), "ann" | "bob" | "jürgen" | "john doe" | "postmaster" | "trouble")
}
