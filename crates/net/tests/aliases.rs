//! Aliases that lead round, or on and on: a question costs few queries and ends in doubt. A short way is gone to its end.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use kings_dns::{Dns, DnsError};
use kings_mail::domain::DnsName;
use kings_net::{Resolver, ResolverSettings};

/// The header of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;
const CNAME: u8 = 5;

/// A name server that answers for each name with the one behind it in its list, or with `-` and a text where there is none,
/// and follows nothing itself.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(aliases: &'static [(&'static str, &'static str)]) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (udp.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let noted = asked.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 1_500];
            while let Ok((length, client)) = udp.recv_from(&mut packet) {
                let question = &packet[..length];
                let name = asked_name(question);
                let targets: Vec<&str> =
                    aliases.iter().filter(|(from, _)| *from == name).map(|(_, to)| *to).collect();
                noted.lock().unwrap().push(name);
                udp.send_to(&answer(question, &targets), client).unwrap();
            }
        });
        Self { address, asked }
    }
}

fn asked_name(question: &[u8]) -> String {
    let mut rest = &question[HEADER..];
    let mut labels = Vec::new();
    while rest[0] > 0 {
        let (label, behind) = rest[1..].split_at(usize::from(rest[0]));
        labels.push(String::from_utf8(label.to_vec()).unwrap().to_lowercase());
        rest = behind;
    }
    labels.join(".")
}

fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// An alias where there is one, else a TXT record.
fn answer(question: &[u8], targets: &[&str]) -> Vec<u8> {
    let end = HEADER + wire(&asked_name(question)).len() + 4;
    let (kind, data) = match targets {
        [] => (16, b"\x04here".to_vec()),
        [target, ..] => (CNAME, wire(target)),
    };
    let mut out = question[..2].to_vec();
    out.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    out.extend(&question[HEADER..end]);
    // A pointer to the name, IN, no time at all.
    out.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0]);
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

const ALIASES: &[(&str, &str)] = &[
    ("self.example", "self.example"),
    ("a.example", "b.example"),
    ("b.example", "a.example"),
    ("one.example", "two.example"),
    ("two.example", "three.example"),
    ("three.example", "end.example"),
    ("l0.example", "l1.example"),
    ("l1.example", "l2.example"),
    ("l2.example", "l3.example"),
    ("l3.example", "l4.example"),
    ("l4.example", "l5.example"),
    ("l5.example", "l6.example"),
    ("l6.example", "l7.example"),
    ("l7.example", "end.example"),
];

#[tokio::test]
async fn aliases_are_followed_a_few_steps_and_never_round() {
    // Which name is asked, the most queries to one server, and whether there is an end.
    let cases = [
        ("end.example", 1, true),
        ("three.example", 2, true),
        ("one.example", 4, true),
        ("l5.example", 4, true),
        ("l4.example", 5, true),
        ("self.example", 1, false),
        ("a.example", 2, false),
        ("l0.example", 5, false),
        ("l3.example", 5, false),
    ];
    for servers in [1, 2] {
        for (name, most, ends) in cases {
            let servers: Vec<Server> = (0..servers).map(|_| Server::start(ALIASES)).collect();
            let addresses = servers.iter().map(|server| server.address).collect();
            let resolver = Resolver::new(&ResolverSettings { servers: addresses, trust_ad: false }).unwrap();
            let found = resolver.txt(&DnsName::parse(name).unwrap()).await.map(|answer| answer.records);
            match found {
                Ok(records) => assert!(ends && records == [b"here".to_vec()], "{name}: {records:?}"),
                Err(DnsError::Temporary(_)) => assert!(!ends, "{name}"),
                Err(error) => panic!("{name}: {error:?}"),
            }
            for server in servers {
                let asked = server.asked.lock().unwrap();
                assert!(asked.len() <= most, "{name}: {asked:?}");
            }
        }
    }
}

/// MX, and what is asked where there is none, find the same loop: no more than a question for each.
#[tokio::test]
async fn all_questions_about_a_loop_cost_little() {
    let server = Server::start(ALIASES);
    let settings = ResolverSettings { servers: vec![server.address], trust_ad: false };
    let (resolver, name) = (Resolver::new(&settings).unwrap(), DnsName::parse("a.example").unwrap());
    assert!(matches!(resolver.mx(&name).await, Err(DnsError::Temporary(_))));
    assert!(matches!(resolver.ipv4(&name).await, Err(DnsError::Temporary(_))));
    assert!(matches!(resolver.ipv6(&name).await, Err(DnsError::Temporary(_))));
    // The alias itself is an answer.
    assert_eq!(resolver.cname(&name).await.unwrap().records.len(), 1);
    assert_eq!(server.asked.lock().unwrap().len(), 7);
}
