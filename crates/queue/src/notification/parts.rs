//! The parts of a notification: plain words, fields for programs, and what is returned of the message.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::dsn::{self, Action, MessageFields, RecipientFields, Status, one_line};
use kings_mail::path::ReversePath;
use kings_mail::report::Return;
use kings_mail::{seven_bit, trace};

use super::{Excerpt, MAX_RETURNED_HEADER, Notice, date};
use crate::deliver::{Handover, Report};
use crate::recipient::{Occasion, Progress, Recipient};

/// Longest line of a message without its CRLF, in octets (RFC 5322 §2.1.1).
const MAX_LINE: usize = 998;
/// Most of a server's words shown to a human, in octets.
const MAX_SHOWN_REPLY: usize = 512;

impl Notice<'_> {
    /// What stands between the boundaries, in its order (RFC 6522 §3).
    pub(super) fn parts(&self) -> [Vec<u8>; 3] {
        let returned = self.returned();
        let words = part("text/plain; charset=utf-8", self.explanation(&returned).into_bytes());
        [words, self.status_part(), returned.into_part()]
    }

    /// The plain words.
    fn explanation(&self, returned: &Returned) -> String {
        let copy = if self.is_copy() {
            "This is a copy for you, the postmaster, of what the sender is told.\r\n\r\n"
        } else {
            ""
        };
        let mut text = format!("This is the mail server {}.\r\n\r\n{copy}{}", self.hostname, self.opening());
        for recipient in self.recipients() {
            write!(text, "\r\n  {}\r\n    {}\r\n", recipient.path(), self.reason(recipient))
                .expect("a String takes any text");
        }
        write!(
            text,
            "\r\n{}{}\r\n\r\nFor whoever runs mail servers: its name at {} is {}.\r\n",
            self.outlook(),
            returned.words(),
            self.hostname,
            self.entry.id
        )
        .expect("a String takes any text");
        text
    }

    fn opening(&self) -> &'static str {
        match (self.occasion, &self.entry.reverse_path) {
            (Occasion::Failure, ReversePath::Null) => {
                "The report below has no sender who could be told, so you, the postmaster, are:\r\n\
                 it could not be delivered.\r\n"
            }
            (Occasion::Failure, _) => "Your message could not be delivered to the following recipients.\r\n",
            (Occasion::Delay, _) => "Your message is not delivered yet to the following recipients.\r\n",
            (Occasion::Success, _) => "You asked to hear when your message gets through. It did:\r\n",
        }
    }

    /// What will happen next.
    fn outlook(&self) -> String {
        match self.occasion {
            Occasion::Failure => format!("{}No further attempt will be made. ", self.advice()),
            Occasion::Delay => {
                let until = self.retry_until();
                format!(
                    "You need not do anything, nor send it again: it is tried until\r\n{until}, and you will be told if it \
                     fails.\r\n"
                )
            }
            Occasion::Success => String::new(),
        }
    }

    /// What the sender can do, where the reasons say it; each once. The postmaster knows better.
    fn advice(&self) -> String {
        if self.operator.is_some() {
            return String::new();
        }
        let mut all: Vec<&str> = Vec::new();
        for recipient in self.recipients() {
            let advice = recipient.last.as_ref().map_or(ASK, |(_, report)| advice(report.status));
            if !all.contains(&advice) {
                all.push(advice);
            }
        }
        format!(
            "{}\r\nIf you need help, send this report to <postmaster@{}>.\r\n\r\n",
            all.join("\r\n"),
            self.hostname
        )
    }

    fn retry_until(&self) -> DateTime {
        let left = self.lifetime.saturating_sub(self.entry.age(self.now));
        date(self.now.wall.saturating_add(left.as_secs()))
    }

    fn reason(&self, recipient: &Recipient) -> String {
        let Some((_, report)) = &recipient.last else { return "It was given up.".to_owned() };
        let reply = one_line(&report.reply, MAX_SHOWN_REPLY);
        let remote = report.remote.as_deref().map(|remote| one_line(remote, MAX_SHOWN_REPLY));
        let said = match &remote {
            Some(remote) if remote.starts_with('/') => {
                format!("the mail program of this server said:\r\n    {reply}")
            }
            Some(remote) => format!("the server {remote} said:\r\n    {reply}"),
            None => reply,
        };
        match (self.occasion, recipient.progress) {
            (Occasion::Success, Progress::Delivered(Handover::Mailbox)) => "It is in the mailbox.".to_owned(),
            (Occasion::Success, Progress::Delivered(Handover::Expanded)) => {
                "It went to those whom this address stands for.".to_owned()
            }
            (Occasion::Success, _) => format!(
                "It was passed on, and you will hear no more of it: {}",
                remote.map_or("there is no other server to name.".to_owned(), |_| said)
            ),
            (Occasion::Failure, _) if report.status == Status::EXPIRED && self.lifetime.is_zero() => {
                format!("It was tried once, and failed: {said}")
            }
            (Occasion::Failure, _) if report.status == Status::EXPIRED => {
                format!("It was tried for {}. At the last attempt, {said}", spoken(self.lifetime))
            }
            (Occasion::Failure | Occasion::Delay, _) => said,
        }
    }

    /// What programs read (RFC 3464 §2, RFC 6533 §4).
    fn status_part(&self) -> Vec<u8> {
        let global = dsn::needs_global(self.recipients().map(Recipient::path));
        let message = MessageFields {
            reporting_mta: self.hostname,
            arrival: date(self.entry.arrived),
            envelope_id: self.entry.parameters.envelope_id.as_ref(),
        };
        let unknown = Report::ours(Status(5, 0, 0), "");
        let fields: Vec<RecipientFields<'_>> =
            self.recipients().map(|recipient| self.fields(recipient, &unknown)).collect();
        let kind = if global { "message/global-delivery-status" } else { "message/delivery-status" };
        part(kind, dsn::delivery_status(&message, &fields, global).into_bytes())
    }

    fn fields<'b>(&'b self, recipient: &'b Recipient, unknown: &'b Report) -> RecipientFields<'b> {
        let report = recipient.last.as_ref().map_or(unknown, |(_, report)| report);
        let delayed = self.occasion == Occasion::Delay;
        RecipientFields {
            forward_path: recipient.path(),
            original: recipient.addressed.original.as_ref(),
            action: self.action(recipient),
            status: report.status,
            remote_mta: report.remote.as_deref().map(|remote| mta_name(remote, self.hostname)),
            diagnostic: &report.reply,
            last_attempt: recipient.last.as_ref().map(|(at, _)| date(*at)),
            retry_until: delayed.then(|| self.retry_until()),
        }
    }

    fn action(&self, recipient: &Recipient) -> Action {
        match (self.occasion, recipient.progress) {
            (Occasion::Failure, _) => Action::Failed,
            (Occasion::Delay, _) => Action::Delayed,
            (Occasion::Success, Progress::Delivered(Handover::Mailbox)) => Action::Delivered,
            (Occasion::Success, Progress::Delivered(Handover::Expanded)) => Action::Expanded,
            (Occasion::Success, _) => Action::Relayed,
        }
    }

    /// What goes back of the message.
    fn returned(&self) -> Returned {
        let utf8 = self.entry.parameters.smtputf8;
        // What we thought of it is for local readers.
        let (bytes, whole) = match &self.excerpt {
            Excerpt::Whole(bytes) => (&bytes[trace::notes_length(bytes)..], true),
            Excerpt::Beginning(bytes) => (&bytes[trace::notes_length(bytes)..], false),
        };
        if whole && let Some(bytes) = presentable(bytes, utf8) {
            return Returned::Whole(bytes, utf8);
        }
        let wanted =
            whole || (self.occasion == Occasion::Failure && self.operator.is_none() && self.asked_for_all());
        Returned::Header(returned_header(bytes), utf8, wanted)
    }

    /// Whether all of the message goes back, and not its header alone.
    pub(super) fn returns_all(&self) -> bool {
        matches!(self.returned(), Returned::Whole(..))
    }

    fn asked_for_all(&self) -> bool {
        self.entry.parameters.ret == Some(Return::Full) && self.entry.reverse_path != ReversePath::Null
    }
}

const ASK: &str = "Show this report to whoever runs your mail server if you do not know what to do about it.";

/// What a sender can do about a failure, in words for everybody (the codes: RFC 3463 §3).
fn advice(status: Status) -> &'static str {
    match status {
        Status(5, 1, 1 | 3 | 6) => {
            "Look whether the address is written right, or ask the recipient for the right one."
        }
        Status(5, 1, 2 | 10) | Status(5, 4, 4) => {
            "Look whether what stands behind the @ is written right: no mail can be sent there."
        }
        Status(5, 2, 1) => "The mailbox takes no mail: reach the recipient in another way.",
        Status(5 | 4, 2, 2) => {
            "The mailbox is full: send it again later, or reach the recipient in another way."
        }
        Status(5, 2, 3) | Status(5, 3, 4) => {
            "The message is too large there: send it in parts, or without attachments."
        }
        Status(5, 4, 6) => {
            "Mail for this address goes in a circle: only those who run its mail servers can change that."
        }
        Status(5, 6, _) => {
            "The server there does not take mail of this form: send it as plain text, without special characters."
        }
        Status(5, 7, 30) => {
            "The message asks to travel encrypted all the way (REQUIRETLS), and the server there does not offer that. Send it \
             without asking for that, or reach the recipient in another way."
        }
        Status(5, 7, _) => {
            "The server there refuses the message by its rules: it may take it for spam. Change the message, or ask the \
             recipient, in another way, to have it accepted."
        }
        Status::EXPIRED | Status(5, 4, 7) => {
            "The server there could not be reached, or put it off each time: send it again later."
        }
        _ => ASK,
    }
}

/// The name of a host as the type `dns` has it, without the address that we write behind it for people (RFC 3464
/// §2.3.5); a program on this server has our name.
fn mta_name<'b>(remote: &'b str, hostname: &'b Domain) -> &'b str {
    if remote.starts_with('/') {
        return hostname.as_str();
    }
    match remote.split_once('[') {
        Some((name, _)) if name.parse::<IpAddr>().is_ok() => &remote[name.len()..],
        Some((name, _)) if !name.is_empty() => name,
        _ => remote,
    }
}

/// A time as people say it, in the largest unit that it is a multiple of.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let whole = |(unit, _): &&(u64, &str)| seconds >= *unit && seconds.is_multiple_of(*unit);
    let (unit, name) = units.iter().find(whole).unwrap_or(&units[3]);
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// What goes back of a message, and whether it may hold UTF-8 by right.
enum Returned {
    Whole(Vec<u8>, bool),
    /// The header alone; last, whether more was asked for.
    Header(Vec<u8>, bool, bool),
}

impl Returned {
    fn words(&self) -> &'static str {
        match self {
            Self::Whole(..) => "The message is attached.",
            Self::Header(_, _, false) => "The header of the message is attached.",
            Self::Header(_, _, true) => {
                "The message cannot be returned whole, as was asked: its header is attached."
            }
        }
    }

    /// RFC 6522 §4; RFC 6533 §6.3 for what holds UTF-8 by right.
    fn into_part(self) -> Vec<u8> {
        let (bytes, utf8, kinds) = match self {
            Self::Whole(bytes, utf8) => (bytes, utf8, ["message/rfc822", "message/global"]),
            Self::Header(bytes, utf8, _) => (bytes, utf8, ["text/rfc822-headers", "message/global-headers"]),
        };
        part(kinds[usize::from(is_global(&bytes, utf8))], bytes)
    }
}

/// A message as it may stand in a report. A `message/rfc822` may have no encoding of its own (RFC 2045 §6.4), so it is
/// converted inside; one that is UTF-8 by right is encoded as a whole. `None` where neither works.
fn presentable(content: &[u8], utf8: bool) -> Option<Vec<u8>> {
    if !is_presentable(content) {
        return None;
    }
    if is_global(content, utf8) { Some(content.to_vec()) } else { seven_bit::to_seven_bit(content).ok() }
}

/// Whether it is UTF-8 by right.
fn is_global(content: &[u8], utf8: bool) -> bool {
    utf8 && !content.is_ascii() && std::str::from_utf8(content).is_ok()
}

/// Whether a message may stand in another as it is: line ends are CRLF, lines are short, NUL is not in it.
fn is_presentable(content: &[u8]) -> bool {
    let mut lines = content.split(|&byte| byte == b'\n');
    // Behind the last line end there is nothing.
    let ends = lines.next_back().is_some_and(<[u8]>::is_empty);
    ends && lines.all(|line| {
        line.strip_suffix(b"\r")
            .is_some_and(|text| text.len() <= MAX_LINE && !text.iter().any(|byte| matches!(byte, b'\r' | 0)))
    })
}

/// The lines before the first empty one, each at most 998 octets, all at most [`MAX_RETURNED_HEADER`].
/// Whatever is no CRLF or is NUL could split the report and is left out.
pub(super) fn returned_header(beginning: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    for line in beginning.split(|&byte| byte == b'\n') {
        let line: Vec<u8> =
            line.iter().copied().filter(|byte| !matches!(byte, b'\r' | 0)).take(MAX_LINE).collect();
        if line.is_empty() || (header.len() + line.len() + 2) as u64 > MAX_RETURNED_HEADER {
            break;
        }
        header.extend_from_slice(&line);
        header.extend_from_slice(b"\r\n");
    }
    header
}

/// 7-bit, whatever it tells about: a report has to get through where the message did not (RFC 6533 §3 for the types of
/// internationalized mail, RFC 2045 §6 for texts).
fn part(content_type: &str, body: Vec<u8>) -> Vec<u8> {
    let (encoding, body) = if body.is_ascii() { ("7bit", body) } else { seven_bit::encoded(&body) };
    let head = format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    // The line end before the boundary belongs to the boundary (RFC 2046 §5.1.1).
    [head.into_bytes(), body, b"\r\n".to_vec()].concat()
}
