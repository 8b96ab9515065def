//! Literals: which are gathered into their command, which are messages, and which are refused.

use super::exchange::Exchange;
use super::{Event, Session};
use crate::command::{SoFar, append_head, tag_of, takes_binary};
use crate::cursor::SyntaxError;
use crate::limits::MAX_LITERAL_BEFORE_LOGIN;
use crate::reader::{Frame, Literal};
use crate::response::{Response, Tagged};

impl Session {
    /// A literal in a command: gathered, streamed or refused, in any case before memory is taken.
    pub(super) fn literal(&mut self, literal: Literal) -> Option<Event> {
        if let Exchange::Message { tag, broken: false, course } = &self.exchange {
            let (tag, course, text) = (tag.clone(), *course, self.reader.so_far().to_vec());
            return self.behind_octets(&tag, &text, (course, Some(literal)));
        }
        if self.exchange.is_some() {
            let keeps = self.reader.refuse(literal);
            return if keeps { self.exchange_line(b"{") } else { self.take(Frame::Flood) };
        }
        let tag = tag_of(self.reader.so_far());
        if self.is_authenticated() {
            match append_head(self.reader.so_far(), self.enabled, literal.size) {
                Some(Ok(SoFar::Stretch(stretch))) => return self.begin_append(&tag, stretch, Some(literal)),
                Some(Err(error)) => {
                    self.refuse_literal(&tag, literal, &Tagged::bad(error.text()));
                    return None;
                }
                Some(Ok(SoFar::Argument)) | None => {}
            }
        }
        if literal.binary && !takes_binary(self.reader.so_far()) {
            self.refuse_literal(&tag, literal, &Tagged::bad(SyntaxError::Literal.text()));
        } else if self.has_room(literal) {
            self.gather(literal);
        } else {
            self.refuse_literal(&tag, literal, &Tagged::bad("Literal is too large"));
        }
        None
    }

    /// Whether the literal may become part of its command.
    pub(super) fn has_room(&self, literal: Literal) -> bool {
        let room = self.limit().saturating_sub(self.reader.so_far().len()) as u64;
        literal.size <= if self.is_authenticated() { room } else { room.min(MAX_LITERAL_BEFORE_LOGIN) }
    }

    pub(super) fn gather(&mut self, literal: Literal) {
        if literal.waits {
            self.respond(&Response::Continue("Send the literal"));
        }
        self.reader.gather(literal);
    }

    pub(super) fn refuse_literal(&mut self, tag: &[u8], literal: Literal, result: &Tagged) {
        self.tagged(tag, result);
        if !self.reader.refuse(literal) {
            self.bye("Literal is too large");
        }
    }
}
