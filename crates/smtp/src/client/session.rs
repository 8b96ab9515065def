//! The order of a client session: greeting, EHLO, STARTTLS, AUTH, then transactions.

mod ability;
mod content;
mod handover;
mod login;
mod opening;
mod phase;

use std::ops::Range;
use std::time::Duration;

use kings_mail::domain::Domain;

pub use self::login::Login;
use self::login::{Tries, no_login};
pub use self::opening::no_tls;
use self::phase::Phase;
use super::commands;
use super::features::Features;
use super::reader::{BadReply, Reader};
use super::transaction::{Outcome, Running, Transaction};
use crate::reply::Reply;

/// Whether to use STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Not at all: TLS is on already, or clear text is wanted.
    Never,
    /// When the server offers it.
    IfOffered,
    /// Refuse to go on without it.
    Required,
}

/// Which dialect the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// EHLO, and one reply to the whole message.
    Smtp,
    /// LHLO, and one reply for each accepted recipient after the message (RFC 2033 §4.2).
    Lmtp,
}

/// What a session is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in EHLO.
    pub hostname: Domain,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Whether to use STARTTLS.
    pub start_tls: StartTls,
    /// Who we are to the server; said only under TLS.
    pub login: Option<Login>,
    /// The connection is under TLS from its first byte.
    pub tls: bool,
}

/// What the session cannot do alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send what [`Session::transmit`] gives, do the handshake, then call [`Session::tls_started`].
    StartTls,
    /// The session is ready for [`Session::send`] or [`Session::quit`].
    Ready,
    /// Give these octets of the content to [`Session::content`], in pieces of any size, then call
    /// [`Session::end_content`].
    SendContent(Range<u64>),
    /// Every recipient of the transaction has an outcome, in their order.
    Settled(Vec<Outcome>),
    /// The server does not let us come to a transaction: it refused greeting, EHLO, TLS or login.
    Refused(Reply),
    /// What the server offers or proves is not enough to come to a transaction; in our words.
    Unfit(Reply),
    /// The session is over.
    Closed,
}

/// The client side of one session. It owns no socket, clock or task.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    phase: Phase,
    reader: Reader,
    output: Vec<u8>,
    features: Features,
    tls: bool,
    tries: Tries,
    transaction: Option<Running>,
    /// The server has said something about the transaction, other than that it is going away.
    heard: bool,
    /// The server is going away or cannot be followed any more: no further transaction here.
    spent: bool,
}

impl Session {
    /// Starts a session; the server speaks first.
    pub fn new(settings: Settings) -> Self {
        let tls = settings.tls;
        Self {
            settings,
            phase: Phase::Greeting,
            reader: Reader::default(),
            output: Vec::new(),
            features: Features::default(),
            tls,
            tries: Tries::default(),
            transaction: None,
            heard: false,
            spent: false,
        }
    }

    /// Takes bytes from the server.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.reader.receive(bytes);
    }

    /// Everything to be sent, which is then forgotten.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What the server offered.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// How long to wait for the next bytes of the server.
    pub fn patience(&self) -> Duration {
        self.phase.patience()
    }

    /// Whether the whole message has been sent and its fate is unknown: a connection that breaks now may
    /// have delivered.
    pub fn awaits_final_reply(&self) -> bool {
        matches!(self.phase, Phase::FinalReply)
    }

    /// The recipient whose RCPT waits for its answer, by its place among those of the transaction.
    pub fn asks_about(&self) -> Option<usize> {
        match self.phase {
            Phase::Rcpt(place) => Some(place),
            _ => None,
        }
    }

    /// Whether another transaction may follow on this connection.
    pub fn is_reusable(&self) -> bool {
        matches!(self.phase, Phase::Idle) && !self.spent && self.reader.is_empty()
    }

    /// Whether the server has said anything about the last transaction, other than that it is going away. If not, a
    /// connection that was kept has only been found closed, and the message may be given to a fresh one.
    pub fn has_been_heard(&self) -> bool {
        self.heard
    }

    /// The next thing to do; `None` when the server must speak first. An error ends the session.
    pub fn next_event(&mut self) -> Result<Option<Event>, BadReply> {
        loop {
            if matches!(self.phase, Phase::Closed) {
                return Ok(Some(Event::Closed));
            }
            if matches!(self.phase, Phase::Idle | Phase::Handshake | Phase::Content(_)) {
                return Ok(None);
            }
            let Some(reply) = self.reader.next()? else { return Ok(None) };
            if let Some(event) = self.take(reply)? {
                return Ok(Some(event));
            }
        }
    }

    /// Begins a transaction; [`Event::Ready`] or [`Event::Settled`] must have come before. Where the server offers
    /// PIPELINING, MAIL, every RCPT and DATA leave together (RFC 2920 §3.1).
    pub fn send(&mut self, transaction: Transaction) {
        let mail = commands::mail(&transaction, &self.features);
        let chunked = self.features.chunking && transaction.content.clean;
        let running = Running::new(transaction, self.features.pipelining, chunked);
        self.heard = false;
        self.command(&mail, Phase::Mail);
        if running.batched {
            for recipient in &running.transaction.recipients {
                self.line(&commands::rcpt(recipient, &self.features));
            }
            if !chunked {
                self.line("DATA");
            }
        }
        self.transaction = Some(running);
    }

    /// The handshake of [`Event::StartTls`] succeeded: everything said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        self.reader.clear();
        self.features = Features::default();
        self.tls = true;
        self.hello();
    }

    /// The server did not answer in time. Where it owes replies to commands that were sent together, it cannot be
    /// told which of them it left out: what it said to the others does not count.
    pub fn timed_out(&mut self) {
        let in_batch = matches!(self.phase, Phase::Mail | Phase::Rcpt(_) | Phase::Data);
        if let Some(running) = self.transaction.as_mut().filter(|running| running.batched && in_batch) {
            running.reopen();
        }
    }

    /// The connection broke, took too long or made no sense: what the transaction has come to. Recipients
    /// without an outcome get `reason`, which must be temporary.
    pub fn abandon(&mut self, reason: &Reply) -> Vec<Outcome> {
        self.phase = Phase::Closed;
        let Some(mut running) = self.transaction.take() else { return Vec::new() };
        running.break_open(reason);
        running.into_outcomes()
    }

    /// Says goodbye.
    pub fn quit(&mut self) {
        self.command("QUIT", Phase::Quit);
    }

    fn command(&mut self, line: &str, phase: Phase) {
        self.line(line);
        self.phase = phase;
    }

    fn line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// One reply, taken by the phase that waited for it.
    fn take(&mut self, reply: Reply) -> Result<Option<Event>, BadReply> {
        if self.transaction.is_some() {
            return self.take_in_transaction(reply);
        }
        let may_helo = !self.tls && self.settings.protocol == Protocol::Smtp;
        let event = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Greeting if reply.code == 220 => self.go_on(Self::hello),
            Phase::Ehlo if reply.code == 250 => self.after_ehlo(&reply),
            Phase::Ehlo if reply.is_permanent() && may_helo => self.go_on(Self::helo),
            Phase::Helo if reply.code == 250 && self.settings.start_tls != StartTls::Required => {
                Some(self.after_helo(&reply))
            }
            Phase::Helo if reply.code == 250 => Some(Event::Unfit(no_tls())),
            Phase::StartTls if reply.code == 220 => {
                self.phase = Phase::Handshake;
                // Bytes behind this reply were not protected: an attacker may have put them there.
                self.reader.clear();
                Some(Event::StartTls)
            }
            // TLS that is optional and does not work leaves clear text (RFC 3207 §4); no password goes there.
            Phase::StartTls if self.settings.start_tls == StartTls::IfOffered && reply.code != 421 => {
                self.log_in()
            }
            Phase::Login(client) if reply.code == 334 => self.next_response(client, &reply),
            Phase::Login(client) if reply.code == 235 && client.may_succeed() => {
                self.tries.taken = Some(client.mechanism());
                Some(Event::Ready)
            }
            Phase::Login(_) if reply.code == 235 => {
                Some(Event::Unfit(no_login("it did not prove that it knows the password")))
            }
            Phase::Login(client) if reply.is_permanent() => self.after_refusal(client.mechanism(), reply),
            Phase::LoginCancelled => Some(Event::Unfit(no_login("it does not end the login"))),
            Phase::Greeting | Phase::Ehlo | Phase::Helo | Phase::StartTls | Phase::Login(_) => {
                Some(Event::Refused(reply))
            }
            Phase::Quit => self.go_on(|session| session.phase = Phase::Closed),
            // Nothing was asked, or what was asked has no transaction any more.
            phase => {
                self.phase = phase;
                None
            }
        };
        Ok(event)
    }

    fn go_on(&mut self, step: fn(&mut Self)) -> Option<Event> {
        step(self);
        None
    }
}
