//! The Sender Rewriting Scheme: a reverse-path of our own for mail that an alias sends on, so that SPF at its target
//! judges us and not the first sender, while bounces still find their way back.
//!
//! `ann@x.example` becomes `SRS0=HASH=DAY=x.example=ann@our.example`; a reverse-path that another host has rewritten
//! becomes `SRS1=HASH=other.example=REST@our.example` and leads back to that host alone (the guarded form). The hash
//! says that the address is ours, the day ends its use: nobody can make us send mail to an address of his choice.
//!
//! Addresses are octet for octet those of Mail::SRS, libsrs2 and PostSRSd with the same secret, so that a server that
//! used one of them can change to this one, or stand beside it.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;

/// Days for which bounces are taken: longer than any queue tries, and what libsrs2 and PostSRSd take.
const LIFETIME_DAYS: u64 = 21;
/// Days go round after this many: two characters of five bits.
const ROUND: u64 = 1024;
/// Characters of a hash, as all implementations write it. Twenty bits once letter case is lost: a guess costs one
/// recipient that does not exist, and these are counted.
const HASH: usize = 4;
/// Base32 (RFC 4648 §6): no letter case, since hosts on the way may change it.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Fewest characters of a secret.
const SHORTEST_SECRET: usize = 16;

/// The secrets that our reverse-paths are signed with.
#[derive(Clone, Debug)]
pub struct Srs {
    signing: hmac::Key,
    /// Secrets of earlier times: what they signed still counts.
    retired: Vec<hmac::Key>,
}

/// The secrets cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecrets {
    /// There is none.
    #[error("no secret: a line of {SHORTEST_SECRET} characters or more")]
    Missing,
    /// One is easily guessed.
    #[error("line {0}: a secret has {SHORTEST_SECRET} characters or more")]
    TooShort(usize),
}

/// Why an address leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSrs {
    /// It is no such address.
    NotSrs,
    /// It is one, and not of our making, or changed on its way.
    Forged,
    /// It was ours, and its time is over.
    Expired,
}

impl Srs {
    /// `secrets`: one a line, the newest first; that one signs, all are believed (PostSRSd's file).
    pub fn new(secrets: &str) -> Result<Self, BadSecrets> {
        let mut keys = Vec::new();
        for (at, secret) in secrets.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
            if secret.len() < SHORTEST_SECRET {
                return Err(BadSecrets::TooShort(at + 1));
            }
            keys.push(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes()));
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or(BadSecrets::Missing)?;
        Ok(Self { signing, retired: keys.collect() })
    }

    /// The reverse-path to send on with, of a domain that is hosted here: bounces come to it. `None` when the result would be longer than a local part may be
    /// (RFC 5321 §4.5.3.1.1), or the sender is an address literal: the message then keeps the one it has.
    pub fn forward(&self, sender: &Address, ours: &Domain, day: u64) -> Option<Address> {
        let domain = sender.domain()?.as_str();
        let local_part = sender.local_part.as_str();
        let text = match Rewritten::read(local_part) {
            // Its own separator stays, in front of the rest: the other host may use another one.
            Some(Rewritten::Srs0(_)) => self.guarded(domain, &local_part[4..]),
            Some(Rewritten::Srs1(rest)) => {
                let (_, host, rest) = split_guarded(rest)?;
                self.guarded(host, rest)
            }
            None => {
                let day = day_text(day);
                let hash = self.hash(&[&day, domain, local_part]);
                format!("SRS0={hash}={day}={domain}={local_part}")
            }
        };
        Some(Address::new(local_part_of(&text)?, Host::Domain(ours.clone())))
    }

    fn guarded(&self, host: &str, rest: &str) -> String {
        format!("SRS1={}={host}={rest}", self.hash(&[host, rest]))
    }

    /// Whom a bounce to this address, which is of a domain hosted here, is for. `today`: days since 1970.
    ///
    /// The domain is not part of what is signed, as in all implementations: any of ours takes back what any of ours made.
    pub fn reverse(&self, address: &Address, today: u64) -> Result<Address, BadSrs> {
        match Rewritten::read(address.local_part.as_str()).ok_or(BadSrs::NotSrs)? {
            Rewritten::Srs0(rest) => {
                let (hash, rest) = rest.split_once('=').ok_or(BadSrs::Forged)?;
                let (day, rest) = rest.split_once('=').ok_or(BadSrs::Forged)?;
                let (host, local_part) = rest.split_once('=').ok_or(BadSrs::Forged)?;
                self.verify(hash, &[day, host, local_part])?;
                let age = (today % ROUND + ROUND - day_number(day).ok_or(BadSrs::Forged)?) % ROUND;
                if age > LIFETIME_DAYS { Err(BadSrs::Expired) } else { joined(local_part, host) }
            }
            Rewritten::Srs1(rest) => {
                let (hash, host, rest) = split_guarded(rest).ok_or(BadSrs::Forged)?;
                self.verify(hash, &[host, rest])?;
                joined(&format!("SRS0{rest}"), host)
            }
        }
    }

    fn hash(&self, parts: &[&str]) -> String {
        hash(&self.signing, parts)
    }

    /// Letter case does not count: hosts on the way may have changed it.
    fn verify(&self, hash_given: &str, parts: &[&str]) -> Result<(), BadSrs> {
        let given = hash_given.to_ascii_lowercase();
        let is_ours = |key: &hmac::Key| {
            let own = hash(key, parts).to_ascii_lowercase();
            constant_time::verify_slices_are_equal(own.as_bytes(), given.as_bytes()).is_ok()
        };
        // Every key is tried, so that time tells nothing of which one it was.
        let found = std::iter::once(&self.signing).chain(&self.retired).filter(|key| is_ours(key)).count();
        if found > 0 { Ok(()) } else { Err(BadSrs::Forged) }
    }
}

/// A local part that some host has rewritten; what stands behind the tag and its separator.
enum Rewritten<'a> {
    Srs0(&'a str),
    Srs1(&'a str),
}

impl<'a> Rewritten<'a> {
    fn read(local_part: &'a str) -> Option<Self> {
        let (tag, rest) = (local_part.get(..4)?, local_part.get(4..)?);
        let rest = rest.strip_prefix(['=', '+', '-'])?;
        match tag.to_ascii_uppercase().as_str() {
            "SRS0" => Some(Self::Srs0(rest)),
            "SRS1" => Some(Self::Srs1(rest)),
            _ => None,
        }
    }
}

/// `HASH=host=rest`; the rest begins with the separator of the host that wrote it.
fn split_guarded(text: &str) -> Option<(&str, &str, &str)> {
    let (hash, text) = text.split_once('=')?;
    let (host, rest) = text.split_once('=')?;
    rest.starts_with(['=', '+', '-']).then_some((hash, host, rest))
}

fn hash(key: &hmac::Key, parts: &[&str]) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part.to_ascii_lowercase().as_bytes());
    }
    let mut text = STANDARD.encode(context.sign());
    text.truncate(HASH);
    text
}

fn joined(local_part: &str, host: &str) -> Result<Address, BadSrs> {
    let host = Domain::parse(host).map_err(|_| BadSrs::Forged)?;
    Ok(Address::new(local_part_of(local_part).ok_or(BadSrs::Forged)?, Host::Domain(host)))
}

/// The local part with this text, in quotes where the grammar asks for them.
fn local_part_of(text: &str) -> Option<LocalPart> {
    let quoted = || format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    LocalPart::parse(text).or_else(|_| LocalPart::parse(&quoted())).ok()
}

fn day_text(day: u64) -> String {
    [day / 32, day].into_iter().map(letter).collect()
}

fn letter(value: u64) -> char {
    char::from(BASE32[usize::try_from(value % 32).unwrap_or(0)])
}

fn day_number(text: &str) -> Option<u64> {
    let value = |octet: u8| BASE32.iter().position(|known| *known == octet.to_ascii_uppercase());
    let [high, low] = text.as_bytes() else { return None };
    u64::try_from(value(*high)? * 32 + value(*low)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use super::*;

    const SECRET: &str = "a secret of the test";
    const TODAY: u64 = 20_000;

    fn srs() -> Srs {
        with_secrets(SECRET)
    }

    fn with_secrets(secrets: &str) -> Srs {
        Srs::new(secrets).unwrap()
    }

    fn forward(srs: &Srs, sender: &Address, day: u64) -> Option<Address> {
        srs.forward(sender, &Domain::parse("our.example").unwrap(), day)
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn bounces_find_their_way_back_through_any_number_of_hosts() {
        let senders = [
            "ann@x.example",
            "Ann.Lee+tag@x.example",
            "\"ann lee\"@x.example",
            "a=b@x.example",
            "srs0@x.example",
        ];
        for sender in senders {
            let sender = address(sender);
            let rewritten = forward(&srs(), &sender, TODAY).unwrap();
            assert!(rewritten.local_part.as_str().starts_with("SRS0="), "{rewritten}");
            assert_eq!(srs().reverse(&rewritten, TODAY), Ok(sender));
        }
        // A second host, then a third: the bounce goes from us to the first, whatever its separator is.
        for first in ["SRS0=abcd=ef=x.example=ann@one.example", "srs0+ab+c=ef=x.example=ann@one.example"] {
            let first = address(first);
            let second = forward(&srs(), &first, TODAY).unwrap();
            assert!(second.local_part.as_str().starts_with("SRS1="), "{second}");
            let back = address(&first.to_string().replace("srs0", "SRS0"));
            assert_eq!(srs().reverse(&second, TODAY), Ok(back.clone()));
            let third = with_secrets("another secret of it");
            let rewritten = forward(&third, &second, TODAY).unwrap();
            assert_eq!(third.reverse(&rewritten, TODAY), Ok(back));
        }
    }

    #[test]
    fn case_may_change_on_the_way_and_nothing_else() {
        let rewritten = forward(&srs(), &address("ann@x.example"), TODAY).unwrap();
        assert_eq!(srs().reverse(&rewritten.folded(), TODAY), Ok(address("ann@x.example")));
        let text = rewritten.local_part.as_str();
        for at in 5..text.len() {
            let mut changed = text.to_owned();
            let other = if text[at..=at].eq_ignore_ascii_case("q") { "r" } else { "q" };
            changed.replace_range(at..=at, other);
            let changed = address(&format!("{changed}@our.example"));
            assert!(srs().reverse(&changed, TODAY).is_err(), "{changed}");
        }
    }

    #[test]
    fn secrets_are_followed_by_new_ones_and_count_until_they_are_removed() {
        let rewritten = forward(&srs(), &address("ann@x.example"), TODAY).unwrap();
        let rotated = with_secrets(&format!("the newest of secrets\n\n{SECRET}\n"));
        assert_eq!(rotated.reverse(&rewritten, TODAY), Ok(address("ann@x.example")));
        let newer = forward(&rotated, &address("ann@x.example"), TODAY).unwrap();
        assert_eq!(srs().reverse(&newer, TODAY), Err(BadSrs::Forged));
        assert_eq!(with_secrets("the newest of secrets").reverse(&rewritten, TODAY), Err(BadSrs::Forged));
        let refused = |secrets| Srs::new(secrets).unwrap_err();
        assert_eq!(refused("\n \n"), BadSecrets::Missing);
        assert_eq!(refused(&format!("{SECRET}\nshort\n")), BadSecrets::TooShort(2));
    }

    #[test]
    fn time_ends_and_other_addresses_are_left_alone() {
        let rewritten = forward(&srs(), &address("ann@x.example"), 1_020).unwrap();
        assert!(srs().reverse(&rewritten, 1_020 + LIFETIME_DAYS).is_ok());
        assert_eq!(srs().reverse(&rewritten, 1_020 + LIFETIME_DAYS + 1), Err(BadSrs::Expired));
        assert_eq!(srs().reverse(&rewritten, 1_019), Err(BadSrs::Expired));
        for other in ["ann@our.example", "a=b@our.example", "SRS0@our.example", "SRS2=a=b@our.example"] {
            assert_eq!(srs().reverse(&address(other), 0), Err(BadSrs::NotSrs), "{other}");
        }
        for forged in ["SRS0=x@our.example", "SRS1=x=y@our.example", "SRS0=x=AA=x.example=ann@our.example"] {
            assert_eq!(srs().reverse(&address(forged), 0), Err(BadSrs::Forged), "{forged}");
        }
        // Whose the domain is, others look after.
        let elsewhere = Address::new(rewritten.local_part, address("a@b.example").host);
        assert_eq!(srs().reverse(&elsewhere, 1_020), Ok(address("ann@x.example")));
        let long = address(&format!("{}@x.example", "a".repeat(60)));
        assert_eq!(forward(&srs(), &long, 0), None);
        assert_eq!(forward(&srs(), &address("ann@[192.0.2.1]"), 0), None);
    }

    /// Asks the reference implementation; it stands in for PostSRSd and libsrs2, which write the same addresses.
    fn mail_srs(method: &str, address: &str) -> String {
        let program = "use Mail::SRS; my ($secret, $method, $address) = @ARGV; \
             my $srs = Mail::SRS->new(Secret => $secret, MaxAge => 21); \
             print $method eq 'forward' ? $srs->forward($address, 'our.example') : $srs->reverse($address)";
        let output = Command::new("perl").args(["-e", program, SECRET, method, address]).output();
        let output = output.expect("perl runs: tests/setup.sh installs what the tests need");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Mail::SRS (package libmail-srs-perl): {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn addresses_are_those_of_the_reference_implementation() {
        let today = crate::core::today();
        for sender in ["ann@x.example", "Ann.Lee+tag@X.example", "SRS0=abcd=ef=y.example=ann@one.example"] {
            let sender = address(sender);
            let ours = forward(&srs(), &sender, today).unwrap();
            let theirs = mail_srs("forward", &sender.to_string());
            // At midnight UTC the two may name neighbouring days.
            assert!(theirs == ours.to_string() || crate::core::today() != today, "{ours} {theirs}");
            assert_eq!(mail_srs("reverse", &ours.to_string()), sender.to_string());
            assert_eq!(srs().reverse(&address(&theirs), today), Ok(sender));
        }
    }
}
