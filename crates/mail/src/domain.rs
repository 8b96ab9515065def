//! A DNS domain as mail uses it, and the looser names that DNS itself allows.

use std::fmt;

use crate::visible::{is_active, is_full_stop};

/// Longest domain in text form without its final dot, in octets (RFC 1035 §2.3.4: 255 on the wire).
pub const MAX_DOMAIN: usize = 253;
/// Longest label, in octets (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;

/// A DNS domain as mail uses it: lower case, no trailing dot, A-labels only (RFC 5321 §2.3.5). Underscores may
/// stand in it, other than in the grammar of RFC 5321.
///
/// Two equal domains have equal text, so comparing, hashing and sorting need no further care.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

/// The text is not a domain that mail may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a domain name: labels of letters, digits, underscores and inner hyphens, joined by dots")]
pub struct BadDomain;

impl Domain {
    /// Accepts what RFC 5321 §4.1.2 calls `Domain`, and U-labels, which become A-labels (RFC 5891 §4).
    ///
    /// One final dot is dropped. An all-digit last label is refused: `192.0.2.1` without its
    /// brackets is an address that lost them, not a name (RFC 3696 §2).
    pub fn parse(text: &str) -> Result<Self, BadDomain> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_ascii() { Self::from_ascii(text) } else { Self::from_unicode(text) }
    }

    fn from_ascii(text: &str) -> Result<Self, BadDomain> {
        let last = text.rsplit('.').next().unwrap_or(text);
        let well_formed = text.len() <= MAX_DOMAIN
            && text.split('.').all(is_label)
            && !last.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| Self(text.to_ascii_lowercase())).ok_or(BadDomain)
    }

    /// Full-width dots and look-alikes would be mapped to ASCII ones by IDNA (U+3002, U+FF0E): a name
    /// that reads differently before and after is refused instead, so that no check sees another name.
    fn from_unicode(text: &str) -> Result<Self, BadDomain> {
        if text.chars().any(|c| is_active(c) || is_full_stop(c)) {
            return Err(BadDomain);
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| BadDomain)?;
        Self::from_ascii(&ascii)
    }

    /// The text in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain itself, then each one above it: `mail.example.org`, `example.org`, `org`.
    pub fn with_parents(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// Whether it is `domain` or a name below it.
    pub fn is_within(&self, domain: &Self) -> bool {
        let rest = self.0.strip_suffix(domain.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The domain one label up: `example.org` for `mail.example.org`, `None` for a single label.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.to_owned()))
    }
}

/// RFC 5321 §4.1.2 `sub-domain`, and the underscore as one more letter.
///
/// Hosts called `win_srv.example` send mail, DNS has no objection (RFC 2181 §11), and Postfix and Exim take
/// such addresses ("grandfathered", says Postfix's `valid_hostname`): refusing them would lose mail that
/// every other server gets.
fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let inner = |byte: &u8| letter(byte) || *byte == b'-';
    let edge = |byte: Option<&u8>| byte.is_some_and(letter);
    bytes.len() <= MAX_LABEL && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name as DNS itself allows it: underscores are legal here (`_dmarc.example.org`), not in a [`Domain`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(String);

impl DnsName {
    /// Accepts printable ASCII labels of 1 to 63 octets, 253 in all; lower-cases, drops one final dot. Strangers choose
    /// names (macros of SPF make them of local parts, `ann+list` among them), so that nothing which means something else
    /// wherever names stand in text is one: a backslash would quote what follows (RFC 1035 §5.1).
    pub fn parse(text: &str) -> Result<Self, BadDomain> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"\\\"();@$*<>`|".contains(&byte);
        let is_label = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(fits);
        let well_formed = text.len() <= MAX_DOMAIN && text.split('.').all(is_label);
        well_formed.then(|| Self(text.to_ascii_lowercase())).ok_or(BadDomain)
    }

    /// The text in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Domain> for DnsName {
    fn from(domain: &Domain) -> Self {
        Self(domain.0.clone())
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_and_all_below_it_are_within_it_and_what_ends_alike_is_not() {
        let domain = |text| Domain::parse(text).unwrap_or_else(|_| panic!("{text}"));
        let cases = [
            ("example.org", "example.org", true),
            ("a.b.example.org", "example.org", true),
            ("notexample.org", "example.org", false),
            ("example.org", "a.example.org", false),
            ("org", "example.org", false),
        ];
        for (name, above, expected) in cases {
            assert_eq!(domain(name).is_within(&domain(above)), expected, "{name} {above}");
        }
    }

    #[test]
    fn a_domain_is_lower_case_ascii_without_a_final_dot() {
        let long_label = "a".repeat(64);
        let long_name = format!("{}.example", "a.".repeat(124));
        let cases = [
            ("example.org", Some("example.org")),
            ("EXAMPLE.Org.", Some("example.org")),
            ("localhost", Some("localhost")),
            ("münchen.example", Some("xn--mnchen-3ya.example")),
            ("xn--mnchen-3ya.example", Some("xn--mnchen-3ya.example")),
            ("1e100.net", Some("1e100.net")),
            ("", None),
            (".", None),
            ("example..org", None),
            (".example.org", None),
            ("example.org..", None),
            ("-a.example", None),
            ("a-.example", None),
            ("a_B.example", Some("a_b.example")),
            ("_a.b_.example", Some("_a.b_.example")),
            ("_-.example", None),
            ("-_.example", None),
            ("a b.example", None),
            ("192.0.2.1", None),
            ("[192.0.2.1]", None),
            ("example\u{3002}org", None),
            ("exam\u{ad}ple.org", None),
            (long_label.as_str(), None),
            (long_name.as_str(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(Domain::parse(text).ok().as_ref().map(Domain::as_str), expected, "{text}");
        }
    }

    #[test]
    fn dns_names_may_carry_underscores() {
        assert_eq!(
            DnsName::parse("_dmarc.Example.org.").map(|n| n.to_string()),
            Ok("_dmarc.example.org".into())
        );
        assert_eq!(DnsName::parse("SRS0=x/y+z.a").map(|n| n.to_string()), Ok("srs0=x/y+z.a".into()));
        for odd in ["a..b", "a b", "a\\.b", "a\\032b", "\\", "a\0b", "\u{e4}", "", ".", "a.b.."] {
            assert_eq!(DnsName::parse(odd), Err(BadDomain), "{odd:?}");
        }
    }

    #[test]
    fn the_parent_of_a_single_label_is_nothing() {
        let domain = Domain::parse("mail.example.org").expect("a plain name");
        assert_eq!(domain.parent().map(|d| d.to_string()), Some("example.org".into()));
        assert_eq!(Domain::parse("org").expect("a plain name").parent(), None);
    }
}
