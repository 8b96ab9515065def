//! The pair of files that opendkim-genkey writes for a key: `SELECTOR.private` and `SELECTOR.txt`.

use kings_mail::domain::Domain;

use super::base64;
use super::private_key::PrivateKey;
use super::signature::{Algorithm, Selector};

/// Octets of `p=` that opendkim-genkey puts into one string; with `p=` they stay below the 255 of a string in DNS
/// (RFC 1035 §3.3).
const STRING: usize = 250;
/// Characters of base64 on a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// `SELECTOR.private`: a PKCS#8 structure in PEM, as `openssl genrsa` writes it.
pub fn private_pem(pkcs8: &[u8]) -> String {
    let text = base64::encode(pkcs8);
    let lines = text.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n")
}

/// The text of the TXT record, in one piece, as web forms want it (RFC 6376 §3.6.1).
pub fn record(key: &PrivateKey) -> String {
    format!("{}{}", head(key), public(key))
}

/// The strings of the TXT record, each of at most 255 octets; together they are [`record`].
pub fn strings(key: &PrivateKey) -> Vec<String> {
    let public = public(key);
    let rest = public.as_bytes().chunks(STRING + "p=".len());
    let rest = rest.map(|piece| String::from_utf8_lossy(piece).into_owned());
    std::iter::once(head(key)).chain(rest).collect()
}

/// `SELECTOR.txt`: a line for a zone file.
///
/// For RSA octet for octet what opendkim-genkey 2.11 writes without options on Debian; Ed25519 alike.
pub fn zone_line(selector: &Selector, domain: &Domain, key: &PrivateKey) -> String {
    let data = key.public();
    // A piece of exactly 250 octets is followed by an empty string there.
    let mut pieces: Vec<&str> = Vec::new();
    let mut rest = data.as_str();
    while rest.len() >= STRING {
        let (piece, behind) = rest.split_at(STRING);
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    let pieces = pieces.join("\"\n\t  \"");
    let head = head(key);
    format!(
        "{selector}._domainkey\tIN\tTXT\t( \"{head}\"\n\t  \"p={pieces}\" )  ; ----- DKIM key {selector} for {domain}\n"
    )
}

fn head(key: &PrivateKey) -> String {
    let kind = match key.algorithm() {
        Algorithm::Ed25519Sha256 => "ed25519",
        Algorithm::RsaSha256 | Algorithm::RsaSha1 => "rsa",
    };
    format!("v=DKIM1; h=sha256; k={kind}; ")
}

fn public(key: &PrivateKey) -> String {
    format!("p={}", key.public())
}
