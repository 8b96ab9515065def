//! Changes to a zone at its name server (RFC 2136), signed with a shared secret (RFC 8945).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm as Algorithm, TsigError};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use kings_dns::{Change, Kind, Listing, Opaque, RecordSet};
use kings_mail::domain::DnsName;
use tokio::time::timeout;

use super::exchange::{by_connection, random_id};
use super::{Told, wire};

/// Longest wait for the answer to one message.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far the clocks may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// How a message is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TsigAlgorithm {
    /// What every server must know (RFC 8945 §6).
    #[default]
    HmacSha256,
    /// Longer.
    HmacSha384,
    /// Longest.
    HmacSha512,
}

impl TsigAlgorithm {
    /// By the name that BIND writes: `hmac-sha256`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "hmac-sha256" => Some(Self::HmacSha256),
            "hmac-sha384" => Some(Self::HmacSha384),
            "hmac-sha512" => Some(Self::HmacSha512),
            _ => None,
        }
    }
}

/// A secret that we share with a name server.
#[derive(Clone)]
pub struct TsigKey(TSigner);

impl std::fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TsigKey({})", self.0.signer_name())
    }
}

/// The text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKey(String);

impl TsigKey {
    /// The key called `name` of a text: BIND's `key "NAME" { algorithm ...; secret "..."; };` as `tsig-keygen` writes it, or
    /// the secret alone in base64, for HMAC-SHA256.
    pub fn read(name: &DnsName, text: &str) -> Result<Self, BadKey> {
        let bad = |what: &str| BadKey(what.to_owned());
        let (algorithm, secret) = if text.contains('{') {
            let none = || bad("there is no key of this name with an algorithm and a secret");
            clause(name, text).ok_or_else(none)?
        } else {
            (TsigAlgorithm::default(), text.trim())
        };
        let secret = STANDARD.decode(secret).map_err(|_| bad("the secret is not base64"))?;
        if secret.is_empty() {
            return Err(bad("the secret is empty"));
        }
        let algorithm = match algorithm {
            TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let name = wire::on_the_wire(name).ok_or_else(|| bad("the name is too long"))?;
        TSigner::new(secret, algorithm, name, FUDGE).map(Self).map_err(|error| BadKey(error.to_string()))
    }
}

/// Algorithm and secret of the key of this name.
fn clause<'t>(name: &DnsName, text: &'t str) -> Option<(TsigAlgorithm, &'t str)> {
    text.split("key ").skip(1).find_map(|clause| {
        let (head, body) = clause.split_once('{')?;
        let body = body.split_once('}').map_or(body, |(body, _)| body);
        let same = DnsName::parse(head.trim().trim_matches('"')).is_ok_and(|found| found == *name);
        let value = |word: &str| {
            let line = body.split(';').map(str::trim).find_map(|line| line.strip_prefix(word))?;
            Some(line.trim().trim_matches('"'))
        };
        same.then_some(())?;
        Some((TsigAlgorithm::parse(value("algorithm")?)?, value("secret")?))
    })
}

/// Why a server did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// It is not reached, or says that it cannot now.
    #[error("{0}")]
    Temporary(String),
    /// Its rules do not allow it, or it does not know the key.
    #[error("{0}")]
    Refused(String),
    /// The clocks differ.
    #[error("{0}")]
    Clock(String),
    /// It has no such zone.
    #[error("{0}")]
    NotItsZone(String),
    /// A condition does not hold.
    #[error("{0}")]
    Changed(String),
    /// No message can say it.
    #[error("{0}")]
    Impossible(String),
}

/// Sends one signed message and believes only a signed answer.
async fn signed(
    server: SocketAddr,
    key: &TsigKey,
    mut message: Message,
    now: u64,
) -> Result<Message, UpdateError> {
    let impossible = |error: &dyn std::fmt::Display| UpdateError::Impossible(error.to_string());
    let verifier = message.finalize(&key.0, now).map_err(|error| impossible(&error))?;
    let octets = message.to_vec().map_err(|error| impossible(&error))?;
    let unreachable = |why: &dyn std::fmt::Display| {
        UpdateError::Temporary(format!("the name server {server} does not answer: {why}"))
    };
    let answer = match timeout(PATIENCE, by_connection(server, &octets)).await {
        Ok(answer) => answer.map_err(|error| unreachable(&error))?,
        Err(_) => return Err(unreachable(&"no answer in time")),
    };
    let read = Message::from_vec(&answer).map_err(|error| unreachable(&error))?;
    if read.metadata.id != message.metadata.id || read.metadata.message_type != MessageType::Response {
        return Err(unreachable(&"an answer to another question"));
    }
    if let Some(error) = read.signature().and_then(|record| record.data.error) {
        return Err(complaint(server, key, error));
    }
    if let Some(mut verifier) = verifier
        && let Err(error) = verifier.verify(&answer)
    {
        // Those who know no key at all say so without one.
        return Err(match read.metadata.response_code {
            ResponseCode::NoError => UpdateError::Refused(format!(
                "the answer of {server} is not signed with the key {}: {error}",
                key.0.signer_name()
            )),
            code => UpdateError::Refused(format!(
                "{server} refuses what is signed with the key {}: {code}",
                key.0.signer_name()
            )),
        });
    }
    Ok(read)
}

/// What the server says about our signature (RFC 8945 §5.2).
fn complaint(server: SocketAddr, key: &TsigKey, error: TsigError) -> UpdateError {
    let name = key.0.signer_name();
    match error {
        TsigError::BadKey => {
            UpdateError::Refused(format!("{server} knows no key {name}, or another algorithm for it"))
        }
        TsigError::BadTime => {
            UpdateError::Clock(format!("{server} finds our signature more than {FUDGE} seconds off"))
        }
        TsigError::BadSig => UpdateError::Refused(format!("{server} has another secret for the key {name}")),
        other => UpdateError::Refused(format!("{server} does not accept the key {name}: {other:?}")),
    }
}

fn question(name: Name, kind: RecordType) -> Message {
    let mut message = Message::new(random_id(), MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name, kind));
    message
}

/// The zone of a name and its serial number, as its server has it.
async fn soa(
    server: SocketAddr,
    key: &TsigKey,
    name: &DnsName,
    now: u64,
) -> Result<(DnsName, u32), UpdateError> {
    let wire =
        wire::on_the_wire(name).ok_or_else(|| UpdateError::Impossible(format!("{name} is too long")))?;
    let answer = signed(server, key, question(wire, RecordType::SOA), now).await?;
    let none = || UpdateError::NotItsZone(format!("{server} serves no zone with {name}"));
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => {}
        ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::Refused | ResponseCode::NotAuth => {
            return Err(none());
        }
        code => return Err(UpdateError::Temporary(format!("{server} says {code}"))),
    }
    let records = answer.answers.iter().chain(&answer.authorities);
    let mut zones = records.filter_map(|record| match &record.data {
        RData::SOA(soa) => Some((wire::name(&record.name)?, soa.serial)),
        _ => None,
    });
    zones.next().ok_or_else(none)
}

/// The zone that a name is in.
pub async fn zone_at(
    server: SocketAddr,
    key: &TsigKey,
    name: &DnsName,
    now: u64,
) -> Result<DnsName, UpdateError> {
    soa(server, key, name, now).await.map(|(zone, _)| zone)
}

/// Which state of a zone a server has (RFC 1982).
pub async fn serial(server: SocketAddr, key: &TsigKey, zone: &DnsName, now: u64) -> Result<u32, UpdateError> {
    soa(server, key, zone, now).await.map(|(_, serial)| serial)
}

/// All that stands under the names.
pub async fn list(
    server: SocketAddr,
    key: &TsigKey,
    names: &BTreeSet<DnsName>,
    now: u64,
) -> Result<Listing, UpdateError> {
    let mut listing = Listing::default();
    for name in names {
        for kind in Kind::ALL {
            let wire = wire::on_the_wire(name)
                .ok_or_else(|| UpdateError::Impossible(format!("{name} is too long")))?;
            let answer = signed(server, key, question(wire, wire::record_type(kind)), now).await?;
            match wire::told(&answer, name, kind) {
                Told::Records { data, ttl, odd: 0 } => {
                    listing.sets.push(RecordSet { name: name.clone(), kind, ttl, data });
                }
                Told::Records { .. } => {
                    let why = "a record of it cannot be read".to_owned();
                    listing.opaque.push(Opaque { name: name.clone(), kind: kind.to_string(), why });
                }
                // It is found when the aliases are asked for.
                Told::Alias(_) | Told::Nothing => {}
                Told::NoName => break,
                Told::Silent(why) => {
                    return Err(UpdateError::Temporary(format!("{server}: {name} {kind}: {why}")));
                }
            }
        }
    }
    Ok(listing)
}

/// Does all of the changes or none, if what they start from is there (RFC 2136 §3.2).
pub async fn update(
    server: SocketAddr,
    key: &TsigKey,
    zone: &DnsName,
    changes: &[Change],
    now: u64,
) -> Result<(), UpdateError> {
    let message = message(zone, changes)
        .ok_or_else(|| UpdateError::Impossible(format!("the changes of {zone} fit into no message")))?;
    let answer = signed(server, key, message, now).await?;
    let code = answer.metadata.response_code;
    match code {
        ResponseCode::NoError => Ok(()),
        ResponseCode::YXDomain | ResponseCode::YXRRSet | ResponseCode::NXRRSet | ResponseCode::NXDomain => {
            Err(UpdateError::Changed(format!("{server} says {code}")))
        }
        ResponseCode::NotAuth | ResponseCode::NotZone => {
            Err(UpdateError::NotItsZone(format!("{server} is not the server to change {zone} at: {code}")))
        }
        ResponseCode::Refused => Err(UpdateError::Refused(format!(
            "{server} refuses: its rules do not let the key {} change {zone}",
            key.0.signer_name()
        ))),
        ResponseCode::FormErr | ResponseCode::NotImp => {
            Err(UpdateError::Refused(format!("{server} takes no updates: {code}")))
        }
        _ => Err(UpdateError::Temporary(format!("{server} says {code}"))),
    }
}

/// RFC 2136 §2: the zone, the conditions, the changes.
fn message(zone: &DnsName, changes: &[Change]) -> Option<Message> {
    let mut message = Message::new(random_id(), MessageType::Query, OpCode::Update);
    message.add_query(Query::query(wire::on_the_wire(zone)?, RecordType::SOA));
    for Change { name, kind, before, after } in changes {
        let (name, kind) = (wire::on_the_wire(name)?, wire::record_type(*kind));
        match before {
            None => {
                message.add_answer(empty(&name, kind, DNSClass::NONE));
            }
            Some(set) => {
                for data in &set.data {
                    message.add_answer(Record::from_rdata(name.clone(), 0, wire::rdata(data)?));
                }
                message.add_authority(empty(&name, kind, DNSClass::ANY));
            }
        }
        for data in after.iter().flat_map(|set| &set.data) {
            let ttl = after.as_ref().map_or(0, |set| set.ttl);
            message.add_authority(Record::from_rdata(name.clone(), ttl, wire::rdata(data)?));
        }
    }
    Some(message)
}

/// A record without data, as conditions and removals are written.
fn empty(name: &Name, kind: RecordType, class: DNSClass) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = class;
    record
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_is_read_as_bind_writes_it_or_as_its_secret_alone() {
        let name = DnsName::parse("kings.example.org").unwrap();
        let other = "key \"other\" {\n\talgorithm hmac-sha512;\n\tsecret \"AAAA\";\n};\n";
        let own = "key \"Kings.example.org.\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n";
        for text in [own.to_owned(), format!("{other}{own}"), "c2VjcmV0\n".to_owned()] {
            assert_eq!(TsigKey::read(&name, &text).unwrap().0.key(), b"secret", "{text}");
        }
        let debug = format!("{:?}", TsigKey::read(&name, "c2VjcmV0").unwrap());
        assert!(!debug.contains("secret") && !debug.contains("c2Vj"), "{debug}");
        for bad in [
            other,
            "",
            "no base64!",
            "key \"kings.example.org\" { algorithm hmac-md5; secret \"c2VjcmV0\"; };",
        ] {
            assert!(TsigKey::read(&name, bad).is_err(), "{bad}");
        }
    }
}
