//! A server over a store in a temporary folder, and a client that says lines and hears responses.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;

use kings_access::{Imap, Parts, People, Pop3, Pop3Parts, UidlFormat};
use kings_directory::{Directory, HostedDomain};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_net::Shutdown;
use kings_store::{Delivery, Layout, MailboxLayout, MailboxName, Naming, Store};
use kings_tls::{Certificates, Source};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Ann and Joe have accounts; the password of both is `secret`.
pub(crate) struct Server {
    pub(crate) imap: Imap,
    pub(crate) pop3: Pop3,
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
    pub(crate) shutdown: Shutdown,
}

pub(crate) fn domain() -> Domain {
    Domain::parse("example.org").unwrap()
}

pub(crate) fn ann() -> Address {
    Address::parse("ann@example.org").unwrap()
}

/// Kim is closed to everybody, Lee to the client that [`Server::connect`] makes.
const USERS: &str = "ann@example.org:{PLAIN}secret\njoe@example.org:{PLAIN}secret\nmax@example.org:{PLAIN}secret\n\
    kim@example.org:{PLAIN}secret::::::nologin\n\
    lee@example.org:{PLAIN}secret::::::allow_nets=198.51.100.0/24\n";

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Parts)) -> Self {
        Self::lying(MailboxLayout::default(), change)
    }

    /// With mailboxes in each other.
    pub(crate) fn nested() -> Self {
        Self::lying(MailboxLayout::Fs, |parts| parts.naming.separator = '/')
    }

    fn lying(mailboxes: MailboxLayout, change: impl FnOnce(&mut Parts)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users");
        std::fs::write(&users, USERS).unwrap();
        let directory = Directory::open(kings_directory::Settings {
            hostname: Domain::parse("mail.example.org").unwrap(),
            domains: vec![HostedDomain { name: domain(), catch_all: None }],
            accounts: users,
            aliases: Vec::new(),
            machine: None,
            relays: Vec::new(),
            sender_logins: Vec::new(),
            delimiters: "+".to_owned(),
            login: kings_directory::LoginSettings {
                names: kings_directory::LoginNames::default(),
                mechanisms: None,
                channel_binding: false,
                failures_per_minute: 10,
                failures_per_account: 30,
                remember: std::time::Duration::ZERO,
                known: None,
                secret: kings_sasl::Secret::new("of the tests"),
            },
        })
        .unwrap();
        let store = Store::open(kings_store::Settings {
            mail_dir: folder.path().join("mail"),
            index_dir: Some(folder.path().join("index")),
            layout: Layout::default(),
            mailboxes,
            trust_inotify: true,
            free_space_reserve: 0,
        })
        .unwrap();
        let source = Source::SelfSigned { folder: folder.path().to_owned(), hostname: domain() };
        let people = People {
            directory,
            store: store.clone(),
            tls: Certificates::open(&source).unwrap().server(),
            connections_per_account: 20,
            connections_per_address: 50,
        };
        let mut parts = Parts {
            people,
            append_octets: 60_000_000,
            naming: Naming { separator: '.', below_inbox: false, layout: mailboxes },
            sharing: kings_access::Sharing::Domain,
            shares_with_anyone: false,
        };
        change(&mut parts);
        let pop3 = Pop3::new(Pop3Parts {
            people: parts.people.clone(),
            uidl: UidlFormat::default(),
            login_delay: None,
            lock_session: false,
        });
        Self { imap: Imap::new(parts), pop3, store, folder, shutdown: Shutdown::new() }
    }

    /// With other settings of POP3.
    pub(crate) fn with_pop3(change: impl FnOnce(&mut Pop3Parts)) -> Self {
        let mut people = None;
        let mut server = Self::with(|parts| people = Some(parts.people.clone()));
        let (people, uidl) = (people.unwrap(), UidlFormat::default());
        let mut parts = Pop3Parts { people, uidl, login_delay: None, lock_session: false };
        change(&mut parts);
        server.pop3 = Pop3::new(parts);
        server
    }

    /// A POP3 client that has read the greeting.
    pub(crate) async fn pop3(&self) -> Client {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (pop3, shutdown) = (self.pop3.clone(), self.shutdown.clone());
        let peer: SocketAddr = "192.0.2.7:49152".parse().unwrap();
        tokio::spawn(async move { pop3.serve_stream(far, peer, &shutdown).await });
        let mut client = Client { stream: near, input: Vec::new() };
        assert_eq!(client.line().await, "+OK Kings ready");
        client
    }

    /// A POP3 client that is logged in as Ann.
    pub(crate) async fn pop3_ann(&self) -> Client {
        let mut client = self.pop3().await;
        client.says("USER ann@example.org", "+OK").await;
        client.says("PASS secret", "+OK Logged in").await;
        client
    }

    /// A client that has read the greeting.
    pub(crate) async fn connect(&self) -> Client {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (imap, shutdown) = (self.imap.clone(), self.shutdown.clone());
        let peer: SocketAddr = "192.0.2.7:49152".parse().unwrap();
        tokio::spawn(async move { imap.serve_stream(far, peer, &shutdown).await });
        let mut client = Client { stream: near, input: Vec::new() };
        assert!(client.response().await.starts_with("* OK [CAPABILITY IMAP4rev1 "));
        client
    }

    /// A client that is logged in as Ann.
    pub(crate) async fn ann(&self) -> Client {
        let mut client = self.connect().await;
        client.ok("LOGIN ann@example.org secret").await;
        client
    }

    /// A client with the inbox selected.
    pub(crate) async fn inbox(&self) -> Client {
        let mut client = self.ann().await;
        client.ok("SELECT INBOX").await;
        client
    }

    /// Delivers to Ann's inbox.
    pub(crate) async fn deliver(&self, content: &str) {
        let (store, content) = (self.store.clone(), content.to_owned());
        let deliver = move || {
            let mut incoming = store.begin().unwrap();
            incoming.write(content.as_bytes()).unwrap();
            let delivery =
                Delivery { account: ann(), mailbox: MailboxName::inbox().into(), trace: Vec::new() };
            store.deliver(&incoming, &[delivery]).pop().unwrap().unwrap();
        };
        tokio::task::spawn_blocking(deliver).await.unwrap();
    }
}

pub(crate) struct Client {
    stream: DuplexStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Says something to a server that may have closed.
    pub(crate) async fn try_say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    /// The next line without its CRLF.
    pub(crate) async fn line(&mut self) -> String {
        let end = self.line_end(0).await;
        let line: Vec<u8> = self.input.drain(..end).collect();
        String::from_utf8_lossy(&line[..end - 2]).into_owned()
    }

    /// A POP3 command and how its reply begins; gives the reply.
    pub(crate) async fn says(&mut self, command: &str, expected: &str) -> String {
        self.say(format!("{command}\r\n")).await;
        let reply = self.line().await;
        assert!(reply.starts_with(expected), "{command}: {reply}");
        reply
    }

    /// The further lines of a multi-line reply, up to the dot.
    pub(crate) async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line == "." => return lines,
                line => lines.push(line),
            }
        }
    }

    /// Sends a command with the tag `a` and gives all responses up to the tagged one.
    pub(crate) async fn command(&mut self, command: &str) -> Vec<String> {
        self.say(format!("a {command}\r\n")).await;
        self.until_tagged().await
    }

    pub(crate) async fn until_tagged(&mut self) -> Vec<String> {
        let mut responses = Vec::new();
        loop {
            let response = self.response().await;
            let is_last = response.starts_with("a ");
            responses.push(response);
            if is_last {
                return responses;
            }
        }
    }

    /// A command that succeeds; gives its untagged responses.
    pub(crate) async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut responses = self.command(command).await;
        let result = responses.pop().unwrap();
        assert!(result.starts_with("a OK"), "{command}: {result}");
        responses
    }

    /// A command that fails like this, with nothing before.
    pub(crate) async fn refused(&mut self, command: &str, expected: &str) {
        let responses = self.command(command).await;
        assert_eq!(responses.len(), 1, "{command}: {responses:?}");
        assert!(responses[0].starts_with(&format!("a {expected}")), "{command}: {}", responses[0]);
    }

    /// APPEND with LITERAL+; gives the tagged result.
    pub(crate) async fn append(&mut self, arguments: &str, content: &str) -> String {
        self.say(format!("a APPEND {arguments} {{{}+}}\r\n{content}\r\n", content.len())).await;
        self.until_tagged().await.pop().unwrap()
    }

    /// The next response with its literals in place, without its CRLF.
    pub(crate) async fn response(&mut self) -> String {
        let mut end = 0;
        loop {
            end += self.line_end(end).await;
            let line = &self.input[..end];
            match literal(line) {
                Some(size) => {
                    self.need(end + size).await;
                    end += size;
                }
                None => break,
            }
        }
        let response: Vec<u8> = self.input.drain(..end).collect();
        String::from_utf8_lossy(&response[..end - 2]).into_owned()
    }

    /// Some octets, as they come.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        let octets = self.some_or_end().await;
        assert!(!octets.is_empty(), "the server closed");
        octets
    }

    /// The same; none at the end of the stream.
    pub(crate) async fn some_or_end(&mut self) -> Vec<u8> {
        if self.input.is_empty() {
            self.stream.read_buf(&mut self.input).await.unwrap();
        }
        std::mem::take(&mut self.input)
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        self.stream.read_to_end(&mut self.input).await.unwrap();
        String::from_utf8_lossy(&std::mem::take(&mut self.input)).into_owned()
    }

    /// Reads what is there, `most` octets of it, and forgets it; gives its length.
    pub(crate) async fn skip(&mut self, most: usize) -> usize {
        self.stream.read(&mut vec![0; most]).await.unwrap()
    }

    /// Octets from `from` through the next line end.
    async fn line_end(&mut self, from: usize) -> usize {
        loop {
            if let Some(at) = self.input[from..].iter().position(|octet| *octet == b'\n') {
                return at + 1;
            }
            self.need(self.input.len() + 1).await;
        }
    }

    async fn need(&mut self, octets: usize) {
        while self.input.len() < octets {
            let count = self.stream.read_buf(&mut self.input).await.unwrap();
            assert!(count > 0, "the server closed: {}", String::from_utf8_lossy(&self.input));
        }
    }
}

fn literal(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line.strip_suffix(b"}\r\n")?).ok()?;
    line.rsplit_once('{')?.1.parse().ok()
}

pub(crate) const LETTER: &str = "From: Joe <joe@example.org>\r\nTo: ann@example.org\r\nSubject: hello\r\n\
    Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHow are you?\r\n";
