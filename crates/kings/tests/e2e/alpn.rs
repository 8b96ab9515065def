//! Clients of other protocols at the TLS ports (cross-protocol attacks: alpaca-attack.com).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::harness::Kings;

/// Offers these protocols in the handshake; gives the first bytes of the server, or why there are none.
fn greeting(kings: &Kings, listener: &str, protocols: &[&str]) -> std::io::Result<String> {
    let mut config = ClientConfig::clone(&kings.certificates.client());
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(kings.address(listener))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(b"NOOP\r\n")?;
    let mut start = [0; 4];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

#[test]
fn a_browser_gets_no_handshake_at_a_mail_port() {
    let kings = Kings::start();
    for (listener, own, foreign, start) in [
        ("submissions", "smtp", "imap", "220 "),
        ("imaps", "imap", "smtp", "* OK"),
        ("pop3s", "pop3", "imap", "+OK "),
    ] {
        for accepted in [&[][..], &[own], &["http/1.1", own]] {
            assert_eq!(greeting(&kings, listener, accepted).unwrap(), start, "{listener} {accepted:?}");
        }
        for refused in [&["http/1.1"][..], &["h2", "http/1.1"], &[foreign]] {
            let error = greeting(&kings, listener, refused).unwrap_err().to_string();
            assert!(error.contains("NoApplicationProtocol"), "{listener} {refused:?}: {error}");
        }
    }
}
