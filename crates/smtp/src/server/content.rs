//! The message on its way in.

use super::{Event, Pending, Session, State};
use crate::data::{Fault, Progress};
use crate::reply::Reply;

impl Session {
    pub(super) fn read_content(&mut self) -> Option<Event> {
        let State::Data(_, decoder) = &mut self.state else { return None };
        if self.lines.is_empty() {
            return None;
        }
        let before = decoder.fault();
        let progress = decoder.decode(self.lines.unread(), &mut self.content);
        let fault = decoder.fault();
        match progress {
            Progress::More => self.lines.consume(self.lines.unread().len()),
            Progress::End(used) => self.lines.consume(used),
        }
        match (progress, fault) {
            (Progress::End(_), Some(fault)) => {
                self.refuse_content(fault);
                Some(Event::Discard)
            }
            (Progress::End(_), None) => self.end_content(),
            (Progress::More, None) if self.content.is_empty() => None,
            (Progress::More, None) => Some(Event::Content),
            (Progress::More, Some(_)) if before.is_none() => Some(Event::Discard),
            (Progress::More, Some(_)) => None,
        }
    }

    pub(super) fn end_content(&mut self) -> Option<Event> {
        let State::Data(envelope, _) = std::mem::replace(&mut self.state, State::Ready) else { return None };
        self.pending = Some(Pending::End);
        Some(Event::End(envelope))
    }

    /// A message with broken line ends is refused at its true end, and the session with it: whoever sent it
    /// does not agree with us where messages end.
    pub(super) fn refuse_content(&mut self, fault: Fault) {
        self.state = State::Ready;
        match fault {
            Fault::LineEnds => self.close(&Reply::BAD_LINE_ENDS),
            Fault::TooLarge => self.reply(&Reply::MESSAGE_TOO_LARGE),
        }
    }
}
