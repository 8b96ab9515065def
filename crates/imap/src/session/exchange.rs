//! What is under way between two commands: an event that waits for its answer, or lines that are no commands.

use kings_sasl::{BadBase64, Turn};

use super::append::{Course, Work};
use super::{Compression, Event, Session, State};
use crate::command::{Enabled, Request};
use crate::response::{Code, Condition, Tagged};

/// The one thing that is under way.
#[derive(Debug, Default)]
pub(super) enum Exchange {
    #[default]
    None,
    /// The caller works on an event.
    Answer { tag: Vec<u8>, after: After },
    /// What stands before octets of an APPEND is gone through with the caller, step by step.
    Append(Work),
    /// Octets of a message come. Broken: one is a NUL (RFC 3501 §9 `CHAR8`), the rest is dropped.
    Message { tag: Vec<u8>, broken: bool, course: Course },
    /// The client owes a response.
    Sasl { tag: Vec<u8> },
    /// The client owes DONE.
    Idle { tag: Vec<u8> },
    /// The caller shakes hands.
    Handshake,
}

/// What a command does to the state, depending on its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Login,
    Unauthenticate,
    /// A failed SELECT leaves nothing selected (RFC 3501 §6.3.1).
    Select,
    Deselect,
    /// IDLE ended by something other than DONE: the result is BAD whatever the caller says.
    BrokenIdle,
}

impl After {
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Select(_) => Self::Select,
            Request::Close | Request::Unselect => Self::Deselect,
            Request::Unauthenticate => Self::Unauthenticate,
            _ => Self::Nothing,
        }
    }
}

impl Exchange {
    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether nothing may be read before the caller has answered.
    pub(super) fn is_with_caller(&self) -> bool {
        match self {
            Self::Answer { .. } | Self::Handshake => true,
            Self::Append(work) => work.is_with_caller,
            Self::None | Self::Message { .. } | Self::Sasl { .. } | Self::Idle { .. } => false,
        }
    }

    /// Whether steps of an APPEND are to be gone through before more is read.
    pub(super) fn has_steps(&self) -> bool {
        matches!(self, Self::Append(_))
    }
}

impl Session {
    /// Applies the result of a command to the state.
    pub(super) fn enter(&mut self, after: After, mut result: Tagged) -> Tagged {
        match (after, result.condition) {
            (After::Login, Condition::Ok) => {
                self.state = State::Authenticated;
                // Saves the client a CAPABILITY: the list has changed with the login.
                result.code = Some(Code::Capability(self.capabilities()));
            }
            (After::Unauthenticate, Condition::Ok) if self.state != State::Closed => {
                // What a client has enabled went with its login (RFC 8437 §4.1).
                (self.state, self.enabled) = (State::NotAuthenticated, Enabled::default());
                self.notifies = false;
                if self.compression == Compression::On {
                    self.compression = Compression::Ends;
                }
                result.code = Some(Code::Capability(self.capabilities()));
            }
            (After::Select, Condition::Ok) => self.state = State::Selected,
            (After::Select, _) | (After::Deselect, Condition::Ok) => self.state = State::Authenticated,
            (After::BrokenIdle, _) => return Tagged::bad("Expected DONE"),
            (After::Nothing | After::Login | After::Unauthenticate | After::Deselect, _) => {}
        }
        result
    }

    /// Octets of a message.
    pub(super) fn chunk(&mut self, octets: Vec<u8>) -> Option<Event> {
        let Exchange::Message { broken, .. } = &mut self.exchange else { return None };
        *broken |= octets.contains(&0);
        (!*broken).then_some(Event::Chunk(octets))
    }

    /// A line that is no command.
    pub(super) fn exchange_line(&mut self, line: &[u8]) -> Option<Event> {
        match std::mem::take(&mut self.exchange) {
            Exchange::Message { tag, broken: false, course } => {
                self.behind_octets(&tag, line, (course, None))
            }
            Exchange::Idle { tag } if line.eq_ignore_ascii_case(b"DONE") => {
                self.exchange = Exchange::Answer { tag, after: After::Nothing };
                Some(Event::IdleDone)
            }
            Exchange::Sasl { tag } if line == b"*" => {
                self.tagged(&tag, &Tagged::bad("Login cancelled"));
                None
            }
            Exchange::Sasl { tag } => self.sasl_response(tag, line),
            Exchange::Message { tag, broken: true, course } => {
                let refusal = if course.binary { Tagged::BINARY_HAS_NUL } else { Tagged::HAS_NUL };
                self.tagged(&tag, &refusal);
                Some(Event::AppendAborted)
            }
            other => {
                self.exchange = other;
                self.break_exchange("Unexpected text behind the message")
            }
        }
    }

    fn sasl_response(&mut self, tag: Vec<u8>, line: &[u8]) -> Option<Event> {
        match kings_sasl::decode(line) {
            Ok(response) => Some(self.ask_login(tag, Turn::Response(response))),
            Err(BadBase64) => {
                self.tagged(&tag, &Tagged::NOT_BASE64);
                None
            }
        }
    }

    pub(super) fn ask_login(&mut self, tag: Vec<u8>, turn: Turn) -> Event {
        self.exchange = Exchange::Answer { tag, after: After::Login };
        Event::Authenticate(turn)
    }

    /// Ends the exchange with BAD.
    pub(super) fn break_exchange(&mut self, text: &'static str) -> Option<Event> {
        match std::mem::take(&mut self.exchange) {
            Exchange::Idle { tag } => {
                self.exchange = Exchange::Answer { tag, after: After::BrokenIdle };
                Some(Event::IdleDone)
            }
            Exchange::Message { tag, .. } => {
                self.tagged(&tag, &Tagged::bad(text));
                Some(Event::AppendAborted)
            }
            Exchange::Sasl { tag } => {
                self.tagged(&tag, &Tagged::bad(text));
                None
            }
            other => {
                self.exchange = other;
                None
            }
        }
    }
}
