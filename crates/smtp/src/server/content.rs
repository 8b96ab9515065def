//! The message on its way in: by DATA, or by BDAT in counted chunks (RFC 3030 §2).

use super::{Event, Pending, Role, Session, State, given_up};
use crate::command::Chunk;
use crate::data::{Fault, Progress};
use crate::reply::Reply;

/// So much beyond the limit a message is still read to its end, so that its client hears why it is refused: as much again as
/// the limit, or this many octets where that is more. With chunks that say they are larger the session ends.
const SPARE: u64 = 1 << 20;

/// A chunk that is refused. Its octets are read all the same, since they are no commands.
#[derive(Debug)]
pub(super) struct Skipped {
    left: u64,
    reply: Reply,
    /// How often the reply is given.
    times: usize,
    /// The state behind the chunk.
    next: State,
}

impl Session {
    pub(super) fn read_content(&mut self) -> Option<Event> {
        let State::Data(envelope, decoder) = &mut self.state else { return None };
        if self.lines.is_empty() {
            return None;
        }
        let recipients = envelope.recipients.len();
        let before = decoder.fault();
        let progress = decoder.decode(self.lines.unread(), &mut self.content);
        let fault = decoder.fault();
        match progress {
            Progress::More => self.lines.consume(self.lines.unread().len()),
            Progress::End(used) => self.lines.consume(used),
        }
        match (progress, fault) {
            (Progress::End(_), Some(fault)) => Some(self.refuse_content(fault, recipients)),
            (Progress::End(_), None) => self.end_content(),
            (Progress::More, None) if self.content.is_empty() => None,
            (Progress::More, None) => Some(Event::Content),
            (Progress::More, Some(_)) if before.is_none() => Some(Event::Discard),
            (Progress::More, Some(_)) => None,
        }
    }

    /// BDAT in any state. The first one of a message asks whether it may come.
    pub(super) fn bdat(&mut self, chunk: Chunk, state: State) -> Option<Event> {
        let before = if let State::Chunks(_, chunks) = &state { chunks.size() } else { 0 };
        if before.saturating_add(chunk.left) > self.most_read() {
            let recipients = match &state {
                State::Chunks(envelope, _) | State::Transaction(envelope) => envelope.recipients.len(),
                _ => 1,
            };
            let times = if chunk.last { self.final_replies(recipients).max(1) } else { 1 };
            self.reply_times(&Reply::MESSAGE_TOO_LARGE, times);
            self.state = State::Closed;
            return given_up(&state);
        }
        let reply = match state {
            State::Chunks(envelope, chunks) => {
                self.state = State::Chunk(envelope, chunks, chunk);
                return None;
            }
            State::Transaction(envelope) if !envelope.recipients.is_empty() => {
                self.pending = Some(Pending::BeginChunk(envelope, chunk));
                return Some(Event::Begin);
            }
            _ if self.lacks_login() => Reply::LOGIN_FIRST,
            State::Transaction(_) => Reply::NO_RECIPIENTS,
            State::Greeted => Reply::HELLO_FIRST,
            _ => Reply::BAD_SEQUENCE,
        };
        self.skip(chunk, reply, 1, state);
        None
    }

    /// Octets of one message that are read at all.
    fn most_read(&self) -> u64 {
        let limit = self.settings.message_bytes;
        limit.saturating_add(limit.max(SPARE))
    }

    /// Refuses a chunk behind its last octet.
    pub(super) fn skip(&mut self, chunk: Chunk, reply: Reply, times: usize, next: State) {
        self.state = State::Skipped(Box::new(Skipped { left: chunk.left, reply, times, next }));
    }

    /// Whether a chunk is open and nothing of it is there.
    pub(super) fn lacks_octets(&self) -> bool {
        let left = match &self.state {
            State::Chunk(_, _, chunk) => chunk.left,
            State::Skipped(skipped) => skipped.left,
            _ => 0,
        };
        left > 0 && self.lines.is_empty()
    }

    pub(super) fn read_skipped(&mut self) {
        let State::Skipped(skipped) = &mut self.state else { return };
        let here = here(self.lines.unread(), skipped.left).len();
        skipped.left -= here as u64;
        self.lines.consume(here);
        if skipped.left > 0 {
            return;
        }
        if let State::Skipped(skipped) = std::mem::replace(&mut self.state, State::Ready) {
            self.state = skipped.next;
            self.reply_times(&skipped.reply, skipped.times);
        }
    }

    pub(super) fn read_chunk(&mut self) -> Option<Event> {
        let State::Chunk(_, chunks, chunk) = &mut self.state else { return None };
        let before = chunks.fault();
        let here = here(self.lines.unread(), chunk.left);
        chunks.read(here, &mut self.content);
        let count = here.len();
        chunk.left -= count as u64;
        if chunk.left == 0 && chunk.last {
            chunks.finish(&mut self.content);
        }
        let (is_whole, fault) = (chunk.left == 0, chunks.fault());
        self.lines.consume(count);
        let event = match fault {
            Some(_) if before.is_none() => Some(Event::Discard),
            None if !self.content.is_empty() => Some(Event::Content),
            _ => None,
        };
        if is_whole { self.end_chunk(fault, event) } else { event }
    }

    /// A chunk is whole. `event`: what its last piece calls for where the message goes on.
    fn end_chunk(&mut self, fault: Option<Fault>, event: Option<Event>) -> Option<Event> {
        let State::Chunk(envelope, chunks, chunk) = std::mem::replace(&mut self.state, State::Ready) else {
            return event;
        };
        match (chunk.last, fault) {
            (true, None) => Some(self.end(envelope)),
            (true, Some(fault)) => Some(self.refuse_content(fault, envelope.recipients.len())),
            (false, None) if event.is_none() => {
                // A chunk that brings nothing is a NOOP.
                self.state = State::Chunks(envelope, chunks);
                self.idle(&Reply::OK);
                None
            }
            (false, fault) => {
                self.state = State::Chunks(envelope, chunks);
                self.reply(&fault.map_or(Reply::OK, Fault::reply));
                event
            }
        }
    }

    fn end_content(&mut self) -> Option<Event> {
        let State::Data(envelope, _) = std::mem::replace(&mut self.state, State::Ready) else { return None };
        Some(self.end(envelope))
    }

    fn end(&mut self, envelope: kings_mail::envelope::Envelope) -> Event {
        self.pending = Some(Pending::End(self.final_replies(envelope.recipients.len())));
        Event::End(envelope)
    }

    /// LMTP answers a message once for each of its recipients (RFC 2033 §4.2).
    pub(super) fn final_replies(&self, recipients: usize) -> usize {
        if self.settings.role == Role::Lmtp { recipients } else { 1 }
    }

    /// A message with broken line ends is refused at its true end, and the session with it: whoever sent it
    /// does not agree with us where messages end.
    fn refuse_content(&mut self, fault: Fault, recipients: usize) -> Event {
        self.state = State::Ready;
        self.reply_times(&fault.reply(), self.final_replies(recipients));
        if fault == Fault::LineEnds {
            self.state = State::Closed;
        }
        Event::Discard
    }
}

impl Fault {
    /// The only place where a fault of the content becomes a reply.
    fn reply(self) -> Reply {
        match self {
            Self::LineEnds => Reply::BAD_LINE_ENDS,
            Self::TooLarge => Reply::MESSAGE_TOO_LARGE,
        }
    }
}

/// As much of the input as belongs to a chunk of `left` octets.
fn here(unread: &[u8], left: u64) -> &[u8] {
    &unread[..unread.len().min(usize::try_from(left).unwrap_or(usize::MAX))]
}
