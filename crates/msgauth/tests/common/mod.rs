//! A zone as text, and futures that never wait.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test binary uses a part of it; tests"
)]

pub(crate) mod watched;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kings_dns::Zone;
use kings_mail::domain::DnsName;

/// A zone in memory never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a zone in memory never waits"),
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap_or_else(|_| panic!("{text} is no name"))
}

/// Adds one line: `NAME TXT TEXT`, `NAME A ADDRESS`, `NAME MX PREFERENCE HOST`, `ADDRESS PTR NAME`,
/// `NAME CNAME NAME`, `NAME EXISTS` or `NAME FAILS`. In a text `\xNN` is an octet.
pub(crate) fn with_line(zone: Zone, line: &str) -> Zone {
    let mut words = line.splitn(3, ' ');
    let (owner, kind, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or(""));
    match kind {
        "TXT" => zone.with_txt(name(owner), octets(value)),
        "A" | "AAAA" => zone.with_address(name(owner), value.parse().unwrap()),
        "MX" => {
            let (preference, host) = value.split_once(' ').unwrap();
            let host = (host != ".").then(|| name(host));
            zone.with_mx(name(owner), preference.parse().unwrap(), host)
        }
        "PTR" => zone.with_reverse(owner.parse().unwrap(), name(value)),
        "CNAME" => zone.with_alias(name(owner), name(value)),
        "EXISTS" => zone.with_name(name(owner)),
        "FAILS" => zone.with_failure(name(owner)),
        "WAITS" => zone.with_silence(name(owner)),
        other => panic!("what is {other}?"),
    }
}

/// Replaces `\xNN` by the octet.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut out = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        out.push(u8::from_str_radix(digits, 16).unwrap());
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

/// The Python that has the judges: that of `./test.sh`, which puts it in front of the path, or its folder in the cache.
pub(crate) fn python() -> PathBuf {
    let under = |variable: &str, rest: &str| Some(PathBuf::from(std::env::var_os(variable)?).join(rest));
    let cache = under("KINGS_CACHE", "")
        .or_else(|| under("XDG_CACHE_HOME", "kings"))
        .or_else(|| under("HOME", ".cache/kings"));
    let own = cache.map(|cache| cache.join("python/bin/python3")).filter(|python| python.exists());
    own.unwrap_or_else(|| "python3".into())
}
