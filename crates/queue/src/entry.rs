//! One message on its way out: the format of its file, and what is known of each recipient.
//!
//! ```text
//! kings-queue 2
//! id 1f8s0xk2m3n4p5q
//! arrived 1795000000 Mon, 23 Nov 2026 23:06:40 +0000
//! reverse-path <ann@example.org>
//! body 8bitmime
//! smtputf8 no
//! recipient <joe@elsewhere.example>
//! recipient <sue@third.example> notify=SUCCESS,FAILURE orcpt=rfc822;sue@first.example
//! content-length 1234
//! content-checksum 89abcdef
//! envelope-checksum 01234567
//!
//! (1234 octets of content)
//! 4bd1a3c0 at=1795000001 recipient=1 outcome=delivered status=2.0.0 remote="mx.elsewhere.example" reply="250 OK"
//! ```
//!
//! Between `smtputf8` and the recipients stand `ret`, `envelope-id`, `require-tls` and `hold-until` where the sender
//! asked for them, and `filter` where a rule sends all of it through a content filter (version 3). `resolved=yes` marks an account that aliases led to: they are not asked again. `added=yes` marks
//! a recipient that this server added by a rule of its own. The first part never changes; records are appended (see [`crate::record`]). Checksums are CRC-32: they find
//! accidents of disks, not forgers, who would need write access to the queue.

use std::fmt::Write as _;
use std::time::Duration;

use kings_mail::date::DateTime;
use kings_mail::envelope::{self, Body, Envelope, Hold, MailParameters};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::{EnvelopeId, Notify, OriginalRecipient, Return};

use crate::clock::Moment;
use crate::recipient::{Occasion, Progress, Recipient, RecipientState};
use crate::record::{Fact, Record, checksum, parse_hex};
use crate::schedule;

/// Begins the first line of every entry; the version of the format follows.
const MAGIC: &str = "kings-queue ";
/// The version that is written. The one before, which had no parameters of reports, is read as well.
const VERSION: u32 = 2;
/// The version of those that go through a filter: an older server must leave them alone rather than pass them by it.
const FILTERED: u32 = 3;
/// Ends the envelope: no line of it is empty.
pub(crate) const END_OF_ENVELOPE: &[u8] = b"\n\n";

/// What stands before the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: TraceId,
    /// Seconds since 1970.
    pub(crate) arrived: u64,
    /// Without the size that the client announced: `content_length` is the true one.
    pub(crate) envelope: Envelope,
    pub(crate) content_length: u64,
    pub(crate) content_checksum: u32,
}

/// Why a file is not an entry that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("it does not begin as a queue entry")]
    NotAnEntry,
    #[error("its envelope is damaged")]
    Envelope,
    #[error("its content is damaged")]
    Content,
    #[error("an attempt record in the middle is damaged")]
    Record,
    #[error("its name is not that of its envelope")]
    Name,
    /// Not damage at all: it stays where it is until that version is back.
    #[error("it was written by a later version")]
    LaterVersion,
}

impl Head {
    /// The text up to the content, and its checksum: the seed of the records.
    pub(crate) fn encode(&self) -> (String, u32) {
        let date = DateTime::from_unix(i64::try_from(self.arrived).unwrap_or(i64::MAX));
        let Envelope { reverse_path, recipients, parameters } = &self.envelope;
        let version = if parameters.filter.is_some() { FILTERED } else { VERSION };
        let mut text = format!(
            "{MAGIC}{version}\nid {}\narrived {} {date}\nreverse-path {reverse_path}\n",
            self.id, self.arrived
        );
        encode_parameters(parameters, &mut text);
        for recipient in recipients {
            encode_recipient(recipient, &mut text);
        }
        let (length, sum) = (self.content_length, self.content_checksum);
        write!(text, "content-length {length}\ncontent-checksum {sum:08x}\n")
            .expect("a String takes any text");
        let seed = checksum(0, text.as_bytes());
        write!(text, "envelope-checksum {seed:08x}\n\n").expect("a String takes any text");
        (text, seed)
    }

    /// Reads the text up to and with the empty line; gives the checksum too.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, u32), Damage> {
        match version(bytes) {
            Some(1..=FILTERED) => {}
            None | Some(0) => return Err(Damage::NotAnEntry),
            Some(_) => return Err(Damage::LaterVersion),
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Damage::Envelope)?;
        let (covered, sum) = text
            .strip_suffix("\n\n")
            .and_then(|text| text.rsplit_once("envelope-checksum "))
            .ok_or(Damage::Envelope)?;
        let seed = checksum(0, covered.as_bytes());
        if parse_hex(sum) != Some(seed) {
            return Err(Damage::Envelope);
        }
        Self::parse_fields(covered).map(|head| (head, seed)).ok_or(Damage::Envelope)
    }

    /// When it is to be tried first, in seconds since 1970: at once, unless the sender wants it held.
    pub(crate) fn first_attempt(&self) -> u64 {
        match self.envelope.parameters.hold {
            Some(Hold::Until(time)) => time.max(self.arrived),
            Some(Hold::For(_)) | None => self.arrived,
        }
    }

    fn parse_fields(covered: &str) -> Option<Self> {
        let mut lines = Lines(covered.strip_suffix('\n')?.split('\n').skip(1).peekable());
        let id = TraceId::parse(lines.take("id")?)?;
        let arrived = lines.take("arrived")?.split(' ').next()?.parse().ok()?;
        let reverse_path = ReversePath::parse(in_brackets(lines.take("reverse-path")?)?).ok()?;
        let parameters = parse_parameters(&mut lines)?;
        let mut recipients = Vec::new();
        while let Some(recipient) = lines.take("recipient") {
            recipients.push(parse_recipient(recipient)?);
        }
        let content_length = lines.take("content-length")?.parse().ok()?;
        let content_checksum = parse_hex(lines.take("content-checksum")?)?;
        let complete = !recipients.is_empty() && lines.0.next().is_none();
        let envelope = Envelope { reverse_path, recipients, parameters };
        complete.then_some(Self { id, arrived, envelope, content_length, content_checksum })
    }
}

/// The lines of an envelope: each a name, a space and a value.
struct Lines<'a>(std::iter::Peekable<std::iter::Skip<std::str::Split<'a, char>>>);

impl<'a> Lines<'a> {
    /// The value of the next line, if that has this name.
    fn take(&mut self, name: &str) -> Option<&'a str> {
        let value = self.0.peek()?.strip_prefix(name)?.strip_prefix(' ')?;
        self.0.next();
        Some(value)
    }

    /// The value of the next line, if that has this name; `Err` if it cannot be read.
    fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Damage> {
        self.take(name).map(|value| parse(value).ok_or(Damage::Envelope)).transpose()
    }
}

fn encode_parameters(parameters: &MailParameters, text: &mut String) {
    let MailParameters { body, smtputf8, size: _, ret, envelope_id, require_tls, hold, submitter: _, filter } =
        parameters;
    let body = match body {
        Body::SevenBit => "7bit",
        Body::EightBitMime => "8bitmime",
    };
    let smtputf8 = if *smtputf8 { "yes" } else { "no" };
    let mut add = |name: &str, value: String| {
        writeln!(text, "{name} {value}").expect("a String takes any text");
    };
    add("body", body.to_owned());
    add("smtputf8", smtputf8.to_owned());
    if let Some(ret) = ret {
        add("ret", ret.to_string());
    }
    if let Some(envelope_id) = envelope_id {
        add("envelope-id", envelope_id.to_string());
    }
    if *require_tls {
        add("require-tls", "yes".to_owned());
    }
    match hold {
        Some(Hold::Until(time)) => add("hold-until", time.to_string()),
        // Whoever stores an entry knows when it arrived, and has made a time of this.
        Some(Hold::For(_)) | None => {}
    }
    if let Some(filter) = filter {
        add("filter", filter.replace(char::is_control, " "));
    }
}

fn parse_parameters(lines: &mut Lines<'_>) -> Option<MailParameters> {
    let body = match lines.take("body")? {
        "7bit" => Body::SevenBit,
        "8bitmime" => Body::EightBitMime,
        _ => return None,
    };
    let smtputf8 = match lines.take("smtputf8")? {
        "yes" => true,
        "no" => false,
        _ => return None,
    };
    let ret = lines.optional("ret", Return::parse).ok()?;
    let envelope_id = lines.optional("envelope-id", EnvelopeId::parse).ok()?;
    let require_tls = lines.optional("require-tls", |value| (value == "yes").then_some(())).ok()?.is_some();
    let hold = lines.optional("hold-until", |value| value.parse().ok().map(Hold::Until)).ok()?;
    let filter = lines.optional("filter", |value| Some(value.into())).ok()?;
    Some(MailParameters {
        body,
        smtputf8,
        size: None,
        ret,
        envelope_id,
        require_tls,
        hold,
        submitter: None,
        filter,
    })
}

/// `<path> [notify=...] [resolved=yes] [added=yes] [orcpt=...]`
fn encode_recipient(recipient: &envelope::Recipient, text: &mut String) {
    let envelope::Recipient { path, notify, original, resolved, added } = recipient;
    write!(text, "recipient {path}").expect("a String takes any text");
    if *notify != Notify::Unsaid {
        write!(text, " notify={notify}").expect("a String takes any text");
    }
    if *resolved {
        text.push_str(" resolved=yes");
    }
    if *added {
        text.push_str(" added=yes");
    }
    if let Some(original) = original {
        write!(text, " orcpt={original}").expect("a String takes any text");
    }
    text.push('\n');
}

/// A quoted path may hold `> ` itself, and the last parameter a `>`, but no space: so the path ends at the last
/// `> `, unless the whole is a path.
fn parse_recipient(text: &str) -> Option<envelope::Recipient> {
    let path = |text: &str| ForwardPath::parse(in_brackets(text)?).ok();
    if let Some(path) = path(text) {
        return Some(path.into());
    }
    let (before, behind) = text.rsplit_once("> ")?;
    let before = format!("{before}>");
    let mut recipient = envelope::Recipient::from(path(&before)?);
    for word in behind.split(' ') {
        match word.split_once('=')? {
            ("notify", value) => recipient.notify = Notify::parse(value)?,
            ("orcpt", value) => recipient.original = Some(OriginalRecipient::parse(value)?),
            ("resolved", "yes") => recipient.resolved = true,
            ("added", "yes") => recipient.added = true,
            _ => return None,
        }
    }
    Some(recipient)
}

/// The version in the first line; `None` for something that never was an entry.
fn version(bytes: &[u8]) -> Option<u32> {
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix(MAGIC)?.parse().ok()
}

fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

/// Where the content lies in the file, and how to know it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) checksum: u32,
}

/// A message in the queue with all that has happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: TraceId,
    pub(crate) arrived: u64,
    pub(crate) reverse_path: ReversePath,
    pub(crate) parameters: MailParameters,
    pub(crate) content: Span,
    pub(crate) recipients: Vec<Recipient>,
    /// Seed of the checksums of its records.
    pub(crate) seed: u32,
    /// Where in the file the next record goes.
    pub(crate) tail: u64,
    /// When anything was recorded, oldest first, each time once.
    times: Vec<u64>,
    /// How long after its arrival it is to be tried first: what the sender wants (RFC 4865 §5), or less if an
    /// operator released it.
    wait: Duration,
}

impl Entry {
    /// The entry of a head whose text took `start` bytes, before anything happened to it.
    pub(crate) fn new(head: Head, seed: u32, start: u64) -> Self {
        let Head { id, arrived, content_length: length, content_checksum, .. } = head;
        let first_attempt = head.first_attempt();
        let wait = Duration::from_secs(first_attempt.saturating_sub(arrived));
        let Envelope { reverse_path, recipients, parameters } = head.envelope;
        let content = Span { start, length, checksum: content_checksum };
        Self {
            id,
            arrived,
            reverse_path,
            parameters: MailParameters { size: Some(length), ..parameters },
            content,
            recipients: recipients
                .into_iter()
                .map(|addressed| Recipient::new(addressed, first_attempt))
                .collect(),
            seed,
            tail: start.saturating_add(content.length),
            times: vec![arrived],
            wait,
        }
    }

    /// Takes in what happened; a record about nobody is damage.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), Damage> {
        let recipient = self.recipients.get_mut(record.recipient).ok_or(Damage::Record)?;
        recipient.apply(record.at, &record.fact);
        if matches!(record.fact, Fact::Released { .. }) {
            // An operator may release what its sender wanted to wait, too.
            let waited = Duration::from_secs(record.at.saturating_sub(self.arrived));
            self.wait = self.wait.min(waited);
        }
        if self.times.last() != Some(&record.at) {
            self.times.push(record.at);
        }
        Ok(())
    }

    /// How long it has been waiting to be delivered, as far as clocks can be believed. What the sender wanted it
    /// to wait does not count.
    pub(crate) fn age(&self, now: Moment) -> Duration {
        schedule::age(&self.times, now).saturating_sub(self.wait)
    }

    /// Whether the time that the sender wanted it to wait is over: by the wall clock, which is all that an
    /// appointed time can mean, or by the time that passed before our eyes, so that a clock set back keeps
    /// nothing longer than was asked for (RFC 4865 §4).
    pub(crate) fn is_released(&self, now: Moment) -> bool {
        now.wall >= self.appointed() || schedule::age(&self.times, now) >= self.wait
    }

    /// Until when its sender wants it to wait, in seconds since 1970.
    pub(crate) fn appointed(&self) -> u64 {
        self.arrived.saturating_add(self.wait.as_secs())
    }

    /// Whether nobody is left to try or to tell.
    pub(crate) fn is_settled(&self) -> bool {
        let over = |r: &Recipient| !matches!(r.progress, Progress::Open { .. } | Progress::Held);
        self.recipients.iter().all(|r| over(r) && r.owed(self.has_sender()).is_none())
    }

    /// Places of the recipients whose end the sender is to be told of and does not know yet.
    pub(crate) fn owed(&self, occasion: Occasion) -> Vec<usize> {
        self.places(|r| r.owed(self.has_sender()) == Some(occasion))
    }

    /// Places of the recipients that were tried in vain so far, and whose sender wants to hear of delays and did
    /// not yet.
    pub(crate) fn unwarned(&self) -> Vec<usize> {
        let tried = |r: &Recipient| r.state() == RecipientState::Deferred;
        self.places(|r| self.has_sender() && tried(r) && !r.warned && r.addressed.notify.on_delay())
    }

    /// Places of the recipients that are still to be tried, held ones too.
    pub(crate) fn unfinished(&self) -> Vec<usize> {
        self.places(|r| matches!(r.progress, Progress::Open { .. } | Progress::Held))
    }

    /// Whether an operator holds any recipient.
    pub(crate) fn is_held(&self) -> bool {
        self.recipients.iter().any(|r| r.progress == Progress::Held)
    }

    /// Whether there is somebody to tell.
    fn has_sender(&self) -> bool {
        self.reverse_path != ReversePath::Null
    }

    /// Places of those recipients of whom this is true.
    pub(crate) fn places(&self, is_wanted: impl Fn(&Recipient) -> bool) -> Vec<usize> {
        self.recipients.iter().enumerate().filter(|(_, r)| is_wanted(r)).map(|(place, _)| place).collect()
    }

    /// Places of the open recipients that are to be tried at `until` or before, or were not tried since
    /// somebody `asked`.
    pub(crate) fn due(&self, until: u64, asked: Option<u64>) -> impl Iterator<Item = usize> {
        let tried = |r: &Recipient| r.last.as_ref().map_or(0, |(at, _)| *at);
        let wanted = move |r: &Recipient| asked.is_some_and(|asked| tried(r) <= asked);
        let due = move |r: &Recipient| r.next().is_some_and(|next| next <= until || wanted(r));
        self.recipients.iter().enumerate().filter(move |(_, r)| due(r)).map(|(place, _)| place)
    }

    /// When the first open recipient is to be tried, in seconds since 1970.
    pub(crate) fn next(&self) -> Option<u64> {
        self.recipients.iter().filter_map(Recipient::next).min()
    }
}

#[cfg(test)]
mod tests;
