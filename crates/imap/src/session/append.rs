//! APPEND and REPLACE: message by message and part by part, each with the caller's leave.

use std::collections::VecDeque;

use super::commands::NOTHING_SELECTED;
use super::exchange::{After, Exchange};
use super::{Event, Session, State};
use crate::command::{Place, Replaced, SoFar, Step, Stretch, next_stretch};
use crate::limits::{MAX_APPEND_MESSAGES, MAX_CATENATE_PARTS};
use crate::reader::Literal;
use crate::response::{Code, Response, Tagged};
use crate::url::PartUrl;

/// Where an APPEND has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    /// Messages so far.
    messages: u32,
    /// Parts of CATENATE so far.
    parts: u32,
    /// REPLACE has one message and no more (RFC 8508 §3).
    replaces: bool,
    /// The octets that come are a `literal8`.
    pub(super) binary: bool,
    /// What they are.
    place: Place,
}

/// A stretch of the command that is being gone through.
#[derive(Debug)]
pub(super) struct Work {
    tag: Vec<u8>,
    steps: VecDeque<Step>,
    /// The octets behind it; `None` at the end of the command.
    literal: Option<Literal>,
    course: Course,
    /// The caller decides about a step.
    pub(super) is_with_caller: bool,
}

impl Session {
    /// What stands before the first octets.
    pub(super) fn begin_append(
        &mut self,
        tag: &[u8],
        stretch: Stretch,
        literal: Option<Literal>,
    ) -> Option<Event> {
        let old = match stretch.steps.front() {
            Some(Step::First(append)) => append.replaces,
            _ => None,
        };
        let refusal = match old {
            Some(_) if self.state != State::Selected => Some(Tagged::bad(NOTHING_SELECTED)),
            Some(Replaced { uid: false, .. }) if self.enabled.uid_only => Some(Tagged::UID_REQUIRED),
            _ => None,
        };
        let (place, replaces) = (Place::Message { utf8: false }, old.is_some());
        let course = Course { messages: 0, parts: 0, replaces, binary: false, place };
        let begun = match refusal {
            Some(refusal) => Err(refusal),
            None => self.go_through((tag.to_vec(), literal), stretch, course),
        };
        if let Err(refusal) = begun {
            self.refuse(tag, literal, &refusal);
        }
        None
    }

    /// What stands behind octets: at the end of the command, or before further ones.
    pub(super) fn behind_octets(
        &mut self,
        tag: &[u8],
        text: &[u8],
        (course, literal): (Course, Option<Literal>),
    ) -> Option<Event> {
        let size = literal.map(|literal| literal.size);
        let went_on = match (next_stretch(text, self.enabled, (course.place, size)), literal) {
            (Ok(SoFar::Stretch(stretch)), _) => self.go_through((tag.to_vec(), literal), stretch, course),
            (Ok(SoFar::Argument), Some(literal)) if self.has_room(literal) => {
                self.exchange = Exchange::Message { tag: tag.to_vec(), broken: false, course };
                self.gather(literal);
                Ok(())
            }
            (Ok(SoFar::Argument), _) => Err(Tagged::bad("Literal is too large")),
            (Err(_), _) => Err(Tagged::bad("Unexpected text behind the message")),
        };
        let refusal = went_on.err()?;
        self.exchange = Exchange::None;
        self.refuse(tag, literal, &refusal);
        Some(Event::AppendAborted)
    }

    fn go_through(
        &mut self,
        (tag, literal): (Vec<u8>, Option<Literal>),
        stretch: Stretch,
        course: Course,
    ) -> Result<(), Tagged> {
        let course = self.count(&stretch, course)?;
        let course = Course {
            binary: literal.is_some_and(|literal| literal.binary),
            place: stretch.place.unwrap_or(course.place),
            ..course
        };
        self.exchange =
            Exchange::Append(Work { tag, steps: stretch.steps, literal, course, is_with_caller: false });
        Ok(())
    }

    /// Every limit that a stretch shows itself to break, before any of it is done.
    fn count(&self, stretch: &Stretch, mut course: Course) -> Result<Course, Tagged> {
        for step in &stretch.steps {
            let octets = match step {
                Step::First(append) => append.message.size,
                Step::Next(message) => message.size,
                Step::Text(octets) => Some(*octets),
                Step::Url(_) => None,
            };
            match step {
                Step::First(_) | Step::Next(_) => course.messages += 1,
                Step::Url(_) | Step::Text(_) => course.parts += 1,
            }
            if course.replaces && course.messages > 1 {
                return Err(Tagged::bad("REPLACE has one message"));
            }
            if course.messages > MAX_APPEND_MESSAGES {
                return Err(Tagged::no(Code::Limit, "Too many messages at once"));
            }
            if course.parts > MAX_CATENATE_PARTS {
                return Err(Tagged::no(Code::Limit, "Too many parts at once"));
            }
            if octets.is_some_and(|octets| octets > self.settings.message_bytes) {
                return Err(Tagged::TOO_BIG);
            }
        }
        Ok(course)
    }

    /// The next thing to decide about; without one, the octets come, or the command is complete.
    pub(super) fn next_step(&mut self) -> Option<Event> {
        let Exchange::Append(mut work) = std::mem::take(&mut self.exchange) else { return None };
        let event = match work.steps.pop_front() {
            Some(Step::First(append)) => Event::Append(append),
            Some(Step::Next(message)) => Event::AppendNext(message),
            Some(Step::Text(octets)) => Event::AppendText(octets),
            Some(Step::Url(text)) => match std::str::from_utf8(&text).ok().and_then(PartUrl::parse) {
                Some(url) => Event::AppendUrl(url),
                None => {
                    self.refuse_append(&work, &Tagged::bad_url(&text));
                    return Some(Event::AppendAborted);
                }
            },
            None => return self.come_or_end(work),
        };
        work.is_with_caller = true;
        self.exchange = Exchange::Append(work);
        Some(event)
    }

    fn come_or_end(&mut self, work: Work) -> Option<Event> {
        let Work { tag, literal, course, .. } = work;
        let Some(literal) = literal else {
            self.exchange = Exchange::Answer { tag, after: After::Nothing };
            return Some(Event::AppendEnd);
        };
        if literal.waits {
            self.respond(&Response::Continue("Send the message"));
        }
        self.reader.stream(literal);
        self.exchange = Exchange::Message { tag, broken: false, course };
        None
    }

    pub(super) fn refuse_append(&mut self, work: &Work, result: &Tagged) {
        self.refuse(&work.tag, work.literal, result);
    }

    /// A command is refused before the octets that it announces, if it does.
    fn refuse(&mut self, tag: &[u8], literal: Option<Literal>, result: &Tagged) {
        match literal {
            Some(literal) => self.refuse_literal(tag, literal, result),
            None => self.tagged(tag, result),
        }
    }
}
