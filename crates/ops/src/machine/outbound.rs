//! Whether mail can leave: many providers close port 25 until somebody asks them to open it.

use std::net::SocketAddr;
use std::time::Duration;

use kings_dns::Dns;
use kings_mail::domain::{DnsName, Domain};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a mail server may take to greet.
const PATIENCE: Duration = Duration::from_secs(8);
/// Whose mail servers are asked: three that are always there and belong to different companies. Nothing is said to them.
const ASKED: [&str; 3] = ["gmail.com", "outlook.com", "yahoo.com"];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// A mail server greeted us.
    Open,
    /// None did, though their names were found: port 25 is closed on the way.
    Closed,
    /// Nobody could be asked: no name was found.
    CannotTell,
}

/// Looks whether port 25 of others can be reached; at `instead`, where that is named.
pub async fn outbound(dns: &impl Dns, instead: &[SocketAddr]) -> Outbound {
    let mut places = instead.to_vec();
    if places.is_empty() {
        for domain in ASKED {
            places.extend(mail_server(dns, domain).await.map(|ip| SocketAddr::new(ip, 25)));
        }
    }
    let mut tries: Vec<_> = places.iter().map(|place| tokio::spawn(greets(*place))).collect();
    for one in &mut tries {
        if matches!(one.await, Ok(true)) {
            return Outbound::Open;
        }
    }
    if tries.is_empty() { Outbound::CannotTell } else { Outbound::Closed }
}

async fn mail_server(dns: &impl Dns, domain: &str) -> Option<std::net::IpAddr> {
    let mx = dns.mx(&DnsName::parse(domain).ok()?).await.ok()?;
    let host = mx.records.into_iter().find_map(|record| record.exchange)?;
    let found = dns.ipv4(&host).await.ok()?;
    found.records.first().copied().map(Into::into)
}

async fn greets(place: SocketAddr) -> bool {
    let greeting = async {
        let mut socket = TcpStream::connect(place).await.ok()?;
        let mut start = [0; 3];
        socket.read_exact(&mut start).await.ok()?;
        // Any reply is one: an address without a reverse name may hear 554, and the port is open all the same.
        start.iter().all(u8::is_ascii_digit).then_some(())
    };
    matches!(timeout(PATIENCE, greeting).await, Ok(Some(())))
}

/// What to write to a provider that has closed port 25.
pub fn port_25_request(domain: &Domain, hostname: &Domain, address: &str) -> String {
    format!(
        "Please open outbound TCP port 25 for {address} and set its reverse name to {hostname}.\n\n\
The machine is the mail server of {domain}. It sends mail that people write and that programs of ours write to them: replies, \
notices, no advertising and nothing to bought lists.\nSPF, DKIM and DMARC are published; mail is signed; users log in; the server \
relays for nobody else.\nBounces and complaints come to postmaster@{domain} and abuse@{domain} and are read; an account that sends \
unwanted mail is closed.\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn place(greeting: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(greeting.as_bytes()).await;
            }
        });
        place
    }

    #[tokio::test]
    async fn one_that_greets_is_enough_and_silence_is_closed() {
        let (greets, silent) = (place("554 no reverse name\r\n").await, place("").await);
        let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(outbound(&Zone::default(), &[nobody, silent, greets]).await, Outbound::Open);
        assert_eq!(outbound(&Zone::default(), &[nobody, silent]).await, Outbound::Closed);
        assert_eq!(outbound(&Zone::default(), &[place("<html>").await]).await, Outbound::Closed);
        assert_eq!(outbound(&Zone::default(), &[]).await, Outbound::CannotTell);
    }
}
