//! How much TLS a next hop must offer: what the config, the sender and the recipient's domain ask for, and what follows.

use kings_dns::Dns;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::dsn::Status;
use kings_mail::header::{self, MAX_HEADER_BLOCK};
use kings_mail::path::ReversePath;
use kings_msgauth::mta_sts::{Mode, Policy};
use kings_queue::{Attempt, Outcome};
use kings_records::{Records, TlsFailure, TlsPolicy, TlsResult};
use kings_smtp::client::StartTls;
use kings_tls::{ClientTls, Dane};

use super::dane::{self, Published};
use super::outcome::deferred;
use super::route::{HostName, NextHop};
use super::secured::{HostTls, Report};
use super::sts::Sts;
use crate::reporting;

/// What must be true of a connection before mail goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Clear text.
    None,
    /// TLS when it is offered and works, clear text otherwise (RFC 7435 §3).
    May,
    /// TLS with any certificate, or no delivery.
    Encrypt,
    /// TLS with a certificate for the host's name from a trusted authority, or no delivery.
    Verify,
}

/// How one host is to be secured. Two visits with equal protection of one address may share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// A level, whoever asked for it.
    Level(Level),
    /// A certificate that these records ask for; `sni` is where they were found (RFC 7672 §8.1).
    Dane { dane: Dane, sni: DnsName },
    /// As much as the level asks for; whether the authorities would agree is watched and reported
    /// (RFC 8461 §5, `testing`).
    Watched(Level),
}

impl Protection {
    pub(crate) fn start_tls(&self) -> StartTls {
        match self {
            Self::Level(Level::None) => StartTls::Never,
            Self::Level(Level::May) | Self::Watched(Level::None | Level::May) => StartTls::IfOffered,
            Self::Level(Level::Encrypt | Level::Verify) | Self::Watched(_) | Self::Dane { .. } => {
                StartTls::Required
            }
        }
    }

    /// Whether clear text will do after a handshake that failed.
    pub(crate) fn allows_clear_text(&self) -> bool {
        self.start_tls() != StartTls::Required
    }
}

/// Everything the decision about one host may look at.
#[derive(Debug)]
struct Facts<'a> {
    host: &'a HostName,
    /// From the config.
    level: Level,
    /// The sender asked for REQUIRETLS (RFC 8689 §2).
    require_tls: bool,
    /// The author asked to rather deliver than to protect (RFC 8689 §5).
    tls_optional: bool,
    published: Published,
    policy: Option<&'a Policy>,
}

/// Why a host is not even connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// TLSA records may exist and nobody can tell: an attacker could have hidden them (RFC 7672 §2.1.2).
    Dnssec { host: String, cause: String },
    /// The MTA-STS policy of the domain does not name this host (RFC 8461 §4.1).
    NotNamed { host: String },
}

impl Refusal {
    /// The only place where a refused host becomes an outcome.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Dnssec { host, cause } => {
                deferred(Status(4, 7, 5), format!("cannot look up the TLSA records of {host}: {cause}"))
            }
            Self::NotNamed { host } => deferred(
                Status(4, 7, 5),
                format!("{host} is not named by the MTA-STS policy of the recipient's domain"),
            ),
        }
    }
}

/// Decides how one host is secured. Pure: same facts, same protection.
fn decide(facts: Facts<'_>) -> Result<Protection, Refusal> {
    let Facts { host, level, require_tls, tls_optional, published, policy } = facts;
    let least = if require_tls { Level::Verify } else { level };
    // The operator's "none" is for hosts whose TLS is known to be broken.
    if (level == Level::None || tls_optional) && !require_tls {
        return Ok(Protection::Level(level));
    }
    let policy = policy.filter(|policy| policy.mode != Mode::None);
    match published {
        Published::Broken(cause) => return Err(Refusal::Dnssec { host: host.to_string(), cause }),
        Published::Records { dane, sni, .. } => return Ok(Protection::Dane { dane, sni }),
        // TLS is asked for, but nothing can be checked by it (RFC 7672 §2.2): MTA-STS still may.
        Published::Unusable(_) if policy.is_none() => {
            return Ok(Protection::Level(least.max(Level::Encrypt)));
        }
        Published::Unusable(_) | Published::Nothing => {}
    }
    let least = if matches!(published, Published::Unusable(_)) { least.max(Level::Encrypt) } else { least };
    let Some(policy) = policy else { return Ok(Protection::Level(least)) };
    let named = matches!(host, HostName::Name(name) if policy.names(name));
    match policy.mode {
        Mode::Enforce if named => Ok(Protection::Level(Level::Verify)),
        Mode::Enforce => Err(Refusal::NotNamed { host: host.to_string() }),
        Mode::Testing | Mode::None if least == Level::Verify => Ok(Protection::Level(least)),
        Mode::Testing | Mode::None => Ok(Protection::Watched(least)),
    }
}

/// What one attempt knows about TLS before it comes to the first host.
pub(crate) struct AttemptTls<'a> {
    attempt: &'a Attempt,
    /// Whose MX hosts are visited.
    domain: Option<&'a Domain>,
    policy: Option<Policy>,
    /// Read from the content when it first matters.
    message: Option<Message>,
}

/// What the header of a message says about its sessions.
#[derive(Clone, Copy)]
struct Message {
    /// `TLS-Required: No`, and no other words (RFC 8689 §5).
    tls_optional: bool,
    /// It carries an aggregate report.
    is_report: bool,
}

/// Gathers the facts about hosts, and hands out what the decision asks for.
pub(crate) struct TlsPolicies {
    pub(crate) tls: ClientTls,
    pub(crate) sts: Sts,
    pub(crate) records: Records,
}

impl TlsPolicies {
    /// The part of the facts that all hosts of an attempt share, the MX hosts of `domain`, or others.
    pub(crate) async fn begin<'a, D: Dns>(
        &self,
        dns: &D,
        attempt: &'a Attempt,
        domain: Option<&'a Domain>,
    ) -> AttemptTls<'a> {
        let policy = match domain {
            Some(domain) => self.sts.policy(dns, domain).await,
            None => None,
        };
        AttemptTls { attempt, domain, policy, message: None }
    }

    /// How to secure one host.
    pub(crate) async fn for_host<D: Dns>(
        &self,
        dns: &D,
        known: &mut AttemptTls<'_>,
        hop: &NextHop,
    ) -> Result<HostTls, Refusal> {
        let AttemptTls { attempt, domain, .. } = *known;
        let published = match domain {
            Some(domain) if hop.tls != Level::None || attempt.parameters.require_tls => {
                dane::look_up(dns, domain, hop).await
            }
            _ => Published::Nothing,
        };
        let matters = known.policy.is_some() || !matches!(published, Published::Nothing);
        let tls_optional = matters && known.message().await.tls_optional;
        let counts = domain.is_some() && !known.carries_our_report().await;
        let report = domain.filter(|_| counts).map(|domain| Report {
            records: self.records.clone(),
            result: good_result(domain, hop, &published, known.policy.as_ref()),
        });
        let facts = Facts {
            host: &hop.host,
            level: hop.tls,
            require_tls: attempt.parameters.require_tls,
            tls_optional,
            published,
            policy: known.policy.as_ref(),
        };
        match decide(facts) {
            Ok(protection) => {
                let unnamed = is_unnamed(&hop.host, known.policy.as_ref());
                let report = report.map(|report| report.with_unnamed_host(unnamed));
                Ok(HostTls::new(&self.tls, protection, &hop.host, report))
            }
            Err(refusal) => {
                if let Some(report) = report {
                    report.fail(match &refusal {
                        Refusal::Dnssec { .. } => TlsFailure::DnssecInvalid,
                        Refusal::NotNamed { .. } => TlsFailure::ValidationFailure,
                    });
                }
                Err(refusal)
            }
        }
    }
}

/// The result of a session that goes well under the policy that counts (RFC 8460 §4.2).
fn good_result(domain: &Domain, hop: &NextHop, published: &Published, policy: Option<&Policy>) -> TlsResult {
    let (policy, policy_text) = match (published, policy) {
        (Published::Records { text, .. } | Published::Unusable(text), _) => (TlsPolicy::Tlsa, text.clone()),
        (Published::Broken(_), _) => (TlsPolicy::Tlsa, String::new()),
        (Published::Nothing, Some(policy)) => (TlsPolicy::Sts, policy.to_string()),
        (Published::Nothing, None) => (TlsPolicy::None, String::new()),
    };
    TlsResult { domain: domain.clone(), policy, policy_text, host: hop.host.to_string(), failure: None }
}

/// Whether a policy counts that does not name this host.
fn is_unnamed(host: &HostName, policy: Option<&Policy>) -> bool {
    let named = |policy: &Policy| matches!(host, HostName::Name(name) if policy.names(name));
    policy.is_some_and(|policy| policy.mode != Mode::None && !named(policy))
}

impl AttemptTls<'_> {
    /// Whether this is a report of ours, which has no sender. Were its sessions counted, two servers that ask each other for
    /// reports would write every day about nothing but yesterday's reports; RFC 8460 leaves it open.
    async fn carries_our_report(&mut self) -> bool {
        self.attempt.reverse_path == ReversePath::Null && self.message().await.is_report
    }

    /// Unreadable content says nothing.
    async fn message(&mut self) -> Message {
        if let Some(known) = self.message {
            return known;
        }
        let head = self.attempt.content.read_at(0, MAX_HEADER_BLOCK).await.unwrap_or_default();
        let tls_optional = header::first(&head, "TLS-Required")
            .is_some_and(|field| field.text().trim().eq_ignore_ascii_case("no"));
        *self.message.insert(Message { tls_optional, is_report: reporting::is_report(&head) })
    }
}

#[cfg(test)]
mod tests;
