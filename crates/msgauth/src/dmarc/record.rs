//! A DMARC record: what a domain wants done with mail that is not its own (RFC 9989 §4.7).

use std::fmt;

use kings_mail::address::Address;

/// Longest record that is read, in octets: ours; the longest in use have about 1,000.
pub const MAX_RECORD: usize = 16 * 1024;
/// Most report addresses of one kind that are kept: ours; no record in use names more.
pub const MAX_ADDRESSES: usize = 10;

/// RFC 9989 §4.7 `p`, `sp`, `np`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Policy {
    /// Nothing in particular.
    #[default]
    None,
    /// Treat it as suspicious.
    Quarantine,
    /// Refuse it.
    Reject,
}

impl Policy {
    /// Reads the word, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "quarantine" => Some(Self::Quarantine),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }

    /// The word of records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// What is applied in test mode: one level less (RFC 9989 §4.7 `t`).
    pub(super) fn one_level_below(self) -> Self {
        match self {
            Self::None | Self::Quarantine => Self::None,
            Self::Reject => Self::Quarantine,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// RFC 9989 §4.7 `adkim` and `aspf`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Alignment {
    /// The same organisational domain is enough.
    #[default]
    Relaxed,
    /// The same domain.
    Strict,
}

impl Alignment {
    /// The letter of records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relaxed => "r",
            Self::Strict => "s",
        }
    }
}

/// RFC 9989 §4.7 `psd`: what kind of domain the record stands at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Psd {
    /// A public suffix.
    Yes,
    /// An organisational domain.
    No,
    /// Whatever the tree walk says.
    #[default]
    Unknown,
}

/// RFC 9989 §4.7 `fo`: when the domain wants a failure report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the four options of the RFC, in any combination")]
pub struct FailureOptions {
    /// `0`: when nothing gave an aligned pass.
    pub all: bool,
    /// `1`: when anything did not give an aligned pass.
    pub any: bool,
    /// `d`: when a signature failed.
    pub dkim: bool,
    /// `s`: when SPF failed.
    pub spf: bool,
}

impl Default for FailureOptions {
    fn default() -> Self {
        Self { all: true, any: false, dkim: false, spf: false }
    }
}

/// A record that begins with `v=DMARC1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// For the domain itself; `none` when it is missing.
    pub policy: Policy,
    /// For subdomains that exist.
    pub subdomains: Option<Policy>,
    /// For subdomains that do not exist.
    pub nonexistent: Option<Policy>,
    /// What kind of domain it is.
    pub psd: Psd,
    /// `t=y`: the policy is tried out only.
    pub testing: bool,
    /// How DKIM must align.
    pub adkim: Alignment,
    /// How SPF must align.
    pub aspf: Alignment,
    /// Where aggregate reports go.
    pub rua: Vec<Address>,
    /// Where failure reports go.
    pub ruf: Vec<Address>,
    /// When failure reports are wanted; means nothing without `ruf`.
    pub failure_options: FailureOptions,
    /// A policy is there and cannot be read. With a `rua` it counts as `none`, else the record is not applied (RFC
    /// 9989 §4.10.1).
    pub(super) bad_policy: bool,
}

impl Record {
    /// Reads a TXT record; `None` where it is none of DMARC. Unknown tags are skipped, of repeated ones the first
    /// counts, and a value that cannot be read is as good as absent (RFC 9989 §4.7).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_RECORD)?;
        let mut tags = text.split(';').map(|tag| tag.split_once('=').unwrap_or((tag, "")));
        let mut tags = tags.by_ref().map(|(name, value)| (trim(name), trim(value)));
        let (name, value) = tags.next()?;
        if !name.eq_ignore_ascii_case("v") || value != "DMARC1" {
            return None;
        }
        let mut record = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in tags {
            let name = name.to_ascii_lowercase();
            if KNOWN.contains(&name.as_str()) && !seen.contains(&name) {
                record.set(&name, value);
                seen.push(name);
            }
        }
        if record.bad_policy {
            (record.policy, record.subdomains, record.nonexistent) = (Policy::None, None, None);
        }
        Some(record)
    }

    fn set(&mut self, name: &str, value: &str) {
        let policy = Policy::parse(value);
        match name {
            "p" => self.policy = policy.unwrap_or_default(),
            "sp" => self.subdomains = policy,
            "np" => self.nonexistent = policy,
            "t" => self.testing = value.eq_ignore_ascii_case("y"),
            "adkim" => self.adkim = alignment(value),
            "aspf" => self.aspf = alignment(value),
            "rua" => self.rua = addresses(value),
            "ruf" => self.ruf = addresses(value),
            "fo" => self.failure_options = failure_options(value),
            "psd" if value.eq_ignore_ascii_case("y") => self.psd = Psd::Yes,
            "psd" if value.eq_ignore_ascii_case("n") => self.psd = Psd::No,
            _ => {}
        }
        self.bad_policy |= matches!(name, "p" | "sp" | "np") && policy.is_none();
    }

    /// Whether mail is to be judged by it at all (RFC 9989 §4.10.1).
    pub fn is_applicable(&self) -> bool {
        !self.bad_policy || !self.rua.is_empty()
    }
}

/// RFC 9989 §9.4: the tags of the registry that mean something.
const KNOWN: [&str; 10] = ["p", "sp", "np", "t", "adkim", "aspf", "rua", "ruf", "fo", "psd"];

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn alignment(value: &str) -> Alignment {
    if value.eq_ignore_ascii_case("s") { Alignment::Strict } else { Alignment::Relaxed }
}

fn failure_options(value: &str) -> FailureOptions {
    let mut options = FailureOptions { all: false, any: false, dkim: false, spf: false };
    for option in value.split(':') {
        match trim(option) {
            "0" => options.all = true,
            "1" => options.any = true,
            "d" | "D" => options.dkim = true,
            "s" | "S" => options.spf = true,
            _ => return FailureOptions::default(),
        }
    }
    options
}

/// The `mailto:` addresses of a list; others cannot be served and are skipped (RFC 9989 §4.7 `rua`).
fn addresses(value: &str) -> Vec<Address> {
    value.split(',').filter_map(|uri| mailto(trim(uri))).take(MAX_ADDRESSES).collect()
}

/// The address of a `mailto:` URI without header fields. A size limit behind `!` is of RFC 7489 and ignored.
pub fn mailto(uri: &str) -> Option<Address> {
    let (scheme, rest) = uri.split_once(':')?;
    let rest = rest.split('!').next().unwrap_or(rest);
    let rest = rest.split('?').next().unwrap_or(rest);
    let is_mailto = scheme.eq_ignore_ascii_case("mailto");
    let address =
        is_mailto.then(|| percent_decoded(rest)).flatten().and_then(|text| Address::parse(&text).ok())?;
    address.domain().is_some().then_some(address)
}

/// The addresses of a record's `rua`, each with the most octets that it takes: `!10m` behind an address, which RFC 9989
/// dropped and records still have (RFC 7489 §6.2).
pub fn report_addresses(text: &[u8]) -> Vec<(Address, Option<u64>)> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let list = tags.find(|(name, _)| trim(name).eq_ignore_ascii_case("rua")).map_or("", |(_, list)| list);
    let entries = list.split(',').map(trim).filter_map(|uri| Some((mailto(uri)?, most_octets(uri))));
    entries.take(MAX_ADDRESSES).collect()
}

fn most_octets(uri: &str) -> Option<u64> {
    let (_, size) = uri.rsplit_once('!')?;
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match size[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().map(|number| number.saturating_mul(1 << power))
}

/// RFC 3986 §2.1.
fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        out.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        out.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Option<Record> {
        Record::parse(text.as_bytes())
    }

    #[test]
    fn a_record_begins_with_its_version() {
        for text in ["v=DMARC1", "v=DMARC1;", "v = DMARC1 ; p=none", "V=DMARC1;p=none", "\tv=DMARC1;;;"] {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "v=DMARC2; p=none",
            "v=dmarc1; p=none",
            "p=none; v=DMARC1",
            "v=DMARC1 p=none",
            "v=spf1 -all",
            ";v=DMARC1",
            "DMARC1",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(Record::parse(b"v=DMARC1; p=\xff").is_none());
        assert!(Record::parse(&vec![b' '; MAX_RECORD + 1]).is_none());
    }

    #[test]
    fn every_tag_is_read() {
        let record = parse(
            "v=DMARC1; p=Reject; sp=quarantine; np=reject; psd=n; t=y; adkim=s; aspf=s; fo=1:d:s; pct=50; x=y;\
             rua=mailto:a@example.org, mailto:b@example.net!10m,https://example.org/r ; ruf=mailto:c%21d@example.org?subject=x",
        );
        let record = record.unwrap();
        assert_eq!(record.policy, Policy::Reject);
        assert_eq!((record.subdomains, record.nonexistent), (Some(Policy::Quarantine), Some(Policy::Reject)));
        assert_eq!((record.psd, record.testing), (Psd::No, true));
        assert_eq!((record.adkim, record.aspf), (Alignment::Strict, Alignment::Strict));
        assert_eq!(record.failure_options, FailureOptions { all: false, any: true, dkim: true, spf: true });
        let shown = |list: &[Address]| list.iter().map(Address::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&record.rua), ["a@example.org", "b@example.net"]);
        assert_eq!(shown(&record.ruf), ["c!d@example.org"]);
    }

    #[test]
    fn what_is_missing_or_wrong_has_its_default() {
        assert_eq!(parse("v=DMARC1"), Some(Record::default()));
        assert_eq!(
            parse("v=DMARC1; psd=x; t=yes; adkim=strict; fo=2; rua=ann@example.org; ruf=mailto:"),
            Some(Record::default())
        );
        assert_eq!(parse("v=DMARC1; p=reject; p=none").unwrap().policy, Policy::Reject);
    }

    /// RFC 9989 §4.10.1.
    #[test]
    fn a_policy_that_cannot_be_read_is_none_with_reports_and_nothing_without() {
        for (text, applicable) in [
            ("v=DMARC1", true),
            ("v=DMARC1; p=what", false),
            ("v=DMARC1; p=reject; sp=what", false),
            ("v=DMARC1; p=reject; np=", false),
            ("v=DMARC1; p=reject; sp=what; rua=mailto:a@example.org", true),
            ("v=DMARC1; p=reject; sp=what; rua=https://example.org/", false),
        ] {
            let record = parse(text).unwrap();
            assert_eq!(record.is_applicable(), applicable, "{text}");
            assert_eq!(record.policy, Policy::None, "{text}");
        }
    }

    #[test]
    fn a_list_of_ten_thousand_addresses_is_cut() {
        let many = format!("v=DMARC1; rua={}", "mailto:a@b.example,".repeat(800));
        assert_eq!(parse(&many).unwrap().rua.len(), MAX_ADDRESSES);
    }
}
