//! LIST and UIDL (RFC 1939 §5, RFC 1939 §7): one message, or all of them a piece at a time.

use super::{Event, Exchange, Session, State};
use crate::command::MessageNumber;
use crate::limits::LISTING_LINES;
use crate::maildrop::Entry;

/// What is told of each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Sizes,
    UniqueIds,
}

/// A listing of all messages that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing {
    what: What,
    next: usize,
}

impl What {
    fn line(self, place: usize, entry: &Entry) -> String {
        let number = place + 1;
        match self {
            Self::Sizes => format!("{number} {}\r\n", entry.octets),
            Self::UniqueIds => format!("{number} {}\r\n", entry.uidl),
        }
    }
}

impl Session {
    pub(super) fn list(&mut self, what: What, number: Option<MessageNumber>) -> Option<Event> {
        let State::Transaction(maildrop) = &self.state else { return None };
        let Some(number) = number else {
            let (count, octets) = maildrop.stat();
            let first = match what {
                What::Sizes => format!("+OK {count} messages ({octets} octets)\r\n"),
                What::UniqueIds => "+OK Unique-ids follow\r\n".to_owned(),
            };
            self.output.extend_from_slice(first.as_bytes());
            self.exchange = Exchange::Listing(Listing { what, next: 0 });
            return Some(self.list_on());
        };
        match maildrop.place(number) {
            Ok(place) => {
                let line = maildrop.entry(place).map(|entry| what.line(place, entry)).unwrap_or_default();
                self.output.extend_from_slice(b"+OK ");
                self.output.extend_from_slice(line.as_bytes());
                None
            }
            Err(reply) => self.fault(reply),
        }
    }

    /// The next piece of a listing; behind the last one the session goes on.
    pub(super) fn list_on(&mut self) -> Event {
        let (State::Transaction(maildrop), Exchange::Listing(listing)) = (&self.state, &mut self.exchange)
        else {
            return Event::Relieve;
        };
        let mut lines = 0;
        for (place, entry) in maildrop.from(listing.next).take(LISTING_LINES) {
            self.output.extend_from_slice(listing.what.line(place, entry).as_bytes());
            listing.next = place + 1;
            lines += 1;
        }
        if lines < LISTING_LINES {
            self.output.extend_from_slice(b".\r\n");
            self.exchange = Exchange::None;
        }
        Event::Relieve
    }
}
