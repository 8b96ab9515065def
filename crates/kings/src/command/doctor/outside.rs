//! What is asked of others: names, and our own port 25 as a stranger meets it.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use kings_dns::{Dns, DnsError};
use kings_mail::domain::DnsName;
use kings_net::{Place, Resolver, public_addresses};
use kings_ops::doctor::relay::Target;
use kings_ops::doctor::{Answered, Dnssec};
use serde_json::Value;
use tokio::time::timeout;

use crate::config::Settings;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(6);
/// A name that is signed, and one whose signature is wrong on purpose.
const SIGNED: &str = "ietf.org";
const BOGUS: &str = "dnssec-failed.org";

/// Whether names are answered, by whom, and whether forgeries are found out.
pub(super) async fn names(settings: &Settings) -> (Answered, Dnssec) {
    let mut servers: Vec<String> = settings.dns.servers.iter().map(ToString::to_string).collect();
    if servers.is_empty() {
        let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let server = |line: &str| Some(line.strip_prefix("nameserver")?.trim().to_owned());
        servers = text.lines().filter_map(server).collect();
    }
    let dead = |why: String| (Err(why), Dnssec { is_believed: false, signed: None, bogus: None });
    let (took, dnssec) = match Resolver::new(&settings.dns) {
        Err(error) => dead(error.to_string()),
        Ok(resolver) => {
            let began = Instant::now();
            match address_of(&resolver, settings.hostname.as_str()).await {
                // That there is none is an answer, too.
                Some(Ok(_) | Err(DnsError::NoDomain | DnsError::NoRecord)) => {
                    let took = began.elapsed();
                    (Ok(took), dnssec(&resolver).await)
                }
                Some(Err(error)) => dead(error.to_string()),
                None => dead(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        }
    };
    (Answered { servers, took }, dnssec)
}

/// The AD bit of an address; `None` where nothing comes in time.
async fn address_of(resolver: &Resolver, name: &str) -> Option<Result<bool, DnsError>> {
    let name = DnsName::parse(name).ok()?;
    let answer = timeout(PATIENCE, resolver.ipv4(&name)).await.ok()?;
    Some(answer.map(|answer| answer.authenticated))
}

async fn dnssec(resolver: &Resolver) -> Dnssec {
    let (signed, bogus) = tokio::join!(address_of(resolver, SIGNED), address_of(resolver, BOGUS));
    Dnssec {
        is_believed: resolver.trusts_ad(),
        signed: signed.and_then(Result::ok),
        bogus: match bogus {
            Some(Ok(_)) => Some(true),
            // That is how a resolver says that it does not believe what it heard.
            Some(Err(error)) if !matches!(error, DnsError::NoDomain | DnsError::NoRecord) => Some(false),
            Some(Err(_)) | None => None,
        },
    }
}

/// Port 25 at an address that is not loopback, and the address that a stranger seems to have who comes from here.
pub(super) fn target(settings: &Settings, told: &Value) -> Result<Target, String> {
    let listeners = told["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
    let smtp = |listener: &Value| match listener["address"].as_str()?.parse().ok()? {
        Place::Tcp(address) if listener["name"] == "smtp" => Some(address),
        Place::Tcp(_) | Place::Unix(_) => None,
    };
    let listening: Vec<SocketAddr> = listeners.iter().filter_map(smtp).collect();
    if listening.is_empty() {
        return Err("no server that takes mail from others runs here".to_owned());
    }
    let own = own_addresses(settings);
    let reached = |bound: &SocketAddr| {
        let ip = bound.ip();
        let fits = |own: &&IpAddr| ip == **own || (ip.is_unspecified() && (ip.is_ipv6() || own.is_ipv4()));
        own.iter().find(fits).map(|own| SocketAddr::new(*own, bound.port()))
    };
    let address = listening.iter().find_map(reached);
    let address =
        address.ok_or("port 25 is at no address of this machine but loopback, where nobody is a stranger")?;
    if settings.listen.proxy_from.iter().any(|network| network.contains(&address.ip())) {
        return Err("this machine's own connections must begin with a PROXY header".to_owned());
    }
    let domain =
        settings.domains.first().map_or_else(|| settings.hostname.clone(), |hosted| hosted.name.clone());
    Ok(Target {
        address,
        from: address.ip(),
        hostname: settings.hostname.clone(),
        domain,
        has_catch_all: settings.domains.iter().any(|hosted| hosted.catch_all.is_some()),
    })
}

/// Addresses of this machine by which others know it, public ones first; those of the config that belong to a router are none.
fn own_addresses(settings: &Settings) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = settings.published.addresses.clone();
    own.extend(public_addresses());
    let towards = |far: &str, any: &str| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(far).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Nothing is sent: a UDP socket that connects only asks for its route.
    own.extend(towards("192.0.2.1:9", "0.0.0.0:0"));
    own.extend(towards("[2001:db8::1]:9", "[::]:0"));
    own.retain(|ip| !ip.is_loopback() && UdpSocket::bind((*ip, 0)).is_ok());
    own
}
