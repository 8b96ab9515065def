//! A stream with an IMAP session: how responses and contents of messages leave.

use std::io;
use std::ops::Range;
use std::time::Duration;

use kings_imap::{Event, Progress, Response, Session};
use kings_sasl::Mechanisms;

use crate::connection;
use crate::protocol::{self, Stage, Step};
use crate::socket::Link;

/// One stream with its session.
pub(crate) type Wire<L> = connection::Wire<L, Session>;

impl<L: Link> Wire<L> {
    /// Adds a response; sends it when much is waiting.
    pub(crate) async fn respond(&mut self, response: &Response) -> io::Result<()> {
        self.session.respond(response);
        self.relieve().await
    }

    /// Sends part of a message behind the text that announced it. All of it goes, or the session ends.
    pub(crate) async fn send_content(&mut self, content: &[u8], range: Range<usize>) -> io::Result<()> {
        self.flush().await?;
        let Some(content) = content.get(range) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is shorter than announced"));
        };
        self.carrier.write(content).await
    }
}

impl protocol::Session for Session {
    type Event = Event;

    /// IDLE included (RFC 3501 §5.4: at least 30 minutes; RFC 2177 §3 has clients speak every 29).
    const INACTIVITY: Duration = Duration::from_secs(30 * 60 + 30);

    fn next_step(&mut self) -> Option<Step<Event>> {
        self.next_event().map(|event| match event {
            Event::Closed => Step::Closed,
            Event::StartTls => Step::StartTls,
            Event::StartCompression => Step::StartCompression,
            Event::EndCompression => Step::EndCompression,
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

    fn stage(&self) -> Stage {
        match self.progress() {
            Progress::Between => Stage::Between,
            Progress::Command => Stage::Command,
            Progress::Message => Stage::Message,
        }
    }

    fn hears_news(&self) -> bool {
        self.hears_news()
    }

    fn bye(&mut self, text: &'static str) {
        self.bye(text);
    }

    fn commands(&self) -> u64 {
        self.commands()
    }

    fn tls_started(&mut self) {
        self.tls_started();
    }

    fn compression_started(&mut self) -> Vec<u8> {
        self.compression_started()
    }

    fn compression_ended(&mut self) {
        self.compression_ended();
    }

    fn offer(&mut self, mechanisms: Mechanisms) {
        self.offer(mechanisms);
    }
}
