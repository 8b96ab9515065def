//! How a name is proved to be ours, and where the proof is put.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use instant_acme::{ChallengeType, KeyAuthorization};
use kings_dns::{Dns, DnsError, DnsProvider, add_txt, remove_txt, zone_served};
use kings_mail::domain::{DnsName, Domain};
use kings_tls::acme::{Alpn, Published, PublishedAlpn, Tokens};
use tracing::warn;

use crate::trouble::Trouble;

/// Most aliases from the place of a proof to the record itself: authorities follow about as many.
const MAX_ALIASES: usize = 8;

/// A way to prove a name (RFC 8555 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A page on port 80 (RFC 8555 §8.3).
    Http01,
    /// A handshake on port 443 (RFC 8737 §3).
    TlsAlpn01,
    /// A record in DNS (RFC 8555 §8.4).
    Dns01,
}

impl Kind {
    /// All of them, in the order in which they are tried when nothing else is said.
    pub const ALL: [Self; 3] = [Self::Http01, Self::TlsAlpn01, Self::Dns01];

    /// As the config and the authority say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }

    pub(crate) fn at_authority(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Dns01 => ChallengeType::Dns01,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is done with a record; the error is in the words of the provider.
type Done<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Who can put a proof into DNS: a [`DnsProvider`], whichever it is.
pub trait Dns01: Send + Sync {
    /// Puts the text there, and waits until every name server has it.
    fn put<'a>(&'a self, name: &'a DnsName, text: &'a str) -> Done<'a>;

    /// Takes it away again.
    fn remove<'a>(&'a self, name: &'a DnsName, text: &'a str) -> Done<'a>;

    /// Whether the name is in a zone that can be changed here; while nobody can tell it counts as one.
    fn has<'a>(&'a self, name: &'a DnsName) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
}

impl<P: DnsProvider> Dns01 for P {
    fn put<'a>(&'a self, name: &'a DnsName, text: &'a str) -> Done<'a> {
        Box::pin(async move { add_txt(self, name, text).await.map_err(|error| error.to_string()) })
    }

    fn remove<'a>(&'a self, name: &'a DnsName, text: &'a str) -> Done<'a> {
        Box::pin(async move { remove_txt(self, name, text).await.map_err(|error| error.to_string()) })
    }

    fn has<'a>(&'a self, name: &'a DnsName) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move { !matches!(zone_served(self, name).await, Ok(None)) })
    }
}

/// Where the record of a name stands: below it, or where an alias there leads (RFC 8555 §8.4), as operators have it who let
/// nobody change the zone itself.
pub(crate) async fn place_of(dns: &impl Dns, name: &Domain) -> Result<DnsName, String> {
    let mut place = DnsName::parse(&format!("_acme-challenge.{name}")).map_err(|error| error.to_string())?;
    for _ in 0..=MAX_ALIASES {
        match dns.cname(&place).await {
            Ok(answer) => match answer.records.into_iter().next() {
                Some(target) => place = target,
                None => return Ok(place),
            },
            Err(DnsError::NoDomain | DnsError::NoRecord) => return Ok(place),
            Err(DnsError::Temporary(why)) => {
                return Err(format!("cannot look for an alias at {place}: {why}"));
            }
        }
    }
    Err(format!("the aliases of _acme-challenge.{name} have no end"))
}

/// Where proofs can be put.
#[derive(Clone, Default)]
pub struct Publish {
    /// Read by the server on port 80.
    pub tokens: Tokens,
    /// Read by the server on port 443.
    pub alpn: Alpn,
    /// Who can change DNS, if anybody.
    pub dns: Option<Arc<dyn Dns01>>,
}

/// A record of ours in DNS, from before it is put there until it is known to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: DnsName,
    pub(crate) text: String,
}

/// Whoever remembers the records that are in DNS, so that none stays there when we end in the middle.
pub(crate) trait Records {
    /// It is about to be put there.
    fn comes(&self, record: &Record) -> impl Future<Output = io::Result<()>> + Send;

    /// It is gone.
    fn is_gone(&self, record: &Record) -> impl Future<Output = ()> + Send;
}

/// A proof that is there.
pub(crate) enum Proof {
    /// It goes when this is dropped.
    Page(#[allow(dead_code, reason = "kept for its end")] Published),
    /// It goes when this is dropped.
    Handshake(#[allow(dead_code, reason = "kept for its end")] PublishedAlpn),
    /// It goes with [`Proof::remove`].
    Record { dns: Arc<dyn Dns01>, record: Record },
}

impl Publish {
    pub(crate) async fn put(
        &self,
        kind: Kind,
        name: &Domain,
        token: &str,
        answer: &KeyAuthorization,
        (resolver, records): (&impl Dns, &impl Records),
    ) -> Result<Proof, Trouble> {
        let failed = |text| Trouble::Challenge { kind, text };
        match kind {
            Kind::Http01 => Ok(Proof::Page(self.tokens.publish(token, answer.as_str()))),
            Kind::TlsAlpn01 => {
                let published = self.alpn.publish(name.as_str(), answer.digest().as_ref());
                published.map(Proof::Handshake).map_err(failed)
            }
            Kind::Dns01 => {
                let dns = self.dns.clone().ok_or(Trouble::NoChallenge)?;
                let place = place_of(resolver, name).await.map_err(failed)?;
                let record = Record { name: place, text: answer.dns_value() };
                records.comes(&record).await?;
                let proof = Proof::Record { dns: dns.clone(), record: record.clone() };
                if let Err(text) = dns.put(&record.name, &record.text).await {
                    // It may be there all the same, as when one name server of several does not hear of it.
                    proof.remove(records).await;
                    return Err(failed(text));
                }
                Ok(proof)
            }
        }
    }
}

impl Proof {
    /// Nobody looks at it any more.
    pub(crate) async fn remove(self, records: &impl Records) {
        let Self::Record { dns, record } = self else { return };
        match dns.remove(&record.name, &record.text).await {
            Ok(()) => records.is_gone(&record).await,
            Err(error) => {
                warn!(name = %record.name, error, "a record for a certificate stays in DNS; it is tried again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;

    use super::*;

    #[tokio::test]
    async fn an_alias_leads_to_the_record_and_a_circle_or_silence_to_none() {
        let name = |text: &str| DnsName::parse(text).unwrap();
        let zone = Zone::default()
            .with_alias(name("_acme-challenge.one.example"), name("one.acme.example"))
            .with_alias(name("one.acme.example"), name("two.acme.example"))
            .with_alias(name("_acme-challenge.round.example"), name("a.example"))
            .with_alias(name("a.example"), name("_acme-challenge.round.example"))
            .with_failure(name("_acme-challenge.broken.example"));
        for (asked, expected) in [
            ("plain.example", Ok(name("_acme-challenge.plain.example"))),
            ("one.example", Ok(name("two.acme.example"))),
            ("round.example", Err("the aliases of _acme-challenge.round.example have no end".to_owned())),
        ] {
            assert_eq!(place_of(&zone, &Domain::parse(asked).unwrap()).await, expected, "{asked}");
        }
        // Where nobody can tell, a record beside an alias would be in vain.
        assert!(place_of(&zone, &Domain::parse("broken.example").unwrap()).await.is_err());
    }
}
