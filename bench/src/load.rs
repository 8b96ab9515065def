//! The load: sessions that send one message after the other, each waiting for every reply as most clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use tokio::task::JoinSet;

use crate::content::Messages;
use crate::stream::{Stream, trust_anyone};
use crate::{Options, Protocol};

/// What came of all messages.
pub(crate) struct Outcome {
    /// From MAIL to the final reply, of those accepted; sorted.
    pub(crate) waits: Vec<Duration>,
    pub(crate) refused: usize,
    pub(crate) took: Duration,
}

/// What all sessions share.
struct Shared {
    options: Options,
    tls: Arc<ClientConfig>,
    messages: Messages,
    /// The next message.
    next: AtomicUsize,
}

/// Sends everything.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let messages = Messages::make(options)?;
    let shared = Arc::new(Shared {
        options: options.clone(),
        tls: trust_anyone()?,
        messages,
        next: AtomicUsize::new(0),
    });
    let began = Instant::now();
    let mut sessions = JoinSet::new();
    for number in 0..options.sessions {
        sessions.spawn(session(shared.clone(), number));
    }
    let mut outcome = Outcome { waits: Vec::new(), refused: 0, took: Duration::ZERO };
    while let Some(ended) = sessions.join_next().await {
        let (waits, refused) = ended??;
        outcome.waits.extend(waits);
        outcome.refused += refused;
    }
    outcome.took = began.elapsed();
    outcome.waits.sort_unstable();
    Ok(outcome)
}

async fn session(shared: Arc<Shared>, number: usize) -> anyhow::Result<(Vec<Duration>, usize)> {
    let (mut waits, mut refused) = (Vec::new(), 0);
    let most = shared.options.per_connection.unwrap_or(usize::MAX);
    let mut open: Option<(Stream, usize)> = None;
    loop {
        let message = shared.next.fetch_add(1, Ordering::Relaxed);
        if message >= shared.options.messages {
            break;
        }
        let (mut stream, sent) = match open.take() {
            Some(kept) => kept,
            None => (greet(&shared).await?, 0),
        };
        let began = Instant::now();
        if send(&mut stream, &shared, number, message).await? {
            waits.push(began.elapsed());
        } else {
            refused += 1;
        }
        if sent + 1 < most {
            open = Some((stream, sent + 1));
        } else {
            stream.say(b"QUIT\r\n").await?;
        }
    }
    if let Some((mut stream, _)) = open {
        stream.say(b"QUIT\r\n").await?;
    }
    Ok((waits, refused))
}

/// Connects, says EHLO, starts TLS and logs in, as far as the protocol goes.
async fn greet(shared: &Shared) -> anyhow::Result<Stream> {
    let Options { to, protocol, login, password, .. } = &shared.options;
    let socket = Stream::connect(*to).await?;
    let mut stream = match protocol {
        Protocol::Smtp => Stream::plain(socket),
        Protocol::Submissions => Stream::secure(socket, shared.tls.clone()).await?,
        Protocol::Submission => Stream::secure(start_tls(socket).await?, shared.tls.clone()).await?,
    };
    if *protocol != Protocol::Submission {
        stream.expect(b"", 220).await?;
    }
    stream.expect(b"EHLO bench.example\r\n", 250).await?;
    if let (Some(login), Some(password)) = (login, password) {
        let response = STANDARD.encode(format!("\0{login}\0{password}"));
        stream.expect(format!("AUTH PLAIN {response}\r\n").as_bytes(), 235).await?;
    }
    Ok(stream)
}

/// The dialogue in clear up to STARTTLS; gives the bare socket back for the handshake.
async fn start_tls(mut socket: tokio::net::TcpStream) -> anyhow::Result<tokio::net::TcpStream> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut received = Vec::new();
    for (line, last) in [("", "220 "), ("EHLO bench.example\r\n", "250 "), ("STARTTLS\r\n", "220 ")] {
        socket.write_all(line.as_bytes()).await?;
        received.clear();
        while !is_whole(&received, last) {
            let mut buffer = [0; 1_024];
            match socket.read(&mut buffer).await? {
                0 => anyhow::bail!("the server closed before TLS"),
                count => received.extend_from_slice(&buffer[..count]),
            }
        }
    }
    Ok(socket)
}

fn is_whole(received: &[u8], last: &str) -> bool {
    let text = String::from_utf8_lossy(received);
    text.ends_with('\n') && text.lines().next_back().is_some_and(|line| line.starts_with(last))
}

/// One message; whether it was accepted.
async fn send(stream: &mut Stream, shared: &Shared, session: usize, message: usize) -> anyhow::Result<bool> {
    let Options { from, recipient, .. } = &shared.options;
    let recipient = recipient.replace("{}", &session.to_string());
    stream.expect(format!("MAIL FROM:<{from}>\r\n").as_bytes(), 250).await?;
    stream.expect(format!("RCPT TO:<{recipient}>\r\n").as_bytes(), 250).await?;
    stream.expect(b"DATA\r\n", 354).await?;
    Ok(stream.say(shared.messages.content(message)).await? == 250)
}
