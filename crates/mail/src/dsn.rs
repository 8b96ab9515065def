//! Delivery status notifications: enhanced status codes and the machine-readable part of a report.

use std::fmt::{self, Write as _};

use crate::date::DateTime;
use crate::domain::Domain;
use crate::path::ForwardPath;
use crate::report::{EnvelopeId, OriginalRecipient};
use crate::visible::is_active;

/// Longest text taken from another server into one field, in octets: a reply line of RFC 5321 §4.5.3.1.5 and
/// its field name stay below the 998 octets of RFC 5322 §2.1.1.
pub const MAX_FIELD_TEXT: usize = 512;

/// An enhanced status code: class, subject, detail (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8, pub u16, pub u16);

impl Status {
    /// `2.0.0`: done, nothing more to say (RFC 3463 §3.1).
    pub const DONE: Self = Self(2, 0, 0);
    /// `4.3.0`: trouble on our own side (RFC 3463 §3.4).
    pub const LOCAL_TROUBLE: Self = Self(4, 3, 0);
    /// `4.4.7`: given up after the whole lifetime in the queue (RFC 3463 §3.5).
    pub const EXPIRED: Self = Self(4, 4, 7);

    /// Reads `5.1.1`; the class is 2, 4 or 5, the others have at most three digits (RFC 3463 §2).
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('.');
        let class = number(fields.next()?)?;
        let status = Self(u8::try_from(class).ok()?, number(fields.next()?)?, number(fields.next()?)?);
        (fields.next().is_none() && matches!(status.0, 2 | 4 | 5)).then_some(status)
    }
}

/// One to three digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What happened to one recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It will not be delivered.
    Failed,
    /// Not yet; attempts go on.
    Delayed,
    /// It reached its mailbox.
    Delivered,
    /// It went to a server that makes no promise to report.
    Relayed,
    /// It went to several others in place of this recipient.
    Expanded,
}

impl Action {
    /// The registered word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// The facts about the whole message (RFC 3464 §2.2).
#[derive(Clone, Debug)]
pub struct MessageFields<'a> {
    /// Who reports: our own name (RFC 3464 §2.2.2).
    pub reporting_mta: &'a Domain,
    /// When the message came to us (RFC 3464 §2.2.5).
    pub arrival: DateTime,
    /// The sender's own name for the transaction (RFC 3464 §2.2.1).
    pub envelope_id: Option<&'a EnvelopeId>,
}

/// The facts about one recipient (RFC 3464 §2.3).
#[derive(Clone, Debug)]
pub struct RecipientFields<'a> {
    /// Who it was for.
    pub forward_path: &'a ForwardPath,
    /// Whom the sender wrote to, if that was said (RFC 3464 §2.3.1).
    pub original: Option<&'a OriginalRecipient>,
    /// What happened.
    pub action: Action,
    /// Why, in figures.
    pub status: Status,
    /// The server that said so, if another one did.
    pub remote_mta: Option<&'a str>,
    /// Its words, or ours where `remote_mta` is `None`; may be hostile text.
    pub diagnostic: &'a str,
    /// When it was tried last (RFC 3464 §2.3.7).
    pub last_attempt: Option<DateTime>,
    /// Until when it is tried, where it still is (RFC 3464 §2.3.9).
    pub retry_until: Option<DateTime>,
}

/// Whether a report on these recipients needs the types of RFC 6533 §4, which carry UTF-8.
pub fn needs_global<'a>(recipients: impl IntoIterator<Item = &'a ForwardPath>) -> bool {
    recipients.into_iter().any(ForwardPath::needs_smtputf8)
}

/// The body of `message/delivery-status`, or of `message/global-delivery-status` where `global` says so.
///
/// The text is ASCII unless `global` (RFC 3464 §2.1, RFC 6533 §4); every line ends in CRLF, is shorter than
/// 998 octets, and nothing a server said can begin a field of its own.
pub fn delivery_status(
    message: &MessageFields<'_>,
    recipients: &[RecipientFields<'_>],
    global: bool,
) -> String {
    let MessageFields { reporting_mta, arrival, envelope_id } = message;
    let mut out = String::new();
    if let Some(envelope_id) = envelope_id {
        field(&mut out, "Original-Envelope-Id", &envelope_id.decoded(), global);
    }
    write!(out, "Reporting-MTA: dns; {reporting_mta}\r\nArrival-Date: {arrival}\r\n")
        .expect("a String takes any text");
    for recipient in recipients {
        out.push_str("\r\n");
        write_recipient(&mut out, recipient, reporting_mta, global);
    }
    out
}

fn write_recipient(out: &mut String, recipient: &RecipientFields<'_>, reporting_mta: &Domain, global: bool) {
    let RecipientFields { forward_path, original, action, status, remote_mta, diagnostic, .. } = recipient;
    if let Some(original) = original {
        field(out, "Original-Recipient", &original.decoded(), global);
    }
    field(out, "Final-Recipient", &typed_address(forward_path, reporting_mta), global);
    field(out, "Action", action.as_str(), global);
    field(out, "Status", &status.to_string(), global);
    if let Some(remote_mta) = remote_mta {
        field(out, "Remote-MTA", &format!("dns; {remote_mta}"), global);
    }
    if !diagnostic.is_empty() {
        // Only a remote server's own words are of type smtp; others need an X- type (RFC 3464 §2.1.2).
        let kind = if remote_mta.is_some() { "smtp" } else { "X-Kings" };
        field(out, "Diagnostic-Code", &format!("{kind}; {diagnostic}"), global);
    }
    if let Some(date) = recipient.last_attempt {
        field(out, "Last-Attempt-Date", &date.to_string(), global);
    }
    if let Some(date) = recipient.retry_until {
        field(out, "Will-Retry-Until", &date.to_string(), global);
    }
}

/// `rfc822; ann@example.org`, or `utf-8; ...` where ASCII cannot say it (RFC 3464 §2.1.2, RFC 6533 §3).
fn typed_address(path: &ForwardPath, reporting_mta: &Domain) -> String {
    match path {
        ForwardPath::Postmaster => format!("rfc822; postmaster@{reporting_mta}"),
        ForwardPath::Address(address) if address.needs_smtputf8() => format!("utf-8; {address}"),
        ForwardPath::Address(address) => format!("rfc822; {address}"),
    }
}

fn field(out: &mut String, name: &str, value: &str, global: bool) {
    let value = one_line(value, MAX_FIELD_TEXT);
    let value = if global { value } else { value.replace(|c: char| !c.is_ascii(), "?") };
    write!(out, "{name}: {value}\r\n").expect("a String takes any text");
}

/// Foreign text as one harmless line of at most `most` octets: white space and controls become single
/// spaces, so it can neither end a line nor hide what follows; what is cut ends in `...`.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || is_active(c)) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > most {
            truncate(&mut line, most);
            break;
        }
    }
    line
}

fn truncate(line: &mut String, most: usize) {
    line.truncate(line.floor_char_boundary(most.saturating_sub(3)));
    line.push_str("...");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward_path(text: &str) -> ForwardPath {
        ForwardPath::parse(text).expect("a forward-path")
    }

    fn failed<'a>(forward_path: &'a ForwardPath, diagnostic: &'a str) -> RecipientFields<'a> {
        RecipientFields {
            forward_path,
            original: None,
            action: Action::Failed,
            status: Status(5, 1, 1),
            remote_mta: Some("mx.elsewhere.example"),
            diagnostic,
            last_attempt: Some(DateTime::from_unix(0)),
            retry_until: None,
        }
    }

    fn text_of(recipient: &RecipientFields<'_>, global: bool) -> String {
        let host = Domain::parse("mx.example.org").expect("a domain");
        let message =
            MessageFields { reporting_mta: &host, arrival: DateTime::from_unix(0), envelope_id: None };
        delivery_status(&message, std::slice::from_ref(recipient), global)
    }

    #[test]
    fn status_codes_are_three_short_numbers() {
        let cases = [
            ("5.1.1", Some(Status(5, 1, 1))),
            ("2.0.0", Some(Status::DONE)),
            ("4.7.999", Some(Status(4, 7, 999))),
            ("3.0.0", None),
            ("5.1", None),
            ("5.1.1.1", None),
            ("5.1.1000", None),
            ("5..1", None),
            ("5.+1.1", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Status::parse(text), expected, "{text}");
        }
        assert_eq!(Status(5, 7, 515).to_string(), "5.7.515");
    }

    #[test]
    fn a_failed_recipient_has_all_its_fields() {
        let joe = forward_path("joe@elsewhere.example");
        assert_eq!(
            text_of(&failed(&joe, "550 5.1.1 No such user"), false),
            "Reporting-MTA: dns; mx.example.org\r\nArrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n\
             Final-Recipient: rfc822; joe@elsewhere.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.elsewhere.example\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user\r\n\
             Last-Attempt-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    /// RFC 3461 §6.3: what the sender said comes back decoded, and no decoding makes a field of it.
    #[test]
    fn the_names_that_the_sender_gave_come_back_decoded() {
        let joe = forward_path("joe@elsewhere.example");
        let host = Domain::parse("mx.example.org").expect("a domain");
        let (id, original) =
            (EnvelopeId::parse("QQ+2B31+204"), OriginalRecipient::parse("rfc822;Joe+2Bx@a.example"));
        let message =
            MessageFields { reporting_mta: &host, arrival: DateTime::from_unix(0), envelope_id: id.as_ref() };
        let recipient = RecipientFields {
            original: original.as_ref(),
            action: Action::Delayed,
            retry_until: Some(DateTime::from_unix(60)),
            ..failed(&joe, "450 later")
        };
        let text = delivery_status(&message, &[recipient], false);
        assert!(text.starts_with("Original-Envelope-Id: QQ+31 4\r\nReporting-MTA: dns; "), "{text}");
        assert!(text.contains("\r\n\r\nOriginal-Recipient: rfc822;Joe+x@a.example\r\nFinal-"), "{text}");
        assert!(text.ends_with("Will-Retry-Until: Thu, 1 Jan 1970 00:01:00 +0000\r\n"), "{text}");
        assert_eq!(EnvelopeId::parse("x+0D+0AStatus:+202.0.0"), None);
    }

    #[test]
    fn our_own_words_are_not_called_smtp() {
        let joe = forward_path("joe@elsewhere.example");
        let ours = RecipientFields { remote_mta: None, ..failed(&joe, "takes no mail") };
        let text = text_of(&ours, false);
        assert!(text.contains("Diagnostic-Code: X-Kings; takes no mail\r\n"), "{text}");
        assert!(!text.contains("Remote-MTA"), "{text}");
    }

    #[test]
    fn the_postmaster_without_a_domain_gets_ours() {
        let text = text_of(&failed(&ForwardPath::Postmaster, ""), false);
        assert!(text.contains("Final-Recipient: rfc822; postmaster@mx.example.org\r\n"), "{text}");
        assert!(!text.contains("Diagnostic-Code"), "{text}");
    }

    #[test]
    fn a_hostile_reply_cannot_leave_its_field() {
        let joe = forward_path("joe@elsewhere.example");
        let hostile = format!("550 no\r\nAction: delivered\r\n\r\n\0\u{202e}{}", "x".repeat(5_000));
        let text = text_of(&failed(&joe, &hostile), false);
        assert!(text.contains("Diagnostic-Code: smtp; 550 no Action: delivered xxx"), "{text}");
        assert!(text.split("\r\n").all(|line| line.len() < 600 && !line.contains(['\r', '\n', '\0'])));
        assert_eq!(text.matches("\r\nAction: ").count(), 1, "{text}");
    }

    #[test]
    fn utf8_stands_only_in_the_global_form() {
        let path = forward_path("jürgen@elsewhere.example");
        assert!(needs_global([&path]));
        let global = text_of(&failed(&path, "550 schön"), true);
        assert!(global.contains("Final-Recipient: utf-8; jürgen@elsewhere.example\r\n"), "{global}");
        let joe = forward_path("joe@elsewhere.example");
        let plain = text_of(&failed(&joe, "550 schön"), false);
        assert!(plain.contains("Diagnostic-Code: smtp; 550 sch?n\r\n"), "{plain}");
    }

    #[test]
    fn one_line_is_bounded_and_never_splits_a_character() {
        let cases = [
            ("a\r\nb\tc", 100, "a b c"),
            ("  a  ", 100, "a"),
            ("abcdefgh", 8, "abcdefgh"),
            ("abcdefghi", 8, "abcde..."),
            ("äöüäöü", 8, "äö..."),
            ("\u{85}\u{2028}", 8, ""),
        ];
        for (text, most, expected) in cases {
            assert_eq!(one_line(text, most), expected, "{text:?}");
        }
    }
}
