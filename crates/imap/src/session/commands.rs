//! From a line to what it asks for: commands that the session answers itself, and those that it hands on.

use kings_sasl::{BadBase64, Mechanism, Turn};

use super::exchange::{After, Exchange};
use super::{Compression, Event, Session, State};
use crate::command::{self, Command, Enabled, Legal, Own, Request, tag_of};
use crate::cursor::SyntaxError;
use crate::reader::Frame;
use crate::response::{Code, Condition, Response, Tagged};

/// To a command that is about messages.
pub(super) const NOTHING_SELECTED: &str = "No mailbox is selected";

impl Session {
    pub(super) fn take(&mut self, frame: Frame) -> Option<Event> {
        match frame {
            Frame::Chunk(octets) => self.chunk(octets),
            Frame::Literal(literal) => self.literal(literal),
            Frame::Line(line) if self.exchange.is_some() => self.exchange_line(&line),
            Frame::Line(line) => self.command(&line),
            Frame::BareLineFeed(line) => self.bad_line(&line, SyntaxError::BareLineFeed.text()),
            Frame::TooLong(start) => self.bad_line(&start, "Command line is too long"),
            Frame::Flood => {
                self.bye("Literal is too large");
                None
            }
        }
    }

    fn command(&mut self, line: &[u8]) -> Option<Event> {
        if self.state == State::NotAuthenticated && speaks_http(line) {
            self.bye("This is an IMAP server");
            return None;
        }
        let read = match command::read(line, self.enabled) {
            Ok(read) => read,
            Err(error) => return self.bad_line(line, error.text()),
        };
        if let Err(text) = self.check_state(read.row.legal) {
            self.tagged(&read.tag, &Tagged::bad(text));
            return None;
        }
        match read.command {
            Ok(Command::Own(own)) => self.own(read.tag, own),
            Ok(Command::Request(request)) => self.request(read.tag, request),
            Ok(Command::Append(stretch)) => self.begin_append(&read.tag, stretch, None),
            Err(error) => {
                self.tagged(&read.tag, &Tagged::bad(error.text()));
                None
            }
        }
    }

    fn request(&mut self, tag: Vec<u8>, request: Request) -> Option<Event> {
        if request.needs_qresync() && !self.enabled.qresync {
            self.tagged(&tag, &Tagged::bad("Enable QRESYNC first"));
            return None;
        }
        if self.enabled.uid_only && request.uses_numbers() {
            self.tagged(&tag, &Tagged::UID_REQUIRED);
            return None;
        }
        if !self.settings.namespaces.shares && request.is_about_rights() {
            self.tagged(&tag, &Tagged::NOTHING_SHARED);
            return None;
        }
        if matches!(&request, Request::Create(create) if create.asks_too_much) {
            self.tagged(&tag, &Tagged::NO_SUCH_USE);
            return None;
        }
        self.enabled = self.enabled.with(request.enables());
        let tells_closed = self.enabled.qresync || self.enabled.rev2;
        if self.state == State::Selected && tells_closed && matches!(request, Request::Select(_)) {
            let closed = Tagged::with(Condition::Ok, Code::Closed, "Closed");
            self.respond(&Response::Status(closed));
        }
        let after = After::of(&request);
        self.exchange = Exchange::Answer { tag, after };
        Some(Event::Request(request))
    }

    /// With a mailbox selected, its owner has news to tell at once (RFC 7162 §3.1); and who wants to hear of entries must be
    /// known from now on.
    fn enable(&mut self, tag: Vec<u8>, enabled: Enabled) -> Option<Event> {
        self.enabled = self.enabled.with(enabled);
        let response = Response::Enabled(enabled);
        if self.state != State::Selected && !enabled.metadata {
            return self.done(&tag, &response);
        }
        self.respond(&response);
        self.request(tag, Request::Noop)
    }

    /// RFC 3501 §3: which commands each state knows.
    fn check_state(&self, legal: Legal) -> Result<(), &'static str> {
        match (legal, self.state) {
            (Legal::Always, _)
            | (Legal::BeforeLogin, State::NotAuthenticated)
            | (Legal::AfterLogin, State::Authenticated | State::Selected)
            | (Legal::Selected, State::Selected) => Ok(()),
            (_, State::NotAuthenticated) => Err("Log in first"),
            (Legal::BeforeLogin, _) => Err("Already logged in"),
            _ => Err(NOTHING_SELECTED),
        }
    }

    /// Commands that need nobody else.
    fn own(&mut self, tag: Vec<u8>, own: Own) -> Option<Event> {
        match own {
            Own::Capability => {
                let words = self.capabilities();
                self.done(&tag, &Response::Capability(words))
            }
            Own::Id => self.done(&tag, &Response::Id),
            Own::Enable(enabled) => self.enable(tag, enabled),
            Own::Namespace => {
                let namespaces = self.settings.namespaces;
                self.done(&tag, &Response::Namespace(namespaces))
            }
            Own::Logout => {
                self.respond(&Response::Bye("Logging out"));
                self.tagged(&tag, &Tagged::DONE);
                self.state = State::Closed;
                None
            }
            Own::Idle => {
                self.respond(&Response::Continue("Idling"));
                self.exchange = Exchange::Idle { tag };
                Some(Event::Idle)
            }
            Own::StartTls => self.start_tls(&tag),
            Own::Compress => self.compress(&tag),
            Own::Login(_) | Own::Authenticate { .. } if !self.settings.tls => {
                self.tagged(&tag, &Tagged::PRIVACY_REQUIRED);
                None
            }
            Own::Login(_) if !self.takes_passwords() => {
                self.tagged(&tag, &Tagged::no(Code::Cannot, "Use AUTHENTICATE"));
                None
            }
            Own::Login(credentials) => {
                self.exchange = Exchange::Answer { tag, after: After::Login };
                Some(Event::Login(credentials))
            }
            Own::Authenticate { mechanism, initial } => self.authenticate(tag, mechanism, initial.as_deref()),
        }
    }

    fn done(&mut self, tag: &[u8], response: &Response) -> Option<Event> {
        self.respond(response);
        self.tagged(tag, &Tagged::DONE);
        None
    }

    /// What came behind the command in the same segment is thrown away now: it was not under TLS
    /// (RFC 3501 §6.2.1; CVE-2021-33515 in Dovecot).
    fn start_tls(&mut self, tag: &[u8]) -> Option<Event> {
        if self.settings.tls || !self.settings.starttls {
            self.tagged(tag, &Tagged::bad("STARTTLS is not available"));
            return None;
        }
        self.tagged(tag, &Tagged::ok("Begin the TLS handshake"));
        self.reader.clear();
        self.exchange = Exchange::Handshake;
        Some(Event::StartTls)
    }

    /// RFC 4978 §3: our answer is the last thing in clear.
    fn compress(&mut self, tag: &[u8]) -> Option<Event> {
        if self.compression != Compression::Off {
            self.tagged(tag, &Tagged::COMPRESSION_ACTIVE);
            return None;
        }
        self.tagged(tag, &Tagged::ok("Compressed from here on"));
        self.exchange = Exchange::Handshake;
        Some(Event::StartCompression)
    }

    fn authenticate(
        &mut self,
        tag: Vec<u8>,
        mechanism: Option<Mechanism>,
        initial: Option<&[u8]>,
    ) -> Option<Event> {
        let Some(mechanism) = mechanism.filter(|known| self.settings.mechanisms.contains(*known)) else {
            self.tagged(&tag, &Tagged::no(Code::Cannot, "Unknown mechanism"));
            return None;
        };
        match initial.map(kings_sasl::decode).transpose() {
            Ok(initial) => Some(self.ask_login(tag, Turn::Begin(mechanism, initial))),
            Err(BadBase64) => {
                self.tagged(&tag, &Tagged::NOT_BASE64);
                None
            }
        }
    }

    /// A line that is no command at all, or breaks the exchange under way.
    fn bad_line(&mut self, line: &[u8], text: &'static str) -> Option<Event> {
        if self.exchange.is_some() {
            return self.break_exchange(text);
        }
        self.tagged(&tag_of(line), &Tagged::bad(text));
        None
    }
}

/// A browser, or an attack through one: HTTP requests end like this (RFC 9112 §3). Hearing commands in
/// the rest of such a request would let a web page speak IMAP.
fn speaks_http(line: &[u8]) -> bool {
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}
