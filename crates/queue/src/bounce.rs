//! Builds the report that tells a sender what could not be delivered.

use std::fmt::Write as _;

use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::dsn::{self, Action, MessageFields, RecipientFields, Status, one_line};
use kings_mail::envelope::{Body, MailParameters};
use kings_mail::path::{ForwardPath, ReversePath};

use crate::deliver::{Bounce, Report};
use crate::entry::{Entry, Recipient};
use crate::schedule::LIFETIME;

/// Most of the returned header, in bytes. A report is about a message, not a copy of it.
pub(crate) const MAX_RETURNED_HEADER: usize = 32 * 1024;
/// Longest line of a message without its CRLF, in octets (RFC 5322 §2.1.1).
const MAX_LINE: usize = 998;
/// Most of a server's words shown to a human, in octets.
const MAX_SHOWN_REPLY: usize = 512;

/// Builds the report on the recipients at the places `failed` of `entry` (RFC 3464, in the frame of RFC 6522 §3).
///
/// `beginning` is the start of the content, from which the header is returned. `None` when nobody is left to
/// tell: the message was itself a report to the postmaster here.
pub(crate) fn build(
    entry: &Entry,
    failed: &[usize],
    beginning: &[u8],
    hostname: &Domain,
    now: DateTime,
) -> Option<Bounce> {
    let forward_path = addressee(entry, failed)?;
    let recipients: Vec<&Recipient> =
        failed.iter().filter_map(|&place| entry.recipients.get(place)).collect();
    let global = dsn::needs_global(recipients.iter().map(|recipient| recipient.path()));
    let parts = [
        explanation_part(entry, &recipients, hostname),
        status_part(entry, &recipients, hostname, global),
        header_part(beginning, entry.parameters.smtputf8),
    ];
    // A place is reported once, so the lowest one makes the name unique and yet the same if a crash makes us
    // post the same report again: readers can tell the copies.
    let message_id = format!("{}.{}.bounce@{hostname}", entry.id, failed.first()? + 1);
    let boundary = boundary(entry, &parts);
    let mut content = header(&forward_path, &boundary, &message_id, hostname, now);
    for part in &parts {
        content.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        content.extend_from_slice(part);
    }
    content.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let body = if content.is_ascii() { Body::SevenBit } else { Body::EightBitMime };
    let size = Some(content.len() as u64);
    let smtputf8 = forward_path.needs_smtputf8();
    let parameters = MailParameters { body, smtputf8, size, ..MailParameters::default() };
    Some(Bounce { about: entry.id, forward_path, parameters, content })
}

/// The sender is told; where there is none, the postmaster here, unless that is who could not be reached: a
/// report on a report on a report would go round for ever (RFC 5321 §6.1).
fn addressee(entry: &Entry, failed: &[usize]) -> Option<ForwardPath> {
    match &entry.reverse_path {
        ReversePath::Address(address) => Some(ForwardPath::Address(address.clone())),
        ReversePath::Null => {
            let postmaster = |place: &usize| {
                entry.recipients.get(*place).is_some_and(|r| *r.path() == ForwardPath::Postmaster)
            };
            (!failed.iter().any(postmaster)).then_some(ForwardPath::Postmaster)
        }
    }
}

fn header(
    forward_path: &ForwardPath,
    boundary: &str,
    message_id: &str,
    hostname: &Domain,
    now: DateTime,
) -> Vec<u8> {
    let to = match forward_path {
        ForwardPath::Postmaster => format!("postmaster@{hostname}"),
        ForwardPath::Address(address) => address.to_string(),
    };
    // RFC 3834 §5: no program may answer this.
    format!(
        "From: Mail delivery <MAILER-DAEMON@{hostname}>\r\nTo: <{to}>\r\nSubject: Your message could not be delivered\r\n\
         Date: {now}\r\nMessage-ID: <{message_id}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n"
    )
    .into_bytes()
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

/// The plain words.
fn explanation_part(entry: &Entry, recipients: &[&Recipient], hostname: &Domain) -> Vec<u8> {
    let mut text = format!("This is the mail server {hostname}.\r\n\r\n");
    if entry.reverse_path == ReversePath::Null {
        text.push_str(
            "The report below has no sender who could be told, so you, the postmaster, are:\r\n\
             it could not be delivered.\r\n",
        );
    } else {
        text.push_str("Your message could not be delivered to the following recipients.\r\n");
    }
    for recipient in recipients {
        write!(text, "\r\n  {}\r\n    {}\r\n", recipient.path(), reason(recipient))
            .expect("a String takes any text");
    }
    text.push_str("\r\nNo further attempt will be made. The header of the message is attached.\r\n");
    write!(text, "Its name here was {}.\r\n", entry.id).expect("a String takes any text");
    part("text/plain; charset=utf-8", text.into_bytes())
}

fn reason(recipient: &Recipient) -> String {
    let Some((_, report)) = &recipient.last else { return "It was given up.".to_owned() };
    let reply = one_line(&report.reply, MAX_SHOWN_REPLY);
    let said = match &report.remote {
        Some(remote) => format!("the server {} said:\r\n    {reply}", one_line(remote, MAX_SHOWN_REPLY)),
        None => reply,
    };
    if report.status == Status::EXPIRED {
        let days = LIFETIME.as_secs() / 86_400;
        return format!("It was tried for {days} days. At the last attempt, {said}");
    }
    said
}

/// What programs read (RFC 3464 §2, RFC 6533 §4).
fn status_part(entry: &Entry, recipients: &[&Recipient], hostname: &Domain, global: bool) -> Vec<u8> {
    let message = MessageFields { reporting_mta: hostname, arrival: date(entry.arrived) };
    let unknown = Report::ours(Status(5, 0, 0), "");
    let fields: Vec<RecipientFields<'_>> = recipients
        .iter()
        .map(|recipient| {
            let report = recipient.last.as_ref().map_or(&unknown, |(_, report)| report);
            RecipientFields {
                forward_path: recipient.path(),
                action: Action::Failed,
                status: report.status,
                remote_mta: report.remote.as_deref(),
                diagnostic: &report.reply,
                last_attempt: recipient.last.as_ref().map(|(at, _)| date(*at)),
            }
        })
        .collect();
    let kind = if global { "message/global-delivery-status" } else { "message/delivery-status" };
    part(kind, dsn::delivery_status(&message, &fields, global).into_bytes())
}

/// The header of the message (RFC 6522 §4, RFC 6533 §6.3 where it holds UTF-8 by right).
fn header_part(beginning: &[u8], smtputf8: bool) -> Vec<u8> {
    let header = returned_header(beginning);
    let global = smtputf8 && !header.is_ascii() && std::str::from_utf8(&header).is_ok();
    part(if global { "message/global-headers" } else { "text/rfc822-headers" }, header)
}

/// The lines before the first empty one, each at most 998 octets, all at most [`MAX_RETURNED_HEADER`].
/// Whatever is no CRLF or is NUL could split the report and is left out.
fn returned_header(beginning: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    for line in beginning.split(|&byte| byte == b'\n') {
        let line: Vec<u8> =
            line.iter().copied().filter(|byte| !matches!(byte, b'\r' | 0)).take(MAX_LINE).collect();
        if line.is_empty() || header.len() + line.len() + 2 > MAX_RETURNED_HEADER {
            break;
        }
        header.extend_from_slice(&line);
        header.extend_from_slice(b"\r\n");
    }
    header
}

fn part(content_type: &str, body: Vec<u8>) -> Vec<u8> {
    let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
    let head = format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    // The line end before the boundary belongs to the boundary (RFC 2046 §5.1.1).
    [head.into_bytes(), body, b"\r\n".to_vec()].concat()
}

pub(crate) fn date(seconds: u64) -> DateTime {
    DateTime::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::entry::Head;
    use crate::record::{Fact, Record};
    use kings_mail::id::TraceId;

    fn entry(reverse_path: &str, recipient: &str, report: Report) -> Entry {
        let head = Head {
            id: TraceId::new(1, 2),
            arrived: 0,
            envelope: crate::testing::envelope(reverse_path, &[recipient]),
            content_length: 0,
            content_checksum: 0,
        };
        let mut entry = Entry::new(head, 0, 0);
        entry.apply(&Record { at: 60, recipient: 0, fact: Fact::Failed(report) }).unwrap();
        entry
    }

    fn said(reply: &str) -> Report {
        Report { status: Status(5, 1, 1), remote: Some("mx.elsewhere.example".into()), reply: reply.into() }
    }

    fn bounce(entry: &Entry, beginning: &[u8]) -> Option<Bounce> {
        let hostname = Domain::parse("mx.example.org").unwrap();
        build(entry, &[0], beginning, &hostname, DateTime::from_unix(120))
    }

    #[test]
    fn the_whole_report_reads_like_this() {
        let entry = entry("ann@example.org", "joe@elsewhere.example", said("550 5.1.1 No such user"));
        let bounce = bounce(&entry, b"From: ann@example.org\r\nSubject: hi\r\n\r\nbody\r\n").unwrap();
        let expected = "\
From: Mail delivery <MAILER-DAEMON@mx.example.org>
To: <ann@example.org>
Subject: Your message could not be delivered
Date: Thu, 1 Jan 1970 00:02:00 +0000
Message-ID: <000000000010002.1.bounce@mx.example.org>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary=\"000000000010002-report\"

--000000000010002-report
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

This is the mail server mx.example.org.

Your message could not be delivered to the following recipients.

  <joe@elsewhere.example>
    the server mx.elsewhere.example said:
    550 5.1.1 No such user

No further attempt will be made. The header of the message is attached.
Its name here was 000000000010002.

--000000000010002-report
Content-Type: message/delivery-status
Content-Transfer-Encoding: 7bit

Reporting-MTA: dns; mx.example.org
Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000

Final-Recipient: rfc822; joe@elsewhere.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.elsewhere.example
Diagnostic-Code: smtp; 550 5.1.1 No such user
Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000

--000000000010002-report
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 7bit

From: ann@example.org
Subject: hi

--000000000010002-report--
";
        assert_eq!(String::from_utf8(bounce.content.clone()).unwrap().replace("\r\n", "\n"), expected);
        let envelope = bounce.envelope();
        assert_eq!(envelope.reverse_path, ReversePath::Null);
        assert_eq!(envelope.recipients, [ForwardPath::parse("ann@example.org").unwrap().into()]);
        assert_eq!((envelope.parameters.body, envelope.parameters.smtputf8), (Body::SevenBit, false));
    }

    #[test]
    fn a_message_without_a_sender_is_the_postmasters() {
        let null = entry("", "joe@elsewhere.example", said("550 no"));
        let notice = bounce(&null, b"").unwrap();
        assert_eq!(notice.forward_path, ForwardPath::Postmaster);
        assert!(
            String::from_utf8(notice.content).unwrap().contains("\r\nTo: <postmaster@mx.example.org>\r\n")
        );
        let notice_failed = entry("", "postmaster", said("550 no"));
        assert_eq!(bounce(&notice_failed, b""), None, "and there it ends");
    }

    #[test]
    fn an_expired_message_says_how_long_it_was_tried() {
        let report = Report { status: Status::EXPIRED, ..said("451 4.7.1 Come back later") };
        let text = bounce(&entry("ann@example.org", "joe@elsewhere.example", report), b"").unwrap().content;
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("tried for 5 days. At the last attempt, the server mx.elsewhere.example said:\r\n")
        );
        assert!(text.contains("\r\nStatus: 4.4.7\r\n"), "{text}");
    }

    #[test]
    fn utf8_uses_the_global_types_and_asks_for_what_it_needs() {
        let mut entry = entry("jürgen@example.org", "søren@elsewhere.example", said("550 nej"));
        entry.parameters.smtputf8 = true;
        let bounce = bounce(&entry, "Subject: Grüße\r\n\r\n".as_bytes()).unwrap();
        assert_eq!((bounce.parameters.body, bounce.parameters.smtputf8), (Body::EightBitMime, true));
        let text = String::from_utf8(bounce.content).unwrap();
        for expected in
            ["message/global-delivery-status\r\n", "utf-8; søren@", "message/global-headers\r\n", "Grüße"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn raw_8_bit_headers_travel_as_8_bit_and_not_as_utf8() {
        let entry = entry("ann@example.org", "joe@elsewhere.example", said("550 no"));
        let bounce = bounce(&entry, b"Subject: Gr\xfc\xdfe\r\n\r\n").unwrap();
        assert_eq!((bounce.parameters.body, bounce.parameters.smtputf8), (Body::EightBitMime, false));
        let text = String::from_utf8_lossy(&bounce.content).into_owned();
        assert!(text.contains("text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n"), "{text}");
    }

    #[test]
    fn hostile_headers_and_replies_stay_in_their_part() {
        let id = TraceId::new(1, 2);
        let reply = format!("550 no\r\n\r\n--{id}-report\r\nContent-Type: text/html\r\n\r\n<script>");
        let entry = entry("ann@example.org", "joe@elsewhere.example", said(&reply));
        let long = "x".repeat(5_000);
        let header = format!("--{id}-report--\r\nA: b\rc\0d\nX: {long}\r\n\r\n--{id}-report\r\n");
        let content = bounce(&entry, header.as_bytes()).unwrap().content;
        let text = String::from_utf8(content).unwrap();
        let boundary = format!("--{id}-report-");
        assert_eq!(text.lines().filter(|line| line.starts_with(&boundary)).count(), 5, "{text}");
        assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n', '\0'])));
        assert!(text.contains("\r\nA: bcd\r\n"), "{text}");
    }

    #[test]
    fn a_giant_header_is_cut_at_a_line() {
        let header = "X-Long: 0123456789\r\n".repeat(10_000);
        let returned = returned_header(header.as_bytes());
        assert!(returned.len() <= MAX_RETURNED_HEADER && returned.ends_with(b"6789\r\n"));
    }
}
