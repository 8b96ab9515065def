//! Handing over one message: from the answer to MAIL to the outcome of each recipient.

use super::phase::{Form, Phase, Sending};
use super::{Event, Protocol, Session};
use crate::client::commands;
use crate::client::reader::BadReply;
use crate::client::transaction::Outcome;
use crate::data::Encoder;
use crate::reply::Reply;

/// Most octets of one BDAT chunk: a server that refuses a large message says so after the first of them.
const MAX_CHUNK: u64 = 1024 * 1024;

impl Session {
    /// One reply between MAIL and the end of a transaction.
    pub(super) fn take_in_transaction(&mut self, reply: Reply) -> Result<Option<Event>, BadReply> {
        if reply.code == 421 {
            return Ok(self.going_away(&reply));
        }
        self.heard = true;
        let reply = self.in_step(reply)?;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Mail => Ok(self.after_mail(&reply)),
            Phase::Rcpt(place) => Ok(self.after_rcpt(place, &reply)),
            Phase::Data => self.after_data(&reply),
            Phase::Chunk(next) if reply.is_positive() => Ok(self.next_chunk(next)),
            Phase::Chunk(_) => Ok(self.give_up(&reply)),
            Phase::FinalReply => Ok(self.after_message(&reply)),
            Phase::Rset => {
                self.spent |= !reply.is_positive();
                Ok(self.report())
            }
            // The lone dot; the others wait for nothing.
            _ => Ok(self.report()),
        }
    }

    /// The server closes the connection behind 421 (RFC 5321 §3.8): it has refused nothing for good.
    fn going_away(&mut self, reply: &Reply) -> Option<Event> {
        self.spent = true;
        self.transaction.as_mut()?.settle_open(reply);
        self.report()
    }

    fn after_mail(&mut self, reply: &Reply) -> Option<Event> {
        if !reply.is_positive() {
            self.transaction.as_mut()?.settle_open(reply);
        }
        self.next_recipient(0)
    }

    fn after_rcpt(&mut self, place: usize, reply: &Reply) -> Option<Event> {
        self.transaction.as_mut()?.asked(place, reply);
        self.next_recipient(place + 1)
    }

    /// Waits for the answer about the recipient at `place`, or asks for it; behind the last one comes the content.
    /// Nothing is asked once all recipients are settled by refusals.
    fn next_recipient(&mut self, place: usize) -> Option<Event> {
        let running = self.transaction.as_ref()?;
        let recipient = running.transaction.recipients.get(place);
        match recipient {
            Some(_) if running.batched => self.phase = Phase::Rcpt(place),
            None if running.batched && !running.chunked => self.phase = Phase::Data,
            _ if running.is_settled() => self.command("RSET", Phase::Rset),
            Some(recipient) => {
                let line = commands::rcpt(recipient, &self.features);
                self.command(&line, Phase::Rcpt(place));
            }
            None if running.chunked => return self.next_chunk(0),
            None => self.command("DATA", Phase::Data),
        }
        None
    }

    fn after_data(&mut self, reply: &Reply) -> Result<Option<Event>, BadReply> {
        let Some(running) = &mut self.transaction else { return Ok(None) };
        if reply.code != 354 {
            return Ok(self.give_up(reply));
        }
        // Whatever stands behind 354 already cannot be about a message that has not been sent.
        if !self.reader.is_empty() {
            running.reopen();
            return Err(BadReply::OutOfStep);
        }
        if !running.is_settled() {
            let octets = running.transaction.content.octets;
            self.phase = Phase::Content(Sending { left: octets, form: Form::Dots(Encoder::default()) });
            return Ok(Some(Event::SendContent(0..octets)));
        }
        // LMTP answers once for each recipient, so here it would not answer at all.
        if self.settings.protocol == Protocol::Lmtp {
            self.spent = true;
            return Ok(self.report());
        }
        self.command(".", Phase::LoneDot);
        Ok(None)
    }

    /// The chunk that begins at `from` (RFC 3030 §2).
    fn next_chunk(&mut self, from: u64) -> Option<Event> {
        let total = self.transaction.as_ref()?.transaction.content.octets;
        let octets = MAX_CHUNK.min(total - from);
        let until = from + octets;
        let (mark, answer) =
            if until == total { (" LAST", Phase::FinalReply) } else { ("", Phase::Chunk(until)) };
        self.line(&format!("BDAT {octets}{mark}"));
        if octets == 0 {
            self.phase = answer;
            return None;
        }
        self.phase = Phase::Content(Sending { left: octets, form: Form::Chunk(Box::new(answer)) });
        Some(Event::SendContent(from..until))
    }

    fn after_message(&mut self, reply: &Reply) -> Option<Event> {
        let running = self.transaction.as_mut()?;
        match self.settings.protocol {
            Protocol::Smtp => running.settle_open(reply),
            Protocol::Lmtp => {
                let place = running.first_open()?;
                running.settle(place, reply);
                if !running.is_settled() {
                    self.phase = Phase::FinalReply;
                    return None;
                }
            }
        }
        self.report()
    }

    /// Nothing more can come of the transaction: all that are open share the answer.
    fn give_up(&mut self, reply: &Reply) -> Option<Event> {
        self.transaction.as_mut()?.settle_open(reply);
        self.command("RSET", Phase::Rset);
        None
    }

    fn report(&mut self) -> Option<Event> {
        let running = self.transaction.take()?;
        self.phase = Phase::Idle;
        Some(Event::Settled(running.into_outcomes()))
    }

    /// A server that says yes in the wrong way has not understood us: only 354 asks for content, and only 2xx takes
    /// what was given (RFC 5321 §4.2.1). Believing a 354 behind the final dot would lose the message. Among commands
    /// that were sent together it shows that the replies do not belong to the commands we think: then none counts.
    fn in_step(&mut self, reply: Reply) -> Result<Reply, BadReply> {
        let (fits, in_batch) = match self.phase {
            Phase::Mail | Phase::Rcpt(_) => (reply.code < 300, true),
            Phase::Data => (reply.code == 354, true),
            Phase::Chunk(_) | Phase::FinalReply => (reply.code < 300, false),
            _ => (true, false),
        };
        if fits || !reply.is_positive() {
            return Ok(reply);
        }
        if let Some(running) = self.transaction.as_mut().filter(|running| running.batched && in_batch) {
            running.reopen();
            return Err(BadReply::OutOfStep);
        }
        Ok(Outcome::MISFIT)
    }
}
