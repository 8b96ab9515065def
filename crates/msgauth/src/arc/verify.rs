//! Validating a chain (RFC 8617 §5.2).

use std::fmt::Write;
use std::net::IpAddr;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use kings_dns::Dns;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;

use super::chain::{ChainValidation, Fault, Seal, SetPlace, message_signature, seals, sets};
use crate::dkim::canonical::{BodyHash, BodyHasher, Canonicalization};
use crate::dkim::header::Header;
use crate::dkim::key::{BadKey, KeyRecord};
use crate::dkim::stream::{self, Signed, Stream};
use crate::dkim::verify::{best_record, check_signature};
use crate::dkim::{Algorithm, Keys, Questions, Selector, Signature, Verdict, Word};
use crate::results;

/// Takes a message in pieces of any size.
#[derive(Default)]
pub struct Verifier(Stream<Body>);

/// The message from its empty line on.
struct Body {
    header: Header,
    chain: Result<Vec<Link>, Fault>,
    hashers: Vec<(Canonicalization, BodyHasher)>,
}

/// One set, read.
struct Link {
    place: SetPlace,
    seal: Seal,
    signature: Result<Signature, Verdict>,
}

/// What came of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// There is none.
    None,
    /// It holds.
    Pass,
    /// It is broken.
    Fail(Fault),
    /// DNS does not answer for now; the fault is temporary.
    Unknown(Fault),
}

/// What one host sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// `i=`, from 1.
    pub instance: u8,
    /// Who sealed: policy asks whether he is trusted.
    pub sealer: Domain,
    /// Which of its keys it sealed with.
    pub selector: Selector,
    /// ARC-Authentication-Results on one line, with its `i=`; what the sealer says, not what we know.
    pub results: String,
    /// What came of the seal.
    pub seal: Verdict,
    /// What came of the signature over the message. Older ones break where a later host changed the message.
    pub message: Verdict,
}

/// A chain with all its sets, the first one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether it holds.
    pub chain: Chain,
    /// The sets, empty where the structure is broken.
    pub sets: Vec<Set>,
}

impl Report {
    /// The word for Authentication-Results (RFC 8617 §10.2.1 has none for temporary errors; RFC 8601 §2.7 has).
    pub fn word(&self) -> Word {
        match self.chain {
            Chain::None => Word::None,
            Chain::Pass => Word::Pass,
            Chain::Fail(_) => Word::Fail,
            Chain::Unknown(_) => Word::TempError,
        }
    }

    /// What to seal with; `None` while DNS does not answer, since a failure is sealed for good.
    pub fn validation(&self) -> Option<ChainValidation> {
        match self.chain {
            Chain::None => Some(ChainValidation::None),
            Chain::Pass => Some(ChainValidation::Pass),
            Chain::Fail(_) => Some(ChainValidation::Fail),
            Chain::Unknown(_) => None,
        }
    }

    /// `oldest-pass`: the oldest set since which the message is unchanged, 0 for all of it (RFC 8617 §5.2 step 5).
    pub fn oldest_pass(&self) -> u8 {
        let unchanged = |set: &&Set| set.message.word() == Word::Pass;
        let oldest = self.sets.iter().rev().take_while(unchanged).last().map_or(0, |set| set.instance);
        if oldest == 1 { 0 } else { oldest }
    }

    /// The comment of an aggregate report on a message that is believed for its chain (RFC 8617 §7.2.2): who sealed, the
    /// newest first, and from where the first sealer says to have got it.
    pub fn comment(&self) -> String {
        let mut comment = format!("arc={}", self.word().as_str());
        for Set { instance, sealer, selector, .. } in self.sets.iter().rev() {
            let _ = write!(comment, " as[{instance}].d={sealer} as[{instance}].s={selector}");
        }
        if let Some((set, client)) = self.sets.first().and_then(|set| Some((set, set.client()?))) {
            let _ = write!(comment, " remote-ip[{}]={client}", set.instance);
        }
        comment
    }
}

impl Set {
    /// From where the sealer says to have got the message (`smtp.remote-ip`, RFC 8617 §10.2.2).
    fn client(&self) -> Option<IpAddr> {
        let statements = results::read(&self.results)?;
        statements.iter().find_map(|said| said.property("smtp.remote-ip")?.parse().ok())
    }
}

impl Verifier {
    /// Takes the next octets of the message, with dots unstuffed. LF alone counts as CRLF.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.push(piece, Body::new);
    }

    /// Which keys to fetch, as soon as the header is whole.
    pub fn questions(&self) -> Option<Questions> {
        self.0.questions()
    }

    /// The message is whole.
    pub fn end(self) -> Ended {
        Ended(self.0.end(Body::new).ok())
    }
}

/// A whole message that waits for keys.
pub struct Ended(Option<Body>);

impl Ended {
    /// Which keys to fetch, where they were not asked for before.
    pub fn questions(&self) -> Questions {
        self.0.as_ref().map(Signed::questions).unwrap_or_default()
    }

    /// Validates. A field whose key is not among `keys` makes the chain unknown.
    pub fn finish(self, keys: &Keys, now: DateTime) -> Report {
        match self.0 {
            None => Report { chain: Chain::Fail(Fault::TooLarge), sets: Vec::new() },
            Some(body) => body.finish(keys, u64::try_from(now.unix()).unwrap_or(0)),
        }
    }
}

/// Validates the chain of a message that is there as a whole.
pub async fn check(message: &[u8], dns: &impl Dns, now: DateTime) -> Report {
    let mut verifier = Verifier::default();
    verifier.push(message);
    let ended = verifier.end();
    let keys = ended.questions().ask(dns).await;
    ended.finish(&keys, now)
}

impl stream::Body for Body {
    fn push(&mut self, piece: &[u8]) {
        self.hashers.iter_mut().for_each(|(_, hasher)| hasher.push(piece));
    }
}

impl Signed for Body {
    fn questions(&self) -> Questions {
        let names = |link: &Link| {
            let signature = link.signature.as_ref().ok().map(|signature| signature.key_name.clone());
            std::iter::once(link.seal.key_name.clone()).chain(signature)
        };
        self.chain.iter().flatten().flat_map(names).collect()
    }
}

impl Body {
    fn new(header: Header) -> Self {
        let chain = links(&header);
        let mut hashers: Vec<(Canonicalization, BodyHasher)> = Vec::new();
        for signature in chain.iter().flatten().filter_map(|link| link.signature.as_ref().ok()) {
            if hashers.iter().all(|(form, _)| *form != signature.body_form) {
                hashers.push((signature.body_form, BodyHasher::new(signature.body_form, None)));
            }
        }
        Self { header, chain, hashers }
    }

    fn finish(self, keys: &Keys, now: u64) -> Report {
        let links = match self.chain {
            Ok(links) => links,
            Err(fault) => return Report { chain: Chain::Fail(fault), sets: Vec::new() },
        };
        let bodies: Vec<(Canonicalization, BodyHash)> =
            self.hashers.into_iter().map(|(form, hasher)| (form, hasher.finish())).collect();
        let mut sealed = Context::new(&SHA256);
        let mut report = Report { chain: Chain::None, sets: Vec::with_capacity(links.len()) };
        for link in &links {
            report.sets.extend(link.check(&self.header, &bodies, &mut sealed, keys, now));
        }
        report.chain = sum_up(&report.sets);
        report
    }
}

fn links(header: &Header) -> Result<Vec<Link>, Fault> {
    let places = sets(header)?;
    let seals = seals(header, &places)?;
    let link = |(place, seal): (SetPlace, Seal)| {
        let [_, signature, _] = place.fields(header).ok_or(Fault::Incomplete)?;
        let signature = message_signature(signature.value());
        Ok(Link { place, seal, signature })
    };
    places.into_iter().zip(seals).map(link).collect()
}

/// RFC 8617 §5.2 steps 4 and 6: the newest message signature and every seal must verify.
fn sum_up(sets: &[Set]) -> Chain {
    let Some(newest) = sets.last() else { return Chain::None };
    let message =
        std::iter::once((newest.message.clone(), Fault::Message(newest.instance, newest.message.clone())));
    let seals = sets.iter().rev().map(|set| (set.seal.clone(), Fault::Seal(set.instance, set.seal.clone())));
    let mut unknown = None;
    for (verdict, fault) in message.chain(seals) {
        match verdict.word() {
            Word::Pass => {}
            Word::TempError => unknown = unknown.or(Some(fault)),
            _ => return Chain::Fail(fault),
        }
    }
    unknown.map_or(Chain::Pass, Chain::Unknown)
}

impl Link {
    /// `sealed` is the hash of the sets before this one, and then of this one too.
    fn check(
        &self,
        header: &Header,
        bodies: &[(Canonicalization, BodyHash)],
        sealed: &mut Context,
        keys: &Keys,
        now: u64,
    ) -> Option<Set> {
        let [results, signature, seal] = self.place.fields(header)?;
        let mut canonical = Vec::new();
        Canonicalization::Relaxed.field(results.raw, &mut canonical);
        Canonicalization::Relaxed.field(signature.raw, &mut canonical);
        sealed.update(&canonical);
        canonical.clear();
        seal.unsigned(Canonicalization::Relaxed, &self.seal.hole, &mut canonical);
        let mut own = sealed.clone();
        own.update(&canonical);
        canonical.clear();
        Canonicalization::Relaxed.field(seal.raw, &mut canonical);
        sealed.update(&canonical);
        let message = match &self.signature {
            Err(verdict) => verdict.clone(),
            Ok(claims) => {
                let body = bodies.iter().find(|(form, _)| *form == claims.body_form);
                let checked =
                    body.map(|(_, body)| check_signature(header, &signature, claims, body, keys, now));
                checked.map_or(Verdict::BodyChanged, |(verdict, _)| verdict)
            }
        };
        Some(Set {
            instance: self.place.instance,
            sealer: self.seal.domain.clone(),
            selector: self.seal.selector.clone(),
            results: kings_mail::header::unfold(results.value()),
            seal: self.seal.check(&own.finish(), keys),
            message,
        })
    }
}

impl Seal {
    fn check(&self, hash: &Digest, keys: &Keys) -> Verdict {
        let records = match keys.records(&self.key_name) {
            Err(verdict) => return verdict,
            Ok(records) => records,
        };
        best_record(records, |record| match key_for(record, self.algorithm) {
            Err(bad) => (bad.into(), false),
            Ok(key) if key.verifies(hash, &self.octets) => {
                (Verdict::Valid { rsa_bits: key.rsa_bits() }, key.testing)
            }
            Ok(key) => (Verdict::HeaderChanged, key.testing),
        })
        .0
    }
}

fn key_for(record: &[u8], algorithm: Algorithm) -> Result<KeyRecord, BadKey> {
    let key = KeyRecord::parse(record)?;
    if key.tls_reports_only {
        return Err(BadKey::Service);
    }
    if key.serves(algorithm) { Ok(key) } else { Err(BadKey::OtherKind) }
}
