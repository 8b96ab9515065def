//! TrustedHosts, InternalHosts, PeerList, ExternalIgnoreList: lists of clients, asked as OpenDKIM asks them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kings_mail::domain::Domain;

use super::{BadLine, Complaint, Matching, lines, wildcard};

/// Whose mail is signed rather than verified, and the like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    entries: Vec<Entry>,
    /// `refile:` alone has these, in lower case. They may stand for the `!` of a question too.
    patterns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// With `!` in front: not meant.
    excluded: bool,
    host: Host,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Network(IpAddr, u8),
    /// A name in lower case.
    Name(String),
    /// `.example.org`: every name below it, kept with its dot.
    Below(String),
}

impl Hosts {
    /// Reads one host at the beginning of each line: an address, `net/bits`, a name, `.parent`; `!` in front takes it out.
    ///
    /// What OpenDKIM takes and never finds is no mistake of ours to refuse either; it is told beside the list.
    pub fn parse(text: &str, matching: Matching) -> (Self, Vec<Complaint>) {
        let (mut hosts, mut complaints) = (Self::default(), Vec::new());
        for (line, content) in lines(text) {
            let word = content.split_whitespace().next().unwrap_or_default();
            if matching == Matching::Wildcards && word.contains('*') {
                hosts.patterns.push(word.to_ascii_lowercase());
                complaints.push(Complaint { line, what: BadLine::HostPattern(word.to_owned()) });
                continue;
            }
            let (excluded, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
            match Host::parse(word) {
                Ok(host) => hosts.entries.push(Entry { excluded, host }),
                Err(what) => complaints.push(Complaint { line, what }),
            }
        }
        (hosts, complaints)
    }

    /// Whether a client is on the list by its name or by its address: the most exact entry that there is decides, in the
    /// order in which OpenDKIM asks (`dkimf_checkhost`, `dkimf_checkip`).
    ///
    /// `name` must be confirmed: anybody can claim one in the reverse zone of his addresses.
    pub fn contains(&self, address: IpAddr, name: Option<&str>) -> bool {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        name.is_some_and(|name| self.has_name(&name)) || self.has_address(address.to_canonical())
    }

    fn has_name(&self, name: &str) -> bool {
        let parents = name.match_indices('.').map(|(at, _)| Host::Below(name[at..].to_owned()));
        let mut questions = std::iter::once(Host::Name(name.to_owned())).chain(parents);
        questions.find_map(|question| self.answer(&question, &[])).unwrap_or(false)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let mut questions = (0..=width).rev().map(|bits| Host::Network(network(address, bits), bits));
        let alone = [address.to_string(), format!("[{address}]")];
        let mut spellings = &alone[..];
        questions
            .find_map(|question| {
                let answer = self.answer(&question, spellings);
                spellings = &[];
                answer
            })
            .unwrap_or(false)
    }

    /// The answer to one question, if there is any. `spellings` are others of the same.
    fn answer(&self, question: &Host, spellings: &[String]) -> Option<bool> {
        let is_listed =
            |excluded| self.entries.iter().any(|entry| entry.excluded == excluded && entry.host == *question);
        let is_meant = |mark: &str| {
            !self.patterns.is_empty()
                && std::iter::once(&question.to_string()).chain(spellings).any(|text| {
                    let text = format!("{mark}{text}");
                    self.patterns.iter().any(|pattern| wildcard(pattern, &text))
                })
        };
        if is_listed(true) || is_meant("!") {
            return Some(false);
        }
        (is_listed(false) || is_meant("")).then_some(true)
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(address, bits) => write!(f, "{address}/{bits}"),
            Self::Name(name) | Self::Below(name) => f.write_str(name),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, BadLine> {
        let nobody = || BadLine::Host(text.to_owned());
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = unbracketed(address).parse().map_err(|_| nobody())?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let masked = || bits.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4()).and_then(prefix_of);
            let number = bits.parse().ok().filter(|bits| *bits <= width);
            let Some(bits) = number.or_else(masked) else { return Err(nobody()) };
            let own = network(address, bits);
            if number.is_none() || own != address {
                return Err(BadLine::Network(text.to_owned(), format!("{own}/{bits}")));
            }
            return Ok(Self::Network(address, bits));
        }
        if let Ok(address) = unbracketed(text).parse::<IpAddr>() {
            return Ok(Self::Network(address, if address.is_ipv4() { 32 } else { 128 }));
        }
        if let Some(domain) = text.strip_prefix("*.").and_then(|parent| Domain::parse(parent).ok()) {
            return Err(BadLine::Wildcard(text.to_owned(), domain));
        }
        let (below, name) = text.strip_prefix('.').map_or((false, text), |name| (true, name));
        let domain = Domain::parse(name).map_err(|_| nobody())?;
        Ok(if below { Self::Below(format!(".{domain}")) } else { Self::Name(domain.to_string()) })
    }
}

/// How many bits a mask such as 255.255.0.0 stands for.
fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let mask = u32::from(mask);
    let ones = mask.leading_ones();
    (mask.count_ones() == ones).then_some(u8::try_from(ones).unwrap_or(32))
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

/// The first address of the network of this size around an address.
fn network(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}
