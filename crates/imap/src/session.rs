//! The server side of one IMAP connection: what may be said when, and who answers it.

mod append;
mod capabilities;
mod commands;
mod exchange;
mod literal;

use kings_sasl::{Credentials, Mechanisms, Turn};

use crate::command::{Append, Arriving, Enabled, Request};
use crate::limits::{MAX_COMMAND, MAX_COMMAND_BEFORE_LOGIN, MAX_ERRORS, MAX_RESPONSE_LINE};
use crate::reader::Reader;
use crate::response::{Code, Condition, Namespaces, Response, Tagged};
use crate::url::PartUrl;
use exchange::{After, Exchange};

/// What holds for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The connection is under TLS. Without it nobody logs in.
    pub tls: bool,
    /// STARTTLS is offered while it is not.
    pub starttls: bool,
    /// How the names of mailboxes are put together.
    pub namespaces: Namespaces,
    /// Largest message that APPEND may bring, in octets.
    pub message_bytes: u64,
    /// What AUTHENTICATE takes under TLS.
    pub mechanisms: Mechanisms,
}

/// The server side of one IMAP connection. It owns no socket, clock or task, so every test runs it in
/// memory.
///
/// Draw events with [`Session::next_event`] until there is none, then send [`Session::transmit`], then
/// read more. An event says in its description how it is answered; no other is drawn before.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    exchange: Exchange,
    enabled: Enabled,
    compression: Compression,
    reader: Reader,
    output: Vec<u8>,
    errors: u32,
    commands: u64,
    /// News may be told between two commands (RFC 5465 §3).
    notifies: bool,
}

/// RFC 3501 §3; the selected mailbox itself is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotAuthenticated,
    Authenticated,
    Selected,
    /// BYE is said.
    Closed,
}

/// Whether what is said is compressed, which others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Off,
    On,
    /// The command that ends it is answered.
    Ends,
}

/// How far the client has got: deadlines depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is owed: between two commands, or in IDLE.
    Between,
    /// A command has begun and is not complete.
    Command,
    /// The message of an APPEND is coming.
    Message,
}

/// What the session cannot do alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// LOGIN: check, then [`Session::finish`].
    Login(Credentials),
    /// AUTHENTICATE begins or goes on: [`Session::challenge`], or at its end [`Session::finish`]. A login that the
    /// client gives up ends without a word to you.
    Authenticate(Turn),
    /// Do it, [`Session::respond`] as needed, then [`Session::finish`].
    Request(Request),
    /// A message is to come, of APPEND or REPLACE: [`Session::accept_message`], or [`Session::finish`] with a refusal.
    Append(Append),
    /// The message is complete, and another one of the same APPEND is to come: answered as [`Event::Append`]. A refusal
    /// is one of all of them.
    AppendNext(Arriving),
    /// CATENATE: so many octets of the message are to come (RFC 4469 §3): answered as [`Event::AppendNext`].
    AppendText(u64),
    /// CATENATE: these octets come next in the message, from one that is here: answered as [`Event::AppendNext`].
    AppendUrl(PartUrl),
    /// Some octets of the message. Needs no answer.
    Chunk(Vec<u8>),
    /// The last message is complete: store all of them or none, then [`Session::finish`].
    AppendEnd,
    /// The message will not be completed: forget it, and those before it. Needs no answer.
    AppendAborted,
    /// News may be sent at any time from now on, until [`Event::IdleDone`]. Needs no answer.
    Idle,
    /// Send the last news, then [`Session::finish`].
    IdleDone,
    /// Transmit, shake hands, then [`Session::tls_started`].
    StartTls,
    /// Transmit; what is sent and received from then on is compressed (RFC 4978 §3). Then
    /// [`Session::compression_started`].
    StartCompression,
    /// Transmit; nothing is compressed from then on, in either direction. Then [`Session::compression_ended`].
    EndCompression,
    /// Transmit and close.
    Closed,
}

impl Session {
    /// Begins with the greeting (RFC 3501 §7.1).
    pub fn new(settings: Settings) -> Self {
        let mut session = Self::silent(settings);
        let code = Code::Capability(session.capabilities());
        session.respond(&Response::Status(Tagged::with(Condition::Ok, code, "Kings ready")));
        session
    }

    /// Says no in the place of the greeting, and is over (RFC 3501 §7.1.5).
    pub fn refusing(settings: Settings, text: &'static str) -> Self {
        let mut session = Self::silent(settings);
        session.bye(text);
        session
    }

    fn silent(settings: Settings) -> Self {
        Self {
            settings,
            state: State::NotAuthenticated,
            exchange: Exchange::None,
            enabled: Enabled::default(),
            compression: Compression::Off,
            reader: Reader::default(),
            output: Vec::new(),
            errors: 0,
            commands: 0,
            notifies: false,
        }
    }

    /// Takes what the peer sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.state != State::Closed {
            self.reader.receive(bytes);
        }
    }

    /// What to do next; `None` until more bytes come or the last event is answered.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if self.state == State::Closed {
                return Some(Event::Closed);
            }
            if self.exchange.is_with_caller() {
                return None;
            }
            if self.exchange.has_steps() {
                match self.next_step() {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            if self.compression == Compression::Ends {
                self.exchange = Exchange::Handshake;
                return Some(Event::EndCompression);
            }
            let frame = self.reader.next(self.limit())?;
            if let Some(event) = self.take(frame) {
                return Some(event);
            }
        }
    }

    /// Adds an untagged response to the output.
    pub fn respond(&mut self, response: &Response) {
        if !response.is_obsolete(self.enabled) {
            response.write_to(&mut self.output, self.enabled);
        }
    }

    /// Adds text that [`fetch::render`](crate::fetch::render) made.
    pub fn write_rendered(&mut self, text: &[u8]) {
        self.output.extend_from_slice(text);
    }

    /// The tag of the command that the caller works on; empty where there is none.
    pub fn tag(&self) -> &[u8] {
        match &self.exchange {
            Exchange::Answer { tag, .. } => tag,
            _ => &[],
        }
    }

    /// How many commands were answered, whatever came of them.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Octets that wait for [`Session::transmit`].
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Takes what is to be sent.
    #[must_use]
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether somebody is logged in.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated | State::Selected)
    }

    /// What the client has said, or shown, that it understands.
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// Whether the client idles and hears news at any time.
    pub fn is_idling(&self) -> bool {
        matches!(self.exchange, Exchange::Idle { .. })
    }

    /// Whether the client hears news now: while it idles, or between two commands where it has asked for that.
    pub fn hears_news(&self) -> bool {
        let is_between = !self.exchange.is_some() && self.reader.is_between_commands();
        self.is_idling() || (self.notifies && is_between)
    }

    /// Whether news may be told between two commands from now on.
    pub fn notify(&mut self, notifies: bool) {
        self.notifies = notifies;
    }

    /// How far the client has got with what it is saying.
    pub fn progress(&self) -> Progress {
        match self.exchange {
            Exchange::Message { .. } => Progress::Message,
            Exchange::Idle { .. } => Progress::Between,
            Exchange::None if self.reader.is_between_commands() => Progress::Between,
            _ => Progress::Command,
        }
    }

    /// Nothing is selected any more: the session has deleted its own mailbox.
    pub fn deselect(&mut self) {
        if self.state == State::Selected {
            self.state = State::Authenticated;
        }
    }

    /// The message of APPEND, or the part of one, may come (RFC 3501 §7.5).
    pub fn accept_message(&mut self) {
        if let Exchange::Append(work) = &mut self.exchange {
            work.is_with_caller = false;
        }
    }

    /// Answers the event that is out. Changes of state follow from command and result.
    pub fn finish(&mut self, result: Tagged) {
        match std::mem::take(&mut self.exchange) {
            Exchange::Answer { tag, after } => {
                let result = self.enter(after, result);
                self.tagged(&tag, &result);
            }
            Exchange::Append(work) => self.refuse_append(&work, &result),
            other => self.exchange = other,
        }
    }

    /// Answers [`Event::Authenticate`] with a challenge (RFC 3501 §6.2.2): the login goes on.
    pub fn challenge(&mut self, challenge: Vec<u8>) {
        match std::mem::take(&mut self.exchange) {
            Exchange::Answer { tag, after: After::Login } => {
                self.respond(&Response::Challenge(challenge));
                self.exchange = Exchange::Sasl { tag };
            }
            other => self.exchange = other,
        }
    }

    /// What AUTHENTICATE takes, once the handshake of STARTTLS has shown more of the client.
    pub fn offer(&mut self, mechanisms: Mechanisms) {
        self.settings.mechanisms = mechanisms;
    }

    /// The handshake is done: everything before it is forgotten (RFC 3501 §6.2.1).
    pub fn tls_started(&mut self) {
        self.reader.clear();
        self.exchange = Exchange::None;
        self.settings.tls = true;
    }

    /// From now on others inflate what they hand in. Gives what was received already behind the command: it is compressed.
    #[must_use]
    pub fn compression_started(&mut self) -> Vec<u8> {
        self.exchange = Exchange::None;
        self.compression = Compression::On;
        self.reader.take_unread()
    }

    /// Nothing is inflated any more. What came behind the command that ended it is heard like anything else.
    pub fn compression_ended(&mut self) {
        self.exchange = Exchange::None;
        self.compression = Compression::Off;
    }

    /// Ends the session from our side (RFC 3501 §7.1.5).
    pub fn bye(&mut self, text: &'static str) {
        if self.state != State::Closed {
            self.respond(&Response::Bye(text));
            self.state = State::Closed;
        }
    }

    fn limit(&self) -> usize {
        match (self.state, &self.exchange) {
            (State::NotAuthenticated, _) => MAX_COMMAND_BEFORE_LOGIN,
            (_, Exchange::None | Exchange::Message { .. }) => MAX_COMMAND,
            _ => MAX_RESPONSE_LINE,
        }
    }

    fn tagged(&mut self, tag: &[u8], result: &Tagged) {
        self.commands += 1;
        result.write_to(tag, &mut self.output);
        let is_failed_login = result.code == Some(Code::AuthenticationFailed);
        if result.condition == Condition::Bad || is_failed_login {
            self.count_error();
        }
    }

    fn count_error(&mut self) {
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            self.bye("Too many errors");
        }
    }
}
