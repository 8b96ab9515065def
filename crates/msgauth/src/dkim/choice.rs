//! Which signatures of a message are looked at, where there are more than that.

use std::collections::BTreeMap;

use kings_mail::domain::Domain;

use super::header::Header;
use super::signature::{Algorithm, BadSignature, Signature};
use crate::dmarc::author_domains;

/// Signatures of one message that are looked at: an author's domain, a provider and two lists, each with two algorithms.
/// Each costs a question to DNS and an RSA operation, and RFC 6376 §8.4 warns of mail made to cost many. The rest is
/// counted.
pub const MAX_SIGNATURES: usize = 8;

/// The signatures that are looked at.
pub(crate) struct Choice {
    /// From top to bottom, each with the number of its field among those of its name.
    pub(crate) signatures: Vec<(usize, Result<Signature, BadSignature>)>,
    /// How many more there are.
    pub(crate) ignored: usize,
}

/// Whose a signature is beside the authors of its message, those first that can tell most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kin {
    /// An author's domain itself.
    Author,
    /// A domain above it.
    Above,
    /// One below it.
    Below,
    /// One that shares a domain above it, and not the last label alone.
    Beside,
    /// Any other.
    Stranger,
    /// It can never pass, whatever its key says.
    Hopeless,
}

impl Choice {
    /// Chooses the nearest of kin, and among equals the upper ones: what can never pass takes no place from what can, and
    /// a stranger's signature none from an author's, so that whoever passes a message on and adds signatures takes none of
    /// the author's from it (RFC 6376 §6.1 leaves the order open). Of more in the name of an author none is good in honest
    /// mail.
    pub(crate) fn of(header: &Header) -> Self {
        let fields = header.named("dkim-signature");
        let total = fields.len();
        let read = fields.map(|field| Signature::parse(field.value())).enumerate();
        if total <= MAX_SIGNATURES {
            return Self { signatures: read.collect(), ignored: 0 };
        }
        let authors = author_domains(header.octets()).map(|authors| authors.domains).unwrap_or_default();
        let mut nearest: BTreeMap<(Kin, usize), Result<Signature, BadSignature>> = BTreeMap::new();
        for (place, signature) in read {
            nearest.insert((Kin::of(&signature, &authors), place), signature);
            if nearest.len() > MAX_SIGNATURES {
                nearest.pop_last();
            }
        }
        let mut signatures: Vec<_> =
            nearest.into_iter().map(|((_, place), signature)| (place, signature)).collect();
        signatures.sort_by_key(|(place, _)| *place);
        Self { ignored: total - signatures.len(), signatures }
    }

    /// Those that are worth a question and a hash.
    pub(crate) fn verifiable(&self) -> impl Iterator<Item = &Signature> {
        let readable = self.signatures.iter().filter_map(|(_, signature)| signature.as_ref().ok());
        readable.filter(|signature| signature.algorithm != Algorithm::RsaSha1)
    }
}

impl Kin {
    fn of(signature: &Result<Signature, BadSignature>, authors: &[Domain]) -> Self {
        match signature {
            Ok(Signature { algorithm: Algorithm::RsaSha1, .. } | Signature { length: Some(_), .. })
            | Err(_) => Self::Hopeless,
            Ok(signature) => {
                let each = authors.iter().map(|author| Self::between(&signature.domain, author));
                each.min().unwrap_or(Self::Stranger)
            }
        }
    }

    fn between(signer: &Domain, author: &Domain) -> Self {
        let is_shared = |above: &Domain| above.parent().is_some() && author.is_within(above);
        match signer {
            _ if signer == author => Self::Author,
            _ if is_shared(signer) => Self::Above,
            _ if signer.is_within(author) => Self::Below,
            _ if signer.with_parents().any(|above| is_shared(&above)) => Self::Beside,
            _ => Self::Stranger,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dkim::header::Collector;

    /// Domains, each with how many signatures.
    type Fields<'a> = &'a [(&'a str, usize)];

    fn signature(domain: &str, selector: usize, more: &str) -> String {
        format!(
            "DKIM-Signature: v=1; a=ed25519-sha256; d={domain}; s=s{selector}; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA{more}\r\n"
        )
    }

    /// The domains of the chosen ones, `-` where one cannot be read, and how many more there are.
    fn chosen(from: &str, fields: Fields<'_>) -> String {
        let mut text = String::new();
        for (number, (domain, count)) in fields.iter().enumerate() {
            let field = match *domain {
                "" => "DKIM-Signature: v=1\r\n".to_owned(),
                "sha1" => signature("example.org", number, "").replace("ed25519-sha256", "rsa-sha1"),
                "part" => signature("example.org", number, "; l=1"),
                domain => signature(domain, number, ""),
            };
            text.push_str(&field.repeat(*count));
        }
        let mut collector = Collector::default();
        collector.push(format!("{text}From: {from}\r\n").as_bytes()).unwrap();
        let choice = Choice::of(&collector.finish());
        let name = |signature: &Result<Signature, _>| match signature {
            Ok(one) if one.algorithm == Algorithm::RsaSha1 => "sha1".to_owned(),
            Ok(one) if one.length.is_some() => "part".to_owned(),
            Ok(one) => one.domain.to_string(),
            Err(_) => "-".to_owned(),
        };
        let names: Vec<String> = choice.signatures.iter().map(|(_, signature)| name(signature)).collect();
        let mut told: Vec<(String, usize)> = Vec::new();
        for name in names {
            match told.last_mut() {
                Some((last, count)) if *last == name => *count += 1,
                _ => told.push((name, 1)),
            }
        }
        let told: Vec<String> = told.iter().map(|(name, count)| format!("{count} {name}")).collect();
        format!("{} + {}", told.join(", "), choice.ignored)
    }

    #[test]
    fn what_cannot_pass_or_is_a_strangers_takes_no_place_from_the_author() {
        let ann = "ann@news.example.org";
        let rows: [(&str, Fields<'_>, &str); 14] = [
            (ann, &[("list.test", 7), ("news.example.org", 1)], "7 list.test, 1 news.example.org + 0"),
            (ann, &[("", 8), ("list.test", 1)], "7 -, 1 list.test + 1"),
            (ann, &[("sha1", 8), ("part", 8), ("list.test", 1)], "7 sha1, 1 list.test + 9"),
            (ann, &[("list.test", 50), ("news.example.org", 1)], "7 list.test, 1 news.example.org + 43"),
            (ann, &[("news.example.org", 1), ("list.test", 50)], "1 news.example.org, 7 list.test + 43"),
            (ann, &[("list.test", 50), ("example.org", 1)], "7 list.test, 1 example.org + 43"),
            (ann, &[("list.test", 50), ("mx.example.org", 1)], "7 list.test, 1 mx.example.org + 43"),
            (
                ann,
                &[("a.news.example.org", 50), ("example.org", 1)],
                "7 a.news.example.org, 1 example.org + 43",
            ),
            (
                ann,
                &[("mx.example.org", 50), ("a.news.example.org", 1)],
                "7 mx.example.org, 1 a.news.example.org + 43",
            ),
            // The last label alone makes nobody kin.
            (ann, &[("org", 8), ("evil.org", 8), ("list.test", 1)], "8 org + 9"),
            (
                ann,
                &[("news.example.org.test", 8), ("mx.example.org", 1)],
                "7 news.example.org.test, 1 mx.example.org + 1",
            ),
            ("a@a.test, b@b.test", &[("list.test", 9), ("b.test", 1)], "7 list.test, 1 b.test + 2"),
            // More in the author's own name than are looked at.
            (ann, &[("news.example.org", 9)], "8 news.example.org + 1"),
            ("nobody", &[("list.test", 8), ("news.example.org", 1)], "8 list.test + 1"),
        ];
        for (from, fields, expected) in rows {
            assert_eq!(chosen(from, fields), expected, "{from}: {fields:?}");
        }
    }
}
