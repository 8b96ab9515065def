//! Builds what tells a sender how a message ended, or that it takes long: delivery status notifications.

mod parts;

use std::time::Duration;

use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Body, MailParameters};
use kings_mail::header;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::Return;
use kings_mail::trace;

use crate::clock::Moment;
use crate::deliver::{Handover, Notification, Report};
use crate::entry::{Entry, Head};
use crate::recipient::{Occasion, Recipient};
use crate::record::{Fact, Record};

/// Most of the returned header, in bytes. A notification is about a message, not a copy of it.
pub(crate) const MAX_RETURNED_HEADER: u64 = 32 * 1024;
/// Largest message returned whole, in bytes: whoever asks for it (RFC 3461 §4.3) gets a text with a picture
/// back, not 50 MB.
pub const MAX_RETURNED_MESSAGE: u64 = 1024 * 1024;

/// Longest Message-ID that is repeated, in octets.
const MAX_MESSAGE_ID: usize = 250;

/// What the Message-ID of a report to an operator has before its host: of a double bounce, and of a copy.
const TO_OPERATORS: [&str; 2] = ["2bounce", "copy"];

/// The life in the queue of what never was there.
const UNTRIED: Duration = Duration::ZERO;

/// What is to be told, and with what at hand.
pub(crate) struct Notice<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) occasion: Occasion,
    /// Places of the recipients it is about.
    pub(crate) places: &'a [usize],
    pub(crate) excerpt: Excerpt,
    /// Our own name.
    pub(crate) hostname: &'a Domain,
    /// How long such messages are tried.
    pub(crate) lifetime: Duration,
    pub(crate) now: Moment,
    /// Who is told instead of the sender: of a message that has none, or beside him.
    pub(crate) operator: Option<&'a ForwardPath>,
}

/// What is at hand of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Excerpt {
    /// The first bytes, from which the header is returned.
    Beginning(Vec<u8>),
    /// All of it.
    Whole(Vec<u8>),
}

/// Whether the sender gets the whole message back: only from a failure, only where that was asked for, and never
/// a stranger's message to the postmaster (RFC 3461 §4.3).
pub(crate) fn returns_whole(entry: &Entry, occasion: Occasion) -> bool {
    entry.parameters.ret == Some(Return::Full)
        && occasion == Occasion::Failure
        && entry.reverse_path != ReversePath::Null
        && entry.content.length <= MAX_RETURNED_MESSAGE
}

/// Builds the notification (RFC 3464, in the frame of RFC 6522 §3).
///
/// `None` when nobody is left to tell: there is neither sender nor operator, or the message was itself for the operator.
pub(crate) fn build(notice: &Notice<'_>) -> Option<Notification> {
    let Notice { entry, hostname, .. } = notice;
    let place = notice.places.first()? + 1;
    let forward_path = addressee(notice)?;
    let parts = notice.parts();
    // A place is reported once on each occasion, so the lowest one makes the name unique and yet the same if a
    // crash makes us post the same thing again: readers can tell the copies.
    let message_id = format!("{}.{place}.{}@{hostname}", entry.id, notice.word());
    let boundary = boundary(entry, &parts);
    let mut content = notice.header(&forward_path, &boundary, &message_id);
    for part in &parts {
        content.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        content.extend_from_slice(part);
    }
    content.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let body = if content.is_ascii() { Body::SevenBit } else { Body::EightBitMime };
    let size = Some(content.len() as u64);
    let smtputf8 = forward_path.needs_smtputf8();
    let parameters = MailParameters { body, smtputf8, size, ..MailParameters::default() };
    let (Excerpt::Whole(bytes) | Excerpt::Beginning(bytes)) = &notice.excerpt;
    let verdict = bytes[..trace::notes_length(bytes)].to_vec();
    Some(Notification { about: entry.id, forward_path, parameters, content, verdict })
}

/// Builds what tells the sender of a message that went its way at once, without an entry: `done` says of each
/// recipient of the envelope who has it now. `None` unless the sender asked to hear of success.
pub(crate) fn of_success(
    message: Head,
    done: &[Handover],
    beginning: &[u8],
    hostname: &Domain,
    now: Moment,
) -> Option<Notification> {
    let mut entry = Entry::new(message, 0, 0);
    for (recipient, &handover) in done.iter().enumerate() {
        let fact = Fact::Delivered(handover, Report::ours(Status::DONE, ""));
        entry.apply(&Record { at: now.wall, recipient, fact }).ok()?;
    }
    let (occasion, excerpt) = (Occasion::Success, Excerpt::Beginning(beginning.to_vec()));
    let places = entry.owed(occasion);
    let lifetime = UNTRIED;
    build(&Notice {
        entry: &entry,
        occasion,
        places: &places,
        excerpt,
        hostname,
        lifetime,
        now,
        operator: None,
    })
}

/// Builds what tells the sender of a message that was refused before it had an entry, for all its recipients: `why`.
/// `None` unless there is a sender who wants to hear of failures. Last, whether all of the message goes back.
pub(crate) fn of_refusal(
    message: Head,
    why: &Report,
    excerpt: Excerpt,
    hostname: &Domain,
    now: Moment,
) -> Option<(Notification, bool)> {
    let mut entry = Entry::new(message, 0, 0);
    for recipient in 0..entry.recipients.len() {
        let fact = Fact::Failed(why.clone());
        entry.apply(&Record { at: now.wall, recipient, fact }).ok()?;
    }
    let occasion = Occasion::Failure;
    let places = entry.owed(occasion);
    let lifetime = UNTRIED;
    let notice =
        Notice { entry: &entry, occasion, places: &places, excerpt, hostname, lifetime, now, operator: None };
    let notification = build(&notice)?;
    Some((notification, notice.returns_all()))
}

/// An operator is told, unless that is who could not be reached, or it was a report to one that failed: a report on a
/// report on a report would go round for ever (RFC 5321 §6.1). An operator's address may lead to another server, so
/// that the report itself is looked at as well.
fn addressee(notice: &Notice<'_>) -> Option<ForwardPath> {
    match (notice.operator, &notice.entry.reverse_path) {
        (Some(operator), _) => {
            let failed = notice.recipients().any(|recipient| recipient.path() == operator);
            (!failed && !notice.is_about_a_report_to_an_operator()).then(|| operator.clone())
        }
        (None, ReversePath::Address(address)) => Some(ForwardPath::Address(address.clone())),
        (None, ReversePath::Null) => None,
    }
}

impl<'a> Notice<'a> {
    /// The same as a copy for an operator, who gets no content of others.
    pub(crate) fn for_operator(&self, operator: &'a ForwardPath) -> Self {
        let (Excerpt::Whole(bytes) | Excerpt::Beginning(bytes)) = &self.excerpt;
        let Self { entry, occasion, places, hostname, lifetime, now, .. } = *self;
        let excerpt = Excerpt::Beginning(bytes.clone());
        Self { entry, occasion, places, excerpt, hostname, lifetime, now, operator: Some(operator) }
    }
}

impl Notice<'_> {
    /// Whether the message says to be what we have told an operator. Who forges that keeps a report about himself from him.
    fn is_about_a_report_to_an_operator(&self) -> bool {
        let is_one =
            |id: &str| TO_OPERATORS.iter().any(|word| id.ends_with(&format!(".{word}@{}>", self.hostname)));
        self.entry.reverse_path == ReversePath::Null && self.about().is_some_and(|id| is_one(&id))
    }

    /// Whether it is a copy of what the sender is told.
    fn is_copy(&self) -> bool {
        self.operator.is_some() && self.entry.reverse_path != ReversePath::Null
    }

    /// Those it is about.
    fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.places.iter().filter_map(|&place| self.entry.recipients.get(place))
    }

    fn header(&self, forward_path: &ForwardPath, boundary: &str, message_id: &str) -> Vec<u8> {
        let (hostname, subject, now) = (self.hostname, self.subject(), date(self.now.wall));
        let to = match forward_path {
            ForwardPath::Postmaster => format!("postmaster@{hostname}"),
            ForwardPath::Address(address) => address.to_string(),
        };
        // RFC 3834 §3.1.5: a mail program shows the report beside the message.
        let about =
            self.about().map_or(String::new(), |id| format!("In-Reply-To: {id}\r\nReferences: {id}\r\n"));
        // RFC 3834 §5: no program may answer this.
        format!(
            "From: Mail delivery <MAILER-DAEMON@{hostname}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
             Date: {now}\r\nMessage-ID: <{message_id}>\r\n{about}Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n"
        )
        .into_bytes()
    }

    /// The Message-ID of the message, as far as it is a plain one.
    fn about(&self) -> Option<String> {
        let (Excerpt::Whole(bytes) | Excerpt::Beginning(bytes)) = &self.excerpt;
        let id = header::first(bytes, "Message-ID")?.text();
        let id = id.trim();
        let inside = id.strip_prefix('<')?.strip_suffix('>')?;
        let is_plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'(' | b')' | b'\\' | b'"');
        (id.len() <= MAX_MESSAGE_ID && inside.contains('@') && inside.bytes().all(is_plain))
            .then(|| id.to_owned())
    }

    fn subject(&self) -> &'static str {
        match self.occasion {
            Occasion::Failure if self.entry.reverse_path == ReversePath::Null => {
                "A report could not be delivered"
            }
            Occasion::Failure if self.is_copy() => "Postmaster copy: a message could not be delivered",
            Occasion::Delay if self.is_copy() => "Postmaster copy: a message is not delivered yet",
            Occasion::Failure => "Your message could not be delivered",
            Occasion::Delay => "Your message is not delivered yet",
            Occasion::Success => "Your message was delivered or passed on",
        }
    }

    /// Tells the occasions apart in the Message-ID.
    fn word(&self) -> &'static str {
        match self.occasion {
            _ if self.is_copy() => TO_OPERATORS[1],
            _ if self.operator.is_some() => TO_OPERATORS[0],
            Occasion::Failure => "bounce",
            Occasion::Delay => "delay",
            Occasion::Success => "success",
        }
    }
}

/// Begins with the id, which nobody knew while the message was written; and is lengthened should it
/// occur in a part all the same.
fn boundary(entry: &Entry, parts: &[Vec<u8>]) -> String {
    let mut boundary = format!("{}-report", entry.id);
    let occurs = |boundary: &str| {
        parts.iter().any(|part| part.windows(boundary.len()).any(|window| window == boundary.as_bytes()))
    };
    // RFC 2046 §5.1.1 allows 70 characters.
    while boundary.len() < 70 && occurs(&boundary) {
        boundary.push('-');
    }
    boundary
}

/// A wall clock time for people.
pub(crate) fn date(seconds: u64) -> DateTime {
    DateTime::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
