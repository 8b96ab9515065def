//! The real resolver: asks the name servers of the machine or of the config, and keeps answers by their TTL.

mod aliases;
mod answers;
mod exchange;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError as HickoryError, NetError};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use kings_dns::{Answer, Dns, DnsError, Mx, Tlsa};
use kings_mail::domain::DnsName;

use self::answers::{Answers, Question, Told};
use self::exchange::Connections;

/// One question to one server; there are two rounds over all servers.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where questions go, and what is believed of the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverSettings {
    /// The servers to ask; those of `/etc/resolv.conf` when there are none.
    pub servers: Vec<SocketAddr>,
    /// Believe the AD bit though a server is not on this machine: the way to it is safe by other means.
    pub trust_ad: bool,
}

/// Answers `trait Dns` from real name servers.
#[derive(Clone)]
pub struct Resolver {
    inner: hickory_resolver::Resolver<Connections>,
    /// Shared by all copies of this resolver: what came in and what goes out ask the same names.
    answers: Arc<Answers>,
    /// The AD bit of an answer that crossed a network is anybody's word (RFC 7672 §2.1.1, RFC 4035 §4.9.3).
    trust_ad: bool,
}

/// The resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// `/etc/resolv.conf` is missing or names no server.
    #[error("cannot use /etc/resolv.conf ({0}): name the servers in [dns] servers = [\"127.0.0.1:53\"]")]
    System(String),
}

impl Resolver {
    /// Asks the servers of the settings.
    pub fn new(settings: &ResolverSettings) -> Result<Self, ResolverError> {
        let system = |error: NetError| ResolverError::System(error.to_string());
        let (config, options) = if settings.servers.is_empty() {
            read_system_conf().map_err(system)?
        } else {
            let servers = settings.servers.iter().map(name_server).collect();
            (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
        };
        let local = config.name_servers().iter().all(|server| server.ip.to_canonical().is_loopback());
        let provider = Connections::default();
        let mut builder = hickory_resolver::Resolver::builder_with_config(config, provider);
        *builder.options_mut() = adjusted(options);
        let inner = builder.build().map_err(system)?;
        Ok(Self { inner, answers: Arc::default(), trust_ad: settings.trust_ad || local })
    }

    /// Whether answers can be authenticated at all: DANE needs a validating resolver on this machine.
    pub fn trusts_ad(&self) -> bool {
        self.trust_ad
    }

    /// All addresses of a host by its name in text, IPv4 first.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let name = DnsName::parse(host).map_err(|_| DnsError::NoDomain)?;
        let (v4, v6) = tokio::join!(self.ipv4(&name), self.ipv6(&name));
        match (v4, v6) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => {
                let v4 = v4.into_iter().flat_map(|answer| answer.records).map(IpAddr::V4);
                Ok(v4.chain(v6.into_iter().flat_map(|answer| answer.records).map(IpAddr::V6)).collect())
            }
        }
    }

    async fn ask<T>(
        &self,
        name: &DnsName,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        self.look_up(Question::Records(name.clone(), kind), read).await
    }

    async fn look_up<T>(
        &self,
        question: Question,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        let now = Instant::now();
        let query = self.query(&question);
        let kept = self.answers.get(question.clone(), now, query).await;
        let records: Vec<T> = match &kept.told.outcome {
            Ok(records) => records.iter().filter_map(read).collect(),
            Err(error) => return Err(error.clone()),
        };
        if records.is_empty() {
            return Err(DnsError::NoRecord);
        }
        let authenticated = self.trust_ad && kept.told.authentic_data;
        Ok(Answer { records, ttl: kept.remaining(now), authenticated })
    }

    /// Asks the name servers.
    async fn query(&self, question: &Question) -> Told {
        let (name, kind) = match question {
            Question::Records(name, kind) => (on_the_wire(name), *kind),
            Question::Reverse(address) => (Ok(Name::from(*address)), RecordType::PTR),
        };
        let Ok(name) = name else {
            return Told { outcome: Err(DnsError::NoDomain), ttl: None, authentic_data: false };
        };
        // Large, and part of whatever may have to ask: boxed, it costs nothing where nobody asks.
        match aliases::following(Box::pin(self.inner.lookup(name, kind))).await {
            Ok(lookup) => Told {
                outcome: Ok(records(&lookup, kind)),
                ttl: Some(lookup.valid_until().saturating_duration_since(Instant::now())),
                authentic_data: lookup.message().metadata.authentic_data,
            },
            Err(error) => Told { outcome: Err(explain(&error)), ttl: no_for(&error), authentic_data: false },
        }
    }
}

/// The labels as they stand: any octet is one of a label (RFC 2181 §11), and the macros of SPF make names of local parts,
/// `ann+list` and SRS's `SRS0=...` among them. Read as text it would be refused, or other text would be read into it.
fn on_the_wire(name: &DnsName) -> Result<Name, ProtoError> {
    Name::from_labels(name.as_str().split('.').map(str::as_bytes))
}

/// Those of the kind that was asked for; the aliases on the way to them are of no use to us.
fn records(lookup: &Lookup, kind: RecordType) -> Vec<RData> {
    let of_kind = lookup.answers().iter().filter(|record| record.record_type() == kind);
    of_kind.map(|record| record.data.clone()).collect()
}

/// The hosts file would answer for names that DNS says nothing about; mail follows DNS alone.
fn adjusted(mut options: ResolverOpts) -> ResolverOpts {
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.edns0 = true;
    // Answers are kept by us, failures as well.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// How long a "no" holds: the SOA record beside it says so (RFC 2308 §5).
fn no_for(error: &NetError) -> Option<Duration> {
    let NetError::Dns(HickoryError::NoRecordsFound(none)) = error else { return None };
    none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()))
}

/// Only a clear "no" from a server is final; everything else is doubt (RFC 5321 §5.1).
fn explain(error: &NetError) -> DnsError {
    match error {
        NetError::Dns(HickoryError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsError::NoDomain,
            ResponseCode::NoError => DnsError::NoRecord,
            code => DnsError::Temporary(code.to_string()),
        },
        other => DnsError::Temporary(other.to_string()),
    }
}

impl Dns for Resolver {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        self.ask(name, RecordType::MX, |data| {
            let RData::MX(mx) = data else { return None };
            // The root is the null MX; any other name we cannot read is dropped as unusable.
            let exchange = if mx.exchange.is_root() {
                None
            } else {
                Some(DnsName::parse(&mx.exchange.to_ascii()).ok()?)
            };
            Some(Mx { preference: mx.preference, exchange })
        })
        .await
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        self.ask(name, RecordType::A, |data| if let RData::A(a) = data { Some(a.0) } else { None }).await
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        self.ask(name, RecordType::AAAA, |data| if let RData::AAAA(a) = data { Some(a.0) } else { None })
            .await
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        self.ask(name, RecordType::TXT, |data| {
            if let RData::TXT(text) = data { Some(text.txt_data.concat()) } else { None }
        })
        .await
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        self.ask(name, RecordType::CNAME, |data| {
            let RData::CNAME(target) = data else { return None };
            DnsName::parse(&target.to_ascii()).ok()
        })
        .await
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        self.ask(name, RecordType::TLSA, |data| {
            let RData::TLSA(tlsa) = data else { return None };
            Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            })
        })
        .await
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        self.look_up(Question::Reverse(address), |data| {
            let RData::PTR(name) = data else { return None };
            DnsName::parse(&name.0.to_ascii()).ok()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn the_ad_bit_is_believed_from_this_machine_or_where_the_config_says_so() {
        let cases: [(&[&str], bool, bool); 7] = [
            (&["127.0.0.1:53"], false, true),
            (&["[::1]:53", "127.0.0.53:53"], false, true),
            (&["[::ffff:127.0.0.1]:53"], false, true),
            (&["192.0.2.1:53"], false, false),
            (&["127.0.0.1:53", "192.0.2.1:53"], false, false),
            (&["[fe80::1]:53"], false, false),
            (&["192.0.2.1:53"], true, true),
        ];
        for (servers, trust_ad, expected) in cases {
            let parsed = servers.iter().map(|server| server.parse().unwrap()).collect();
            let resolver = Resolver::new(&ResolverSettings { servers: parsed, trust_ad }).unwrap();
            assert_eq!(resolver.trusts_ad(), expected, "{servers:?} {trust_ad}");
        }
    }
}
