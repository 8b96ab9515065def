//! A stream that is never waited for longer than its client earns by what it takes, whatever is spoken over it.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::socket::Link;

/// Longest wait for a whole command once it has begun, for a stranger to log in, and for a client that takes nothing of
/// our output (DESIGN limits).
pub(crate) const COMMAND: Duration = Duration::from_mins(5);
/// The same for strangers when slots are short.
pub(crate) const COMMAND_PRESSED: Duration = Duration::from_secs(10);
/// Slowest client that is waited for while it sends a message or takes our output, in octets a second (DESIGN limits).
pub(crate) const RATE: u64 = 500;
/// Output that waits for more of it, in octets; beyond, it is sent before more is made.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

/// One stream, and what went over it.
#[derive(Debug)]
pub(crate) struct Carrier<S> {
    pub(crate) stream: S,
    /// Octets received, and octets sent.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pace: Pace,
}

/// How a client takes all that answers what it said last. Our own time between the pieces does not count.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    waited: Duration,
    taken: u64,
}

impl Pace {
    /// How much longer it may keep us waiting: what it takes earns it time, so neither silence nor one octet now and
    /// then holds a connection, however many pieces the answer comes in.
    fn patience(self) -> Duration {
        (COMMAND + Duration::from_secs(self.taken / RATE)).saturating_sub(self.waited)
    }
}

impl<S: Link> Carrier<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, received: 0, sent: 0, pace: Pace::default() }
    }

    /// The client has said something new: how it took the last answer is forgotten.
    pub(crate) fn forget_pace(&mut self) {
        self.pace = Pace::default();
    }

    /// Gives all of it to the stream, as fast as the client takes it and no slower than it may.
    pub(crate) async fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let began = Instant::now();
            let count = timeout(self.pace.patience(), self.stream.write(octets)).await??;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.pace.waited += began.elapsed();
            self.pace.taken += count as u64;
            self.sent += count as u64;
            octets = &octets[count..];
        }
        Ok(())
    }

    /// The same, and nothing of it stays behind.
    pub(crate) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write(octets).await?;
        let began = Instant::now();
        let flushed = timeout(self.pace.patience(), self.stream.flush()).await?;
        self.pace.waited += began.elapsed();
        flushed
    }

    /// Says that nothing more will come.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        timeout(COMMAND_PRESSED, self.stream.shutdown()).await?
    }

    /// How long a stranger may take to log in.
    pub(crate) fn patience_for_strangers(&self) -> Duration {
        if self.stream.is_pressed() { COMMAND_PRESSED } else { COMMAND }
    }
}
