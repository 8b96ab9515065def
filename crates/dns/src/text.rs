//! Records as zone files write them, both ways (RFC 1035 §5.1).

use std::borrow::Cow;
use std::fmt;

use kings_mail::domain::{BadDomain, DnsName};

use crate::question::{Mx, Tlsa};
use crate::record::{Caa, Data, Kind, Srv, Txt};

/// The text is no record of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the data of a record of type {kind}: {text}")]
pub struct BadData {
    /// What it should be.
    pub kind: Kind,
    /// What it is.
    pub text: String,
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(ip) => write!(f, "{ip}"),
            Self::Aaaa(ip) => write!(f, "{ip}"),
            Self::Caa(Caa { flags, tag, value }) => write!(f, "{flags} {tag} {}", quoted(value)),
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => write!(f, "{name}."),
            Self::Mx(Mx { preference, exchange }) => write!(f, "{preference} {}", host(exchange.as_ref())),
            Self::Srv(Srv { priority, weight, port, target }) => {
                write!(f, "{priority} {weight} {port} {}", host(target.as_ref()))
            }
            Self::Tlsa(Tlsa { usage, selector, matching, data }) => {
                write!(f, "{usage} {selector} {matching} ")?;
                data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Self::Txt(text) => {
                let strings: Vec<String> = text.strings.iter().map(|string| quoted(string)).collect();
                f.write_str(&strings.join(" "))
            }
        }
    }
}

fn host(name: Option<&DnsName>) -> String {
    name.map_or_else(|| ".".to_owned(), |name| format!("{name}."))
}

/// A string in quotes; what is not printable is written as a number of three digits.
fn quoted(string: &[u8]) -> String {
    let mut text = String::from("\"");
    for octet in string {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(*octet)]),
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
    text + "\""
}

impl Data {
    /// Reads what [`fmt::Display`] writes, and what others write for the same: strings without quotes, numbers for octets.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, BadData> {
        words(text)
            .and_then(|words| read(kind, &words))
            .ok_or_else(|| BadData { kind, text: text.chars().take(200).collect() })
    }
}

fn read(kind: Kind, words: &[Vec<u8>]) -> Option<Data> {
    // What is no text in these places is no record: no number and no name has the sign that stands for it.
    let plain: Vec<Cow<'_, str>> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let plain: Vec<&str> = plain.iter().map(Cow::as_ref).collect();
    let data = match (kind, words, plain.as_slice()) {
        (Kind::Txt, [_, ..], _) => Data::Txt(Txt { strings: words.to_vec() }),
        (Kind::A, _, [ip]) => Data::A(ip.parse().ok()?),
        (Kind::Aaaa, _, [ip]) => Data::Aaaa(ip.parse().ok()?),
        (Kind::Caa, [_, _, value], [flags, tag, _]) if is_tag(tag) => {
            Data::Caa(Caa { flags: flags.parse().ok()?, tag: tag.to_ascii_lowercase(), value: value.clone() })
        }
        (Kind::Cname, _, [name]) => Data::Cname(DnsName::parse(name).ok()?),
        (Kind::Ns, _, [name]) => Data::Ns(DnsName::parse(name).ok()?),
        (Kind::Ptr, _, [name]) => Data::Ptr(DnsName::parse(name).ok()?),
        (Kind::Mx, _, [preference, exchange]) => {
            Data::Mx(Mx { preference: preference.parse().ok()?, exchange: target(exchange).ok()? })
        }
        (Kind::Srv, _, [priority, weight, port, host]) => Data::Srv(Srv {
            priority: priority.parse().ok()?,
            weight: weight.parse().ok()?,
            port: port.parse().ok()?,
            target: target(host).ok()?,
        }),
        (Kind::Tlsa, _, [usage, selector, matching, data @ ..]) if !data.is_empty() => Data::Tlsa(Tlsa {
            usage: usage.parse().ok()?,
            selector: selector.parse().ok()?,
            matching: matching.parse().ok()?,
            data: octets(&data.concat())?,
        }),
        _ => return None,
    };
    Some(data)
}

/// A host; `None` is the root.
fn target(text: &str) -> Result<Option<DnsName>, BadDomain> {
    if text == "." { Ok(None) } else { DnsName::parse(text).map(Some) }
}

/// RFC 8659 §4.1: letters and digits.
fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let hex = hex.as_bytes();
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = !hex.is_empty() && hex.len().is_multiple_of(2) && hex.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| hex.chunks(2).map(digits).collect()).flatten()
}

/// Words and quoted strings with what is quoted by a backslash resolved.
fn words(text: &str) -> Option<Vec<Vec<u8>>> {
    let (mut words, mut rest) = (Vec::new(), text.as_bytes());
    loop {
        rest = rest.trim_ascii_start();
        let (word, behind) = match rest {
            [] => return Some(words),
            [b'"', inside @ ..] => string(inside, |octet| octet == b'"', true)?,
            _ => string(rest, |octet| octet.is_ascii_whitespace() || octet == b'"', false)?,
        };
        words.push(word);
        rest = behind;
    }
}

/// One string up to its end, and what is behind it.
fn string(text: &[u8], is_end: impl Fn(u8) -> bool, in_quotes: bool) -> Option<(Vec<u8>, &[u8])> {
    let (mut string, mut rest) = (Vec::new(), text);
    loop {
        match rest {
            [] => return (!in_quotes).then_some((string, rest)),
            [octet, behind @ ..] if is_end(*octet) => {
                return Some((string, if in_quotes { behind } else { rest }));
            }
            [b'\\', behind @ ..] => {
                let (octet, behind) = escaped(behind)?;
                string.push(octet);
                rest = behind;
            }
            [octet, behind @ ..] => {
                string.push(*octet);
                rest = behind;
            }
        }
    }
}

/// What stands behind a backslash: three digits, in zone files decimal ones, or a character as it is.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [a, b, c, rest @ ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
            let number = std::str::from_utf8(&text[..3]).ok()?.parse::<u8>().ok()?;
            Some((number, rest))
        }
        [digit, ..] if digit.is_ascii_digit() => None,
        [octet, rest @ ..] => Some((*octet, rest)),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn records_are_written_as_zone_files_have_them_and_read_again() {
        let cases = [
            (Kind::A, "192.0.2.1"),
            (Kind::Aaaa, "2001:db8::1"),
            (Kind::Caa, "0 issue \"letsencrypt.org\""),
            (Kind::Cname, "mail.example.org."),
            (Kind::Mx, "10 mail.example.org."),
            (Kind::Mx, "0 ."),
            (Kind::Ns, "ns1.example.org."),
            (Kind::Ptr, "mail.example.org."),
            (Kind::Srv, "0 1 993 mail.example.org."),
            (Kind::Srv, "0 0 0 ."),
            (Kind::Tlsa, "3 1 1 00ff"),
            (Kind::Txt, "\"v=spf1 mx -all\""),
            (Kind::Txt, "\"a\\\"b\\\\c\\009\" \"d\""),
            (Kind::Txt, "\"\""),
        ];
        for (kind, text) in cases {
            assert_eq!(Data::parse(kind, text).unwrap().to_string(), text);
        }
        for (kind, text, as_written) in [
            (Kind::Txt, "plain words", "\"plain\" \"words\""),
            (Kind::Txt, "\"a\"\"b\"", "\"a\" \"b\""),
            (Kind::Mx, "10\tMail.Example.ORG", "10 mail.example.org."),
            (Kind::Tlsa, "3 1 1 00FF 01", "3 1 1 00ff01"),
            (Kind::Caa, "128 ISSUE ;", "128 issue \";\""),
        ] {
            assert_eq!(Data::parse(kind, text).unwrap().to_string(), as_written);
        }
    }

    #[test]
    fn what_is_no_record_of_its_type_is_none() {
        let cases = [
            (Kind::A, "192.0.2"),
            (Kind::A, ""),
            (Kind::A, "192.0.2.1 192.0.2.2"),
            (Kind::Aaaa, "192.0.2.1"),
            (Kind::Caa, "0 issue"),
            (Kind::Caa, "256 issue x"),
            (Kind::Caa, "0 is-sue x"),
            (Kind::Cname, "."),
            (Kind::Mx, "mail.example.org."),
            (Kind::Mx, "65536 mail.example.org."),
            (Kind::Srv, "0 0 . "),
            (Kind::Tlsa, "3 1 1"),
            (Kind::Tlsa, "3 1 1 0"),
            (Kind::Tlsa, "3 1 1 \"\""),
            (Kind::Tlsa, "3 1 1 +f"),
            (Kind::Txt, ""),
            (Kind::Txt, "\"open"),
            (Kind::Txt, "\"\\25\""),
            (Kind::Txt, "\"\\256\""),
            (Kind::Txt, "\\"),
        ];
        for (kind, text) in cases {
            assert!(Data::parse(kind, text).is_err(), "{kind} {text}");
        }
    }
}
