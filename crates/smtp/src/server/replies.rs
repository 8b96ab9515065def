//! Writing replies, and counting those that refuse.

use super::{Event, MAX_ERRORS, MAX_IDLE_COMMANDS, MAX_OVERSHOOT, Session, State};
use crate::reply::Reply;

impl Session {
    /// Answers a command that moves no mail; too many of them end the session.
    pub(super) fn idle(&mut self, reply: &Reply) -> Option<Event> {
        self.idle_commands += 1;
        if self.idle_commands > MAX_IDLE_COMMANDS {
            self.close(&Reply::TOO_MANY_IDLE_COMMANDS);
        } else {
            self.reply(reply);
        }
        None
    }

    pub(super) fn refuse(&mut self, reply: &Reply) -> Option<Event> {
        self.reply(reply);
        None
    }

    /// Writes a reply and counts it when it is a refusal.
    pub(super) fn reply(&mut self, reply: &Reply) {
        self.reply_times(reply, 1);
    }

    /// For the transcript, if there is one.
    pub(super) fn note(&self, reply: &Reply) {
        if let Some(transcript) = &self.transcript {
            transcript.note(reply);
        }
    }

    /// The same several times, which is still one refusal.
    pub(super) fn reply_times(&mut self, reply: &Reply, times: usize) {
        self.note(reply);
        for _ in 0..times {
            reply.write_to(&mut self.output);
        }
        if *reply == Reply::TOO_MANY_RECIPIENTS && self.overshoot < MAX_OVERSHOOT {
            self.overshoot += 1;
            return;
        }
        self.errors += usize::from(!reply.is_positive());
        self.faults += usize::from(reply.is_permanent());
        if reply.hangs_up() {
            self.state = State::Closed;
        } else if self.errors >= MAX_ERRORS {
            self.close(&Reply::TOO_MANY_ERRORS);
        }
    }
}
