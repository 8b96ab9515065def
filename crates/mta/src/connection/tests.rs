//! How long a silent client is waited for, in paused time.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;

use arc_swap::ArcSwap;
use kings_net::{Endpoint, Guard, Listener, Place, Rate, Shutdown, Slots, TaskTracker};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::*;
use crate::deliver::tests::Setup;
use crate::lmtp::Lmtp;

const OPENING: [&str; 4] =
    ["LHLO client.example", "MAIL FROM:<joe@far.example>", "RCPT TO:<ann@here.example>", "DATA"];

/// A client of a listener that has room for this many.
struct Client {
    replies: BufReader<OwnedReadHalf>,
    commands: OwnedWriteHalf,
    _setup: Setup,
}

impl Client {
    async fn connect(connections: usize) -> Self {
        let setup = Setup::new();
        let place = Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let access = kings_net::Access { mode: 0o600, owner: None, group: None };
        let (bound, place) = kings_net::bind(&place, access).unwrap();
        let guard = Guard {
            proxy_from: Vec::new(),
            exempt: Vec::new(),
            connections,
            connections_per_address: connections,
            arrivals_per_address: Rate::minute(1_000),
            memory: kings_net::Memory::default(),
        };
        let endpoint = Endpoint { service: Lmtp::new(&setup.core), tls: None, guard };
        let endpoint = Arc::new(ArcSwap::from_pointee(endpoint));
        let listener = Listener::new("lmtp", bound, endpoint, Slots::default()).unwrap();
        tokio::spawn(listener.run(TaskTracker::new(), Shutdown::new()));
        let Place::Tcp(address) = place else { panic!("{place}") };
        let stream = TcpStream::connect(address).await.unwrap();
        // Nagle's algorithm waits in the time of the kernel, which is not paused.
        stream.set_nodelay(true).unwrap();
        let (replies, commands) = stream.into_split();
        let mut client = Self { replies: BufReader::new(replies), commands, _setup: setup };
        assert!(client.reply().await.starts_with("220 "));
        client
    }

    /// Sends a line and reads the whole reply.
    async fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.reply().await
    }

    async fn send(&mut self, text: &str) {
        self.commands.write_all(text.as_bytes()).await.unwrap();
    }

    /// The same, and lets the server hear it before time goes on: paused time does not wait for the kernel.
    async fn send_at_once(&mut self, text: &str) {
        self.send(text).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    async fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let begin = text.len();
            assert!(self.replies.read_line(&mut text).await.unwrap() > 0, "closed after {text:?}");
            if text.as_bytes().get(begin + 3) != Some(&b'-') {
                return text;
            }
        }
    }

    /// How long it is waited for; then it is told why the session ends, and the connection is closed.
    async fn silence(mut self) -> Duration {
        let began = Instant::now();
        let reply = self.reply().await;
        assert!(reply.starts_with("421 4.4.2 "), "{reply}");
        let waited = began.elapsed();
        assert_eq!(self.replies.read(&mut [0]).await.unwrap(), 0);
        waited
    }
}

/// RFC 5321 §4.5.3.2.7: five minutes for the next command, wherever the session stands. Content has a minute to begin,
/// and then its rate.
#[tokio::test(start_paused = true)]
async fn the_next_command_is_waited_for_as_long_as_the_rfc_wants() {
    const COMMAND: Duration = Duration::from_mins(5);
    for (said, expected) in [COMMAND, COMMAND, COMMAND, COMMAND, DATA_GRACE].into_iter().enumerate() {
        let mut client = Client::connect(10).await;
        for line in &OPENING[..said] {
            let reply = client.say(line).await;
            assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
        }
        about(client.silence().await, expected, &format!("after {said} commands"));
    }
    // After a message, and after each command, it begins anew.
    let mut client = Client::connect(10).await;
    for line in OPENING {
        client.say(line).await;
    }
    assert!(client.say("Subject: x\r\n\r\n.").await.starts_with("250 "));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_mins(4)).await;
        assert!(client.say("NOOP").await.starts_with("250 "));
    }
    about(client.silence().await, COMMAND, "after a message");
}

/// What is no whole command earns no time; and where slots are short nobody has minutes.
#[tokio::test(start_paused = true)]
async fn a_command_that_trickles_in_is_waited_for_no_longer() {
    let mut client = Client::connect(10).await;
    client.say(OPENING[0]).await;
    let began = Instant::now();
    for octet in ["N", "O", "O", "P"] {
        client.send_at_once(octet).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    client.silence().await;
    about(began.elapsed(), Duration::from_mins(5), "octet by octet");

    let mut client = Client::connect(1).await;
    client.say(OPENING[0]).await;
    about(client.silence().await, COMMAND_PRESSED, "the last slot");
}

/// A minute to begin, then a second for each 500 octets: what trickles in has no more than the minute, and what keeps the
/// rate comes whole, however long it takes.
#[tokio::test(start_paused = true)]
async fn content_is_waited_for_while_it_keeps_its_rate() {
    let mut client = Client::connect(10).await;
    for line in OPENING {
        client.say(line).await;
    }
    let began = Instant::now();
    for _ in 0..5 {
        client.send_at_once("x").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    client.silence().await;
    about(began.elapsed(), DATA_GRACE, "an octet in ten seconds");

    let mut client = Client::connect(10).await;
    for line in OPENING {
        client.say(line).await;
    }
    client.send("Subject: x\r\n\r\n").await;
    let line = format!("{}\r\n", "x".repeat(498));
    assert_eq!(line.len() as u64, DATA_RATE);
    for _ in 0..600 {
        client.send_at_once(&line).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(client.say(".").await.starts_with("250 "), "ten minutes at its rate");
}

/// To the second: the kernel's part of it takes no paused time.
fn about(found: Duration, expected: Duration, case: &str) {
    let stray = found.abs_diff(expected);
    assert!(stray <= Duration::from_secs(1), "{case}: {found:?} instead of {expected:?}");
}
