//! One filter of one session: what it is told, and what its answers, or its silence, mean to the client.

use std::net::IpAddr;
use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::envelope::{MailParameters, Recipient};
use kings_mail::header::{self, Fields};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_milter::{Change, Command, Family, MAX_CHUNK, Macros, Outcome, Peer, ReplyText, Stage};
use kings_smtp::reply::{Reply, Status};
use kings_store::Incoming;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::wire::{Patience, Wire, WireError};
use super::{Caller, DefaultAction, Settings, edit};
use crate::core::for_each_piece;

/// Pieces of a body that are read ahead.
const READ_AHEAD: usize = 2;

/// What a filter that does not refuse wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Continue,
    /// The message counts as taken, and nobody gets it.
    Discard,
}

/// The client as filters hear of it, and the macros that go with each step.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    macros: Macros,
    connect: Option<Command>,
    helo: Option<Command>,
}

impl Words {
    pub(super) fn introduce(&mut self, caller: &Caller<'_>) {
        let address = caller.peer.ip().to_canonical();
        // What Postfix says of a client without a name that leads back to it.
        let name = caller.reverse_name.unwrap_or("unknown");
        let family = if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let peer = Peer { family, port: caller.peer.port(), address: address.to_string().into_bytes() };
        self.connect = Some(Command::Connect(name.into(), Some(peer)));
        self.helo = Some(Command::Helo(caller.helo.into()));
        let (version, cipher) = caller.tls.and_then(|tls| tls.split_once(' ')).unwrap_or_default();
        let account = caller.account.map(Address::to_string).unwrap_or_default();
        let values = [
            ("j", caller.hostname.to_string()),
            ("v", concat!("Kings ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("_", format!("{name} [{}]", literal(address))),
            ("daemon_name", caller.daemon.to_owned()),
            ("daemon_addr", caller.local.ip().to_canonical().to_string()),
            ("daemon_port", caller.local.port().to_string()),
            ("client_name", name.to_owned()),
            ("client_addr", literal(address)),
            ("client_port", caller.peer.port().to_string()),
            ("tls_version", version.to_owned()),
            ("cipher", cipher.to_owned()),
            ("auth_type", caller.mechanism.to_owned()),
            ("auth_authen", account.clone()),
            ("auth_author", account),
        ];
        for (name, value) in values {
            self.macros.set(name, value.as_bytes());
        }
    }

    /// The name of the message, known when it is whole.
    pub(super) fn id(&mut self, id: TraceId) {
        self.macros.set("i", id.to_string().as_bytes());
    }

    pub(super) fn mail(&mut self, path: &ReversePath, parameters: &MailParameters) -> Command {
        let address = path.address().map(Address::to_string).unwrap_or_default();
        self.macros.set("i", b"");
        self.macros.set("mail_addr", address.as_bytes());
        self.macros.set("mail_mailer", b"smtp");
        self.macros.set("mail_host", address.rsplit_once('@').map_or("", |(_, domain)| domain).as_bytes());
        let mut words = vec![path.to_string().into_bytes()];
        words.extend(parameters.size.map(|size| format!("SIZE={size}").into_bytes()));
        words.extend(parameters.smtputf8.then(|| b"SMTPUTF8".to_vec()));
        Command::Mail(words)
    }

    pub(super) fn rcpt(&mut self, recipient: &Recipient) -> Command {
        let address = match &recipient.path {
            ForwardPath::Address(address) => address.to_string(),
            ForwardPath::Postmaster => "postmaster".to_owned(),
        };
        self.macros.set("rcpt_addr", address.as_bytes());
        self.macros.set("rcpt_mailer", b"smtp");
        self.macros.set("rcpt_host", address.rsplit_once('@').map_or("", |(_, domain)| domain).as_bytes());
        Command::Rcpt(vec![recipient.path.to_string().into_bytes()])
    }
}

/// An address as filters read it in macros: `IPv6:` stands before the longer kind.
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("IPv6:{address}"),
    }
}

/// One filter, and how far the session is with it.
#[derive(Debug)]
pub(super) struct Link {
    settings: Settings,
    message_bytes: u64,
    state: State,
    /// The HELO that it knows.
    helo: Option<Command>,
}

#[derive(Debug)]
enum State {
    /// Not spoken to yet, or broken: tried anew with the next message.
    Away,
    Open(Box<Wire>),
    /// It refuses the client, whatever this one brings.
    Refused(Reply),
}

impl Link {
    pub(super) fn new(settings: Settings, message_bytes: u64) -> Self {
        Self { settings, message_bytes, state: State::Away, helo: None }
    }

    /// MAIL; for a filter that is not there yet all that goes before it.
    pub(super) async fn mail(&mut self, words: &Words, mail: &Command) -> Result<Said, Reply> {
        if let State::Refused(reply) = &self.state {
            return Err(reply.clone());
        }
        self.drop_message();
        if matches!(self.state, State::Away) {
            self.helo = None;
            match Wire::open(&self.settings, self.message_bytes).await {
                Ok(wire) => self.state = State::Open(Box::new(wire)),
                Err(error) => return self.broken(&error),
            }
            if let Some(connect) = &words.connect {
                self.greet(words, connect).await?;
            }
        }
        if self.helo != words.helo
            && let Some(helo) = &words.helo
        {
            self.greet(words, helo).await?;
            self.helo.clone_from(&words.helo);
        }
        self.step(words, mail).await
    }

    /// A step about the client. A refusal stays.
    async fn greet(&mut self, words: &Words, step: &Command) -> Result<(), Reply> {
        let refused = self.step(words, step).await.err();
        // A filter that broke meanwhile is away, which is no word about the client.
        if let (State::Open(_), Some(reply)) = (&self.state, &refused) {
            self.state = State::Refused(reply.clone());
        }
        refused.map_or(Ok(()), Err)
    }

    /// Any step before the end of the message.
    pub(super) async fn step(&mut self, words: &Words, step: &Command) -> Result<Said, Reply> {
        let State::Open(wire) = &mut self.state else { return Ok(Said::Continue) };
        match wire.ask(step, &words.macros, Patience::begin(self.settings.command)).await {
            Ok((outcome, _)) => self.judge(outcome),
            Err(error) => self.broken(&error),
        }
    }

    /// Header, body and end of the message.
    pub(super) async fn message(
        &mut self,
        words: &Words,
        content: &Arc<Incoming>,
    ) -> Result<(Said, Vec<Change>), Reply> {
        let State::Open(wire) = &mut self.state else { return Ok((Said::Continue, Vec::new())) };
        let patience = Patience::begin(self.settings.content);
        let told = Telling { wire, macros: &words.macros, patience };
        match told.message(content).await {
            Ok((outcome, changes)) => self.judge(outcome).map(|said| (said, changes)),
            Err(error) => self.broken(&error).map(|said| (said, Vec::new())),
        }
    }

    /// The message at hand ends here.
    pub(super) fn drop_message(&mut self) {
        if let State::Open(wire) = &mut self.state {
            wire.abort();
        }
    }

    fn judge(&mut self, outcome: Outcome) -> Result<Said, Reply> {
        let place = &self.settings.place;
        let reply = match outcome {
            Outcome::Continue | Outcome::Accept => return Ok(Said::Continue),
            Outcome::Discard => return Ok(Said::Discard),
            Outcome::Reject => Reply::FILTER_REJECTS,
            Outcome::TempFail => Reply::FILTER_DEFERS,
            Outcome::Reply(text) => reply(&text),
            Outcome::Shutdown | Outcome::ConnectionFail => Reply::FILTER_CLOSES,
        };
        info!(%place, reply = reply.to_string(), "a filter refuses");
        Err(reply)
    }

    /// The default action, and the reason for the log.
    fn broken(&mut self, error: &WireError) -> Result<Said, Reply> {
        warn!(place = %self.settings.place, %error, "a filter gave no answer");
        self.state = State::Away;
        match self.settings.default_action {
            DefaultAction::Accept => Ok(Said::Continue),
            DefaultAction::TempFail => Err(Reply::FILTER_DEFERS),
            DefaultAction::Reject => Err(Reply::FILTER_REJECTS),
        }
    }
}

/// A filter's own words, without an enhanced code where they have none, as from Postfix.
fn reply(text: &ReplyText) -> Reply {
    let class = u8::try_from(text.code / 100).unwrap_or(5);
    let status = text.status.map(|(_, subject, detail)| Status(class, subject, detail));
    Reply { code: text.code, status, text: text.lines.join("\n").into() }
}

/// A whole message for one filter.
struct Telling<'a> {
    wire: &'a mut Wire,
    macros: &'a Macros,
    /// For all of it together.
    patience: Patience,
}

impl Telling<'_> {
    async fn message(mut self, content: &Arc<Incoming>) -> Result<(Outcome, Vec<Change>), WireError> {
        for command in self.header(content.head()) {
            let outcome = self.step(&command).await?;
            if outcome != Outcome::Continue {
                return Ok((outcome, Vec::new()));
            }
        }
        if self.wire.wants(Stage::Body) {
            let outcome = self.body(content).await?;
            if outcome != Outcome::Continue {
                return Ok((outcome, Vec::new()));
            }
        }
        self.wire.ask(&Command::EndOfBody(Vec::new()), self.macros, self.patience).await
    }

    async fn step(&mut self, command: &Command) -> Result<Outcome, WireError> {
        Ok(self.wire.ask(command, self.macros, self.patience).await?.0)
    }

    fn header(&self, head: &[u8]) -> Vec<Command> {
        let keep_space = self.wire.keeps_leading_space();
        let field = |field: header::Field<'_>| {
            Command::Header(field.name.into(), edit::told_value(field.value, keep_space))
        };
        let fields = Fields::new(head).filter(|_| self.wire.wants(Stage::Header)).map(field);
        fields.chain([Command::EndOfHeader]).collect()
    }

    /// Reads the body in a thread of its own, as it may lie in a file.
    async fn body(&mut self, content: &Arc<Incoming>) -> Result<Outcome, WireError> {
        let (pieces, mut read) = mpsc::channel::<Vec<u8>>(READ_AHEAD);
        let content = content.clone();
        let reader = tokio::task::spawn_blocking(move || read_body(&content, &pieces));
        while let Some(piece) = read.recv().await {
            let outcome = self.step(&Command::Body(piece)).await?;
            self.wire.flush(self.patience).await?;
            if outcome != Outcome::Continue || !self.wire.wants(Stage::Body) {
                return Ok(outcome);
            }
        }
        reader.await.map_err(std::io::Error::other)??;
        Ok(Outcome::Continue)
    }
}

/// Sends the body in pieces; stops when nobody listens any more.
fn read_body(content: &Incoming, pieces: &mpsc::Sender<Vec<u8>>) -> std::io::Result<()> {
    let mut skip = header::header_end(content.head());
    let mut result = Ok(());
    let _: Result<(), std::io::Error> = for_each_piece(content.reader(), |read| {
        let from = skip.min(read.len());
        skip -= from;
        for piece in read[from..].chunks(MAX_CHUNK) {
            if pieces.blocking_send(piece.to_vec()).is_err() {
                // The filter has heard enough.
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(())
    })
    .inspect_err(|error: &std::io::Error| {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            result = Err(std::io::Error::from(error.kind()));
        }
    });
    result
}

#[cfg(test)]
mod tests;
