//! Names that somebody else chose: what is no plain name never becomes a question on the wire.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::UdpSocket;
use std::time::Duration;

use kings_dns::{Dns, DnsError};
use kings_mail::domain::DnsName;
use kings_net::{Resolver, ResolverSettings};

/// Quoting in the text form of names would turn these into others (RFC 1035 §5.1), or into more than one.
const ODD: [&str; 16] = [
    "a\\032b.example",
    "a\\.b.example",
    "a\\010b.example",
    "a\\000b.example",
    "\\255.example",
    "\\",
    "a\\",
    "a\\300.example",
    "\"a\".example",
    "a\"b.example",
    "(a).example",
    "a;b.example",
    "a@b.example",
    "$(reboot).example",
    "a`b.example",
    "<a>.example",
];

#[test]
fn an_odd_name_is_answered_without_a_question() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let settings = ResolverSettings { servers: vec![server.local_addr().unwrap()], trust_ad: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = Resolver::new(&settings).unwrap();
        for text in ODD {
            // A backslash is none of a name at all.
            let name = match DnsName::parse(text) {
                Ok(name) => name,
                Err(_) if text.contains('\\') => continue,
                Err(error) => panic!("{text}: {error}"),
            };
            assert_eq!(
                resolver.txt(&name).await.map(|answer| answer.records),
                Err(DnsError::NoDomain),
                "{text}"
            );
        }
        // The first question that arrives is that for a plain name, so that none came before.
        let plain = DnsName::parse("_s.plain.example").unwrap();
        let asking = tokio::spawn(async move { resolver.txt(&plain).await });
        let received = tokio::task::spawn_blocking(move || {
            let mut packet = [0; 512];
            let (length, _) = server.recv_from(&mut packet).unwrap();
            packet[12..length].to_vec()
        });
        let question = received.await.unwrap();
        assert!(question.starts_with(b"\x02_s\x05plain\x07example\0"), "{}", question.escape_ascii());
        asking.abort();
    });
}
