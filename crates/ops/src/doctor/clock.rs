//! What time it is elsewhere, by one question to a time server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// How long a time server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// A message without extensions (RFC 5905 §7.3).
const LENGTH: usize = 48;
/// Version 4, from a client; and the mode of a server's answer.
const CLIENT: u8 = 0x23;
const SERVER: u8 = 4;
/// Where the time of sending stands; what was there in the question comes back in `ORIGIN`.
const TRANSMIT: usize = 40;
const ORIGIN: usize = 24;
/// Seconds from 1900, where the era of its times begins, to 1970.
const FROM_1900: u64 = 2_208_988_800;

/// How far this machine's clock is ahead of that server's, in milliseconds; half of the way is taken off.
pub async fn ahead_of(server: &str) -> Result<i64, String> {
    let name = if server.contains(':') { server.to_owned() } else { format!("{server}:123") };
    let asked = async {
        let address = lookup_host(&name).await?.next().ok_or_else(|| io::Error::other("no such host"))?;
        ask(address).await
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(ahead)) => Ok(ahead),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(server: SocketAddr) -> io::Result<i64> {
    let here: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(server).await?;
    let mut question = [0; LENGTH];
    question[0] = CLIENT;
    let asked = millis(SystemTime::now());
    // It comes back as it is: what does not bring it is no answer to this.
    question[TRANSMIT..].copy_from_slice(&asked.to_be_bytes());
    socket.send(&question).await?;
    let mut answer = [0; LENGTH];
    loop {
        let count = socket.recv(&mut answer).await?;
        let now = millis(SystemTime::now());
        if let Some(there) = read(&answer[..count], asked) {
            let middle = asked + now.saturating_sub(asked) / 2;
            return Ok(middle.cast_signed().saturating_sub(there.cast_signed()));
        }
    }
}

/// The time in an answer, in milliseconds since 1970; `None` where it is none, or the server does not know the time itself.
fn read(answer: &[u8], asked: u64) -> Option<u64> {
    let word = |at: usize| Some(u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let (first, stratum) = (*answer.first()?, *answer.get(1)?);
    let knows = first & 7 == SERVER && first >> 6 != 3 && (1..16).contains(&stratum);
    let is_ours = answer.get(ORIGIN..ORIGIN + 8)? == asked.to_be_bytes();
    let (seconds, fraction) = (word(TRANSMIT)?, word(TRANSMIT + 4)?);
    // The first era ends in 2036; a small number is of the second (RFC 5905 §6).
    let era = if seconds < 1 << 31 { 1_u64 << 32 } else { 0 };
    let seconds = (u64::from(seconds) + era).checked_sub(FROM_1900)?;
    (knows && is_ours).then(|| seconds * 1_000 + ((u64::from(fraction) * 1_000) >> 32))
}

fn millis(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn answer(seconds: u32, asked: u64) -> [u8; LENGTH] {
        let mut answer = [0; LENGTH];
        (answer[0], answer[1]) = (0x24, 2);
        answer[ORIGIN..ORIGIN + 8].copy_from_slice(&asked.to_be_bytes());
        answer[TRANSMIT..TRANSMIT + 4].copy_from_slice(&seconds.to_be_bytes());
        answer
    }

    #[test]
    fn only_an_answer_to_this_question_from_a_server_that_knows_the_time_counts() {
        let good = answer(3_985_545_600, 7);
        assert_eq!(read(&good, 7), Some(1_776_556_800_000));
        assert_eq!(read(&answer(0, 7), 7), Some(2_085_978_496_000), "the era that begins in 2036");
        assert_eq!(read(&good, 8), None, "somebody else's");
        assert_eq!(read(&good[..47], 7), None);
        for (at, octet) in [(0, 0xe4), (0, 0x23), (1, 0), (1, 16)] {
            let mut bad = good;
            bad[at] = octet;
            assert_eq!(read(&bad, 7), None, "{at} {octet}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_an_hour_behind_is_found_so() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut question = [0; LENGTH];
            let (_, client) = socket.recv_from(&mut question).await.unwrap();
            let asked = u64::from_be_bytes(question[TRANSMIT..].try_into().unwrap());
            let there = u32::try_from(asked / 1_000 + FROM_1900 - 3_600).unwrap();
            socket.send_to(b"noise", client).await.unwrap();
            socket.send_to(&answer(there, asked), client).await.unwrap();
        });
        let ahead = ahead_of(&server).await.unwrap();
        assert!((3_599_000..3_602_000).contains(&ahead), "{ahead}");
        assert!(ahead_of("127.0.0.1:1").await.is_err());
    }
}
