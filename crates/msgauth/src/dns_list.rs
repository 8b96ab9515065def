//! Lists in DNS of addresses and domains to refuse or to welcome (RFC 5782).

use std::net::{IpAddr, Ipv4Addr};

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};

/// Most answers of a list that are looked at: ours; the largest lists give fewer than ten.
pub const MAX_ANSWERS: usize = 32;

/// A list, and what a listing counts. Written as Postfix's `postscreen_dnsbl_sites` are: `ZONE`, then if wanted
/// `=127.0.0.[2..11;14]` and `*WEIGHT`; a list of good senders has a negative weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Where the list is.
    pub zone: DnsName,
    /// Which answers count; `None` takes all.
    codes: Option<Codes>,
    /// What a listing counts.
    pub weight: i32,
}

/// For each octet the ranges that it may be in.
type Codes = [Vec<(u8, u8)>; 4];

/// The text is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// No name of a zone.
    #[error("not the name of a zone")]
    Zone,
    /// Not four octets with ranges like `127.0.0.[2..11;14]`.
    #[error("not a pattern of four octets like 127.0.0.[2..11;14]")]
    Codes,
    /// Not a number from -1000 to 1000.
    #[error("not a weight from -1000 to 1000")]
    Weight,
}

impl List {
    /// Reads `ZONE[=CODES][*WEIGHT]`.
    pub fn parse(text: &str) -> Result<Self, BadList> {
        let (text, weight) = match text.rsplit_once('*') {
            Some((text, weight)) => (text, weight.trim().parse().map_err(|_| BadList::Weight)?),
            None => (text, 1),
        };
        if !(-1_000..=1_000).contains(&weight) {
            return Err(BadList::Weight);
        }
        let (zone, codes) = match text.split_once('=') {
            Some((zone, codes)) => (zone, Some(parse_codes(codes.trim())?)),
            None => (text, None),
        };
        let zone = Domain::parse(zone.trim()).map_err(|_| BadList::Zone)?;
        Ok(Self { zone: DnsName::from(&zone), codes, weight })
    }

    fn counts(&self, code: Ipv4Addr) -> bool {
        let within =
            |ranges: &Vec<(u8, u8)>, octet| ranges.iter().any(|(low, high)| (*low..=*high).contains(&octet));
        self.codes
            .as_ref()
            .is_none_or(|codes| codes.iter().zip(code.octets()).all(|(ranges, octet)| within(ranges, octet)))
    }
}

/// Four octets, each a number or `[2;4..8]`.
fn parse_codes(text: &str) -> Result<Codes, BadList> {
    let mut octets = Vec::new();
    let mut rest = text;
    loop {
        let (octet, behind) = match rest.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or(BadList::Codes)?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        octets.push(octet.split(';').map(parse_range).collect::<Option<Vec<_>>>().ok_or(BadList::Codes)?);
        match behind.strip_prefix('.') {
            Some(behind) => rest = behind,
            None if behind.is_empty() => break,
            None => return Err(BadList::Codes),
        }
    }
    octets.try_into().map_err(|_| BadList::Codes)
}

fn parse_range(text: &str) -> Option<(u8, u8)> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

/// What a list is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A client (RFC 5782 §2.1 and §2.4); IPv4 in IPv6 is taken for IPv4.
    Address(IpAddr),
    /// A domain of a client or a sender (RFC 5782 §3).
    Domain(&'a Domain),
}

/// What a list says. Only [`Verdict::Listed`] may count against anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Listed with codes that count.
    Listed(Vec<Ipv4Addr>),
    /// Not listed, or with codes only that do not count.
    NotListed,
    /// The list does not speak to us, or somebody speaks in its place.
    CannotTell(Doubt),
}

/// Why nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The name would be too long for DNS.
    #[error("the name is too long for this list")]
    TooLong,
    /// DNS does not answer now.
    #[error("DNS does not answer: {0}")]
    Dns(String),
    /// 127.255.255.0/24: the list refuses us, for instance since we ask through a public resolver.
    #[error("the list refuses to answer this resolver ({0})")]
    Refused(Ipv4Addr),
    /// Not in 127.0.0.0/8, or 127.0.0.1: a parked zone, or a resolver that makes answers up (RFC 5782 §2.1 and §5).
    #[error("the answer {0} is none of a list")]
    Nonsense(Ipv4Addr),
    /// The list lists what no list has, or not what each list has (RFC 5782 §5).
    #[error("the list fails its own test entries")]
    Insane,
}

/// Asks a list.
pub async fn look_up(dns: &impl Dns, list: &List, subject: Subject<'_>) -> Verdict {
    let Some(name) = question(&list.zone, subject) else { return Verdict::CannotTell(Doubt::TooLong) };
    match dns.ipv4(&name).await {
        Ok(answer) => judge(list, &answer.records),
        Err(DnsError::NoDomain | DnsError::NoRecord) => Verdict::NotListed,
        Err(DnsError::Temporary(error)) => Verdict::CannotTell(Doubt::Dns(error)),
    }
}

/// One doubtful answer spoils all.
fn judge(list: &List, answers: &[Ipv4Addr]) -> Verdict {
    let answers = &answers[..answers.len().min(MAX_ANSWERS)];
    if let Some(doubt) = answers.iter().find_map(|answer| doubt(*answer)) {
        return Verdict::CannotTell(doubt);
    }
    let codes: Vec<Ipv4Addr> = answers.iter().copied().filter(|code| list.counts(*code)).collect();
    if codes.is_empty() { Verdict::NotListed } else { Verdict::Listed(codes) }
}

fn doubt(answer: Ipv4Addr) -> Option<Doubt> {
    match answer.octets() {
        [127, 255, 255, _] => Some(Doubt::Refused(answer)),
        [127, 0, 0, 1] => Some(Doubt::Nonsense(answer)),
        [127, ..] => None,
        _ => Some(Doubt::Nonsense(answer)),
    }
}

/// Which entries a list has for its test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `127.0.0.2` is on each list, `127.0.0.1` on none.
    Addresses,
    /// `TEST` is on each list, `INVALID` on none.
    Domains,
}

/// Asks a list for the entries by which it shows that it works (RFC 5782 §5); `Some` says why it does not count.
/// To be asked once in a while, not for each message.
pub async fn test(dns: &impl Dns, list: &List, kind: Kind) -> Option<Doubt> {
    let (listed, unlisted) = match kind {
        Kind::Addresses => ("2.0.0.127", "1.0.0.127"),
        Kind::Domains => ("test", "invalid"),
    };
    for (label, expected) in [(listed, true), (unlisted, false)] {
        let Ok(name) = DnsName::parse(&format!("{label}.{}", list.zone)) else { return Some(Doubt::TooLong) };
        match dns.ipv4(&name).await {
            Ok(answer) => match answer.records.iter().find_map(|answer| doubt(*answer)) {
                Some(doubt) => return Some(doubt),
                None if !expected => return Some(Doubt::Insane),
                None => {}
            },
            Err(DnsError::Temporary(error)) => return Some(Doubt::Dns(error)),
            Err(DnsError::NoDomain | DnsError::NoRecord) if expected => return Some(Doubt::Insane),
            Err(DnsError::NoDomain | DnsError::NoRecord) => {}
        }
    }
    None
}

/// The name that asks about a subject.
fn question(zone: &DnsName, subject: Subject<'_>) -> Option<DnsName> {
    let subject = match subject {
        Subject::Address(ip) => reversed(ip.to_canonical()),
        Subject::Domain(domain) => domain.to_string(),
    };
    DnsName::parse(&format!("{subject}.{zone}")).ok()
}

/// Octets of IPv4, hexadecimal digits of IPv6, from the last to the first (RFC 5782 §2.1 and §2.4).
fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(ip) => {
            let digits: Vec<String> =
                format!("{:032x}", ip.to_bits()).chars().rev().map(String::from).collect();
            digits.join(".")
        }
    }
}

/// The sum of the weights of those lists that list a subject.
pub fn score<'a>(verdicts: impl IntoIterator<Item = (&'a List, &'a Verdict)>) -> i32 {
    let listed = verdicts.into_iter().filter(|(_, verdict)| matches!(verdict, Verdict::Listed(_)));
    listed.map(|(list, _)| list.weight).fold(0, i32::saturating_add)
}
