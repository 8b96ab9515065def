//! MTA-STS: the DNS record that announces a policy, the policy's text, and which MX hosts it names.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kings_mail::domain::{DnsName, Domain};

/// Longest text of a policy that is read, in octets (RFC 8461 §3.3 suggests 64 KB).
pub const MAX_POLICY: usize = 64 * 1024;
/// Longest time a policy is kept (RFC 8461 §3.2: about a year).
pub const MAX_AGE: Duration = Duration::from_hours(8_766);
/// Most `mx` lines that are read; the largest policies in use have about ten.
const MAX_PATTERNS: usize = 100;
/// Longest id (RFC 8461 §3.1).
const MAX_ID: usize = 32;
/// Octets of the digest that an id of ours shows.
const ID_OCTETS: usize = 10;

/// Where a domain announces its policy (RFC 8461 §3.1); `None` where the name would be too long for DNS.
pub fn record_name(domain: &Domain) -> Option<DnsName> {
    DnsName::parse(&format!("_mta-sts.{domain}")).ok()
}

/// The host that serves a domain's policy (RFC 8461 §3.2).
pub fn policy_host(domain: &Domain) -> Option<Domain> {
    Domain::parse(&format!("mta-sts.{domain}")).ok()
}

/// The id that the TXT records of a domain announce, which changes with the policy (RFC 8461 §3.1).
///
/// Anything but exactly one record that begins with `v=STSv1;` counts as none.
pub fn announced_id(records: &[Vec<u8>]) -> Option<String> {
    let mut announced = records.iter().filter(|record| is_sts(record));
    let (Some(record), None) = (announced.next(), announced.next()) else { return None };
    let text = std::str::from_utf8(record).ok()?;
    let mut fields = text.split(';').skip(1).map(|field| field.split_once('=').unwrap_or((field, "")));
    let (_, id) = fields.find(|(key, _)| key.trim() == "id")?;
    let id = id.trim();
    let well_formed = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    well_formed.then(|| id.to_owned())
}

fn is_sts(record: &[u8]) -> bool {
    let version = record.split(|byte| *byte == b';').next().unwrap_or_default();
    version.trim_ascii_end() == b"v=STSv1" && record.contains(&b';')
}

/// What a domain wants of senders that cannot reach its hosts safely (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not to deliver.
    Enforce,
    /// To deliver, and to report.
    Testing,
    /// Nothing: the domain is about to drop its policy.
    None,
}

/// A policy (RFC 8461 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What to do when no host fulfils it.
    pub mode: Mode,
    /// How long it may be kept after it was fetched.
    pub max_age: Duration,
    /// The hosts that take mail for the domain.
    pub mx: Vec<Pattern>,
}

/// One `mx` value: a host, or all hosts one label below a domain (RFC 8461 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    domain: Domain,
    wildcard: bool,
}

/// The text is not a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// Larger than [`MAX_POLICY`] or not UTF-8.
    #[error("the policy is not text of at most 64 KB")]
    NotText,
    /// `version: STSv1` is missing.
    #[error("the policy has no version STSv1")]
    Version,
    /// `mode` is missing or unknown.
    #[error("the policy has no mode of enforce, testing or none")]
    Mode,
    /// `max_age` is missing or no number of seconds.
    #[error("the policy has no max_age in seconds")]
    MaxAge,
    /// An `mx` is not a host, or there is none where the mode needs one.
    #[error("the policy names no mx host, or something that is not one")]
    Mx,
}

impl Policy {
    /// Reads a policy file; unknown keys are skipped, of repeated ones the first counts (RFC 8461 §3.2).
    pub fn parse(text: &[u8]) -> Result<Self, BadPolicy> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_POLICY);
        let text = text.ok_or(BadPolicy::NotText)?;
        let pairs = || {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key.trim(), value.trim()))
        };
        let first = |wanted: &str| pairs().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        if first("version") != Some("STSv1") {
            return Err(BadPolicy::Version);
        }
        let mode = match first("mode") {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(BadPolicy::Mode),
        };
        let seconds = first("max_age").filter(|age| age.len() <= 10).and_then(|age| age.parse().ok());
        let max_age = Duration::from_secs(seconds.ok_or(BadPolicy::MaxAge)?).min(MAX_AGE);
        let mx = pairs().filter(|(key, _)| *key == "mx").take(MAX_PATTERNS);
        let mx: Vec<Pattern> =
            mx.map(|(_, value)| Pattern::parse(value)).collect::<Option<_>>().ok_or(BadPolicy::Mx)?;
        if mx.is_empty() && mode != Mode::None {
            return Err(BadPolicy::Mx);
        }
        Ok(Self { mode, max_age, mx })
    }

    /// The id that announces this policy: another one for another text (RFC 8461 §3.1).
    pub fn id(&self) -> String {
        let digest = digest(&SHA256, self.to_string().as_bytes());
        digest.as_ref()[..ID_OCTETS].iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// Whether the policy names this MX host (RFC 8461 §4.1).
    pub fn names(&self, host: &DnsName) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }
}

impl fmt::Display for Policy {
    /// The policy in its own form, as it is kept and as reports show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        write!(f, "version: STSv1\nmode: {mode}\nmax_age: {}\n", self.max_age.as_secs())?;
        self.mx.iter().try_for_each(|pattern| writeln!(f, "mx: {pattern}"))
    }
}

impl Pattern {
    /// Reads a host, or `*.` and a domain.
    pub fn parse(text: &str) -> Option<Self> {
        let (wildcard, domain) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Some(Self { domain: Domain::parse(domain).ok()?, wildcard })
    }

    /// A wildcard stands for exactly one label (RFC 8461 §4.1, RFC 6125 §6.4.3).
    fn matches(&self, host: &DnsName) -> bool {
        let name = match host.as_str().split_once('.') {
            Some((_, parent)) if self.wildcard => parent,
            _ if self.wildcard => return false,
            _ => host.as_str(),
        };
        name == self.domain.as_str()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard { write!(f, "*.{}", self.domain) } else { self.domain.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_id_of_a_policy_changes_with_its_content_and_with_nothing_else() {
        let policy = |text: &str| Policy::parse(text.as_bytes()).unwrap();
        let one = policy("version: STSv1\nmode: testing\nmx: mail.example.org\nmax_age: 604800\n");
        let same = policy("version: STSv1\r\nmode: testing\r\nmax_age: 604800\r\nmx: mail.example.org\r\n");
        let other = policy("version: STSv1\nmode: enforce\nmx: mail.example.org\nmax_age: 604800\n");
        assert_eq!(one.id(), same.id());
        assert_ne!(one.id(), other.id());
        let announced = format!("v=STSv1; id={};", one.id()).into_bytes();
        assert_eq!(announced_id(&[announced]), Some(one.id()));
    }

    #[test]
    fn exactly_one_record_announces_a_policy() {
        let cases: [(&[&str], Option<&str>); 12] = [
            (&["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
            (&["v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ; x=y; id = abc ;"], Some("abc")),
            (&["v=spf1 -all", "v=STSv1; id=1;"], Some("1")),
            (&["v=STSv1; id=1;", "v=STSv1; id=1;"], None),
            (&["v=STSv1; id=;"], None),
            (&["v=STSv1;"], None),
            (&["v=STSv1"], None),
            (&["v=STSv2; id=1;"], None),
            (&["id=1; v=STSv1;"], None),
            (&["v=STSv1; id=a-b;"], None),
            (&["v=STSv1; id=123456789012345678901234567890123;"], None),
        ];
        for (records, expected) in cases {
            let records: Vec<Vec<u8>> = records.iter().map(|text| text.as_bytes().to_vec()).collect();
            assert_eq!(announced_id(&records).as_deref(), expected, "{records:?}");
        }
    }

    #[test]
    fn a_policy_reads_like_this_and_unknown_keys_do_no_harm() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n\
                    mx:backup.example.com \r\nnew-key: what\r\nmode: none\r\nmax_age: 123456\r\n";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.max_age, Duration::from_secs(123_456));
        let shown = "version: STSv1\nmode: enforce\nmax_age: 123456\nmx: mail.example.com\nmx: *.example.net\nmx: backup.example.com\n";
        assert_eq!(policy.to_string(), shown);
        assert_eq!(Policy::parse(shown.as_bytes()), Ok(policy));
        let none = Policy::parse(b"version: STSv1\nmode: none\nmax_age: 9999999999\n").unwrap();
        assert_eq!((none.mode, none.max_age), (Mode::None, MAX_AGE));
    }

    #[test]
    fn what_is_not_a_policy_is_told_by_its_fault() {
        let cases: [(&[u8], BadPolicy); 10] = [
            (b"", BadPolicy::Version),
            (b"<html>not found</html>", BadPolicy::Version),
            (b"version: STSv2\nmode: none\nmax_age: 1\n", BadPolicy::Version),
            (b"version: STSv1\nmode: maybe\nmax_age: 1\nmx: a\n", BadPolicy::Mode),
            (b"version: STSv1\nmax_age: 1\nmx: a.example\n", BadPolicy::Mode),
            (b"version: STSv1\nmode: enforce\nmx: a.example\n", BadPolicy::MaxAge),
            (b"version: STSv1\nmode: enforce\nmax_age: -1\nmx: a.example\n", BadPolicy::MaxAge),
            (b"version: STSv1\nmode: enforce\nmax_age: 1\n", BadPolicy::Mx),
            (b"version: STSv1\nmode: testing\nmax_age: 1\nmx: *.*.example\n", BadPolicy::Mx),
            (b"\xff\xfe", BadPolicy::NotText),
        ];
        for (text, expected) in cases {
            assert_eq!(Policy::parse(text), Err(expected), "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(Policy::parse(&vec![b' '; MAX_POLICY + 1]), Err(BadPolicy::NotText));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let policy = Policy::parse(
            b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: Mail.example.com\nmx: *.example.net\n",
        );
        let policy = policy.unwrap();
        let cases = [
            ("mail.example.com", true),
            ("MAIL.example.com.", true),
            ("a.mail.example.com", false),
            ("example.com", false),
            ("mx1.example.net", true),
            ("a.mx1.example.net", false),
            ("example.net", false),
            ("xexample.net", false),
            ("net", false),
        ];
        for (host, expected) in cases {
            assert_eq!(policy.names(&DnsName::parse(host).unwrap()), expected, "{host}");
        }
    }
}
