//! The PROXY protocol, version 1 and 2, before SMTP, IMAP and TLS.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use crate::harness::{Kings, Setup, Smtp, letter, messages};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
const CLIENT: &str = "203.0.113.7";

/// A server that takes loopback for its load balancer.
fn behind_a_balancer() -> Kings {
    let mut setup = Setup::default();
    setup.listen += "proxy_from = [\"127.0.0.0/8\"]\n";
    setup.start()
}

fn version_1() -> Vec<u8> {
    format!("PROXY TCP4 {CLIENT} 198.51.100.1 56324 25\r\n").into_bytes()
}

/// The binary form: signature, version and command, family, length, addresses, ports.
fn version_2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    for address in [CLIENT, "198.51.100.1"] {
        header.extend(address.parse::<Ipv4Addr>().unwrap().octets());
    }
    header.extend([56324_u16.to_be_bytes(), 25_u16.to_be_bytes()].concat());
    header
}

#[test]
fn the_address_in_the_header_is_the_client() {
    for header in [version_1(), version_2()] {
        let kings = behind_a_balancer();
        let mut client = Smtp::connect_silently(kings.address("smtp")).unwrap();
        client.send(&header).unwrap();
        client.reply().unwrap().is("220");
        client.command("EHLO client.example.net").unwrap().is("250");
        client.message(CAROL, &[ANN], &letter(CAROL, ANN, "proxied")).unwrap().is("250 2.0.0");
        let message = messages(&kings.maildir(ANN)).remove(0).text();
        assert!(message.contains(&format!("[{CLIENT}]")), "{message}");
    }
}

#[test]
fn the_header_comes_before_tls() {
    let kings = behind_a_balancer();
    for header in [version_1(), version_2()] {
        let mut client = Smtp::connect_silently(kings.address("submissions")).unwrap();
        client.send(&header).unwrap();
        let mut client = client.secure(&kings.certificates);
        client.reply().unwrap().is("220");
    }
}

#[test]
fn a_balancer_without_a_valid_header_is_closed_silently() {
    let kings = behind_a_balancer();
    for instead in [
        &b"EHLO client.example.net\r\n"[..],
        b"HELO",
        b"PROXY TCP4 nonsense\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\xff\xff\xff\xff",
    ] {
        let mut client = Smtp::connect_silently(kings.address("smtp")).unwrap();
        client.send(instead).unwrap();
        let closed = client.reply().unwrap_err().kind();
        assert!(matches!(closed, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{closed}");
    }
}

#[test]
fn a_header_from_anyone_else_is_a_bad_command() {
    let kings = Kings::start();
    let mut client = Smtp::connect(kings.address("smtp")).unwrap();
    client.send(&version_1()).unwrap();
    client.reply().unwrap().is("500");
}
