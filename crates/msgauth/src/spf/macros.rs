//! Macros of SPF: parsed once, expanded as often as a term is evaluated (RFC 7208 §7).

use std::borrow::Cow;
use std::net::IpAddr;

use kings_mail::domain::{DnsName, MAX_DOMAIN};

use super::fault::Wrong;

/// What an expansion keeps while it grows: a name is cut from the left to 253 octets (RFC 7208 §7.3), so that
/// nothing further left can matter.
const KEPT: usize = 4 * MAX_DOMAIN;

/// Where a macro string stands, which decides on spaces and on the letters `c`, `r` and `t` (RFC 7208 §7.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a record.
    Record,
    /// In the text that `exp=` leads to.
    Explanation,
}

/// A `macro-string` (RFC 7208 §7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MacroString(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Macro(Macro),
}

/// `%{` letter, transformers, delimiters `}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    letter: Letter,
    /// Written in upper case: what is not unreserved in a URL is escaped (RFC 7208 §7.3).
    escaped: bool,
    /// How many parts are kept, counted from the right.
    keep: Option<usize>,
    reversed: bool,
    delimiters: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Sender,
    LocalPart,
    SenderDomain,
    Domain,
    Ip,
    Validated,
    Version,
    Helo,
    Client,
    Receiver,
    Time,
}

impl Letter {
    fn parse(letter: u8) -> Option<Self> {
        Some(match letter.to_ascii_lowercase() {
            b's' => Self::Sender,
            b'l' => Self::LocalPart,
            b'o' => Self::SenderDomain,
            b'd' => Self::Domain,
            b'i' => Self::Ip,
            b'p' => Self::Validated,
            b'v' => Self::Version,
            b'h' => Self::Helo,
            b'c' => Self::Client,
            b'r' => Self::Receiver,
            b't' => Self::Time,
            _ => return None,
        })
    }

    fn is_for_explanations(self) -> bool {
        matches!(self, Self::Client | Self::Receiver | Self::Time)
    }
}

/// What the letters stand for.
pub(super) struct Values<'a> {
    pub(super) local_part: &'a str,
    pub(super) sender_domain: &'a str,
    /// The domain whose record is evaluated.
    pub(super) domain: &'a str,
    pub(super) client: IpAddr,
    pub(super) helo: &'a str,
    /// The validated reverse name; asked for only where [`MacroString::asks_for_reverse_name`].
    pub(super) validated: &'a str,
    pub(super) receiver: &'a str,
    /// Seconds since 1970.
    pub(super) time: u64,
}

impl MacroString {
    pub(super) fn parse(text: &str, place: Place) -> Result<Self, Wrong> {
        Self::with_end(text, place).map(|(string, _)| string)
    }

    /// Parses a `domain-spec`: it ends in a macro, or in a dot and a label that is no number (RFC 7208 §7.1).
    pub(super) fn domain_spec(text: &str) -> Result<Self, Wrong> {
        let (string, tail) = Self::with_end(text, Place::Record)?;
        let ends_well = match tail {
            "" => !text.is_empty(),
            tail => {
                let tail = tail.strip_suffix('.').unwrap_or(tail);
                tail.rsplit_once('.').is_some_and(|(_, label)| is_top_label(label))
            }
        };
        ends_well.then_some(string).ok_or(Wrong::DomainSpec)
    }

    /// Also gives the text behind the last `%`.
    fn with_end(text: &str, place: Place) -> Result<(Self, &str), Wrong> {
        let literal = |byte: u8| byte.is_ascii_graphic() || (byte == b' ' && place == Place::Explanation);
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('%') {
            plain.push_str(before);
            let mut behind_escape = behind.get(1..).unwrap_or_default();
            match behind.as_bytes().first() {
                Some(b'%') => plain.push('%'),
                Some(b'_') => plain.push(' '),
                Some(b'-') => plain.push_str("%20"),
                Some(b'{') => {
                    let (inner, behind) = behind_escape.split_once('}').ok_or(Wrong::Macro)?;
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Macro(Macro::parse(inner, place)?));
                    behind_escape = behind;
                }
                _ => return Err(Wrong::Macro),
            }
            rest = behind_escape;
        }
        plain.push_str(rest);
        if !text.bytes().all(literal) {
            return Err(Wrong::Octet);
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok((Self(parts), rest))
    }

    /// Whether it holds `%{p}`, which costs DNS questions.
    pub(super) fn asks_for_reverse_name(&self) -> bool {
        let letters = self.0.iter().filter_map(|part| match part {
            Part::Macro(parsed) => Some(parsed.letter),
            Part::Text(_) => None,
        });
        letters.into_iter().any(|letter| letter == Letter::Validated)
    }

    /// The text, at most `limit` octets (and the end of the last part).
    pub(super) fn text(&self, values: &Values<'_>, limit: usize) -> String {
        let mut out = String::new();
        for part in &self.0 {
            if out.len() >= limit {
                break;
            }
            out.push_str(&part.text(values));
        }
        out
    }

    /// The name a term asks DNS about, or `None` where the expansion is none (RFC 7208 §7.3).
    pub(super) fn name(&self, values: &Values<'_>) -> Option<DnsName> {
        let mut out = String::new();
        for part in &self.0 {
            out.push_str(&part.text(values));
            if out.len() > 2 * KEPT {
                let cut = out.ceil_char_boundary(out.len() - KEPT);
                out.drain(..cut);
            }
        }
        let mut name = out.strip_suffix('.').unwrap_or(&out);
        while name.len() > MAX_DOMAIN {
            (_, name) = name.split_once('.')?;
        }
        queryable(name)
    }
}

/// A name that may be asked about, whose final dot is gone already.
pub(super) fn queryable(name: &str) -> Option<DnsName> {
    if name.ends_with('.') { None } else { DnsName::parse(name).ok() }
}

/// RFC 7208 §7.1 `toplabel`: letters, digits and inner hyphens, not all of them digits.
fn is_top_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && edge(bytes.first())
        && edge(bytes.last())
        && !bytes.iter().all(u8::is_ascii_digit)
}

impl Part {
    fn text<'a>(&'a self, values: &'a Values<'_>) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Macro(parsed) => Cow::Owned(parsed.text(values)),
        }
    }
}

impl Macro {
    /// Parses what stands between the braces.
    fn parse(inner: &str, place: Place) -> Result<Self, Wrong> {
        let (&first, rest) = inner.as_bytes().split_first().ok_or(Wrong::Macro)?;
        let letter = Letter::parse(first).ok_or(Wrong::Macro)?;
        if letter.is_for_explanations() && place == Place::Record {
            return Err(Wrong::ExplanationLetter);
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at(digits);
        let keep = match digits {
            [] => None,
            // A number too large for us keeps everything, as any number over the count of parts does.
            digits => {
                Some(std::str::from_utf8(digits).ok().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX))
            }
        };
        let (reversed, delimiters) = match rest {
            [b'r' | b'R', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        if keep == Some(0) || !delimiters.iter().all(|byte| b".-+,/_=".contains(byte)) {
            return Err(Wrong::Macro);
        }
        let delimiters = if delimiters.is_empty() { b"." } else { delimiters };
        let delimiters = String::from_utf8_lossy(delimiters).into_owned();
        Ok(Self { letter, escaped: first.is_ascii_uppercase(), keep, reversed, delimiters })
    }

    fn text(&self, values: &Values<'_>) -> String {
        let value = self.letter.value(values);
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.reversed {
            parts.reverse();
        }
        let skipped = parts.len().saturating_sub(self.keep.unwrap_or(usize::MAX));
        let text = parts[skipped..].join(".");
        if self.escaped { escape(&text) } else { text }
    }
}

impl Letter {
    fn value<'a>(self, values: &Values<'a>) -> Cow<'a, str> {
        match self {
            Self::Sender => Cow::Owned(format!("{}@{}", values.local_part, values.sender_domain)),
            Self::LocalPart => Cow::Borrowed(values.local_part),
            Self::SenderDomain => Cow::Borrowed(values.sender_domain),
            Self::Domain => Cow::Borrowed(values.domain),
            Self::Ip => Cow::Owned(dotted(values.client)),
            Self::Validated => Cow::Borrowed(values.validated),
            Self::Version if values.client.is_ipv4() => Cow::Borrowed("in-addr"),
            Self::Version => Cow::Borrowed("ip6"),
            Self::Helo => Cow::Borrowed(values.helo),
            Self::Client => Cow::Owned(values.client.to_string()),
            Self::Receiver => Cow::Borrowed(values.receiver),
            Self::Time => Cow::Owned(values.time.to_string()),
        }
    }
}

/// An IPv6 address as 32 hexadecimal digits with dots between them (RFC 7208 §7.3).
fn dotted(client: IpAddr) -> String {
    match client {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let digits: Vec<String> = format!("{:032x}", ip.to_bits()).chars().map(String::from).collect();
            digits.join(".")
        }
    }
}

/// Escapes all but the unreserved octets of RFC 3986 §2.3.
fn escape(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped =
        |byte: u8| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn values(client: &str) -> Values<'_> {
        Values {
            local_part: "strong-bad",
            sender_domain: "email.example.com",
            domain: "email.example.com",
            client: client.parse().unwrap(),
            helo: "mx.example.org",
            validated: "mx.example.org",
            receiver: "mail.example.net",
            time: 1_700_000_000,
        }
    }

    /// RFC 7208 §7.4, and the letters it leaves out.
    #[test]
    fn macros_expand_as_the_rfc_shows() {
        let cases = [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d3}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
            ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
            ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
            ("%{S}%_%%%-", "strong-bad%40email.example.com %%20"),
            ("%{D99999999999999999999999}", "email.example.com"),
            (
                "%{h} %{p} %{c} %{r} %{t}",
                "mx.example.org mx.example.org 192.0.2.3 mail.example.net 1700000000",
            ),
        ];
        for (text, expected) in cases {
            let parsed = MacroString::parse(text, Place::Explanation).unwrap();
            assert_eq!(parsed.text(&values("192.0.2.3"), usize::MAX), expected, "{text}");
        }
        let parsed = MacroString::parse("%{ir}.%{v}._spf.%{d2}", Place::Record).unwrap();
        assert_eq!(
            parsed.text(&values("2001:db8::cb01"), usize::MAX),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
        );
    }

    #[test]
    fn what_is_no_macro_is_refused() {
        for text in [
            "%",
            "%a",
            "%{",
            "%{}",
            "%{d",
            "%{x}",
            "%{d0}",
            "%{d-3}",
            "%{dr3}",
            "%{d!}",
            "%{c}",
            "%{T}",
            "%{\u{e9}}",
        ] {
            assert!(MacroString::parse(text, Place::Record).is_err(), "{text}");
        }
        for text in ["a b", "a\tb", "\u{fc}.example", "a\0b"] {
            assert_eq!(MacroString::parse(text, Place::Record), Err(Wrong::Octet), "{text}");
        }
    }

    #[test]
    fn a_domain_spec_ends_in_a_macro_or_in_a_label_that_is_no_number() {
        let good = [
            "a.b",
            "a.b.",
            "%{d}",
            "x%{d}",
            "a.%%",
            "a:b/c.museum",
            "a.1b",
            "a.b-1",
            ".com",
            "a..b",
            "%{i}.x1",
        ];
        for text in good {
            assert!(MacroString::domain_spec(text).is_ok(), "{text}");
        }
        for text in [
            "", ".", "museum", "museum.", "%{d}com", "a.1", "a.-b", "a.b-", "a.b..", "%{d}.", "a.b_c",
            "a.b/24",
        ] {
            assert_eq!(MacroString::domain_spec(text), Err(Wrong::DomainSpec), "{text}");
        }
    }

    #[test]
    fn a_long_name_loses_labels_on_its_left_and_an_odd_one_is_not_asked_about() {
        let name = |text: &str| MacroString::parse(text, Place::Record).unwrap().name(&values("192.0.2.3"));
        let long = format!("{}example.com", "abcdefg.".repeat(40));
        let cut = format!("{}example.com", "abcdefg.".repeat(30));
        assert_eq!(name(&long).unwrap().as_str(), cut);
        let endless = format!("{}.example.com", "%{s}.".repeat(5_000));
        assert!(name(&endless).is_none());
        assert_eq!(name(&format!("{}x.example.com", "%{d}.".repeat(5_000))).unwrap().as_str().len(), 251);
        let label = "a".repeat(64);
        for text in ["a..b", ".a.b", "%{s}.a.b", "a\\.b", "a%_b.c", "*.a.b", "\"a\".b", label.as_str(), ""] {
            assert_eq!(name(text), None, "{text}");
        }
        assert!(name("a_b+c=d.%{d}").is_some());
        assert_eq!(name("a.b.."), None);
    }
}
