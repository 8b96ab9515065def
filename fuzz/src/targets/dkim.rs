//! Targets for DKIM and ARC: signatures, keys, and whole messages in pieces.

use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::arc::{self, Chain, Sealer};
use kings_msgauth::dkim::{
    KeyRecord, MAX_RSA_BITS, MIN_RSA_BITS, PrivateKey, Report, Rules, Selector, Signature, Signer,
    SigningIdentity, Verifier, Word, key_files,
};

use super::Cut;

/// Anything may be published: no secret.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEILmMohpRnleUfygZky6tFeWSseS12oGB0exVowEVJs5q\n\
    -----END PRIVATE KEY-----\n";

struct Signing {
    domain: Domain,
    selector: Selector,
    key: PrivateKey,
    zone: Zone,
}

static SIGNING: LazyLock<Signing> = LazyLock::new(|| {
    let key = PrivateKey::from_pem(KEY).expect("a key");
    let name = DnsName::parse("s._domainkey.example.org").expect("a name");
    let zone = Zone::default().with_txt(name, key_files::record(&key));
    let domain = Domain::parse("example.org").expect("a domain");
    Signing { domain, selector: Selector::parse("s").expect("a selector"), key, zone }
});

/// Whatever a signature claims, its key is asked for under its own domain, and all of it can be printed.
pub fn dkim_signature(data: &[u8]) {
    let Ok(signature) = Signature::parse(data) else { return };
    let name = signature.key_name().as_str();
    assert_eq!(name, format!("{}._domainkey.{}", signature.selector, signature.domain));
    assert!(name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet)), "{name}");
    assert!(signature.names.iter().any(|name| name == "from"));
    assert!(signature.text.is_ascii() && !signature.identity.to_string().contains(char::is_control));
    assert!(signature.identity.domain.as_str().ends_with(signature.domain.as_str()));
}

/// A record is a key of a length that is verified, or none.
pub fn dkim_key(data: &[u8]) {
    let key = KeyRecord::parse(data);
    assert_eq!(KeyRecord::parse(data), key);
    if let Some(bits) = key.ok().and_then(|key| key.rsa_bits()) {
        assert!((MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits));
    }
}

/// However a message is cut, signer and verifier see the same; what is signed verifies.
pub fn dkim_message(data: &[u8]) {
    let report = verify(data, Cut::Whole);
    let fields = sign(data, Cut::Whole);
    for cut in [Cut::Lines, Cut::Octets] {
        assert_eq!(verify(data, cut), report);
        assert_eq!(sign(data, cut), fields);
    }
    // White space in front would make the message a part of the signature.
    if let Some(fields) = fields.filter(|_| !data.starts_with(b" ") && !data.starts_with(b"\t")) {
        let signed = [fields.as_bytes(), data].concat();
        let report = verify(&signed, Cut::Whole);
        assert!(
            report.too_large.is_some() || report.signatures[0].verdict.word() == Word::Pass,
            "{report:?}"
        );
    }
}

fn verify(message: &[u8], cut: Cut) -> Report {
    let mut verifier = Verifier::new();
    cut.pieces(message).for_each(|piece| verifier.push(piece));
    let ended = verifier.end();
    let keys = now(ended.questions().ask(&SIGNING.zone));
    ended.finish(&keys, DateTime::from_unix(1_790_000_000))
}

fn sign(message: &[u8], cut: Cut) -> Option<String> {
    let mut signer = Signer::new(Rules::default());
    cut.pieces(message).for_each(|piece| signer.push(piece));
    let identity = SigningIdentity {
        domain: &SIGNING.domain,
        selector: &SIGNING.selector,
        key: &SIGNING.key,
        agent: None,
    };
    signer.finish(&[identity], DateTime::from_unix(1_790_000_000)).ok()
}

/// However a message is cut, its chain is the same; a chain that holds or is new holds with one set more.
pub fn arc(data: &[u8]) {
    let report = chain(data, Cut::Whole);
    for cut in [Cut::Lines, Cut::Octets] {
        assert_eq!(chain(data, cut), report);
    }
    let Some(validation) = report.validation() else { return };
    let mut sealer = Sealer::new(Rules::default());
    Cut::Lines.pieces(data).for_each(|piece| sealer.push(piece));
    let identity = SigningIdentity {
        domain: &SIGNING.domain,
        selector: &SIGNING.selector,
        key: &SIGNING.key,
        agent: None,
    };
    let added = sealer.finish(&identity, "mx.example; none", validation, DateTime::from_unix(1_790_000_000));
    // White space in front would make the message a part of the last field.
    let Ok(fields) = added.map(|fields| [fields.as_bytes(), data].concat()) else { return };
    if data.starts_with(b" ") || data.starts_with(b"\t") {
        return;
    }
    let again = chain(&fields, Cut::Whole);
    match report.chain {
        Chain::None | Chain::Pass => assert!(
            again.chain == Chain::Pass || again.chain == Chain::Fail(arc::Fault::TooLarge),
            "{again:?}"
        ),
        _ => assert_ne!(again.chain, Chain::Pass),
    }
}

fn chain(message: &[u8], cut: Cut) -> arc::Report {
    let mut verifier = arc::Verifier::default();
    cut.pieces(message).for_each(|piece| verifier.push(piece));
    let ended = verifier.end();
    let keys = now(ended.questions().ask(&SIGNING.zone));
    ended.finish(&keys, DateTime::from_unix(1_790_000_000))
}

/// A zone in memory never waits.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a zone in memory never waits"),
    }
}
