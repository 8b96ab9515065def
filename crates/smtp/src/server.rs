//! The server side of one SMTP session (RFC 5321 §4): bytes in, events and bytes out.

mod claims;
mod content;
mod event;
mod hello;
mod login;
mod replies;
mod settings;
mod transaction;
mod transcript;

use kings_mail::envelope::{Envelope, Recipient};
use kings_sasl::Mechanisms;

use self::content::Skipped;
use crate::claim::Claim;
use crate::command::{self, Chunk, Command, SyntaxError};
use crate::data::{Chunks, Decoder};
use crate::lines::{Line, Lines, announces_chunk};
use crate::reply::Reply;
pub use event::Event;
pub use settings::{Client, FutureRelease, Role, Settings, Trust};
pub use transcript::{Transcript, Trouble};

/// Longest command line with its CRLF (RFC 5321 §4.5.3.1.4 asks for 512; extensions and UTF-8 need more).
pub const MAX_COMMAND_LINE: usize = 2_048;
/// Longest line of a login exchange (RFC 4954 §4).
pub const MAX_AUTH_LINE: usize = 12_288;
/// Refused commands before the session ends, as Postfix's `smtpd_hard_error_limit`.
pub const MAX_ERRORS: usize = 20;
/// Recipients beyond the limit that count as no error: a client that pipelines a long list has named them all before it
/// hears of the first (Postfix's `smtpd_recipient_overshoot_limit`).
pub const MAX_OVERSHOOT: usize = 1_000;
/// Commands that move no mail, between two messages (Postfix's `smtpd_junk_command_limit`).
pub const MAX_IDLE_COMMANDS: usize = 100;

/// The server side of one SMTP session. It owns no socket, clock or task, so every test runs it in memory.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    pending: Option<Pending>,
    mechanisms: Mechanisms,
    lines: Lines,
    output: Vec<u8>,
    content: Vec<u8>,
    client: Client,
    errors: usize,
    faults: usize,
    overshoot: usize,
    idle_commands: usize,
    quit: bool,
    asks_about_hello: bool,
    transcript: Option<Transcript>,
}

/// Order of commands (RFC 5321 §4.1.4). Each state carries what exists only in it.
#[derive(Debug)]
enum State {
    /// No EHLO or HELO yet.
    Greeted,
    /// Between transactions.
    Ready,
    /// Inside AUTH: lines are responses.
    Login,
    /// MAIL was accepted.
    Transaction(Envelope),
    /// DATA was accepted: input is content.
    Data(Envelope, Decoder),
    /// Inside a chunk of BDAT: input is content.
    Chunk(Envelope, Chunks, Chunk),
    /// Between two chunks.
    Chunks(Envelope, Chunks),
    /// Inside a chunk that is refused.
    Skipped(Box<Skipped>),
    /// The handshake of STARTTLS goes on.
    Handshake,
    /// The last reply has been written.
    Closed,
}

/// The question that an [`Event`] has put and that [`Session::answer`] answers.
#[derive(Debug)]
enum Pending {
    /// With the state that goes on where the client is not welcome.
    Hello {
        name: String,
        extended: bool,
        state: Box<State>,
    },
    Login,
    Mail(Envelope),
    Rcpt(Envelope, Recipient),
    Begin(Envelope),
    BeginChunk(Envelope, Chunk),
    /// With the number of replies.
    End(usize),
    Xclient(Box<Claim>),
    /// With the state that goes on.
    Xforward(Box<State>),
}

impl Session {
    /// Starts a session; the greeting waits in [`Session::transmit`]. `tls`: the connection is under TLS already.
    pub fn new(settings: Settings, tls: bool) -> Self {
        let mut session = Self {
            settings,
            state: State::Greeted,
            pending: None,
            mechanisms: Mechanisms::PASSWORD,
            lines: Lines::default(),
            output: Vec::new(),
            content: Vec::new(),
            client: Client { tls, ..Client::default() },
            errors: 0,
            faults: 0,
            overshoot: 0,
            idle_commands: 0,
            quit: false,
            asks_about_hello: false,
            transcript: None,
        };
        session.greeting().write_to(&mut session.output);
        session
    }

    /// Has what is said from now on kept, for whoever has the other clone.
    pub fn write_down(&mut self, transcript: Option<Transcript>) {
        self.transcript = transcript;
    }

    /// Takes bytes from the peer. Draw all events before giving it more: memory stays bounded by that.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.lines.receive(bytes);
    }

    /// Everything to be sent, which is then forgotten.
    pub fn transmit(&mut self) -> Vec<u8> {
        if let Some(transcript) = &self.transcript {
            transcript.sent(&self.output);
        }
        std::mem::take(&mut self.output)
    }

    /// What is known of the client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How many commands were refused for good so far: what a client does that guesses, probes or is broken.
    pub fn faults(&self) -> usize {
        self.faults
    }

    /// The transaction so far; while [`Event::Rcpt`] or [`Event::Begin`] is open it is the one they belong to.
    pub fn envelope(&self) -> Option<&Envelope> {
        match (&self.state, &self.pending) {
            (
                State::Transaction(envelope)
                | State::Data(envelope, _)
                | State::Chunk(envelope, ..)
                | State::Chunks(envelope, _),
                _,
            )
            | (
                _,
                Some(
                    Pending::Rcpt(envelope, _) | Pending::Begin(envelope) | Pending::BeginChunk(envelope, _),
                ),
            ) => Some(envelope),
            _ => None,
        }
    }

    /// The piece of the message that [`Event::Content`] or [`Event::End`] announced, until the next event is drawn.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Whether the message is on its way in, so that a rate rule applies to the peer. Chunks are one message.
    pub fn in_data(&self) -> bool {
        matches!(self.state, State::Data(..) | State::Chunk(..) | State::Chunks(..) | State::Skipped(_))
    }

    /// The next thing to decide or do; `None` when more input is needed.
    pub fn next_event(&mut self) -> Option<Event> {
        debug_assert!(self.pending.is_none(), "an event waits for its answer");
        self.content.clear();
        if !self.in_data() {
            // An idle session keeps no buffer.
            self.content = Vec::new();
        }
        loop {
            match &self.state {
                State::Closed => return Some(Event::Closed),
                State::Handshake => return None,
                State::Data(..) => return self.read_content(),
                State::Chunk(..) | State::Skipped(_) if self.lacks_octets() => return None,
                State::Skipped(_) => self.read_skipped(),
                State::Chunk(..) => {
                    if let Some(event) = self.read_chunk() {
                        return Some(event);
                    }
                }
                State::Login => {
                    let event = match self.next_response()? {
                        Ok(response) => self.respond(response.as_bytes()),
                        Err(reply) => self.end_login(&reply),
                    };
                    if event.is_some() {
                        return event;
                    }
                }
                State::Greeted | State::Ready | State::Transaction(_) | State::Chunks(..) => {
                    let event = match self.next_command()? {
                        Ok(command) => self.run(command),
                        Err(error) => self.refuse_line(error),
                    };
                    if event.is_some() {
                        return event;
                    }
                }
            }
        }
    }

    /// Answers the open event. A reply of 421 or 521 also ends the session.
    pub fn answer(&mut self, reply: &Reply) {
        let accepted = reply.is_positive();
        let message_bytes = self.settings.message_bytes;
        self.state = match self.pending.take() {
            Some(Pending::Hello { name, extended, .. }) if accepted => return self.hello(name, extended),
            Some(Pending::Hello { state, .. }) => *state,
            Some(Pending::Login) => {
                self.client.logged_in = accepted;
                State::Ready
            }
            Some(Pending::Mail(envelope)) if accepted => State::Transaction(envelope),
            Some(Pending::Mail(_)) => State::Ready,
            Some(Pending::Rcpt(mut envelope, recipient)) => {
                if accepted {
                    envelope.recipients.push(recipient);
                }
                State::Transaction(envelope)
            }
            Some(Pending::Begin(envelope)) if accepted => State::Data(envelope, Decoder::new(message_bytes)),
            Some(Pending::Begin(envelope)) => State::Transaction(envelope),
            Some(Pending::BeginChunk(envelope, chunk)) if accepted => {
                self.state = State::Chunk(envelope, Chunks::new(message_bytes), chunk);
                return;
            }
            Some(Pending::BeginChunk(..)) if reply.hangs_up() => State::Closed,
            Some(Pending::BeginChunk(envelope, chunk)) => {
                let times = if chunk.last { self.final_replies(envelope.recipients.len()) } else { 1 };
                return self.skip(chunk, reply.clone(), times, State::Transaction(envelope));
            }
            Some(Pending::End(times)) => {
                self.idle_commands = 0;
                self.state = State::Ready;
                return self.reply_times(reply, times);
            }
            Some(Pending::Xclient(claim)) => return self.become_other(*claim, reply),
            Some(Pending::Xforward(state)) => *state,
            None => return,
        };
        self.reply(reply);
    }

    /// Answers [`Event::End`] with a reply for each recipient, in their order. A missing one is a "try later".
    pub fn answer_each(&mut self, replies: &[Reply]) {
        let Some(Pending::End(times)) = self.pending.take() else { return };
        self.idle_commands = 0;
        self.state = State::Ready;
        for at in 0..times {
            let reply = replies.get(at).cloned().unwrap_or(Reply::TRY_LATER);
            self.note(&reply);
            reply.write_to(&mut self.output);
        }
    }

    /// The handshake of [`Event::StartTls`] succeeded: everything said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        self.lines.clear();
        self.state = State::Greeted;
        self.client = Client { tls: true, ..Client::default() };
    }

    /// Ends the session from outside: a deadline, a shutdown. [`Event::Closed`] comes next.
    pub fn close(&mut self, reply: &Reply) {
        self.pending = None;
        if !matches!(self.state, State::Closed | State::Handshake) {
            self.note(reply);
            reply.write_to(&mut self.output);
        }
        self.state = State::Closed;
    }

    /// Refuses the client in the place of a greeting (RFC 5321 §3.1). [`Event::Closed`] comes next.
    pub fn turn_away(&mut self, reply: &Reply) {
        self.output.clear();
        self.close(reply);
    }

    /// Whether nothing is lost when the session ends here: no message is on its way.
    pub fn is_idle(&self) -> bool {
        !matches!(self.state, State::Data(..) | State::Chunk(..) | State::Chunks(..))
            && self.pending.is_none()
    }

    /// Whether the session ends since the client wanted it so.
    pub fn has_quit(&self) -> bool {
        self.quit
    }

    fn greeting(&self) -> Reply {
        Reply::greeting(
            &self.settings.hostname,
            if self.settings.role == Role::Lmtp { "LMTP" } else { "ESMTP" },
        )
    }

    /// The next command, or why a line is none; `None` when it is not there yet.
    fn next_command(&mut self) -> Option<Result<Command, SyntaxError>> {
        let offered = Self::offered(&self.settings, &self.client, self.mechanisms);
        // AUTH may carry its first response, so its line may be as long as a response's.
        let takes_auth = self.settings.role == Role::Submission;
        let line = match self.lines.next(if takes_auth { MAX_AUTH_LINE } else { MAX_COMMAND_LINE })? {
            Line::Text(line) => line,
            Line::Broken { chunk: true } | Line::TooLong { chunk: true } => {
                return Some(Err(SyntaxError::BadChunk));
            }
            Line::Broken { .. } => return Some(Err(SyntaxError::BrokenLine)),
            Line::TooLong { .. } => return Some(Err(SyntaxError::TooLong)),
        };
        if let Some(transcript) = &self.transcript {
            transcript.heard(line, &self.output);
        }
        let is_auth = line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case("AUTH "));
        if line.len() + 2 > MAX_COMMAND_LINE && !is_auth {
            let is_chunk = announces_chunk(line.as_bytes());
            return Some(Err(if is_chunk { SyntaxError::BadChunk } else { SyntaxError::TooLong }));
        }
        Some(command::parse(line, offered))
    }

    fn refuse_line(&mut self, error: SyntaxError) -> Option<Event> {
        // What such a client sends next is no command of ours, or cannot be told from one.
        if matches!(error, SyntaxError::NotSmtp | SyntaxError::BadChunk) {
            self.close(&error.reply());
            return None;
        }
        self.refuse(&error.reply())
    }

    /// The heart: command and state side by side, one arm per legal pair.
    fn run(&mut self, command: Command) -> Option<Event> {
        if self.must_be_last(&command) && !self.lines.is_empty() {
            self.close(&Reply::PIPELINED);
            return None;
        }
        let role = self.settings.role;
        match (command, std::mem::replace(&mut self.state, State::Ready)) {
            (Command::Ehlo(_) | Command::Helo(_), state) if role == Role::Lmtp => {
                self.keep(state).refuse(&Reply::LHLO_ONLY)
            }
            (Command::Lhlo(_), state) if role != Role::Lmtp => {
                self.keep(state).refuse(&Reply::UNKNOWN_COMMAND)
            }
            (Command::Ehlo(name) | Command::Lhlo(name), state) => self.meet(name, true, state),
            (Command::Helo(name), state) => self.meet(name, false, state),
            (Command::Quit, _) => {
                self.quit = true;
                self.close(&Reply::GOODBYE);
                None
            }
            (Command::Rset, state @ (State::Transaction(_) | State::Chunks(..))) => {
                self.idle(&Reply::OK);
                given_up(&state)
            }
            (Command::Rset | Command::Noop, state) => self.keep(state).idle(&Reply::OK),
            (Command::Help, state) => self.keep(state).idle(&Reply::HELP),
            (Command::Vrfy, state) => self.keep(state).idle(&Reply::CANNOT_VERIFY),
            (Command::StartTls, state @ (State::Greeted | State::Ready)) => self.keep(state).start_tls(),
            (Command::Bdat(chunk), state) => self.bdat(chunk, state),
            (Command::Xclient(claim), state) => self.claim(claim, state, true),
            (Command::Xforward(claim), state) => self.claim(claim, state, false),
            (Command::Auth { mechanism, initial_response }, State::Ready) if role == Role::Submission => {
                self.auth(&mechanism, initial_response)
            }
            (Command::Auth { .. }, state) if role != Role::Submission => {
                self.keep(state).refuse(&Reply::NOT_IMPLEMENTED)
            }
            (Command::Mail(..) | Command::Rcpt(_) | Command::Data, state) if self.lacks_login() => {
                self.keep(state).refuse(&Reply::LOGIN_FIRST)
            }
            (Command::Mail(..) | Command::Auth { .. }, State::Greeted) => {
                self.keep(State::Greeted).refuse(&Reply::HELLO_FIRST)
            }
            (Command::Mail(path, parameters), State::Ready) => self.mail(path, parameters),
            (Command::Rcpt(recipient), State::Transaction(envelope)) => self.rcpt(envelope, recipient),
            (Command::Data, State::Transaction(envelope)) if envelope.recipients.is_empty() => {
                self.keep(State::Transaction(envelope)).refuse(&Reply::NO_RECIPIENTS)
            }
            (Command::Data, State::Transaction(envelope)) => {
                self.pending = Some(Pending::Begin(envelope));
                Some(Event::Begin)
            }
            (
                Command::Mail(..)
                | Command::Rcpt(_)
                | Command::Data
                | Command::StartTls
                | Command::Auth { .. },
                state,
            ) => self.keep(state).refuse(&Reply::BAD_SEQUENCE),
        }
    }

    /// Puts back a state that a command leaves as it is.
    fn keep(&mut self, state: State) -> &mut Self {
        self.state = state;
        self
    }
}

/// Between chunks pieces of a message lie about that nobody wants any more.
fn given_up(state: &State) -> Option<Event> {
    matches!(state, State::Chunks(..)).then_some(Event::Discard)
}
