//! The filter's side of one connection: hears the steps of a session, answers, and changes messages at their end.

use std::collections::BTreeMap;

use crate::answer::{Answer, Change};
use crate::command::{Command, Stage};
use crate::fields::Malformed;
use crate::options::{Actions, OLDEST, Options, Steps, SymbolLists, VERSION};
use crate::packet::{Packets, TooLarge};

/// What a filter wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// What it will do to messages. A server that does not allow all of it is refused.
    pub actions: Actions,
    /// What it would rather not hear, and not answer; used as far as the server can.
    pub steps: Steps,
    /// The macros it wants; asked for where the server can choose.
    pub symbols: SymbolLists,
}

/// What [`Server::next_event`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step that waits for [`Server::answer`].
    Asked(Command),
    /// A step that needs no answer.
    Told(Command),
    /// The message at hand is dropped.
    Abort,
    /// The client has gone; another may come over this connection.
    NextClient,
    /// The server said farewell: close.
    Quit,
}

/// A mail server broke the protocol, or cannot do what is needed; the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A length outside the protocol.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A packet without the form of its letter.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A letter that no mail server has.
    #[error("packet {:?} is unknown", char::from(*.0))]
    Unknown(u8),
    /// It speaks a version from before 2001.
    #[error("speaks version {0} of the protocol; 2 and later are understood")]
    Version(u32),
    /// It does not allow what this filter is for.
    #[error("does not allow what this filter does (allows {0:#x}, needed {1:#x})")]
    NotAllowed(u32, u32),
    /// A step where it cannot be.
    #[error("a step out of order: {0:?}")]
    OutOfOrder(Stage),
    /// Something before the agreement, or a second one.
    #[error("the first word, and only that, agrees on options")]
    Negotiation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Negotiating,
    Session,
    Message,
}

/// One connection of a mail server, seen from the filter.
///
/// An [`Event::Asked`] must be answered with [`Server::answer`] before the next event is drawn.
#[derive(Debug)]
pub struct Server {
    input: Packets,
    output: Vec<u8>,
    offer: Offer,
    state: State,
    /// The step that waits for our answer.
    asked: Option<Stage>,
    agreed: Steps,
    macros: BTreeMap<u8, Vec<(String, Vec<u8>)>>,
}

/// The steps whose macros belong to one message.
const OF_MESSAGE: [Stage; 7] =
    [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Header, Stage::EndOfHeader, Stage::Body, Stage::EndOfBody];

impl Server {
    /// Waits for a mail server's first word.
    pub fn new(offer: Offer) -> Self {
        Self {
            input: Packets::default(),
            output: Vec::new(),
            offer,
            state: State::Negotiating,
            asked: None,
            agreed: Steps::default(),
            macros: BTreeMap::new(),
        }
    }

    /// Takes bytes from the mail server.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.receive(bytes);
    }

    /// What must be written now.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether header values come with the blank that follows the colon.
    pub fn keeps_leading_space(&self) -> bool {
        self.agreed.contains(Steps::LEADING_SPACE)
    }

    /// What the server said beside the commands: the newest value of a macro, by its name without braces.
    pub fn macro_value(&self, name: &str) -> Option<&[u8]> {
        let newest_first = Stage::ALL.iter().rev().filter_map(|stage| self.macros.get(&stage.letter()));
        let mut found = newest_first.flatten().filter(|(of, _)| of == name);
        found.next().map(|(_, value)| &value[..])
    }

    /// The next step; `None` when more bytes, or an answer, must come first.
    pub fn next_event(&mut self) -> Result<Option<Event>, Breach> {
        while self.asked.is_none() {
            let Some((letter, data)) = self.input.next_packet()? else { return Ok(None) };
            let command = Command::parse(letter, data)?.ok_or(Breach::Unknown(letter))?;
            if let Some(event) = self.hear(command)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn hear(&mut self, command: Command) -> Result<Option<Event>, Breach> {
        match (self.state, command) {
            (State::Negotiating, Command::Negotiate(options)) => self.agree(&options).map(|()| None),
            (_, Command::Quit) => Ok(Some(Event::Quit)),
            (State::Negotiating, _) | (_, Command::Negotiate(_)) => Err(Breach::Negotiation),
            (_, Command::Macros(about, pairs)) => {
                if about == Stage::Mail.letter() {
                    self.forget_message();
                }
                if Stage::ALL.iter().any(|stage| stage.letter() == about) {
                    self.macros.insert(about, pairs);
                }
                Ok(None)
            }
            (_, Command::Abort) => {
                self.end_message();
                Ok(Some(Event::Abort))
            }
            (_, Command::QuitNewConnection) => {
                self.macros.clear();
                self.state = State::Session;
                Ok(Some(Event::NextClient))
            }
            (_, command) => self.step(command).map(Some),
        }
    }

    fn step(&mut self, command: Command) -> Result<Event, Breach> {
        let stage = command.stage().ok_or(Breach::Negotiation)?;
        match (stage, self.state) {
            (Stage::Connect | Stage::Helo, State::Session) => {}
            (Stage::Mail, State::Session) => self.state = State::Message,
            (Stage::Unknown, _) => {}
            (Stage::Connect | Stage::Helo | Stage::Mail, _) | (_, State::Session) => {
                return Err(Breach::OutOfOrder(stage));
            }
            (_, _) => {}
        }
        if self.agreed.contains(Steps::unanswered(stage)) {
            return Ok(Event::Told(command));
        }
        self.asked = Some(stage);
        Ok(Event::Asked(command))
    }

    fn agree(&mut self, options: &Options) -> Result<(), Breach> {
        if options.version < OLDEST {
            return Err(Breach::Version(options.version));
        }
        if !options.actions.contains(self.offer.actions) {
            return Err(Breach::NotAllowed(options.actions.0, self.offer.actions.0));
        }
        let version = options.version.min(VERSION);
        let chooses = options.actions.contains(Actions::CHOOSE_MACROS) && !self.offer.symbols.is_empty();
        self.agreed = self.offer.steps & options.steps;
        let answer = Options {
            version,
            actions: if chooses { self.offer.actions | Actions::CHOOSE_MACROS } else { self.offer.actions },
            steps: self.agreed,
            symbols: if chooses { self.offer.symbols.clone() } else { Vec::new() },
        };
        Answer::Negotiate(answer).write_to(&mut self.output);
        self.state = State::Session;
        Ok(())
    }

    /// Answers the step at hand; `changes` are written at the end of the body only, and only those that were
    /// announced in the offer.
    pub fn answer(&mut self, changes: &[Change], answer: &Answer) {
        let Some(stage) = self.asked.take() else { return };
        if stage == Stage::EndOfBody {
            let allowed = changes.iter().filter(|change| self.offer.actions.contains(change.needs()));
            for change in allowed {
                Answer::Change(change.clone()).write_to(&mut self.output);
            }
        }
        answer.write_to(&mut self.output);
        let goes_on = matches!(answer, Answer::Continue | Answer::Skip) || stage == Stage::Rcpt;
        if stage == Stage::EndOfBody || (self.state == State::Message && !goes_on) {
            self.end_message();
        }
    }

    /// Says that the answer will take a while yet.
    pub fn progress(&mut self) {
        if self.asked.is_some() {
            Answer::Progress.write_to(&mut self.output);
        }
    }

    fn end_message(&mut self) {
        self.state = State::Session;
        self.forget_message();
    }

    fn forget_message(&mut self) {
        for stage in OF_MESSAGE {
            self.macros.remove(&stage.letter());
        }
    }
}
