//! `trait Dns`: what mail asks, and the three ways an answer can be missing.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use kings_mail::domain::DnsName;

/// The questions mail asks of DNS. Small on purpose: a fake is an in-memory [`crate::Zone`].
pub trait Dns: Send + Sync {
    /// MX records, in any order (RFC 5321 §5.1).
    fn mx(&self, name: &DnsName) -> impl Future<Output = Result<Answer<Mx>, DnsError>> + Send;

    /// A records.
    fn ipv4(&self, name: &DnsName) -> impl Future<Output = Result<Answer<Ipv4Addr>, DnsError>> + Send;

    /// AAAA records.
    fn ipv6(&self, name: &DnsName) -> impl Future<Output = Result<Answer<Ipv6Addr>, DnsError>> + Send;

    /// TXT records; the strings of one record are joined, as every use of them in mail asks (RFC 7208 §3.3,
    /// RFC 8461 §3.1).
    fn txt(&self, name: &DnsName) -> impl Future<Output = Result<Answer<Vec<u8>>, DnsError>> + Send;

    /// The alias of this very name; an alias of the alias is another question (RFC 7672 §2.2.3).
    fn cname(&self, name: &DnsName) -> impl Future<Output = Result<Answer<DnsName>, DnsError>> + Send;

    /// TLSA records (RFC 6698 §2).
    fn tlsa(&self, name: &DnsName) -> impl Future<Output = Result<Answer<Tlsa>, DnsError>> + Send;

    /// PTR records of an address. Its owner may claim any name: believe one only when it leads back.
    fn reverse(&self, address: IpAddr) -> impl Future<Output = Result<Answer<DnsName>, DnsError>> + Send;
}

/// Records of one kind under one name; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records.
    pub records: Vec<T>,
    /// How long they may be kept.
    pub ttl: Duration,
    /// A resolver that we trust vouched for DNSSEC (the AD bit, RFC 4035 §3.2.3); only DANE may look at it.
    pub authenticated: bool,
}

/// One MX record (RFC 1035 §3.3.9).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The MX host; `None` is the root, which with preference 0 means "takes no mail" (RFC 7505 §3).
    pub exchange: Option<DnsName>,
}

/// One TLSA record: which certificate a server shows (RFC 6698 §2.1). The numbers are as they stand in DNS;
/// whoever checks a certificate decides which of them it can use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tlsa {
    /// 2 names an authority (DANE-TA), 3 the server's own certificate (DANE-EE); 0 and 1 are not for SMTP.
    pub usage: u8,
    /// 0 takes the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 gives the octets themselves, 1 their SHA-256, 2 their SHA-512.
    pub matching: u8,
    /// What must be equal.
    pub data: Vec<u8>,
}

/// Three answers that mail must tell apart. Only [`DnsError::Temporary`] is worth a retry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN).
    #[error("no such domain")]
    NoDomain,
    /// The name exists and has no such record (RFC 2308 §2.2 `NODATA`).
    #[error("no such record")]
    NoRecord,
    /// Nobody knows now: time-out, SERVFAIL, REFUSED, an answer that makes no sense.
    #[error("DNS does not answer now: {0}")]
    Temporary(String),
}
