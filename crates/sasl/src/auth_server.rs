//! Dovecot's authentication protocol, the server's side: how Postfix and Exim have logins checked by somebody else
//! (Dovecot's `auth-protocol.txt`, version 1.2).
//!
//! Lines of words parted by tabs. Each side says its version first; then each `AUTH` of the client begins an exchange under a
//! number of its own, which `CONT` in both directions goes on with, until `OK` or `FAIL` ends it.

use std::net::IpAddr;

use crate::{Mechanism, Mechanisms, Turn, decode, encode};

/// Longest line of a client, in octets, its end included: a token with all its parameters fits.
pub const MAX_LINE: usize = 16 * 1024;
/// Exchanges that a client may have under way at once.
pub const MAX_EXCHANGES: usize = 128;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The number of the exchange; the answer carries it.
    pub id: u32,
    /// What the client says in it.
    pub turn: Turn,
    /// Where whoever logs in comes from, and by which service, at the beginning of an exchange.
    pub whence: Option<Whence>,
}

/// What the client tells of somebody who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whence {
    /// The service, as in `smtp`.
    pub service: String,
    /// The address, where it was told.
    pub address: Option<IpAddr>,
}

/// The answer to one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The exchange goes on.
    Challenge(&'a [u8]),
    /// It is over, and the client is this account.
    Proven(&'a str),
    /// It is over without success.
    Refused {
        /// The login name, where one was said.
        login: &'a str,
        /// For people.
        reason: &'a str,
        /// Another try may end otherwise.
        temporary: bool,
    },
}

/// The client does not speak this protocol; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthBreach {
    /// A line above [`MAX_LINE`].
    #[error("a line is too long")]
    LineTooLong,
    /// Nothing but `VERSION` may come first, and only version 1 is known.
    #[error("the client does not speak version 1 of the protocol")]
    Version,
    /// A command that lacks its number, or has one that is in use or unknown.
    #[error("a malformed command")]
    Malformed,
    /// More than [`MAX_EXCHANGES`].
    #[error("too many logins at once on one connection")]
    TooMany,
}

/// The server side of one connection. It owns no socket.
#[derive(Debug)]
pub struct AuthServer {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    greeted: bool,
    open: Vec<u32>,
}

impl AuthServer {
    /// Begins with the greeting: what is offered, which process this is, which connection, and 32 hexadecimal digits that
    /// nobody can guess.
    pub fn new(offered: Mechanisms, (process, connection): (u32, u64), cookie: &str) -> Self {
        let mut greeting = String::from("VERSION\t1\t2\n");
        for mechanism in offered.iter() {
            greeting.push_str(&format!("MECH\t{}{}\n", mechanism.name(), properties(mechanism)));
        }
        greeting.push_str(&format!("SPID\t{process}\nCUID\t{connection}\nCOOKIE\t{cookie}\nDONE\n"));
        Self { inbox: Vec::new(), outbox: greeting.into_bytes(), greeted: false, open: Vec::new() }
    }

    /// Takes what came.
    pub fn receive(&mut self, octets: &[u8]) {
        self.inbox.extend_from_slice(octets);
    }

    /// What is to be sent.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }

    /// The next thing that the client asks for; `None` until more has come. After an error nothing more is to be heard.
    pub fn next_asked(&mut self) -> Result<Option<Asked>, AuthBreach> {
        while let Some(end) = self.inbox.iter().position(|octet| *octet == b'\n') {
            if end >= MAX_LINE {
                return Err(AuthBreach::LineTooLong);
            }
            let line: Vec<u8> = self.inbox.drain(..=end).take(end).collect();
            if let Some(asked) = self.line(&line)? {
                return Ok(Some(asked));
            }
        }
        if self.inbox.len() >= MAX_LINE { Err(AuthBreach::LineTooLong) } else { Ok(None) }
    }

    /// Answers the turn of exchange `id`.
    pub fn answer(&mut self, id: u32, told: Told<'_>) {
        let line = match told {
            Told::Challenge(challenge) => format!("CONT\t{id}\t{}\n", encode(challenge)),
            Told::Proven(account) => format!("OK\t{id}\tuser={}\n", escaped(account)),
            Told::Refused { login, reason, temporary } => {
                let user =
                    if login.is_empty() { String::new() } else { format!("\tuser={}", escaped(login)) };
                let again = if temporary { "\ttemp" } else { "" };
                format!("FAIL\t{id}{user}\treason={}{again}\n", escaped(reason))
            }
        };
        if !matches!(told, Told::Challenge(_)) {
            self.open.retain(|open| *open != id);
        }
        self.outbox.extend_from_slice(line.as_bytes());
    }

    /// Whether exchange `id` is under way: one that was cancelled is not.
    pub fn is_open(&self, id: u32) -> bool {
        self.open.contains(&id)
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Asked>, AuthBreach> {
        let mut words = line.split(|octet| *octet == b'\t');
        let command = words.next().unwrap_or_default();
        if !self.greeted {
            let is_ours = command == b"VERSION" && words.next() == Some(b"1");
            self.greeted = is_ours;
            return if is_ours { Ok(None) } else { Err(AuthBreach::Version) };
        }
        match command {
            b"AUTH" => self.begin(words),
            b"CONT" => {
                let id =
                    number(words.next()).filter(|id| self.open.contains(id)).ok_or(AuthBreach::Malformed)?;
                match decode(words.next().unwrap_or_default()) {
                    Ok(response) => Ok(Some(Asked { id, turn: Turn::Response(response), whence: None })),
                    Err(_) => Ok(self.refuse(id, "the response is not base64")),
                }
            }
            b"CANCEL" => {
                let id = number(words.next()).ok_or(AuthBreach::Malformed)?;
                self.open.retain(|open| *open != id);
                Ok(None)
            }
            // CPID tells a process, which nobody here needs to know; later versions may have more.
            _ => Ok(None),
        }
    }

    fn begin<'a>(&mut self, mut words: impl Iterator<Item = &'a [u8]>) -> Result<Option<Asked>, AuthBreach> {
        let id = number(words.next()).filter(|id| !self.open.contains(id)).ok_or(AuthBreach::Malformed)?;
        if self.open.len() >= MAX_EXCHANGES {
            return Err(AuthBreach::TooMany);
        }
        let mechanism = words.next().and_then(|name| Mechanism::parse(std::str::from_utf8(name).ok()?));
        let mut whence = Whence::default();
        let mut initial = None;
        for word in words {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            if let Some(value) = word.strip_prefix(b"service=") {
                whence.service = text(value);
            } else if let Some(value) = word.strip_prefix(b"rip=") {
                whence.address = text(value).parse().ok();
            } else if let Some(value) = word.strip_prefix(b"resp=") {
                initial = Some(decode(value));
            }
        }
        self.open.push(id);
        let Some(mechanism) = mechanism else { return Ok(self.refuse(id, "unknown mechanism")) };
        match initial.transpose() {
            Ok(initial) => {
                let turn = Turn::Begin(mechanism, initial);
                Ok(Some(Asked { id, turn, whence: Some(whence) }))
            }
            Err(_) => Ok(self.refuse(id, "the response is not base64")),
        }
    }

    fn refuse(&mut self, id: u32, reason: &str) -> Option<Asked> {
        self.answer(id, Told::Refused { login: "", reason, temporary: false });
        None
    }
}

/// What Dovecot says of a mechanism, by which Postfix's `smtpd_sasl_security_options` chooses.
fn properties(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Plain | Mechanism::Login => "\tplaintext",
        Mechanism::CramMd5 => "\tdictionary\tactive",
        Mechanism::Scram { .. } => "\tmutual-auth",
        Mechanism::External | Mechanism::OAuthBearer | Mechanism::XOAuth2 => "",
    }
}

fn number(word: Option<&[u8]>) -> Option<u32> {
    std::str::from_utf8(word?).ok()?.parse().ok()
}

/// Dovecot's `str_tabescape`: what parts words and lines stands behind an octet 1.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push_str("\u{1}0"),
            '\u{1}' => out.push_str("\u{1}1"),
            '\t' => out.push_str("\u{1}t"),
            '\n' => out.push_str("\u{1}n"),
            '\r' => out.push_str("\u{1}r"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn server() -> AuthServer {
        let mut server = AuthServer::new(Mechanisms::PASSWORD, (7, 3), &"0".repeat(32));
        let greeting = String::from_utf8(server.transmit()).unwrap();
        let expected = format!(
            "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t7\nCUID\t3\nCOOKIE\t{}\nDONE\n",
            "0".repeat(32)
        );
        assert_eq!(greeting, expected);
        server
    }

    /// Feeds `text` in pieces and gives what is asked for, up to a breach.
    fn ask(server: &mut AuthServer, text: &str, piece: usize) -> (Vec<Asked>, Option<AuthBreach>) {
        let mut asked = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            server.receive(piece);
            loop {
                match server.next_asked() {
                    Ok(Some(next)) => asked.push(next),
                    Ok(None) => break,
                    Err(breach) => return (asked, Some(breach)),
                }
            }
        }
        (asked, None)
    }

    #[test]
    fn a_login_of_postfix_is_understood_whole_and_byte_by_byte() {
        // As Postfix 3.7 says it.
        let text = "VERSION\t1\t1\nCPID\t4711\n\
                    AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=2001:db8::7\tsecured\tresp=AGFubgB4\n";
        for piece in [1, 7, 4_096] {
            let mut server = server();
            let (asked, breach) = ask(&mut server, text, piece);
            let address = "2001:db8::7".parse().ok();
            let expected = Asked {
                id: 1,
                turn: Turn::Begin(Mechanism::Plain, Some(b"\0ann\0x".to_vec())),
                whence: Some(Whence { service: "smtp".to_owned(), address }),
            };
            assert_eq!((asked, breach), (vec![expected], None), "{piece}");
            assert!(server.is_open(1));
            server.answer(1, Told::Proven("ann@example.org"));
            assert!(!server.is_open(1));
            assert_eq!(server.transmit(), b"OK\t1\tuser=ann@example.org\n");
        }
    }

    #[test]
    fn an_exchange_goes_on_until_its_end() {
        let mut server = server();
        let (asked, _) = ask(&mut server, "VERSION\t1\t2\nAUTH\t5\tlogin\tservice=smtp\n", 99);
        assert_eq!(asked[0].turn, Turn::Begin(Mechanism::Login, None));
        server.answer(5, Told::Challenge(b"Username:"));
        assert_eq!(server.transmit(), b"CONT\t5\tVXNlcm5hbWU6\n");
        let (asked, _) = ask(&mut server, "CONT\t5\tYW5u\n", 99);
        assert_eq!((asked[0].id, &asked[0].turn), (5, &Turn::Response(b"ann".to_vec())));
        server.answer(5, Told::Refused { login: "a\tb", reason: "no\nsuch", temporary: true });
        assert_eq!(server.transmit(), b"FAIL\t5\tuser=a\x01tb\treason=no\x01nsuch\ttemp\n");
        // Its number is free again.
        let (asked, breach) = ask(&mut server, "AUTH\t5\tPLAIN\tresp==\nCANCEL\t5\nAUTH\t5\tPLAIN\n", 99);
        assert_eq!((asked.len(), breach), (2, None));
        assert_eq!(asked[0].turn, Turn::Begin(Mechanism::Plain, Some(Vec::new())));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_or_ends_the_connection() {
        for (text, said) in [
            ("AUTH\t1\tROT13\tservice=smtp\n", "FAIL\t1\treason=unknown mechanism\n"),
            ("AUTH\t1\n", "FAIL\t1\treason=unknown mechanism\n"),
            ("AUTH\t1\tPLAIN\tresp=not base64\n", "FAIL\t1\treason=the response is not base64\n"),
            ("NEWS\tof\tlater\n\n\t\n", ""),
        ] {
            let mut server = server();
            let (asked, breach) = ask(&mut server, &format!("VERSION\t1\t2\n{text}"), 1);
            assert_eq!((asked, breach), (vec![], None), "{text}");
            assert_eq!(String::from_utf8(server.transmit()).unwrap(), said);
        }
        let long = format!("VERSION\t1\t2\nAUTH\t1\tPLAIN\tresp={}", "A".repeat(MAX_LINE));
        let many: String = (0..=MAX_EXCHANGES).map(|id| format!("AUTH\t{id}\tLOGIN\n")).collect();
        for (text, expected) in [
            ("VERSION\t2\t0\n", AuthBreach::Version),
            ("AUTH\t1\tPLAIN\n", AuthBreach::Version),
            ("\n", AuthBreach::Version),
            ("GET / HTTP/1.1\r\n", AuthBreach::Version),
            ("VERSION\t1\t2\nAUTH\tx\tPLAIN\n", AuthBreach::Malformed),
            ("VERSION\t1\t2\nAUTH\t1\tLOGIN\nAUTH\t1\tLOGIN\n", AuthBreach::Malformed),
            ("VERSION\t1\t2\nCONT\t1\tYW5u\n", AuthBreach::Malformed),
            ("VERSION\t1\t2\nCANCEL\n", AuthBreach::Malformed),
            (&long, AuthBreach::LineTooLong),
            (&format!("{long}\n"), AuthBreach::LineTooLong),
            (&format!("VERSION\t1\t2\n{many}"), AuthBreach::TooMany),
        ] {
            for piece in [1, 100_000] {
                assert_eq!(ask(&mut server(), text, piece).1, Some(expected), "{text:.60}");
            }
        }
    }
}
