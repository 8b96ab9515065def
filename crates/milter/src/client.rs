//! The mail server's side of one connection to a filter: says the steps of a session, hears what the filter makes of them.

use std::collections::BTreeMap;

use crate::answer::{Answer, Change, ReplyText};
use crate::command::{Command, Stage};
use crate::fields::Malformed;
use crate::options::{Actions, OLDEST, Options, Steps, VERSION};
use crate::packet::{MAX_CHUNK, Packets, TooLarge};

/// Most changes of one message that are taken, pieces of a new body not counted.
const MAX_CHANGES: usize = 1_000;
/// Most octets that changes of the header and envelope may take together.
const MAX_CHANGE_BYTES: usize = 4 * 1_048_576;

/// What a filter is told beside the commands, by name and without braces: `i`, `auth_authen`, `rcpt_addr`, ...
#[derive(Clone, Debug, Default)]
pub struct Macros(BTreeMap<String, Vec<u8>>);

impl Macros {
    /// Sets one; an empty value removes it, as an unset macro is not sent.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_vec());
        }
    }

    /// Whether one has this value; one that is not set is empty.
    pub fn is(&self, name: &str, value: &[u8]) -> bool {
        self.0.get(name).map_or(&[][..], Vec::as_slice) == value
    }

    /// Those of `names` that are set, in that order.
    fn chosen(&self, names: &[String]) -> Vec<(String, Vec<u8>)> {
        names.iter().filter_map(|name| Some((name.clone(), self.0.get(name)?.clone()))).collect()
    }
}

/// What Postfix sends to a filter that does not choose (`milter_*_macros`).
fn usual_macros(stage: Stage) -> &'static [&'static str] {
    match stage {
        Stage::Connect => {
            &["j", "daemon_name", "daemon_addr", "v", "_", "client_addr", "client_name", "client_port"]
        }
        Stage::Helo => &["tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer"],
        Stage::Mail => {
            &["i", "auth_type", "auth_authen", "auth_author", "mail_addr", "mail_host", "mail_mailer"]
        }
        Stage::Rcpt => &["i", "rcpt_addr", "rcpt_host", "rcpt_mailer"],
        Stage::Data | Stage::EndOfHeader | Stage::EndOfBody => &["i"],
        Stage::Unknown | Stage::Header | Stage::Body => &[],
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The filter does not want to hear it, or has made up its mind; nothing was written.
    Skipped,
    /// It was told, and will not answer.
    Told,
    /// It was told: the next word is its own.
    Asked,
}

/// What a filter decides about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Continue,
    /// This message, or at connect and HELO the whole session, needs no more looks.
    Accept,
    /// Refuse for good.
    Reject,
    /// Refuse for now.
    TempFail,
    /// Say yes and throw the message away.
    Discard,
    /// Refuse in these words.
    Reply(ReplyText),
    /// Close the client's connection with 421.
    Shutdown,
    /// Close the client's connection without a word.
    ConnectionFail,
}

/// What [`Client::next_word`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Both sides agree; the session may begin.
    Ready,
    /// The filter is still at work: its time begins anew.
    Progress,
    /// The answer to the last command that was [`Sent::Asked`]. Changes come with the end of the body only.
    Answer(Outcome, Vec<Change>),
}

/// A filter broke the protocol; the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A length outside the protocol.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A packet without the form of its letter.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A letter that no filter has.
    #[error("packet {:?} is unknown", char::from(*.0))]
    Unknown(u8),
    /// It speaks a version from before 2001, or one that does not exist yet.
    #[error("speaks version {0} of the protocol; 2 to 6 are understood")]
    Version(u32),
    /// It wants to do, or leave out, what was not offered.
    #[error("asks for what was not offered (actions {0:#x}, steps {1:#x})")]
    NotOffered(u32, u32),
    /// An answer where none was due, or one that does not fit the question.
    #[error("answered {0} where that is no answer")]
    Unexpected(&'static str),
    /// A change that it had not announced.
    #[error("made a change that it had not announced (action {0:#x})")]
    NotAgreed(u32),
    /// A reply that no client may hear.
    #[error("gave a reply that is not of the form 4xx or 5xx text")]
    BadReply,
    /// More changes, or larger ones, than one message can have.
    #[error("made too many or too large changes")]
    TooManyChanges,
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Negotiating,
    /// The next word is ours.
    Idle,
    Awaiting(Stage),
}

/// Whether the filter still wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    /// Everything it asked for.
    All,
    /// No more of this body.
    HeaderOnly,
    /// Nothing more of this message.
    NextMessage,
    /// Nothing at all.
    Nothing,
}

/// One connection to a filter, seen from the mail server.
///
/// After [`Sent::Asked`] draw [`Client::next_word`] until it gives an answer; before that nothing else is said.
#[derive(Debug)]
pub struct Client {
    input: Packets,
    output: Vec<u8>,
    state: State,
    interest: Interest,
    agreed: Options,
    /// Largest new body.
    body_limit: u64,
    changes: Changes,
}

/// The changes of the message at hand.
#[derive(Debug, Default)]
struct Changes {
    list: Vec<Change>,
    count: usize,
    bytes: usize,
    body: u64,
}

impl Client {
    /// Begins a conversation. `body_limit` is the largest body, in octets, that a filter may put in place.
    pub fn new(body_limit: u64) -> Self {
        let offer =
            Options { version: VERSION, actions: Actions::ALL, steps: Steps::OFFERED, symbols: Vec::new() };
        let mut output = Vec::new();
        Command::Negotiate(offer).write_to(&mut output);
        Self {
            input: Packets::default(),
            output,
            state: State::Negotiating,
            interest: Interest::All,
            agreed: Options::default(),
            body_limit,
            changes: Changes::default(),
        }
    }

    /// Takes bytes from the filter.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.receive(bytes);
    }

    /// What must be written now.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether header values are wanted with the blank that follows the colon.
    pub fn keeps_leading_space(&self) -> bool {
        self.agreed.steps.contains(Steps::LEADING_SPACE)
    }

    /// Whether a step would be told now; saves the work of making what nobody hears.
    pub fn wants(&self, stage: Stage) -> bool {
        let known = match stage {
            Stage::Unknown => self.agreed.version >= 3,
            Stage::Data => self.agreed.version >= 4,
            _ => true,
        };
        let interested = match self.interest {
            Interest::All => true,
            Interest::HeaderOnly => stage != Stage::Body,
            Interest::NextMessage => stage <= Stage::Mail,
            Interest::Nothing => false,
        };
        known && interested && !self.agreed.steps.contains(Steps::without(stage))
    }

    /// Says one step, its macros in front. A body goes in pieces of at most [`MAX_CHUNK`]; longer ones are cut here.
    /// Where an answer is still due, nothing is said.
    pub fn send(&mut self, command: &Command, macros: &Macros) -> Sent {
        let Some(stage) = command.stage() else { return Sent::Skipped };
        if self.state != State::Idle {
            return Sent::Skipped;
        }
        if stage == Stage::Mail && self.interest != Interest::Nothing {
            self.interest = Interest::All;
        }
        if !self.wants(stage) {
            return Sent::Skipped;
        }
        self.write_macros(stage, macros);
        match command {
            Command::Body(body) if body.len() > MAX_CHUNK => {
                debug_assert!(false, "a piece of body that filters cannot take");
                return Sent::Skipped;
            }
            command => command.write_to(&mut self.output),
        }
        if self.agreed.steps.contains(Steps::unanswered(stage)) {
            return Sent::Told;
        }
        self.state = State::Awaiting(stage);
        Sent::Asked
    }

    fn write_macros(&mut self, stage: Stage, macros: &Macros) {
        let chosen = self.agreed.symbols.iter().find(|(of, _)| *of == stage);
        let pairs = match chosen {
            Some((_, names)) => macros.chosen(names),
            None => {
                macros.chosen(&usual_macros(stage).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            }
        };
        if !pairs.is_empty() {
            Command::Macros(stage.letter(), pairs).write_to(&mut self.output);
        }
    }

    /// Drops the message at hand, if the filter was told of one that has not ended.
    pub fn abort(&mut self) {
        if self.state == State::Idle && self.interest != Interest::Nothing {
            Command::Abort.write_to(&mut self.output);
            self.interest = Interest::All;
            self.changes = Changes::default();
        }
    }

    /// Says farewell.
    pub fn quit(&mut self) {
        Command::Quit.write_to(&mut self.output);
    }

    /// The next word of the filter; `None` when more bytes must come first.
    pub fn next_word(&mut self) -> Result<Option<Heard>, Fault> {
        loop {
            let Some((letter, data)) = self.input.next_packet()? else { return Ok(None) };
            let answer = Answer::parse(letter, data)?.ok_or(Fault::Unknown(letter))?;
            if let Some(heard) = self.hear(answer)? {
                return Ok(Some(heard));
            }
        }
    }

    fn hear(&mut self, answer: Answer) -> Result<Option<Heard>, Fault> {
        match (self.state, answer) {
            (State::Negotiating, Answer::Negotiate(options)) => self.agree(options).map(Some),
            (State::Awaiting(_), Answer::Progress) => Ok(Some(Heard::Progress)),
            (State::Awaiting(Stage::EndOfBody), Answer::Change(change)) => {
                if !self.agreed.actions.contains(change.needs()) {
                    return Err(Fault::NotAgreed(change.needs().0));
                }
                self.changes.take(change, self.body_limit)?;
                Ok(None)
            }
            (State::Awaiting(stage), answer) => self.decided(stage, answer).map(Some),
            (_, answer) => Err(Fault::Unexpected(name(&answer))),
        }
    }

    fn agree(&mut self, options: Options) -> Result<Heard, Fault> {
        if !(OLDEST..=VERSION).contains(&options.version) {
            return Err(Fault::Version(options.version));
        }
        let (actions, steps) = (options.actions, options.steps);
        if !Actions::ALL.contains(actions) || steps.0 & !Steps::OFFERED.0 != 0 {
            return Err(Fault::NotOffered(actions.0, steps.0));
        }
        self.agreed = options;
        self.state = State::Idle;
        Ok(Heard::Ready)
    }

    fn decided(&mut self, stage: Stage, answer: Answer) -> Result<Heard, Fault> {
        let outcome = match answer {
            Answer::Continue => Outcome::Continue,
            Answer::Skip if stage == Stage::Body => {
                self.interest = Interest::HeaderOnly;
                Outcome::Continue
            }
            Answer::Accept => Outcome::Accept,
            Answer::Reject => Outcome::Reject,
            Answer::TempFail => Outcome::TempFail,
            // Nothing can be thrown away before there is something.
            Answer::Discard if stage >= Stage::Mail => Outcome::Discard,
            Answer::Reply(text) => Outcome::Reply(ReplyText::parse(&text).ok_or(Fault::BadReply)?),
            Answer::Shutdown => Outcome::Shutdown,
            Answer::ConnectionFail => Outcome::ConnectionFail,
            answer => return Err(Fault::Unexpected(name(&answer))),
        };
        self.state = State::Idle;
        self.settle(stage, &outcome);
        Ok(Heard::Answer(outcome, std::mem::take(&mut self.changes).list))
    }

    /// What the filter wants to hear from here on.
    fn settle(&mut self, stage: Stage, outcome: &Outcome) {
        let of_session = stage <= Stage::Helo;
        self.interest = match outcome {
            Outcome::Continue if stage == Stage::EndOfBody => Interest::NextMessage,
            Outcome::Continue => self.interest,
            Outcome::Shutdown | Outcome::ConnectionFail => Interest::Nothing,
            Outcome::Accept | Outcome::Reject | Outcome::TempFail | Outcome::Reply(_) if of_session => {
                Interest::Nothing
            }
            // The others of this message may still come through.
            Outcome::Reject | Outcome::TempFail | Outcome::Reply(_) if stage == Stage::Rcpt => self.interest,
            _ => Interest::NextMessage,
        };
    }
}

impl Changes {
    fn take(&mut self, change: Change, body_limit: u64) -> Result<(), Fault> {
        if let Change::ReplaceBody(piece) = &change {
            self.body += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if self.body > body_limit {
                return Err(Fault::TooManyChanges);
            }
        } else {
            self.count += 1;
            self.bytes += size(&change);
            if self.count > MAX_CHANGES || self.bytes > MAX_CHANGE_BYTES {
                return Err(Fault::TooManyChanges);
            }
        }
        self.list.push(change);
        Ok(())
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::AddHeader(name, value)
        | Change::InsertHeader(_, name, value)
        | Change::ChangeHeader(_, name, value) => name.len() + value.len(),
        Change::AddRecipient(path, parameters) | Change::ChangeSender(path, parameters) => {
            path.len() + parameters.as_ref().map_or(0, Vec::len)
        }
        Change::ReplaceBody(text) | Change::DeleteRecipient(text) | Change::Quarantine(text) => text.len(),
    }
}

fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Negotiate(_) => "\"negotiate\"",
        Answer::Continue => "\"continue\"",
        Answer::Accept => "\"accept\"",
        Answer::Reject => "\"reject\"",
        Answer::TempFail => "\"tempfail\"",
        Answer::Discard => "\"discard\"",
        Answer::Reply(_) => "\"reply\"",
        Answer::Skip => "\"skip\"",
        Answer::Progress => "\"progress\"",
        Answer::Shutdown => "\"shutdown\"",
        Answer::ConnectionFail => "\"connection failed\"",
        Answer::Change(_) => "a change",
    }
}
