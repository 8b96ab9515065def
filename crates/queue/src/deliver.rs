//! The seam between the queue and whoever carries its messages: `trait Deliver` and its words.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use kings_mail::address::Host;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};

use crate::disk::blocking;

/// Carries messages to their next hop, and posts what their senders are to be told.
///
/// The queue does not know routes, protocols or mailboxes: a recipient that is local after all is the
/// deliverer's to recognise.
pub trait Deliver: Send + Sync + 'static {
    /// The lane of mail from this sender to this recipient, as of now. Recipients of one message that share a lane travel
    /// together, whatever their domains; those of one domain may have several lanes, and go in as many attempts.
    ///
    /// It is asked before each attempt and must not wait. Its answer may change from one call to the next, as routes
    /// do: an attempt counts where it began, and its recipients may have to part all the same.
    fn lane(&self, reverse_path: &ReversePath, parameters: &MailParameters, recipient: &ForwardPath) -> Lane;

    /// Tries once to hand the message to all recipients of the attempt.
    ///
    /// Answers one outcome per recipient, in their order, and how the destination answered. It
    /// must end by itself: every wait in it has its own deadline. When the queue shuts down the future may
    /// be dropped, and then the same recipients are tried again after the next start.
    fn deliver(&self, attempt: Attempt) -> impl Future<Output = Finished> + Send;

    /// Sends a notification on its way: into a mailbox here, or back into the queue under an id of its own.
    ///
    /// It must be durable when this returns `Ok`: the entry it speaks of may be forgotten next. One to
    /// [`ForwardPath::Postmaster`] stays on this server, and if it has to wait in the queue, it waits under
    /// that very forward-path: that is how the queue sees that nobody is left to tell.
    fn notify(&self, notification: Notification) -> impl Future<Output = Result<(), PostError>> + Send;
}

/// One try to hand one message to the recipients that share a lane.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The name of the message here.
    pub id: TraceId,
    /// Where its failures are reported.
    pub reverse_path: ReversePath,
    /// What the message needs of the next hop; `size` is its true length.
    pub parameters: MailParameters,
    /// Who is still waiting for it: 1 to 50 recipients, which any server takes in one transaction
    /// (RFC 5321 §4.5.3.1.8).
    pub recipients: Vec<Recipient>,
    /// Which try this is, counted from 1; of the recipient tried most often.
    pub number: u32,
    /// The message.
    pub content: Content,
}

/// Where mail for a recipient goes when nothing but the address says so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// `<Postmaster>` without a domain: this server.
    Here,
    /// A domain.
    Domain(Domain),
    /// An address literal.
    Literal(IpAddr),
}

impl From<&ForwardPath> for Destination {
    fn from(path: &ForwardPath) -> Self {
        match path {
            ForwardPath::Postmaster => Self::Here,
            ForwardPath::Address(address) => match &address.host {
                Host::Domain(domain) => Self::Domain(domain.clone()),
                Host::Literal(ip) => Self::Literal(*ip),
            },
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Domain(domain) => domain.fmt(f),
            Self::Literal(ip) => write!(f, "[{ip}]"),
        }
    }
}

/// What the recipients of an attempt share, and attempts that are counted together: how many run at once, and whether
/// anybody answers there. Attempts of different messages stay attempts of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// The servers of one destination.
    Destination(Destination),
    /// One next hop that takes the mail of many destinations, by a name that no other has: all of them find it busy,
    /// or dead, together (Postfix counts by transport and next hop).
    NextHop(String),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// One for each recipient, in their order; a recipient without one counts as deferred.
    pub outcomes: Vec<Outcome>,
    /// How the destination answered, which decides how many attempts it gets next.
    pub contact: Contact,
}

impl From<Vec<Outcome>> for Finished {
    /// Of an attempt that says nothing against the destination.
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, contact: Contact::Answered }
    }
}

/// How a destination answered, whatever became of the recipients; the later ones are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// None of its servers could be reached.
    Silent,
    /// A server was reached and wants fewer connections, or none for now.
    Crowded,
    /// A server talked to us, or none was needed.
    Answered,
}

/// How a message left us for good: it decides what a sender hears who asked to hear of success (RFC 3461 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// As [`Outcome::Delivered`] says.
    Mailbox,
    /// As [`Outcome::Relayed`] says.
    Relayed,
    /// As [`Outcome::PassedOn`] says.
    PassedOn,
    /// Several others in place of the recipient (RFC 3461 §5.2.7.3).
    Expanded,
}

/// How an attempt ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It lies in a mailbox, or with a server that has the last word about it (LMTP): a report of success that the
    /// sender asked for is ours to make and says `delivered` (RFC 3461 §5.2.5).
    Delivered(Report),
    /// The next hop has taken over (RFC 5321 §6.1) and offers no DSN: nobody behind us reports success, so a report
    /// that was asked for is ours to make and says `relayed` (RFC 3461 §5.2.2).
    Relayed(Report),
    /// The next hop has taken over, with all that the sender asked for about reports: those of success are its own
    /// business, and ours is none (RFC 3461 §5.2.1).
    PassedOn(Report),
    /// Not now; worth another attempt.
    Deferred(Report),
    /// Never; the sender is told.
    Failed(Report),
}

/// What was said about a recipient, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The reason in figures (RFC 3463 §2).
    pub status: Status,
    /// The name of the server whose words `reply` holds; `None` when they are our own.
    pub remote: Option<String>,
    /// The reply, lines joined by `\n`; it is kept to 512 octets and may hold anything.
    pub reply: String,
}

impl Report {
    /// Our own words: no other server was asked, or none answered.
    pub fn ours(status: Status, reply: impl Into<String>) -> Self {
        Self { status, remote: None, reply: reply.into() }
    }
}

/// A delivery status notification, ready to travel: its sender is `<>` (RFC 5321 §4.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The name of the message it speaks of, for the log; the notification itself needs a new one.
    pub about: TraceId,
    /// Who is told: the sender of the message, or the postmaster here when there is none.
    pub forward_path: ForwardPath,
    /// What it needs of the next hop.
    pub parameters: MailParameters,
    /// Header and body; every line ends in CRLF.
    pub content: Vec<u8>,
    /// What was thought of the message, as its content began with it; empty where nothing was.
    pub verdict: Vec<u8>,
}

impl Notification {
    /// The envelope it travels in; nothing is ever reported about it to its sender, who is nobody.
    pub fn envelope(&self) -> Envelope {
        let mut envelope = Envelope::new(ReversePath::Null, self.parameters.clone());
        envelope.recipients.push(self.forward_path.clone().into());
        envelope
    }
}

/// Why a notification was not posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// It may work later: the entry stays and the notification is made again.
    #[error("not now: {0}")]
    Later(String),
    /// It never will: the failure is logged and the entry dropped.
    #[error("never: {0}")]
    Never(String),
}

/// The bytes of a message, exactly as submitted; cheap to clone.
#[derive(Clone, Debug)]
pub struct Content(Source);

#[derive(Clone, Debug)]
enum Source {
    Memory(Arc<Vec<u8>>),
    Stored { file: Arc<File>, start: u64, length: u64 },
}

impl From<Vec<u8>> for Content {
    /// A message that never was in the queue.
    fn from(bytes: Vec<u8>) -> Self {
        Self(Source::Memory(Arc::new(bytes)))
    }
}

impl Content {
    /// The `length` bytes of `file` from `start`. The file is kept open, so they stay readable whatever becomes of the entry.
    pub(crate) fn stored(file: File, start: u64, length: u64) -> Self {
        Self(Source::Stored { file: Arc::new(file), start, length })
    }

    /// Length in octets.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Stored { length, .. } => *length,
        }
    }

    /// What lies behind the first `octets`.
    #[must_use]
    pub fn behind(&self, octets: u64) -> Self {
        match &self.0 {
            Source::Memory(bytes) => {
                let from = usize::try_from(octets).unwrap_or(usize::MAX).min(bytes.len());
                Self::from(bytes[from..].to_vec())
            }
            Source::Stored { file, start, length } => {
                let octets = octets.min(*length);
                Self(Source::Stored { file: file.clone(), start: start + octets, length: length - octets })
            }
        }
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `most` bytes from `offset`; empty only at the end. What is in a file is read on a thread that may block.
    pub async fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        if let Source::Memory(bytes) = &self.0 {
            let rest = usize::try_from(offset).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
            return Ok(rest[..most.min(rest.len())].to_vec());
        }
        let content = self.clone();
        blocking(move || {
            let mut chunk = Vec::new();
            content.reader_from(offset).take(most as u64).read_to_end(&mut chunk)?;
            Ok(chunk)
        })
        .await
    }

    /// Reads from the start; each reader has its own place. Blocking.
    pub fn reader(&self) -> ContentReader {
        self.reader_from(0)
    }

    fn reader_from(&self, offset: u64) -> ContentReader {
        ContentReader { content: self.clone(), offset }
    }
}

/// A place in a [`Content`].
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    offset: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len().saturating_sub(self.offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = match &self.content.0 {
            Source::Memory(bytes) => {
                let from = usize::try_from(self.offset).map_err(io::Error::other)?;
                buffer[..wanted].copy_from_slice(&bytes[from..from + wanted]);
                wanted
            }
            Source::Stored { file, start, .. } => file.read_at(&mut buffer[..wanted], start + self.offset)?,
        };
        // A shortened file must not look like the end of the message: half of it would be sent as if whole.
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn content_reads_the_same_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), b"envelope:hello world:records").unwrap();
        let stored = Content::stored(File::open(folder.path().join("x")).unwrap(), 9, 11);
        for content in [Content::from(b"hello world".to_vec()), stored] {
            let mut all = String::new();
            content.reader().read_to_string(&mut all).unwrap();
            assert_eq!(all, "hello world");
            let rest = content.behind(6);
            assert_eq!((rest.len(), rest.read_at(0, 100).await.unwrap()), (5, b"world".to_vec()));
            assert!(content.behind(12).is_empty());
            assert_eq!(content.read_at(6, 3).await.unwrap(), b"wor");
            assert_eq!(content.read_at(9, 100).await.unwrap(), b"ld");
            assert_eq!(content.read_at(11, 100).await.unwrap(), b"");
            assert_eq!(content.read_at(u64::MAX, 100).await.unwrap(), b"");
        }
    }

    #[test]
    fn a_file_cut_short_is_an_error_and_not_a_shorter_message() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), b"hello").unwrap();
        let content = Content::stored(File::open(folder.path().join("x")).unwrap(), 0, 11);
        assert!(content.reader().read_to_end(&mut Vec::new()).is_err());
    }
}
