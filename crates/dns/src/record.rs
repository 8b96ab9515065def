//! Records as values: what stands under one name and type.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use kings_mail::domain::DnsName;

use crate::question::{Mx, Tlsa};

/// Longest string of a TXT record, in octets (RFC 1035 §3.3).
pub const MAX_STRING: usize = 255;

/// The types of records that mail has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An IPv4 address (RFC 1035 §3.4.1).
    A,
    /// An IPv6 address (RFC 3596 §2.1).
    Aaaa,
    /// Which authorities may give certificates (RFC 8659 §4).
    Caa,
    /// Another name for all of them (RFC 1035 §3.3.1).
    Cname,
    /// Where mail goes (RFC 1035 §3.3.9).
    Mx,
    /// A name server (RFC 1035 §3.3.11).
    Ns,
    /// The name of an address (RFC 1035 §3.3.12).
    Ptr,
    /// Where a service is (RFC 2782).
    Srv,
    /// Which certificate a server shows (RFC 6698 §2).
    Tlsa,
    /// Text (RFC 1035 §3.3.14).
    Txt,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::A,
        Self::Aaaa,
        Self::Caa,
        Self::Cname,
        Self::Mx,
        Self::Ns,
        Self::Ptr,
        Self::Srv,
        Self::Tlsa,
        Self::Txt,
    ];

    /// As zone files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Caa => "CAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Tlsa => "TLSA",
            Self::Txt => "TXT",
        }
    }

    /// The type of this name, if it is one of those above.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A rule for certificates.
    Caa(Caa),
    /// The name meant.
    Cname(DnsName),
    /// An MX host.
    Mx(Mx),
    /// A name server.
    Ns(DnsName),
    /// The name of an address.
    Ptr(DnsName),
    /// A service.
    Srv(Srv),
    /// A certificate.
    Tlsa(Tlsa),
    /// Text.
    Txt(Txt),
}

impl Data {
    /// The type of the record.
    pub fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::Aaaa,
            Self::Caa(_) => Kind::Caa,
            Self::Cname(_) => Kind::Cname,
            Self::Mx(_) => Kind::Mx,
            Self::Ns(_) => Kind::Ns,
            Self::Ptr(_) => Kind::Ptr,
            Self::Srv(_) => Kind::Srv,
            Self::Tlsa(_) => Kind::Tlsa,
            Self::Txt(_) => Kind::Txt,
        }
    }

    /// A TXT record of this text.
    pub fn txt(text: &str) -> Self {
        Self::Txt(Txt::new(text))
    }
}

/// The strings of a TXT record. Where it is cut says nothing (RFC 7208 §3.3, RFC 6376 §3.6.2.2), so that two which are the
/// same in one piece are equal.
#[derive(Clone, Debug)]
pub struct Txt {
    /// Each of at most [`MAX_STRING`] octets; of text from elsewhere perhaps not.
    pub strings: Vec<Vec<u8>>,
}

impl Txt {
    /// Cuts a text into strings that DNS can hold.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let strings: Vec<Vec<u8>> = text.chunks(MAX_STRING).map(<[u8]>::to_vec).collect();
        Self { strings: if strings.is_empty() { vec![Vec::new()] } else { strings } }
    }

    /// All strings in one piece.
    pub fn joined(&self) -> Vec<u8> {
        self.strings.concat()
    }

    /// Whether DNS can hold it (RFC 1035 §3.3): Route 53 and some stand-ins for it take more than that and break it.
    pub fn fits(&self) -> bool {
        let octets: usize = self.strings.iter().map(|string| string.len() + 1).sum();
        self.strings.iter().all(|string| string.len() <= MAX_STRING) && u16::try_from(octets).is_ok()
    }
}

impl PartialEq for Txt {
    fn eq(&self, other: &Self) -> bool {
        self.joined() == other.joined()
    }
}

impl Eq for Txt {}

impl std::hash::Hash for Txt {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.joined().hash(state);
    }
}

impl PartialOrd for Txt {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Txt {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.joined().cmp(&other.joined())
    }
}

/// Where a service is (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Srv {
    /// Lower is tried first.
    pub priority: u16,
    /// Among equals the share of each.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `None` is the root: the service is decidedly not there.
    pub target: Option<DnsName>,
}

/// A rule for those who give certificates (RFC 8659 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caa {
    /// 128 marks a rule that who does not know it must not pass over.
    pub flags: u8,
    /// `issue`, `issuewild`, `iodef` and others, in lower case.
    pub tag: String,
    /// What the rule says.
    pub value: Vec<u8>,
}

/// All records of one name and type; it is this that DNS changes, not a single record (RFC 2181 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// Whose records these are.
    pub name: DnsName,
    /// Their type.
    pub kind: Kind,
    /// How long they may be kept, in seconds.
    pub ttl: u32,
    /// Never empty; the order says nothing.
    pub data: Vec<Data>,
}

impl RecordSet {
    /// A set of one record.
    pub fn one(name: DnsName, ttl: u32, data: Data) -> Self {
        Self { name, kind: data.kind(), ttl, data: vec![data] }
    }

    /// Whether both say the same, for however long.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let sorted = |set: &Self| {
            let mut data = set.data.clone();
            data.sort();
            data.dedup();
            data
        };
        (&self.name, self.kind) == (&other.name, other.kind) && sorted(self) == sorted(other)
    }
}
