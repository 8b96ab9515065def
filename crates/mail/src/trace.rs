//! Trace fields: what each hop writes at the top of a message (RFC 5321 §4.4).

use std::borrow::Cow;
use std::net::IpAddr;

use crate::address::Address;
use crate::date::DateTime;
use crate::domain::Domain;
use crate::header;
use crate::id::TraceId;
use crate::path::ReversePath;

/// How the message came to us: the `with` of Received (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one letter of the registered keyword")]
pub struct With {
    /// LMTP, not SMTP.
    pub lmtp: bool,
    /// EHLO was used, not HELO.
    pub extended: bool,
    /// The connection was under TLS.
    pub tls: bool,
    /// The client had logged in.
    pub login: bool,
    /// SMTPUTF8 was asked for in MAIL.
    pub utf8: bool,
}

impl With {
    /// The registered keyword: `ESMTPSA`, `UTF8SMTPS`, ...
    pub fn keyword(self) -> String {
        let base = match (self.lmtp, self.utf8) {
            (true, true) => "UTF8LMTP",
            (true, false) => "LMTP",
            (false, true) => "UTF8SMTP",
            (false, false) if self.extended => "ESMTP",
            (false, false) => return "SMTP".to_owned(),
        };
        let (tls, login) = (if self.tls { "S" } else { "" }, if self.login { "A" } else { "" });
        format!("{base}{tls}{login}")
    }
}

/// What one Received field says (RFC 5321 §4.4 `Time-stamp-line`).
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What the client called itself in EHLO or HELO; shown only as far as it is harmless.
    pub helo: &'a str,
    /// The address of the client; `None` where it stays private (submission).
    pub client: Option<IpAddr>,
    /// Our own name.
    pub by: &'a Domain,
    /// The protocol.
    pub with: With,
    /// TLS version and cipher suite, if any: words of our own TLS library, never of the peer.
    pub tls: Option<&'a str>,
    /// The name of this message here.
    pub id: TraceId,
    /// The recipient, where there is exactly one: more would tell each who the others are.
    pub recipient: Option<&'a Address>,
    /// When the message arrived.
    pub date: DateTime,
}

impl Received<'_> {
    /// The whole field with its final CRLF, folded to lines well below 998 octets.
    pub fn field(&self) -> String {
        let from = match self.client {
            Some(client) => format!("{} ({})", printable(self.helo), tcp_info(client)),
            None => self.by.to_string(),
        };
        let tls = self.tls.map(|tls| format!("\r\n\t({tls})")).unwrap_or_default();
        let recipient = self.recipient.map(|address| format!("\r\n\tfor <{address}>")).unwrap_or_default();
        let (by, with, id, date) = (self.by, self.with.keyword(), self.id, self.date);
        format!(
            "Received: from {from}\r\n\tby {by} with {with}{tls}\r\n\tid {id}{recipient};\r\n\t{date}\r\n"
        )
    }
}

/// The trace field of a message that a user of this machine handed in: there is no client to name, so the user is
/// named, in the way of Postfix. `user`: login name and number.
pub fn received_from_user(
    by: &Domain,
    user: (&str, u32),
    id: TraceId,
    date: DateTime,
    recipient: Option<&Address>,
) -> String {
    let (name, uid) = (printable(user.0), user.1);
    let recipient = recipient.map(|address| format!("\r\n\tfor <{address}>")).unwrap_or_default();
    format!("Received: by {by} (Kings, from user {name}, uid {uid})\r\n\tid {id}{recipient};\r\n\t{date}\r\n")
}

/// Who brought a message to the host that wrote its topmost Received field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What the client called itself.
    pub helo: String,
    /// Its address.
    pub address: IpAddr,
}

/// The client that the topmost Received field names (RFC 5321 §4.4 `From-domain`), as Kings, Postfix and Exim write it.
pub fn client_of(head: &[u8]) -> Option<Origin> {
    let text = header::first(head, "Received")?.text();
    let mut words = text.split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("from") {
        return None;
    }
    let helo = words.next()?.to_owned();
    let before_by = words.take_while(|word| !word.eq_ignore_ascii_case("by"));
    let address = before_by.filter_map(literal).last()?;
    Some(Origin { helo, address })
}

/// The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]`, with what a comment puts around it.
fn literal(word: &str) -> Option<IpAddr> {
    let (_, inner) = word.split_once('[')?;
    let (inner, _) = inner.split_once(']')?;
    let tagged = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    inner[if tagged { 5 } else { 0 }..].parse().ok()
}

/// The reverse-path in the topmost Return-Path field (RFC 5321 §4.4).
pub fn reverse_path_of(head: &[u8]) -> Option<ReversePath> {
    let text = header::first(head, "Return-Path")?.text();
    let text = text.trim();
    ReversePath::parse(text.strip_prefix('<')?.strip_suffix('>')?).ok()
}

/// RFC 5321 §4.4 `TCP-info`.
fn tcp_info(client: IpAddr) -> String {
    match client {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// Text from a peer as it may stand in a trace field: an odd name cannot end the field, open a
/// comment or pass for another word (`x) by us (`).
fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if text.len() <= 255 && text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(255).map(|c| if harmless(c) { c } else { '?' }).collect())
}

/// `Return-Path:` as the final delivery adds it (RFC 5321 §4.4).
pub fn return_path(path: &ReversePath) -> String {
    format!("Return-Path: {path}\r\n")
}

/// `Delivered-To:` names the address this copy was delivered for: it ends loops of aliases (RFC 9228 §4).
pub fn delivered_to(address: &Address) -> String {
    format!("Delivered-To: {address}\r\n")
}

/// The field that says what we thought of a message: for whoever reads it, or files it behind us.
pub const VERDICT: &str = "X-Kings-Verdict";

/// The field by which a message is known that comes back from a content filter.
pub const PASS: &str = "X-Kings-Filter";

/// The length of the notes that a content of the queue begins with, a verdict and passes: no report tells them. 0 where it
/// has none.
pub fn notes_length(content: &[u8]) -> usize {
    let (mut fields, mut end) = (header::Fields::new(content), 0);
    while let Some(field) = fields.next() {
        let is_next = fields.position() == end + field.raw.len();
        if !is_next || !(field.is(VERDICT) || field.is(PASS)) {
            break;
        }
        end = fields.position();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_the_topmost_hop_is_read_back() {
        let cases = [
            (
                "from a.example (mx.a.example [192.0.2.1])\r\n\tby b with ESMTP id 1; now",
                Some(("a.example", "192.0.2.1")),
            ),
            ("FROM a.example ([IPv6:2001:db8::1]) by b; now", Some(("a.example", "2001:db8::1"))),
            // A name that looks like an address does not hide the one that the host saw.
            ("from [192.0.2.9] (unknown [192.0.2.1]) by b; now", Some(("[192.0.2.9]", "192.0.2.1"))),
            ("from a.example\u{a0}b ([192.0.2.1]) by b; now", Some(("a.example", "192.0.2.1"))),
            ("from a.example by b ([192.0.2.1]); now", None),
            ("from a.example (mx [192.0.2.300]) by b; now", None),
            ("from a.example ([IPv6 ]) by b; now", None),
            ("by b (Kings, from user ann, uid 1000) id 1; now", None),
            ("from", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let found = client_of(
                format!("Received: {value}\r\nReceived: from z ([192.0.2.8]) by y\r\n\r\n").as_bytes(),
            );
            let found = found.map(|origin| (origin.helo, origin.address.to_string()));
            assert_eq!(
                found,
                expected.map(|(helo, address)| (helo.to_owned(), address.to_owned())),
                "{value}"
            );
        }
        let written = received("client.example");
        let address = client_of(written.as_bytes()).map(|origin| origin.address.to_string());
        assert_eq!(address.as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn notes_end_where_the_message_begins() {
        let (verdict, pass) = ("X-Kings-Verdict: junk;\r\n\ta reason\r\n", "X-Kings-Filter: 1 2\r\n");
        for notes in ["", verdict, pass, &format!("{verdict}{pass}{pass}"), &format!("{pass}{verdict}")] {
            for rest in ["", "\r\n", "Subject: x\r\nX-Kings-Filter: 1 2\r\n\r\n", " x\r\n\r\n", "x\r\n\r\n"] {
                // A line that begins with a blank goes on with what stands before it.
                let own = if rest.starts_with(' ') && !notes.is_empty() { " x\r\n".len() } else { 0 };
                let content = format!("{notes}{rest}");
                assert_eq!(notes_length(content.as_bytes()), notes.len() + own, "{content:?}");
            }
        }
    }

    #[test]
    fn the_reverse_path_is_read_back() {
        let ann = ReversePath::parse("ann@example.org").ok();
        let cases = [
            ("<ann@example.org>", ann),
            (" <> ", Some(ReversePath::Null)),
            ("ann@example.org", None),
            ("<x", None),
        ];
        for (value, expected) in cases {
            assert_eq!(
                reverse_path_of(format!("Return-Path: {value}\r\n\r\n").as_bytes()),
                expected,
                "{value}"
            );
        }
    }

    fn received(helo: &str) -> String {
        let by = Domain::parse("mx.example.org").expect("a domain");
        let recipient = Address::parse("ann@example.org").expect("an address");
        let with = With { lmtp: false, extended: true, tls: true, login: false, utf8: false };
        let field = Received {
            helo,
            client: Some(IpAddr::from([192, 0, 2, 1])),
            by: &by,
            with,
            tls: Some("TLS1.3 TLS_AES_256_GCM_SHA384"),
            id: TraceId::new(0, 0),
            recipient: Some(&recipient),
            date: DateTime::from_unix(0),
        };
        field.field()
    }

    #[test]
    fn a_received_field_tells_the_whole_hop() {
        assert_eq!(
            received("client.example"),
            "Received: from client.example ([192.0.2.1])\r\n\tby mx.example.org with ESMTPS\r\n\
             \t(TLS1.3 TLS_AES_256_GCM_SHA384)\r\n\tid 000000000000000\r\n\tfor <ann@example.org>;\r\n\
             \tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn a_local_user_is_named_and_cannot_leave_its_place() {
        let by = Domain::parse("mx.example.org").expect("a domain");
        let field =
            received_from_user(&by, ("a) b\r\nx: ", 7), TraceId::new(0, 0), DateTime::from_unix(0), None);
        assert_eq!(
            field,
            "Received: by mx.example.org (Kings, from user a??b??x:?, uid 7)\r\n\tid 000000000000000;\r\n\
             \tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn a_hostile_helo_cannot_leave_its_place() {
        let field = received("x) by evil.example (\r\nBcc: y");
        assert!(
            field.starts_with("Received: from x??by?evil.example????Bcc:?y ([192.0.2.1])\r\n"),
            "{field}"
        );
    }

    #[test]
    fn the_protocol_keyword_follows_the_registry() {
        let cases = [
            ([false, false, false, false, false], "SMTP"),
            ([false, true, false, false, false], "ESMTP"),
            ([false, true, true, false, false], "ESMTPS"),
            ([false, true, false, true, false], "ESMTPA"),
            ([false, true, true, true, false], "ESMTPSA"),
            ([false, true, true, true, true], "UTF8SMTPSA"),
            ([false, true, false, false, true], "UTF8SMTP"),
            ([true, true, false, false, false], "LMTP"),
            ([true, true, true, false, false], "LMTPS"),
            ([true, true, true, false, true], "UTF8LMTPS"),
        ];
        for ([lmtp, extended, tls, login, utf8], expected) in cases {
            assert_eq!(With { lmtp, extended, tls, login, utf8 }.keyword(), expected);
        }
    }
}
