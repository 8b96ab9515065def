//! A stream that is never waited for longer than its client earns by what it takes, whatever is spoken over it.

use std::io;
use std::time::Duration;

use kings_net::receive;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::deflate::{Deflater, Inflater};
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
    compression: Option<Box<Compression>>,
}

/// Both directions under DEFLATE; or, while the client's last compressed octets are still to come, the one to us.
#[derive(Debug)]
struct Compression {
    inflater: Inflater,
    deflater: Deflater,
    ends: bool,
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
        Self { stream, received: 0, sent: 0, pace: Pace::default(), compression: None }
    }

    /// The client has said something new: how it took the last answer is forgotten.
    pub(crate) fn forget_pace(&mut self) {
        self.pace = Pace::default();
    }

    /// Everything is compressed from now on, both ways, beginning with these octets of the client.
    pub(crate) fn start_compression(&mut self, octets: &[u8]) {
        let mut inflater = Inflater::new();
        inflater.receive(octets);
        let compression = Compression { inflater, deflater: Deflater::default(), ends: false };
        self.compression = Some(Box::new(compression));
    }

    /// Nothing of ours is compressed any more, nor what the client says when it has heard our last answer.
    pub(crate) fn end_compression(&mut self) {
        if let Some(compression) = &mut self.compression {
            compression.ends = true;
        }
    }

    /// Waits for octets and hands those to `take` that are in clear; the others wait for [`inflate`](Self::inflate). Gives
    /// how many came, 0 at the end of the stream.
    pub(crate) async fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        let compression = &mut self.compression;
        let count = receive(&mut self.stream, |octets| match compression {
            Some(compression) => compression.inflater.receive(octets),
            None => take(octets),
        });
        let count = count.await?;
        self.received += count as u64;
        Ok(count)
    }

    /// What the client has said in a few of the octets that wait; `None` when more must come.
    pub(crate) fn inflate(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(compression) = &mut self.compression else { return Ok(None) };
        if !compression.ends {
            return compression.inflater.next_piece();
        }
        let clear = compression.inflater.end()?;
        if clear.is_some() {
            self.compression = None;
        }
        Ok(clear.filter(|clear| !clear.is_empty()))
    }

    fn deflater(&mut self) -> Option<&mut Deflater> {
        self.compression
            .as_mut()
            .filter(|compression| !compression.ends)
            .map(|compression| &mut compression.deflater)
    }

    /// All is said that there is to say now: what was needed for it is given back.
    pub(crate) fn rest(&mut self) {
        if let Some(deflater) = self.deflater() {
            deflater.rest();
        }
    }

    /// Gives all of it to the stream, compressed where that was agreed on.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.deflater().is_none() {
            return self.write_through(octets).await;
        }
        for piece in octets.chunks(HIGH_WATER) {
            if let Some(deflater) = self.deflater() {
                let deflated = deflater.write(piece)?;
                self.write_through(&deflated).await?;
            }
        }
        Ok(())
    }

    /// Gives all of it to the stream, as fast as the client takes it and no slower than it may.
    async fn write_through(&mut self, mut octets: &[u8]) -> io::Result<()> {
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
        if let Some(deflater) = self.deflater() {
            let deflated = deflater.flush()?;
            self.write_through(&deflated).await?;
        }
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
