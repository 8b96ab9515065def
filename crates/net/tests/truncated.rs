//! Answers that do not fit into a datagram: asked for once by UDP and once by TCP (RFC 7766 §5).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kings_dns::{Dns, DnsError};
use kings_mail::domain::DnsName;
use kings_net::{Resolver, ResolverSettings};

/// The header of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// An answer, one question, one record, nothing beside it.
const COUNTS: [u8; 8] = [0, 1, 0, 1, 0, 0, 0, 0];
/// QR, and RD and RA.
const ANSWER: [u8; 2] = [0x81, 0x80];
const TRUNCATED: u8 = 0x02;

/// A name server on one port, that says in each datagram that there is more than fits.
struct Server {
    address: SocketAddr,
    by_udp: Arc<AtomicUsize>,
    by_tcp: Arc<AtomicUsize>,
}

/// What it does with a question by TCP.
#[derive(Clone, Copy, PartialEq)]
enum ByTcp {
    Answered,
    TruncatedAgain,
    HungUp,
}

impl Server {
    fn start(mode: ByTcp) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            // Somebody else may have the port of the other kind.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let (by_udp, by_tcp) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counter = by_udp.clone();
        std::thread::spawn(move || {
            let mut question = [0; 1_500];
            while let Ok((length, client)) = udp.recv_from(&mut question) {
                counter.fetch_add(1, Ordering::SeqCst);
                udp.send_to(&answer(&question[..length], true), client).unwrap();
            }
        });
        let counter = by_tcp.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = tcp.accept() {
                let counter = counter.clone();
                std::thread::spawn(move || serve(stream, mode, &counter));
            }
        });
        Self { address, by_udp, by_tcp }
    }

    fn asked(&self) -> (usize, usize) {
        (self.by_udp.load(Ordering::SeqCst), self.by_tcp.load(Ordering::SeqCst))
    }
}

fn serve(mut stream: TcpStream, mode: ByTcp, counter: &AtomicUsize) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).unwrap();
        counter.fetch_add(1, Ordering::SeqCst);
        if mode == ByTcp::HungUp {
            return;
        }
        let answer = answer(&question, mode == ByTcp::TruncatedAgain);
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat()).unwrap();
    }
}

/// One TXT record of eight strings, or none of it where it is cut off.
fn answer(question: &[u8], truncated: bool) -> Vec<u8> {
    let name_end = HEADER + question[HEADER..].iter().position(|&octet| octet == 0).unwrap();
    let end = name_end + 5;
    let mut out = question[..2].to_vec();
    out.extend([ANSWER[0] | if truncated { TRUNCATED } else { 0 }, ANSWER[1]]);
    out.extend(COUNTS);
    out[7] = u8::from(!truncated);
    out.extend(&question[HEADER..end]);
    if !truncated {
        let text = [&[250][..], &[b'x'; 250]].concat().repeat(8);
        // A pointer to the name, TXT, IN, a minute.
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        out.extend(text);
    }
    out
}

async fn ask(servers: &[&Server]) -> Result<usize, DnsError> {
    let servers = servers.iter().map(|server| server.address).collect();
    let resolver = Resolver::new(&ResolverSettings { servers, trust_ad: false }).unwrap();
    let answer = resolver.txt(&DnsName::parse("large.example").unwrap()).await?;
    Ok(answer.records.concat().len())
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_once_by_tcp() {
    let server = Server::start(ByTcp::Answered);
    assert_eq!(ask(&[&server]).await, Ok(2_000));
    assert_eq!(server.asked(), (1, 1));
}

/// Both are asked at once, so that one of them may be dead; each at most once in each way.
#[tokio::test]
async fn two_servers_whose_answers_are_truncated_tell_the_rest_by_tcp() {
    let servers = [Server::start(ByTcp::Answered), Server::start(ByTcp::Answered)];
    assert_eq!(ask(&[&servers[0], &servers[1]]).await, Ok(2_000));
    for server in &servers {
        let (by_udp, by_tcp) = server.asked();
        assert!(by_udp <= 1 && by_tcp <= 1, "{by_udp} {by_tcp}");
    }
}

#[tokio::test]
async fn a_server_without_tcp_leaves_it_to_the_other_one() {
    let servers = [Server::start(ByTcp::HungUp), Server::start(ByTcp::Answered)];
    assert_eq!(ask(&[&servers[0], &servers[1]]).await, Ok(2_000));
}

#[tokio::test]
async fn what_tcp_does_not_tell_either_is_not_asked_for_again_and_again() {
    for mode in [ByTcp::TruncatedAgain, ByTcp::HungUp] {
        let server = Server::start(mode);
        assert!(matches!(ask(&[&server]).await, Err(DnsError::Temporary(_))));
        assert_eq!(server.asked(), (1, 1));
    }
}
