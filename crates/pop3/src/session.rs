//! The server side of one POP3 connection: what may be said when, and who answers it.

mod listing;
mod login;

use kings_sasl::{Credentials, Mechanisms, Turn};

use crate::command::{self, Command};
use crate::content::Stuffer;
use crate::limits::MAX_ERRORS;
use crate::maildrop::Maildrop;
use crate::reader::{Frame, Reader};
use crate::reply::{Code, Reply};
use listing::Listing;

/// What holds for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The connection is under TLS. Without it nobody logs in.
    pub tls: bool,
    /// STLS is offered while it is not.
    pub stls: bool,
    /// What AUTH takes under TLS.
    pub mechanisms: Mechanisms,
    /// Shortest time between two logins, in seconds, where there is one (RFC 2449 §6.6).
    pub login_delay: Option<u32>,
}

/// The server side of one POP3 connection. It owns no socket, clock or task, so every test runs it in memory.
///
/// Draw events with [`Session::next_event`] until there is none, then send [`Session::transmit`], then read more. An
/// event says in its description how it is answered; no other is drawn before.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    exchange: Exchange,
    reader: Reader,
    output: Vec<u8>,
    errors: u32,
    /// The client takes headers that are not ASCII.
    utf8: bool,
}

/// RFC 1939 §3.
#[derive(Debug)]
enum State {
    /// With the name that USER gave.
    Authorization(Option<String>),
    Transaction(Maildrop),
    /// The last reply is said.
    Closed,
}

/// The one thing that is under way.
#[derive(Debug, Default)]
enum Exchange {
    #[default]
    None,
    /// The caller checks a login.
    Login,
    /// The client owes a response.
    Sasl,
    /// The caller shakes hands.
    Handshake,
    /// The caller reads a message.
    Message(Option<u64>),
    /// The caller gives a message piece by piece.
    Content(Stuffer),
    /// A listing is being made.
    Listing(Listing),
    /// The caller ends the transaction; whether anything was marked.
    Update { marked: bool },
}

/// What the session cannot do alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// USER and PASS: check, then [`Session::welcome`] or [`Session::refuse`].
    Login(Credentials),
    /// AUTH begins or goes on: [`Session::challenge`], or at its end [`Session::welcome`] or [`Session::refuse`]. A login
    /// that the client gives up ends without a word to you.
    Authenticate(Turn),
    /// Read the message at this place, for RETR if all of it is wanted, for TOP if not: [`Session::begin_message`], [`Session::write_message`] as often as needed and
    /// [`Session::end_message`], or [`Session::refuse`]. Unless [`Session::takes_utf8`], its headers must be ASCII.
    Message {
        /// Counted from zero.
        place: usize,
        /// RETR.
        whole: bool,
    },
    /// The client has said QUIT: the messages at these places, if any, go, durably; then [`Session::updated`]. Nothing
    /// else makes messages go.
    Update(Vec<usize>),
    /// Much output waits: transmit. Needs no answer.
    Relieve,
    /// Transmit, shake hands, then [`Session::tls_started`].
    StartTls,
    /// Transmit and close.
    Closed,
}

impl Session {
    /// Begins with the greeting (RFC 1939 §4). There is no timestamp in it: APOP needs passwords in clear.
    pub fn new(settings: Settings) -> Self {
        let mut session = Self::silent(settings);
        session.reply(Reply::GREETING);
        session
    }

    /// Says no in the place of the greeting, and is over.
    pub fn refusing(settings: Settings, text: &'static str) -> Self {
        let mut session = Self::silent(settings);
        session.bye(text);
        session
    }

    fn silent(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Authorization(None),
            exchange: Exchange::None,
            reader: Reader::default(),
            output: Vec::new(),
            errors: 0,
            utf8: false,
        }
    }

    /// Takes what the peer sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.is_closed() {
            self.reader.receive(bytes);
        }
    }

    /// What to do next; `None` until more bytes come or the last event is answered.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if self.is_closed() {
                return Some(Event::Closed);
            }
            match self.exchange {
                Exchange::None | Exchange::Sasl => {}
                Exchange::Listing(_) => return Some(self.list_on()),
                _ => return None,
            }
            let frame = self.reader.next()?;
            if let Some(event) = self.take(frame) {
                return Some(event);
            }
        }
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
        matches!(self.state, State::Transaction(_))
    }

    /// Whether messages may be sent as they are, in UTF-8 mode (RFC 6856 §2.1).
    pub fn takes_utf8(&self) -> bool {
        self.utf8
    }

    /// Whether nothing is owed by the client.
    pub fn is_between_commands(&self) -> bool {
        matches!(self.exchange, Exchange::None) && self.reader.is_between_lines()
    }

    /// The login has succeeded, and these are its messages.
    pub fn welcome(&mut self, maildrop: Maildrop) {
        if let Exchange::Login = std::mem::take(&mut self.exchange) {
            self.state = State::Transaction(maildrop);
            self.reply(Reply::LOGGED_IN);
        }
    }

    /// The login, or the reading of a message, has failed.
    pub fn refuse(&mut self, reply: Reply) {
        self.exchange = Exchange::None;
        self.reply(reply);
        // A password that is wrong is a guess; trouble of our own is no fault of the client.
        if reply.code == Some(Code::Auth) {
            self.count_error();
        }
    }

    /// Answers [`Event::Authenticate`] with a challenge (RFC 5034 §4): the login goes on.
    pub fn challenge(&mut self, challenge: &[u8]) {
        if let Exchange::Login = std::mem::take(&mut self.exchange) {
            self.output.extend_from_slice(format!("+ {}\r\n", kings_sasl::encode(challenge)).as_bytes());
            self.exchange = Exchange::Sasl;
        }
    }

    /// What AUTH takes, once the handshake of STLS has shown more of the client.
    pub fn offer(&mut self, mechanisms: Mechanisms) {
        self.settings.mechanisms = mechanisms;
    }

    /// The handshake is done: everything before it is forgotten (RFC 2595 §4).
    pub fn tls_started(&mut self) {
        self.reader.clear();
        self.exchange = Exchange::None;
        self.state = State::Authorization(None);
        self.settings.tls = true;
    }

    /// The message is there: what follows is [`Session::write_message`]. Gives how much of it the client wants.
    pub fn begin_message(&mut self, octets: usize) {
        if let Exchange::Message(lines) = std::mem::take(&mut self.exchange) {
            let first = match lines {
                Some(_) => "+OK The top of it follows\r\n".to_owned(),
                None => format!("+OK {octets} octets\r\n"),
            };
            self.output.extend_from_slice(first.as_bytes());
            self.exchange = Exchange::Content(Stuffer::new(lines));
        }
    }

    /// A piece of the message; `false` when the client wants no more of it.
    pub fn write_message(&mut self, piece: &[u8]) -> bool {
        let Exchange::Content(stuffer) = &mut self.exchange else { return false };
        stuffer.write(piece, &mut self.output);
        !stuffer.is_over()
    }

    /// All of it was given.
    pub fn end_message(&mut self) {
        if let Exchange::Content(stuffer) = std::mem::take(&mut self.exchange) {
            stuffer.finish(&mut self.output);
        }
    }

    /// Answers [`Event::Update`]: whether everything that was marked is gone for good (RFC 1939 §6).
    pub fn updated(&mut self, all_removed: bool) {
        if let Exchange::Update { marked } = std::mem::take(&mut self.exchange) {
            self.reply(match (marked, all_removed) {
                (false, _) => Reply::BYE,
                (true, true) => Reply::REMOVED,
                (true, false) => Reply::NOT_ALL_REMOVED,
            });
            self.state = State::Closed;
        }
    }

    /// Ends the session from our side. Marked messages stay.
    pub fn bye(&mut self, text: &'static str) {
        if !self.is_closed() {
            self.reply(Reply::bye(text));
            self.state = State::Closed;
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn reply(&mut self, reply: Reply) {
        reply.write_to(&mut self.output);
    }

    /// A reply that counts against the client.
    fn fault(&mut self, reply: Reply) -> Option<Event> {
        self.reply(reply);
        self.count_error();
        None
    }

    fn count_error(&mut self) {
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            self.bye("Too many errors");
        }
    }

    fn take(&mut self, frame: Frame) -> Option<Event> {
        match (frame, &self.exchange) {
            (Frame::TooLong, _) => {
                self.exchange = Exchange::None;
                self.fault(Reply::LINE_TOO_LONG)
            }
            (Frame::Line(line), Exchange::Sasl) => self.sasl_response(&line),
            (Frame::Line(line), _) => self.command(&line),
        }
    }

    fn command(&mut self, line: &[u8]) -> Option<Event> {
        // A browser, or an attack through one: hearing commands in the rest of its request would let a web page speak POP3.
        if !self.is_authenticated() && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")) {
            self.bye("This is a POP3 server");
            return None;
        }
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(error) => return self.fault(error.into()),
        };
        match (command, self.is_authenticated()) {
            (Command::Capa, _) => self.capa(),
            (Command::Quit, _) => self.quit(),
            (Command::Stls, false) => self.start_tls(),
            (Command::Utf8, false) => {
                self.utf8 = true;
                self.reply(Reply::UTF8);
                None
            }
            (Command::User(name), false) => self.user(name),
            (Command::Pass(password), false) => self.pass(password),
            (Command::AuthList, false) => self.mechanisms(),
            (Command::Auth { mechanism, initial }, false) => self.auth(&mechanism, initial.as_deref()),
            (
                Command::Stls
                | Command::Utf8
                | Command::User(_)
                | Command::Pass(_)
                | Command::AuthList
                | Command::Auth { .. },
                true,
            ) => self.fault(Reply::ALREADY),
            (_, false) => self.fault(Reply::LOG_IN_FIRST),
            (command, true) => self.in_transaction(&command),
        }
    }

    fn in_transaction(&mut self, command: &Command) -> Option<Event> {
        let State::Transaction(maildrop) = &mut self.state else { return None };
        match *command {
            Command::Stat => {
                let (count, octets) = maildrop.stat();
                self.output.extend_from_slice(format!("+OK {count} {octets}\r\n").as_bytes());
            }
            Command::List(number) => return self.list(listing::What::Sizes, number),
            Command::Uidl(number) => return self.list(listing::What::UniqueIds, number),
            Command::Retr(number) => match maildrop.place(number) {
                Ok(place) => return Some(self.message(place, None)),
                Err(reply) => return self.fault(reply),
            },
            Command::Top(number, lines) => match maildrop.place(number) {
                Ok(place) => return Some(self.message(place, Some(lines))),
                Err(reply) => return self.fault(reply),
            },
            Command::Dele(number) => match maildrop.place(number) {
                Ok(place) => {
                    maildrop.mark(place);
                    self.reply(Reply::MARKED);
                }
                Err(reply) => return self.fault(reply),
            },
            Command::Rset => {
                maildrop.unmark_all();
                self.reply(Reply::DONE);
            }
            _ => self.reply(Reply::DONE),
        }
        None
    }

    fn message(&mut self, place: usize, lines: Option<u64>) -> Event {
        self.exchange = Exchange::Message(lines);
        Event::Message { place, whole: lines.is_none() }
    }

    /// RFC 1939 §6: from the transaction it leads to the update.
    fn quit(&mut self) -> Option<Event> {
        if let State::Transaction(maildrop) = &self.state {
            let marked = maildrop.marked();
            self.exchange = Exchange::Update { marked: !marked.is_empty() };
            return Some(Event::Update(marked));
        }
        self.reply(Reply::BYE);
        self.state = State::Closed;
        None
    }

    /// What came behind the command in the same segment is thrown away now: it was not under TLS.
    fn start_tls(&mut self) -> Option<Event> {
        if self.settings.tls || !self.settings.stls {
            return self.fault(Reply::NO_STLS);
        }
        // RFC 6856 §2.1: a client must not, and behind a handshake nobody knows what was said before it.
        if self.utf8 {
            return self.fault(Reply::NO_STLS_BEHIND_UTF8);
        }
        self.reply(Reply::BEGIN_TLS);
        self.reader.clear();
        self.exchange = Exchange::Handshake;
        Some(Event::StartTls)
    }
}
