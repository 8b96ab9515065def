//! How a name is proved to be ours, and where the proof is put.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use instant_acme::{ChallengeType, KeyAuthorization};
use kings_dns::{DnsProvider, add_txt, remove_txt};
use kings_mail::domain::{DnsName, Domain};
use kings_tls::acme::{Alpn, Published, PublishedAlpn, Tokens};

use crate::trouble::Trouble;

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
}

impl<P: DnsProvider> Dns01 for P {
    fn put<'a>(&'a self, name: &'a DnsName, text: &'a str) -> Done<'a> {
        Box::pin(async move { add_txt(self, name, text).await.map_err(|error| error.to_string()) })
    }

    fn remove<'a>(&'a self, name: &'a DnsName, text: &'a str) -> Done<'a> {
        Box::pin(async move { remove_txt(self, name, text).await.map_err(|error| error.to_string()) })
    }
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

/// A proof that is there.
pub(crate) enum Proof {
    /// It goes when this is dropped.
    Page(#[allow(dead_code, reason = "kept for its end")] Published),
    /// It goes when this is dropped.
    Handshake(#[allow(dead_code, reason = "kept for its end")] PublishedAlpn),
    /// It goes with [`Proof::remove`].
    Record { dns: Arc<dyn Dns01>, name: DnsName, text: String },
}

impl Publish {
    pub(crate) async fn put(
        &self,
        kind: Kind,
        name: &Domain,
        token: &str,
        answer: &KeyAuthorization,
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
                let record = DnsName::parse(&format!("_acme-challenge.{name}"));
                let record = record.map_err(|error| failed(error.to_string()))?;
                let text = answer.dns_value();
                dns.put(&record, &text).await.map_err(failed)?;
                Ok(Proof::Record { dns, name: record, text })
            }
        }
    }
}

impl Proof {
    /// Nobody looks at it any more.
    pub(crate) async fn remove(self) {
        if let Self::Record { dns, name, text } = self
            && let Err(error) = dns.remove(&name, &text).await
        {
            tracing::warn!(%name, error, "a record for a certificate stays in DNS: remove it by hand");
        }
    }
}
