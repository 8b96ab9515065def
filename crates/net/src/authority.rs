//! Name servers asked directly: which ones a zone has, what each of them says, and changes by RFC 2136.

mod exchange;
mod update;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use kings_dns::{Data, Kind};
use kings_mail::domain::DnsName;

use self::exchange::{Asked, exchange};
use crate::resolver::{Resolver, ResolverSettings};

pub use self::update::{BadKey, TsigAlgorithm, TsigKey, UpdateError, list, serial, update, zone_at};

/// How long one server is waited for before it is asked again, and how often.
const PATIENCE: Duration = Duration::from_secs(3);
const TRIES: usize = 2;
/// Most name servers of one zone that are asked.
const MAX_SERVERS: usize = 16;
/// Where name servers answer (RFC 1035 §4.2).
const PORT: u16 = 53;

/// Finds the name servers of zones by way of a resolver, and asks them one by one.
#[derive(Clone)]
pub struct Authorities {
    resolver: Resolver,
    servers: Vec<SocketAddr>,
}

/// A zone and those who know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: DnsName,
    /// Its name servers, each address by itself.
    pub servers: Vec<Server>,
}

/// A name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: DnsName,
    /// Where it answers; `None` where its name leads nowhere.
    pub address: Option<SocketAddr>,
}

/// What one server says about one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// These records, none of them an alias.
    Records {
        /// What they say.
        data: Vec<Data>,
        /// How long they may be kept, in seconds.
        ttl: u32,
        /// Records of this type that mean nothing to us.
        odd: usize,
    },
    /// The name is an alias of this one.
    Alias(DnsName),
    /// There is nothing of this type.
    Nothing,
    /// There is no such name.
    NoName,
    /// It does not answer for this zone, or not at all; in its words or ours.
    Silent(String),
}

impl Authorities {
    /// Finds name servers with the resolvers of the settings.
    pub fn new(settings: &ResolverSettings, resolver: Resolver) -> Self {
        let servers = if settings.servers.is_empty() { of_the_machine() } else { settings.servers.clone() };
        Self { resolver, servers }
    }

    /// The zone that a name is in. `Err` says why nobody can tell.
    pub async fn of(&self, name: &DnsName) -> Result<Zone, String> {
        let mut above = Some(name.clone());
        while let Some(name) = above {
            let found = self.name_servers(&name).await?;
            if !found.is_empty() {
                return Ok(Zone { servers: self.places(found).await, name });
            }
            above = name.as_str().split_once('.').and_then(|(_, rest)| DnsName::parse(rest).ok());
        }
        Err(format!("no zone has {name}"))
    }

    /// The names of the servers of exactly this zone; none where it is part of another.
    async fn name_servers(&self, name: &DnsName) -> Result<Vec<DnsName>, String> {
        let mut last = "there is no resolver to ask: name one in [dns] servers".to_owned();
        for resolver in &self.servers {
            let asked = Asked::new(name, RecordType::NS).recursive();
            match exchange(*resolver, asked, PATIENCE, TRIES).await {
                Ok(answer)
                    if matches!(
                        answer.metadata.response_code,
                        ResponseCode::NoError | ResponseCode::NXDomain
                    ) =>
                {
                    let own = answer.answers.iter().filter(|record| wire::is(&record.name, name));
                    let servers = own.filter_map(|record| match &record.data {
                        RData::NS(server) => wire::name(&server.0),
                        _ => None,
                    });
                    return Ok(servers.collect());
                }
                Ok(answer) => last = format!("{resolver} says {}", answer.metadata.response_code),
                Err(why) => last = format!("{resolver}: {why}"),
            }
        }
        Err(last)
    }

    async fn places(&self, names: Vec<DnsName>) -> Vec<Server> {
        let mut servers = Vec::new();
        for name in names {
            let addresses = self.resolver.addresses(name.as_str()).await.unwrap_or_default();
            if addresses.is_empty() {
                servers.push(Server { name: name.clone(), address: None });
            }
            let place = |ip: IpAddr| Server { name: name.clone(), address: Some(SocketAddr::new(ip, PORT)) };
            servers.extend(addresses.into_iter().map(place));
        }
        // Where this machine has no IPv6, a server that has both is asked by IPv4.
        let by_ipv4 = |server: &Server| server.address.is_some_and(|address| address.is_ipv4());
        let reachable: Vec<DnsName> =
            servers.iter().filter(|server| by_ipv4(server)).map(|s| s.name.clone()).collect();
        servers.retain(|server| by_ipv4(server) || !reachable.contains(&server.name));
        servers.sort_by(|a, b| (&a.name, a.address).cmp(&(&b.name, b.address)));
        servers.truncate(MAX_SERVERS);
        servers
    }
}

/// Where there is nobody to ask, each question says so.
fn of_the_machine() -> Vec<SocketAddr> {
    let Ok((config, _)) = read_system_conf() else { return Vec::new() };
    config.name_servers().iter().map(|server| SocketAddr::new(server.ip, PORT)).collect()
}

/// Which state of a zone one server has (RFC 1982), if it has it.
pub async fn serial_of(server: SocketAddr, zone: &DnsName) -> Option<u32> {
    let answer = exchange(server, Asked::new(zone, RecordType::SOA), PATIENCE, 1).await.ok()?;
    answer.answers.iter().filter(|_| answer.metadata.authoritative).find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}

/// What one server says about one name and type.
pub async fn ask(server: SocketAddr, name: &DnsName, kind: Kind) -> Told {
    let asked = Asked::new(name, wire::record_type(kind));
    match exchange(server, asked, PATIENCE, TRIES).await {
        Ok(answer) => wire::told(&answer, name, kind),
        Err(why) => Told::Silent(why),
    }
}
