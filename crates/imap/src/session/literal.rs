//! Literals: which are gathered into their command, which are messages, and which are refused.

use super::commands::NOTHING_SELECTED;
use super::exchange::{Course, Exchange};
use super::{Event, Session, State};
use crate::command::{Append, Replaced, append_head, next_message, tag_of, takes_binary};
use crate::cursor::SyntaxError;
use crate::limits::{MAX_APPEND_MESSAGES, MAX_LITERAL_BEFORE_LOGIN};
use crate::reader::{Frame, Literal};
use crate::response::{Code, Response, Tagged};

impl Session {
    /// A literal in a command: gathered, streamed or refused, in any case before memory is taken.
    pub(super) fn literal(&mut self, literal: Literal) -> Option<Event> {
        if let Exchange::Message { tag, broken: false, course } = &self.exchange {
            let (tag, course) =
                (tag.clone(), Course { count: course.count + 1, binary: literal.binary, ..*course });
            return Some(self.append_next(&tag, literal, course));
        }
        if self.exchange.is_some() {
            let keeps = self.reader.refuse(literal);
            return if keeps { self.exchange_line(b"{") } else { self.take(Frame::Flood) };
        }
        if self.is_authenticated()
            && let Some(head) = append_head(self.reader.so_far(), self.enabled, literal.size)
        {
            return self.append(head, literal);
        }
        if literal.binary && !takes_binary(self.reader.so_far()) {
            let tag = tag_of(self.reader.so_far());
            self.refuse_literal(&tag, literal, &Tagged::bad(SyntaxError::Literal.text()));
            return None;
        }
        let room = self.limit().saturating_sub(self.reader.so_far().len()) as u64;
        let most = if self.is_authenticated() { room } else { room.min(MAX_LITERAL_BEFORE_LOGIN) };
        if literal.size > most {
            let tag = tag_of(self.reader.so_far());
            self.refuse_literal(&tag, literal, &Tagged::bad("Literal is too large"));
            return None;
        }
        if literal.waits {
            self.respond(&Response::Continue("Send the literal"));
        }
        self.reader.gather(literal);
        None
    }

    fn append(&mut self, head: Result<Append, SyntaxError>, literal: Literal) -> Option<Event> {
        let tag = tag_of(self.reader.so_far());
        let refusal = match head {
            Ok(append) if append.replaces.is_some() && self.state != State::Selected => {
                Tagged::bad(NOTHING_SELECTED)
            }
            Ok(Append { replaces: Some(Replaced { uid: false, .. }), .. }) if self.enabled.uid_only => {
                Tagged::UID_REQUIRED
            }
            Ok(append) if append.message.size <= self.settings.message_bytes => {
                let course = Course {
                    count: 1,
                    replaces: append.replaces.is_some(),
                    binary: literal.binary,
                    utf8: append.message.utf8,
                };
                self.exchange = Exchange::AppendHead { tag, literal, course };
                return Some(Event::Append(append));
            }
            Ok(_) => Tagged::TOO_BIG,
            Err(error) => Tagged::bad(error.text()),
        };
        self.refuse_literal(&tag, literal, &refusal);
        None
    }

    /// A further message of the same APPEND (RFC 3502 §6.3.11).
    fn append_next(&mut self, tag: &[u8], literal: Literal, course: Course) -> Event {
        let refusal = match next_message(self.reader.so_far(), self.enabled, (literal.size, course.utf8)) {
            Ok(_) if course.replaces => Tagged::bad("REPLACE has one message"),
            Ok(_) if course.count > MAX_APPEND_MESSAGES => {
                Tagged::no(Code::Limit, "Too many messages at once")
            }
            Ok(message) if message.size <= self.settings.message_bytes => {
                let course = Course { utf8: message.utf8, ..course };
                self.exchange = Exchange::AppendHead { tag: tag.to_vec(), literal, course };
                return Event::AppendNext(message);
            }
            Ok(_) => Tagged::TOO_BIG,
            Err(_) => Tagged::bad("Unexpected text behind the message"),
        };
        self.exchange = Exchange::None;
        self.refuse_literal(tag, literal, &refusal);
        Event::AppendAborted
    }

    pub(super) fn refuse_literal(&mut self, tag: &[u8], literal: Literal, result: &Tagged) {
        self.tagged(tag, result);
        if !self.reader.refuse(literal) {
            self.bye("Literal is too large");
        }
    }
}
