//! The real resolver: asks the name servers of the machine or of the config, and keeps answers by their TTL.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use kings_dns::{Answer, Dns, DnsError, Mx};
use kings_mail::domain::DnsName;

/// One question to one server; there are two rounds over all servers.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers kept at once.
const CACHE_ENTRIES: u64 = 8_192;
/// Longest time any answer is kept: a TTL of 2^31 is no reason to believe it for 68 years.
const LONGEST_TTL: Duration = Duration::from_hours(24);

/// Answers `trait Dns` from real name servers.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

/// The resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// `/etc/resolv.conf` is missing or names no server.
    #[error("cannot use /etc/resolv.conf ({0}): name the servers in [dns] servers = [\"127.0.0.1:53\"]")]
    System(String),
}

impl Resolver {
    /// Asks these servers, or those of `/etc/resolv.conf` when there are none.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let system = |error: NetError| ResolverError::System(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(system)?
        } else {
            let servers = servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        adjust(builder.options_mut());
        builder.build().map(Self).map_err(system)
    }

    async fn ask<T>(
        &self,
        name: &DnsName,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        let absolute = Name::from_ascii(format!("{name}.")).map_err(|_| DnsError::NoDomain)?;
        let lookup = self.0.lookup(absolute, kind).await.map_err(|error| explain(&error))?;
        let records: Vec<T> = lookup.answers().iter().filter_map(|record| read(&record.data)).collect();
        if records.is_empty() {
            return Err(DnsError::NoRecord);
        }
        Ok(Answer {
            records,
            ttl: remaining(&lookup),
            authenticated: lookup.message().metadata.authentic_data,
        })
    }
}

/// The hosts file would answer for names that DNS says nothing about; mail follows DNS alone.
fn adjust(options: &mut ResolverOpts) {
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.edns0 = true;
    options.cache_size = CACHE_ENTRIES;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_TTL);
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn remaining(lookup: &Lookup) -> Duration {
    lookup.valid_until().saturating_duration_since(Instant::now())
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
}
