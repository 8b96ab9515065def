//! An e-mail address: local part and host, parsed once and written back in canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::domain::Domain;

/// Longest local part, in octets (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL_PART: usize = 64;
/// Longest path with its angle brackets, in octets (RFC 5321 §4.5.3.1.3).
pub const MAX_PATH: usize = 256;

/// The part before the `@`, without quotes: `"john doe"@x` and `john\ doe` mean the same person.
///
/// Up to 64 octets of UTF-8 without control characters; may be empty only as `""@x`, which is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalPart(String);

/// Where an address lives: a domain, or an address literal in brackets (RFC 5321 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// `ann@example.org`
    Domain(Domain),
    /// `ann@[192.0.2.1]`, `ann@[IPv6:2001:db8::1]`
    Literal(IpAddr),
}

/// A mailbox address, RFC 5321 §4.1.2 `Mailbox`, with the local parts of RFC 6531 §3.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Before the `@`, unquoted.
    pub local_part: LocalPart,
    /// After the `@`.
    pub host: Host,
}

/// The text is not one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct BadAddress;

impl LocalPart {
    /// Parses a `Dot-string` or a `Quoted-string` (RFC 5321 §4.1.2).
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let unquoted = match text.strip_prefix('"') {
            Some(rest) => unquote(rest.strip_suffix('"').ok_or(BadAddress)?)?,
            None if text.split('.').all(is_atom) => text.to_owned(),
            None => return Err(BadAddress),
        };
        let fits = !unquoted.is_empty() && unquoted.len() <= MAX_LOCAL_PART;
        fits.then_some(Self(unquoted)).ok_or(BadAddress)
    }

    /// The unquoted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_atom(atom: &str) -> bool {
    !atom.is_empty() && atom.chars().all(is_atext)
}

/// RFC 5322 §3.2.3 `atext`, widened by RFC 6531 §3.3 to everything beyond ASCII that is not a control,
/// a space or an invisible character.
pub(crate) fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace() && c != '\u{ff20}' && c != '\u{ad}')
}

/// The inside of a quoted string with its backslashes resolved; only printable characters may stand
/// there (RFC 5321 §4.1.2 `qtextSMTP`, `quoted-pairSMTP`).
fn unquote(inside: &str) -> Result<String, BadAddress> {
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            '"' => return Err(BadAddress),
            '\\' => chars.next().filter(|escaped| (' '..='~').contains(escaped)).ok_or(BadAddress)?,
            c if c.is_control() => return Err(BadAddress),
            c => c,
        };
        out.push(literal);
    }
    Ok(out)
}

impl fmt::Display for LocalPart {
    /// Quotes only where the grammar asks for it (RFC 5321 §4.1.2: the least quoted form is preferred).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.split('.').all(is_atom) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl Host {
    /// Parses a domain or an address literal with its brackets (RFC 5321 §4.1.3).
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix('[') {
            Some(rest) => literal(rest.strip_suffix(']').ok_or(BadAddress)?).map(Self::Literal),
            None => Domain::parse(text).map(Self::Domain).map_err(|_| BadAddress),
        }
    }

    /// The domain, unless this is an address literal.
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Literal(_) => None,
        }
    }
}

fn literal(inside: &str) -> Result<IpAddr, BadAddress> {
    let v6 = inside.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map(|_| &inside[5..]);
    match v6 {
        Some(text) => Ipv6Addr::from_str(text).map(IpAddr::V6),
        None => Ipv4Addr::from_str(inside).map(IpAddr::V4),
    }
    .map_err(|_| BadAddress)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

impl Address {
    /// Joins two parts that are already checked.
    pub fn new(local_part: LocalPart, host: Host) -> Self {
        Self { local_part, host }
    }

    /// Joins two parts of any mail, unless they are longer together than an address may be: each may fit alone.
    pub fn join(local_part: LocalPart, host: Host) -> Result<Self, BadAddress> {
        let address = Self::new(local_part, host);
        // As it is written back: with the quotes that it needs, and A-labels for U-labels.
        let fits = address.to_string().len() <= MAX_PATH - 2;
        fits.then_some(address).ok_or(BadAddress)
    }

    /// Parses `local@host` without angle brackets, comments or spaces (RFC 5321 §4.1.2 `Mailbox`).
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.len() > MAX_PATH - 2 {
            return Err(BadAddress);
        }
        let at = text.rfind('@').ok_or(BadAddress)?;
        Self::join(LocalPart::parse(&text[..at])?, Host::parse(&text[at + 1..])?)
    }

    /// The domain, unless the host is an address literal.
    pub fn domain(&self) -> Option<&Domain> {
        self.host.domain()
    }

    /// Whether an account of this name can have a folder of its own: the local part is one plain name, in a
    /// domain.
    ///
    /// A quoted local part may hold a slash or a leading dot (RFC 5321 §4.1.2). A name that needs care once
    /// would need it in every program that reads the Maildir, so such an account is refused everywhere.
    pub fn fits_a_folder(&self) -> bool {
        let user = self.local_part.as_str();
        self.domain().is_some()
            && !user.starts_with('.')
            && !user.contains(['/', '\0'])
            && !user.contains(char::is_control)
    }

    /// Whether it can travel only with SMTPUTF8 (RFC 6531 §3.2); the host is always A-labels here.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local_part.0.is_ascii()
    }

    /// The same address with its local part in lower case: how accounts and aliases are looked up.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self { local_part: LocalPart(self.local_part.0.to_lowercase()), host: self.host.clone() }
    }

    /// `ann@x` for `ann+tag@x` where `+` is among the `delimiters` (RFC 5233 §1); `None` without a tag.
    pub fn without_tag(&self, delimiters: &str) -> Option<Self> {
        let text = self.local_part.as_str();
        let at = text.find(|c| delimiters.contains(c)).filter(|at| *at > 0)?;
        Some(Self { local_part: LocalPart::parse(&text[..at]).ok()?, host: self.host.clone() })
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.host)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn accounts_are_named_by_plain_names_in_domains() {
        let cases = [
            ("ann@example.org", true),
            ("ann+tag@example.org", true),
            ("j\u{fc}rgen@example.org", true),
            (r#""ann lee"@example.org"#, true),
            ("{domain}@example.org", true),
            ("a/b@example.org", false),
            (r#""../../etc"@example.org"#, false),
            (r#"".Sent"@example.org"#, false),
            (r#"".."@example.org"#, false),
            (r#"".""@example.org"#, false),
            ("ann@[192.0.2.1]", false),
        ];
        for (text, expected) in cases {
            let fits = Address::parse(text).is_ok_and(|address| address.fits_a_folder());
            assert_eq!(fits, expected, "{text}");
        }
    }

    #[test]
    fn addresses_have_one_reading_and_one_canonical_form() {
        let longest = format!("{}@example.org", "a".repeat(64));
        let too_long = format!("{}@example.org", "a".repeat(65));
        let cases = [
            ("ann@example.org", Some("ann@example.org")),
            ("Ann.Lee+tag@EXAMPLE.org.", Some("Ann.Lee+tag@example.org")),
            (r#""ann"@example.org"#, Some("ann@example.org")),
            (r#""ann lee"@example.org"#, Some(r#""ann lee"@example.org"#)),
            (r#""a@b"@example.org"#, Some(r#""a@b"@example.org"#)),
            (r#""a\"b\\c"@example.org"#, Some(r#""a\"b\\c"@example.org"#)),
            ("user%other@example.org", Some("user%other@example.org")),
            ("jürgen@example.org", Some("jürgen@example.org")),
            ("ann@[192.0.2.1]", Some("ann@[192.0.2.1]")),
            ("ann@[IPv6:2001:db8::1]", Some("ann@[IPv6:2001:db8::1]")),
            ("ann@[ipv6:::1]", Some("ann@[IPv6:::1]")),
            (longest.as_str(), Some(longest.as_str())),
            (too_long.as_str(), None),
            ("ann", None),
            ("@example.org", None),
            ("ann@", None),
            (r#"""@example.org"#, None),
            (r#""ann@example.org"#, None),
            (r#"an"n@example.org"#, None),
            (r#""a"b"@example.org"#, None),
            (r#""a\"@example.org"#, None),
            (".ann@example.org", None),
            ("ann.@example.org", None),
            ("an..n@example.org", None),
            ("user@other@us.example", None),
            ("ann lee@example.org", None),
            ("ann@example.org\r\n", None),
            ("ann@192.0.2.1", None),
            ("ann@[192.0.2.256]", None),
            ("ann@[::1]", None),
            ("ann(comment)@example.org", None),
            ("user\u{ff20}other@us.example", None),
        ];
        for (text, expected) in cases {
            let parsed = Address::parse(text).ok().map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }

    /// 64 octets and 253 octets fit each alone; together, with quotes or as A-labels, they may not.
    #[test]
    fn an_address_is_within_its_limit_as_it_is_written_back() {
        let domain = |octets: usize| "a.".repeat((octets - 51) / 2) + &"b".repeat(51);
        let unicode = format!("{}x.example", "\u{fc}.".repeat(30));
        let cases = [
            (format!("ann@{}", domain(249)), true),
            (format!("ann@{}", domain(251)), false),
            (format!("\"a b\"@{}", domain(247)), true),
            (format!("\"a b\"@{}", domain(249)), false),
            (format!("{}@{}", "a".repeat(64), domain(189)), true),
            (format!("{}@{}", "a".repeat(64), domain(191)), false),
            // 8 octets for each label of 3.
            (format!("ann@{unicode}"), true),
            (format!("ann.lee@{unicode}"), false),
        ];
        for (text, fits) in cases {
            let parsed = Address::parse(&text);
            assert_eq!(parsed.is_ok(), fits, "{text}");
            assert!(
                parsed.as_ref().is_ok_and(|a| Address::parse(&a.to_string()) == parsed) == fits,
                "{text}"
            );
            let (local, host) = text.rsplit_once('@').unwrap();
            let joined = LocalPart::parse(local).and_then(|local| Address::join(local, Host::parse(host)?));
            assert_eq!(joined, parsed, "{text}");
        }
    }

    #[test]
    fn folding_lowers_the_local_part() {
        let address = Address::parse("Ann.Lee@Example.org").expect("an address");
        assert_eq!(address.folded().to_string(), "ann.lee@example.org");
    }

    #[test]
    fn a_tag_begins_at_the_first_delimiter() {
        let cases = [
            ("ann+a-b@x.example", "+-", Some("ann@x.example")),
            ("ann-a+b@x.example", "+", Some("ann-a@x.example")),
            ("ann@x.example", "+", None),
            ("ann+a@x.example", "", None),
            ("+ann@x.example", "+", None),
        ];
        for (text, delimiters, expected) in cases {
            let untagged = Address::parse(text).expect("an address").without_tag(delimiters);
            assert_eq!(untagged.map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }
}
