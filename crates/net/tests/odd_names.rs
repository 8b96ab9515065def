//! Names that somebody else chose: what is no plain name never becomes a question on the wire.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{BadDomain, DnsName};
use kings_net::{Resolver, ResolverSettings};

/// Quoting in the text form of names would turn these into others (RFC 1035 §5.1), or into more than one.
const ODD: [&str; 18] = [
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
    "*.example",
    "a|b.example",
];

/// Local parts in names, as the macros of SPF put them there, and the question for each: labels, octet for octet.
const STRANGE: [(&str, &[u8]); 6] = [
    ("_s.plain.example", b"\x02_s\x05plain\x07example\0"),
    ("ann+list.example", b"\x08ann+list\x07example\0"),
    ("joe=bank.a.example", b"\x08joe=bank\x01a\x07example\0"),
    ("SRS0=x/y=Z#!.example", b"\x0csrs0=x/y=z#!\x07example\0"),
    ("-a'{b}~.example", b"\x07-a'{b}~\x07example\0"),
    ("a%b&c?d^.example", b"\x08a%b&c?d^\x07example\0"),
];

/// Where questions arrive, and a resolver that sends them there.
fn server() -> (UdpSocket, Resolver) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let settings = ResolverSettings { servers: vec![server.local_addr().unwrap()], trust_ad: false };
    (server, Resolver::new(&settings).unwrap())
}

/// The first question that arrives, its type and class left out, answered with `code`.
fn answered(server: &UdpSocket, code: u8) -> Vec<u8> {
    let mut packet = [0; 512];
    let (length, from) = server.recv_from(&mut packet).unwrap();
    let end = packet[12..length].iter().position(|byte| *byte == 0).unwrap() + 13;
    let question = packet[12..end].to_vec();
    packet[2] |= 0x80;
    packet[3] = code;
    // Nothing but the question goes back.
    packet[6..12].fill(0);
    server.send_to(&packet[..end + 4], from).unwrap();
    question
}

#[tokio::test]
async fn an_odd_name_is_answered_without_a_question() {
    let (server, resolver) = server();
    for text in ODD {
        assert_eq!(DnsName::parse(text), Err(BadDomain), "{text}");
        assert_eq!(resolver.addresses(text).await, Err(DnsError::NoDomain), "{text}");
    }
    server.set_nonblocking(true).unwrap();
    assert!(server.recv_from(&mut [0; 512]).is_err(), "somebody was asked");
}

#[tokio::test]
async fn a_local_part_in_a_name_is_asked_about_as_it_stands() {
    let (server, resolver) = server();
    let server = Arc::new(server);
    // Whether there is such a name is the name server's to say, not ours.
    for (code, error) in [(3, DnsError::NoDomain), (0, DnsError::NoRecord)] {
        for (text, question) in STRANGE {
            let text = if code == 0 { format!("x.{text}") } else { text.to_owned() };
            let question = if code == 0 { [b"\x01x", question].concat() } else { question.to_owned() };
            let server = Arc::clone(&server);
            let asked = tokio::task::spawn_blocking(move || answered(&server, code));
            let name = DnsName::parse(&text).unwrap();
            assert_eq!(resolver.txt(&name).await.map(|answer| answer.records), Err(error.clone()), "{text}");
            assert_eq!(asked.await.unwrap(), question, "{text}");
        }
    }
}
