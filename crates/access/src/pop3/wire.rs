//! A stream with a POP3 session.

use std::time::Duration;

use kings_pop3::{Event, Session};
use kings_sasl::Mechanisms;

use crate::connection;
use crate::protocol::{self, Stage, Step};

/// One stream with its session.
pub(super) type Wire<L> = connection::Wire<L, Session>;

impl protocol::Session for Session {
    type Event = Event;

    /// Also the longest wait for the rest of a command (RFC 1939 §3: at least ten minutes).
    const INACTIVITY: Duration = Duration::from_secs(10 * 60 + 30);

    fn next_step(&mut self) -> Option<Step<Event>> {
        self.next_event().map(|event| match event {
            Event::Closed => Step::Closed,
            Event::StartTls => Step::StartTls,
            event => Step::Answer(event),
        })
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.receive(bytes);
    }

    fn output_len(&self) -> usize {
        self.output_len()
    }

    fn transmit(&mut self) -> Vec<u8> {
        self.transmit()
    }

    fn is_authenticated(&self) -> bool {
        self.is_authenticated()
    }

    /// A command is short: its time is that of the silence before it.
    fn stage(&self) -> Stage {
        Stage::Between
    }

    fn hears_news(&self) -> bool {
        false
    }

    fn bye(&mut self, text: &'static str) {
        self.bye(text);
    }

    fn tls_started(&mut self) {
        self.tls_started();
    }

    fn offer(&mut self, mechanisms: Mechanisms) {
        self.offer(mechanisms);
    }
}
