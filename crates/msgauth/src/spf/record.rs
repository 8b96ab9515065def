//! An SPF record, parsed before anything is evaluated: one fault anywhere spoils all of it (RFC 7208 §4.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fault::{BadRecord, Wrong, quotable};
use super::macros::{MacroString, Place};
use super::{MAX_RECORD, SpfResult};

/// A record that keeps the grammar of RFC 7208 §12.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<Modifier>,
    pub(super) explanation: Option<MacroString>,
}

/// A modifier that names a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Modifier {
    pub(super) spec: MacroString,
    /// As it stands in the record, shortened.
    pub(super) text: String,
}

/// A mechanism and what a match of it means (RFC 7208 §4.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) result: SpfResult,
    pub(super) mechanism: Mechanism,
    /// As it stands in the record, shortened.
    pub(super) text: String,
}

/// RFC 7208 §5. A domain of `None` is the one whose record this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(MacroString),
    A(Option<MacroString>, Prefixes),
    Mx(Option<MacroString>, Prefixes),
    Ptr(Option<MacroString>),
    Network(Network),
    Exists(MacroString),
}

/// RFC 7208 §5.6 `dual-cidr-length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) ipv4: u8,
    pub(super) ipv6: u8,
}

const WHOLE: Prefixes = Prefixes { ipv4: 32, ipv6: 128 };

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Network {
    /// Whether the client is in it; addresses of the other family never are.
    pub(super) fn contains(self, client: IpAddr) -> bool {
        match (self.address, client) {
            (IpAddr::V4(ip), IpAddr::V4(client)) => {
                let rest = 32_u32.saturating_sub(self.prefix.into());
                let differs = ip.to_bits() ^ client.to_bits();
                differs.checked_shr(rest).unwrap_or(0) == 0
            }
            (IpAddr::V6(ip), IpAddr::V6(client)) => {
                let rest = 128_u32.saturating_sub(self.prefix.into());
                let differs = ip.to_bits() ^ client.to_bits();
                differs.checked_shr(rest).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl Record {
    /// Whether a TXT record is one of SPF: `v=spf1` in any case, then a space or the end (RFC 7208 §4.5).
    pub fn is_spf(text: &[u8]) -> bool {
        let (version, rest) = text.split_at(text.len().min(6));
        version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
    }

    /// Parses a record for which [`Record::is_spf`] holds.
    pub fn parse(text: &[u8]) -> Result<Self, BadRecord> {
        if text.len() > MAX_RECORD {
            return Err(BadRecord::TooLong);
        }
        let mut record = Self { directives: Vec::new(), redirect: None, explanation: None };
        let text = String::from_utf8_lossy(text);
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            record.add(term).map_err(|wrong| BadRecord::term(term, wrong))?;
        }
        Ok(record)
    }

    fn add(&mut self, term: &str) -> Result<(), Wrong> {
        match modifier(term) {
            Some((name, value)) => self.add_modifier(term, name, value),
            None => {
                let directive = Directive::parse(term)?;
                self.directives.push(directive);
                Ok(())
            }
        }
    }

    /// Modifiers nobody knows are skipped, unless they break the grammar (RFC 7208 §6).
    fn add_modifier(&mut self, term: &str, name: &str, value: &str) -> Result<(), Wrong> {
        let is_redirect = name.eq_ignore_ascii_case("redirect");
        let is_explanation = name.eq_ignore_ascii_case("exp");
        if (is_redirect && self.redirect.is_some()) || (is_explanation && self.explanation.is_some()) {
            return Err(Wrong::Twice);
        }
        if is_redirect {
            let spec = MacroString::domain_spec(value)?;
            self.redirect = Some(Modifier { spec, text: quotable(term) });
        } else if is_explanation {
            self.explanation = Some(MacroString::domain_spec(value)?);
        } else {
            MacroString::parse(value, Place::Record)?;
        }
        Ok(())
    }
}

/// RFC 7208 §4.6.1 `name "=" value`; a mechanism has no `=` before its `:` or `/`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (begins && name.bytes().all(inner)).then_some((name, value))
}

impl Directive {
    fn parse(term: &str) -> Result<Self, Wrong> {
        let (result, mechanism) = match term.as_bytes().first() {
            Some(b'+') => (SpfResult::Pass, &term[1..]),
            Some(b'-') => (SpfResult::Fail, &term[1..]),
            Some(b'~') => (SpfResult::SoftFail, &term[1..]),
            Some(b'?') => (SpfResult::Neutral, &term[1..]),
            _ => (SpfResult::Pass, term),
        };
        Ok(Self { result, mechanism: Mechanism::parse(mechanism)?, text: quotable(term) })
    }
}

impl Mechanism {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let end = text.find([':', '/']).unwrap_or(text.len());
        let (name, argument) = text.split_at(end);
        match name.to_ascii_lowercase().as_str() {
            "all" if argument.is_empty() => Ok(Self::All),
            "include" => Ok(Self::Include(required(argument)?)),
            "exists" => Ok(Self::Exists(required(argument)?)),
            "ptr" => optional(argument).map(Self::Ptr),
            "a" => domain_and_prefixes(argument).map(|(domain, prefixes)| Self::A(domain, prefixes)),
            "mx" => domain_and_prefixes(argument).map(|(domain, prefixes)| Self::Mx(domain, prefixes)),
            "ip4" => network(argument, 32, |ip| ip.parse::<Ipv4Addr>().ok().map(IpAddr::V4)),
            "ip6" => network(argument, 128, |ip| ip.parse::<Ipv6Addr>().ok().map(IpAddr::V6)),
            "all" => Err(Wrong::Argument),
            _ => Err(Wrong::Mechanism),
        }
    }
}

fn required(argument: &str) -> Result<MacroString, Wrong> {
    argument.strip_prefix(':').ok_or(Wrong::Argument).and_then(MacroString::domain_spec)
}

fn optional(argument: &str) -> Result<Option<MacroString>, Wrong> {
    if argument.is_empty() { Ok(None) } else { required(argument).map(Some) }
}

/// `[ ":" domain-spec ] [ dual-cidr-length ]`. A domain may hold slashes: only digits at the end are a length.
fn domain_and_prefixes(argument: &str) -> Result<(Option<MacroString>, Prefixes), Wrong> {
    let mut prefixes = WHOLE;
    let (rest, ipv6) = cut_prefix(argument, "//");
    if let Some(digits) = ipv6 {
        prefixes.ipv6 = prefix(digits, 128)?;
    }
    let (rest, ipv4) = cut_prefix(rest, "/");
    if let Some(digits) = ipv4 {
        prefixes.ipv4 = prefix(digits, 32)?;
    }
    Ok((optional(rest)?, prefixes))
}

/// Cuts the mark and the digits behind it off the end, if both are there.
fn cut_prefix<'a>(text: &'a str, mark: &str) -> (&'a str, Option<&'a str>) {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (before, digits) = text.split_at(text.len() - digits);
    match before.strip_suffix(mark) {
        Some(rest) if !digits.is_empty() => (rest, Some(digits)),
        _ => (text, None),
    }
}

/// RFC 7208 §5.6: `0`, or a number without leading zeros.
fn prefix(digits: &str, most: u8) -> Result<u8, Wrong> {
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let length = digits.parse().ok().filter(|length| plain && *length <= most);
    length.ok_or(Wrong::Prefix)
}

fn network(argument: &str, most: u8, parse: fn(&str) -> Option<IpAddr>) -> Result<Mechanism, Wrong> {
    let argument = argument.strip_prefix(':').ok_or(Wrong::Argument)?;
    let (ip, length) = match argument.split_once('/') {
        Some((ip, digits)) => (ip, prefix(digits, most)?),
        None => (argument, most),
    };
    let address = parse(ip).ok_or(Wrong::Address)?;
    Ok(Mechanism::Network(Network { address, prefix: length }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_record_of_spf_is_told_from_its_neighbours() {
        for (text, expected) in [
            ("v=spf1", true),
            ("v=spf1 ", true),
            ("V=sPf1 -all", true),
            ("v=spf1-all", false),
            ("v=spf10", false),
            ("v=spf1\t-all", false),
            (" v=spf1", false),
            ("v=spf2.0/pra", false),
            ("", false),
        ] {
            assert_eq!(Record::is_spf(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn each_mechanism_is_read() {
        let good = [
            "all",
            "ALL",
            "-all",
            "?aLL",
            "include:a.example",
            "include:%{d}",
            "a",
            "a/24",
            "a//64",
            "a/24//64",
            "a/0",
            "a//0",
            "a:b.example",
            "a:b.example/8",
            "a:b.example//8",
            "a:b/8.example",
            "a:b:c.example",
            "mx",
            "mx/32",
            "mx:b.example.//128",
            "ptr",
            "ptr:b.example",
            "ip4:1.2.3.4",
            "ip4:1.2.3.4/0",
            "ip6:::1",
            "ip6:::1/128",
            "ip6:::1.2.3.4/96",
            "exists:%{i}.a.example",
            "exp=a.example",
            "redirect=a.example",
            "x=",
            "x=%{d}",
            "all=a",
            "a.b-c_d=%%",
            "default=pass",
        ];
        for term in good {
            let record = Record::parse(format!("v=spf1 {term}").as_bytes());
            assert!(record.is_ok(), "{term}: {record:?}");
        }
    }

    #[test]
    fn one_fault_anywhere_spoils_the_record() {
        use Wrong::{
            Address, Argument, DomainSpec, ExplanationLetter, Macro, Mechanism, Octet, Prefix, Twice,
        };
        let cases = [
            ("all:a", Argument),
            ("all/8", Argument),
            ("all.", Mechanism),
            ("include", Argument),
            ("include:", DomainSpec),
            ("include:a", DomainSpec),
            ("include:a.example/24", DomainSpec),
            ("exists", Argument),
            ("exists:", DomainSpec),
            ("a:", DomainSpec),
            ("a:/24", DomainSpec),
            ("a/33", Prefix),
            ("a/024", Prefix),
            ("a//129", Prefix),
            ("a//00", Prefix),
            ("a/", Argument),
            ("a/24/64", Prefix),
            ("a:a.example/99999999999", Prefix),
            ("mx:", DomainSpec),
            ("mx:museum", DomainSpec),
            ("ptr:", DomainSpec),
            ("ptr/0", Argument),
            ("ptr:a.example/8", DomainSpec),
            ("ip4", Argument),
            ("ip4:", Address),
            ("ip4/24", Argument),
            ("ip4:1.2.3", Address),
            ("ip4:1.2.3.4.", Address),
            ("ip4:1.2.3.04", Address),
            ("ip4:1.2.3.4:80", Address),
            ("ip4:1.2.3.4/33", Prefix),
            ("ip4:1.2.3.4/08", Prefix),
            ("ip4:1.2.3.4/", Prefix),
            ("ip4:1.2.3.4/+8", Prefix),
            ("ip4:1.2.3.4//8", Prefix),
            ("ip4:::1", Address),
            ("ip6:1.2.3.4", Address),
            ("ip6:fe80::1%eth0", Address),
            ("ip6:::1/129", Prefix),
            ("ipv4:1.2.3.4", Mechanism),
            ("1.2.3.4", Mechanism),
            ("+", Mechanism),
            ("--all", Mechanism),
            ("=all", Mechanism),
            ("-exp=a.example", Mechanism),
            ("in^valid=a", Mechanism),
            ("v=spf1,all", Octet),
            ("a,", Mechanism),
            ("exp=", DomainSpec),
            ("redirect=", DomainSpec),
            ("redirect=a", DomainSpec),
            ("exp=a.example EXP=a.example", Twice),
            ("redirect=a.example redirect=a.example", Twice),
            ("exists:%{t}.a.example", ExplanationLetter),
            ("a:%{z}.example", Macro),
            ("x=%{d", Macro),
            ("a:a.example\0", Octet),
            ("all\t", Mechanism),
            ("x=\u{e9}", Octet),
        ];
        for (term, expected) in cases {
            let result = Record::parse(format!("v=spf1 {term} ?all").as_bytes());
            match term {
                // Printable: a modifier nobody knows.
                "v=spf1,all" => assert!(result.is_ok()),
                _ => assert!(
                    matches!(&result, Err(BadRecord::Term { wrong, .. }) if *wrong == expected),
                    "{term}: {result:?}"
                ),
            }
        }
        assert_eq!(Record::parse(&vec![b' '; MAX_RECORD + 1]), Err(BadRecord::TooLong));
    }

    #[test]
    fn networks_are_compared_by_their_leading_bits() {
        let cases = [
            ("10.1.2.3", 32, "10.1.2.3", true),
            ("10.1.2.3", 32, "10.1.2.2", false),
            ("10.1.2.3", 31, "10.1.2.2", true),
            ("10.1.2.3", 0, "192.0.2.1", true),
            ("10.1.2.3", 0, "::1", false),
            ("::", 0, "2001:db8::1", true),
            ("2001:db8::", 32, "2001:db8:ffff::1", true),
            ("2001:db8::", 33, "2001:db8:ffff::1", false),
            ("2001:db8::1", 128, "2001:db8::1", true),
        ];
        for (address, prefix, client, expected) in cases {
            let network = Network { address: address.parse().unwrap(), prefix };
            assert_eq!(network.contains(client.parse().unwrap()), expected, "{address}/{prefix} {client}");
        }
    }
}
