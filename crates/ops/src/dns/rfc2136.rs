//! Zones changed at a name server that takes updates.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_dns::{Change, DnsProvider, Listing, ProviderError, Ticket};
use kings_mail::domain::DnsName;
use kings_net::authority::{self, Authorities, TsigKey, UpdateError};
use tokio::time::{Instant, sleep};

/// How long the other servers of a zone are waited for: they are told at once (RFC 1996 §3).
const PATIENCE: Duration = Duration::from_mins(2);
/// How often they are asked meanwhile.
const STEP: Duration = Duration::from_secs(1);

/// A name server with the key that it knows us by.
#[derive(Clone)]
pub struct Rfc2136 {
    /// Where it takes updates.
    pub server: SocketAddr,
    /// The secret that we share.
    pub key: TsigKey,
    /// To find the other servers of its zones.
    pub authorities: Authorities,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl DnsProvider for Rfc2136 {
    async fn zone_of(&self, name: &DnsName) -> Result<DnsName, ProviderError> {
        let found = authority::zone_at(self.server, &self.key, name, now()).await;
        found.map_err(|error| explained(error, name))
    }

    async fn list(&self, zone: &DnsName, names: &BTreeSet<DnsName>) -> Result<Listing, ProviderError> {
        let listed = authority::list(self.server, &self.key, names, now()).await;
        listed.map_err(|error| explained(error, zone))
    }

    async fn change(&self, zone: &DnsName, changes: &[Change]) -> Result<Ticket, ProviderError> {
        let answer = authority::update(self.server, &self.key, zone, changes, now()).await;
        answer.map_err(|error| explained(error, zone))?;
        let serial = authority::serial(self.server, &self.key, zone, now()).await;
        Ok(Ticket(serial.map_or_else(|_| String::new(), |serial| serial.to_string())))
    }

    /// Each server that the zone names has this state or a later one. Where nobody knows them, the one that took it is all.
    async fn wait(&self, zone: &DnsName, ticket: &Ticket) -> Result<(), ProviderError> {
        let (Ok(serial), Ok(found)) = (ticket.0.parse::<u32>(), self.authorities.of(zone).await) else {
            return Ok(());
        };
        let end = Instant::now() + PATIENCE;
        for server in found.servers {
            let Some(address) = server.address else { continue };
            while !authority::serial_of(address, zone).await.is_some_and(|has| is_reached(has, serial)) {
                if Instant::now() >= end {
                    let text =
                        format!("the change is made; the name server {} does not have it yet", server.name);
                    return Err(ProviderError::Temporary(text));
                }
                sleep(STEP).await;
            }
        }
        Ok(())
    }
}

/// Numbers of a zone go round (RFC 1982 §3.2).
fn is_reached(has: u32, wanted: u32) -> bool {
    has.wrapping_sub(wanted) < 1 << 31
}

fn explained(error: UpdateError, name: &DnsName) -> ProviderError {
    match error {
        UpdateError::Temporary(text) => ProviderError::Temporary(text),
        UpdateError::Refused(text) => ProviderError::Refused(text),
        UpdateError::Clock(text) => ProviderError::Clock(text),
        UpdateError::NotItsZone(_) => ProviderError::NotOurs(name.clone()),
        UpdateError::Changed(text) => ProviderError::Changed(text),
        UpdateError::Impossible(text) => ProviderError::Impossible(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_state_of_a_zone_is_told_though_numbers_go_round() {
        let cases = [(5, 5, true), (6, 5, true), (4, 5, false), (2, u32::MAX, true), (u32::MAX, 2, false)];
        for (has, wanted, expected) in cases {
            assert_eq!(is_reached(has, wanted), expected, "{has} {wanted}");
        }
    }
}
