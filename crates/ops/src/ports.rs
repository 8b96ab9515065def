//! What a server shows at its ports, seen as any client sees it: by connecting.

mod visit;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use kings_mail::domain::Domain;
use kings_tls::{ClientTls, Described};

pub use self::visit::{Visit, visit};
use crate::dialogue::Dialogue;

/// Most lines of a greeting or an answer.
const MAX_LINES: usize = 100;

/// What is spoken at a port before TLS, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS of SMTP (RFC 3207 §4).
    Smtp,
    /// STARTTLS of IMAP (RFC 9051 §6.2.1).
    Imap,
    /// STLS (RFC 2595 §4).
    Pop3,
}

impl Opening {
    /// That of a listener, by its key in `[listen]`; `None` where no TLS is spoken.
    pub fn of(listener: &str) -> Option<Self> {
        match listener {
            "smtp" | "submission" => Some(Self::Smtp),
            "submissions" | "imaps" | "pop3s" | "https" => Some(Self::Tls),
            "imap" => Some(Self::Imap),
            "pop3" => Some(Self::Pop3),
            _ => None,
        }
    }
}

/// What a handshake has shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Version and suite.
    pub tls: String,
    /// The server's own certificate.
    pub certificate: Option<Described>,
    /// Whether a client that verifies would have gone on.
    pub verdict: Result<(), String>,
}

/// There was no handshake.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Nobody answers, or not to the end.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// Other words than those that lead to TLS.
    #[error("the server said \"{0}\"")]
    Refused(String),
}

/// Where to connect to reach a listener of this machine that is bound to all its addresses. One for IPv6 takes IPv4 as
/// well, and is reached by that alone where the machine has no IPv6, as in many containers.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    reachable_with(bound, UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok())
}

fn reachable_with(bound: SocketAddr, has_v6: bool) -> SocketAddr {
    let here = match bound.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() && has_v6 => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(here, bound.port())
}

/// Connects, asks for TLS as `hostname`, and leaves.
pub async fn look(
    address: SocketAddr,
    opening: Opening,
    hostname: &Domain,
    tls: &ClientTls,
) -> Result<Shown, PortError> {
    let mut dialogue = Dialogue::connect(address).await?;
    match opening {
        Opening::Tls => {}
        Opening::Smtp => {
            smtp(&mut dialogue, None, "220").await?;
            smtp(&mut dialogue, Some(format!("EHLO {hostname}")), "250").await?;
            smtp(&mut dialogue, Some("STARTTLS".to_owned()), "220").await?;
        }
        Opening::Imap => {
            expect(dialogue.line().await?, "* OK")?;
            dialogue.say(b"a STARTTLS\r\n").await?;
            expect(dialogue.line().await?, "a OK")?;
        }
        Opening::Pop3 => {
            expect(dialogue.line().await?, "+OK")?;
            dialogue.say(b"STLS\r\n").await?;
            expect(dialogue.line().await?, "+OK")?;
        }
    }
    handshake(dialogue, hostname, tls).await.map(|(_, shown)| shown)
}

/// Goes on under TLS, whatever the certificate is, and tells what a client that verifies would have thought of it.
async fn handshake(
    dialogue: Dialogue,
    hostname: &Domain,
    tls: &ClientTls,
) -> Result<(Dialogue, Shown), PortError> {
    let (config, observed) = tls.observing();
    let secured = dialogue.secure(hostname, config).await?;
    let stream = secured.stream();
    let verdict = match observed.verdict() {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("no certificate was shown".to_owned()),
    };
    let shown = Shown {
        tls: stream.tls().map(|facts| facts.description).unwrap_or_default(),
        certificate: stream.peer_certificate().and_then(Described::of),
        verdict,
    };
    Ok((secured, shown))
}

/// Says a line and hears the whole reply.
async fn smtp(dialogue: &mut Dialogue, line: Option<String>, code: &str) -> Result<(), PortError> {
    if let Some(line) = line {
        dialogue.say(format!("{line}\r\n").as_bytes()).await?;
    }
    for _ in 0..MAX_LINES {
        let line = dialogue.line().await?;
        let is_last = line.as_bytes().get(3) != Some(&b'-');
        expect(line, code)?;
        if is_last {
            return Ok(());
        }
    }
    Err(PortError::Refused("a reply without end".to_owned()))
}

fn expect(line: String, start: &str) -> Result<(), PortError> {
    if line.starts_with(start) { Ok(()) } else { Err(PortError::Refused(line)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_listener_for_all_addresses_is_reached_at_loopback() {
        for (bound, has_v6, expected) in [
            ("0.0.0.0:25", true, "127.0.0.1:25"),
            ("[::]:465", true, "[::1]:465"),
            ("[::]:465", false, "127.0.0.1:465"),
            ("[::1]:465", false, "[::1]:465"),
            ("192.0.2.1:25", false, "192.0.2.1:25"),
        ] {
            assert_eq!(reachable_with(bound.parse().unwrap(), has_v6), expected.parse().unwrap(), "{bound}");
        }
    }

    #[test]
    fn only_listeners_with_tls_are_looked_at() {
        assert_eq!(Opening::of("smtp"), Some(Opening::Smtp));
        assert_eq!(Opening::of("imaps"), Some(Opening::Tls));
        assert_eq!(Opening::of("lmtp"), None);
        assert_eq!(Opening::of("http"), None);
    }
}
