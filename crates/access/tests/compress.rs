//! COMPRESS=DEFLATE over a connection, spoken by zlib's own form of a client.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use support::{Client, LETTER, Server};

/// Both directions of a client that has agreed to compress.
struct Deflated {
    client: Client,
    out: Compress,
    back: Decompress,
    heard: Vec<u8>,
}

impl Deflated {
    async fn start(mut client: Client) -> Self {
        client.ok("COMPRESS DEFLATE").await;
        Self {
            client,
            out: Compress::new(Compression::best(), false),
            back: Decompress::new(false),
            heard: Vec::new(),
        }
    }

    fn deflate(&mut self, text: &[u8]) -> Vec<u8> {
        let mut deflated = Vec::with_capacity(text.len() + 1_000);
        self.out.compress_vec(text, &mut deflated, FlushCompress::Sync).unwrap();
        deflated
    }

    async fn say(&mut self, text: &str) {
        let deflated = self.deflate(text.as_bytes());
        self.client.say(deflated).await;
    }

    /// What is said, up to and with a line that begins with `end`.
    async fn until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.heard).into_owned();
            if let Some(at) =
                text.find(&format!("\r\n{end}")).map(|at| at + 2).or(text.starts_with(end).then_some(0))
                && let Some(length) = text[at..].find("\r\n")
            {
                self.heard.drain(..at + length + 2);
                return text[..at + length + 2].to_owned();
            }
            let octets = self.client.some().await;
            let mut rest = &octets[..];
            while !rest.is_empty() {
                self.heard.reserve(100_000);
                let before = self.back.total_in();
                self.back.decompress_vec(rest, &mut self.heard, FlushDecompress::Sync).unwrap();
                rest = &rest[usize::try_from(self.back.total_in() - before).unwrap()..];
            }
        }
    }

    async fn ok(&mut self, command: &str) -> String {
        self.say(&format!("a {command}\r\n")).await;
        let answer = self.until("a ").await;
        assert!(answer.contains("a OK"), "{command}: {answer}");
        answer
    }
}

/// RFC 4978 §3.
#[tokio::test]
async fn a_client_that_compresses_is_served_as_any_other() {
    let server = Server::new();
    let long = format!("{LETTER}{}", "All work and no play makes Jack a dull boy.\r\n".repeat(20_000));
    server.deliver(&long).await;
    let mut stranger = server.connect().await;
    stranger.refused("COMPRESS DEFLATE", "BAD Log in first").await;
    let mut client = Deflated::start(server.ann().await).await;
    let capabilities = client.ok("CAPABILITY").await;
    assert!(!capabilities.contains("COMPRESS"), "{capabilities}");
    client.say("a COMPRESS DEFLATE\r\n").await;
    assert!(client.until("a ").await.starts_with("a NO [COMPRESSIONACTIVE]"));
    client.ok("SELECT INBOX").await;
    let wire_before = client.back.total_in();
    let answer = client.ok("FETCH 1 BODY.PEEK[]").await;
    assert!(answer.contains(&long), "{} octets", answer.len());
    assert!(client.back.total_in() - wire_before < 20_000, "{}", client.back.total_in() - wire_before);
    // A message the other way, in two pieces; several commands at once; news while it idles.
    client.say(&format!("a APPEND INBOX {{{}}}\r\n", long.len())).await;
    assert!(client.until("+ ").await.starts_with("+ "));
    client.say(&long[..long.len() / 2]).await;
    client.say(&format!("{}\r\n", &long[long.len() / 2..])).await;
    assert!(client.until("a ").await.contains("a OK [APPENDUID "));
    client.say("b NOOP\r\nc FETCH 1:2 RFC822.SIZE\r\nd NOOP\r\n").await;
    let sizes = client.until("d ").await;
    assert_eq!(sizes.matches(&format!("RFC822.SIZE {}", long.len())).count(), 2, "{sizes}");
    client.say("a IDLE\r\n").await;
    client.until("+ ").await;
    server.deliver(LETTER).await;
    client.until("* 3 EXISTS").await;
    client.say("DONE\r\n").await;
    client.until("a OK").await;
    client.ok("LOGOUT").await;
}

#[tokio::test]
async fn what_is_not_compressed_as_agreed_ends_the_session() {
    let server = Server::new();
    let mut client = Deflated::start(server.ann().await).await;
    client.client.say("a NOOP\r\nb NOOP\r\n").await;
    client.until("* BYE What you send is not compressed").await;
    assert!(client.client.some_or_end().await.is_empty(), "closed");
    // The same said at once: what follows the command is compressed already.
    let mut client = server.ann().await;
    client.say("a COMPRESS DEFLATE\r\nb SELECT INBOX\r\nc FETCH 1 FLAGS\r\n").await;
    assert_eq!(client.response().await, "a OK Compressed from here on");
}

#[tokio::test]
async fn a_bomb_is_one_command_that_is_too_long() {
    let server = Server::new();
    let mut client = Deflated::start(server.ann().await).await;
    let bomb = format!("a NOOP {}\r\n", "x".repeat(20_000_000));
    let bomb = {
        let mut deflated = Vec::with_capacity(1_000_000);
        client.out.compress_vec(bomb.as_bytes(), &mut deflated, FlushCompress::Sync).unwrap();
        deflated
    };
    assert!(bomb.len() < 100_000);
    client.client.say(bomb).await;
    let answer = client.until("a ").await;
    assert!(answer.starts_with("a BAD Command line is too long"), "{answer}");
    client.ok("NOOP").await;
}

/// RFC 8437 §3.
#[tokio::test]
async fn after_unauthenticate_nothing_is_compressed() {
    let server = Server::new();
    server.deliver(LETTER).await;
    for slowly in [false, true] {
        let mut client = Deflated::start(server.inbox().await).await;
        let last = client.deflate(b"a UNAUTHENTICATE\r\n");
        if slowly {
            for octet in &last {
                client.client.say([*octet]).await;
            }
        } else {
            client.client.say(&last).await;
        }
        let answer = client.until("a ").await;
        assert!(answer.starts_with("a OK [CAPABILITY "), "{answer}");
        let mut client = client.client;
        client.refused("FETCH 1 FLAGS", "BAD Log in first").await;
        client.ok("LOGIN ann@example.org secret").await;
        client.ok("SELECT INBOX").await;
        let mut again = Deflated::start(client).await;
        assert!(again.ok("FETCH 1 FLAGS").await.contains("* 1 FETCH (FLAGS ("));
    }
}

/// zlib's `Z_PARTIAL_FLUSH`: all is said, but not up to an octet's end, so that nobody can tell where clear text begins.
#[tokio::test]
async fn a_client_that_does_not_end_its_compression_is_told_so() {
    const PARTLY_FLUSHED: &[u8] =
        b"\x4a\x54\x08\xf5\x73\x0c\x0d\xf1\x70\xf5\x0b\xf1\x74\x76\x0c\x71\xe5\xe5\x02\x08";
    let server = Server::new();
    let mut client = Deflated::start(server.inbox().await).await;
    client.client.say(PARTLY_FLUSHED).await;
    assert!(client.until("a ").await.starts_with("a OK [CAPABILITY "));
    let mut client = client.client;
    client.say("b LOGIN ann@example.org secret\r\n").await;
    assert_eq!(client.rest().await, "* BYE What you send is not compressed as agreed\r\n");
}

/// 30 KB of them can be millions of commands.
#[tokio::test]
async fn a_few_octets_are_no_more_commands_than_they_could_be() {
    let server = Server::new();
    let mut client = Deflated::start(server.inbox().await).await;
    // Commands that differ, as those of a client do, are taken however well they are compressed.
    let many: String = (0..12_000).map(|n| format!("a{n} UID SEARCH UID {n}\r\n")).collect();
    client.say(&many).await;
    client.until("a11999 OK").await;
    let same = client.deflate(&b"a NOOP\r\n".repeat(1_000_000));
    assert!(same.len() < 20_000);
    let began = std::time::Instant::now();
    client.client.say(same).await;
    client.until("* BYE Too many commands in so few octets").await;
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    client.client.some_or_end().await;
}
