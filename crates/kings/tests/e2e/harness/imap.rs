//! A raw IMAP client: commands as text, answers as lines and literals.

use std::io;
use std::net::SocketAddr;

use super::Certificates;
use super::stream::Stream;

/// One logged-in IMAP connection.
pub(crate) struct Imap {
    stream: Stream,
    tag: u32,
}

/// One untagged response: its text with each literal in place, and the literals alone.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) literals: Vec<Vec<u8>>,
}

impl Imap {
    /// Connects under TLS and logs in with the password of every account of the tests.
    pub(crate) fn login(address: SocketAddr, certificates: &Certificates, account: &str) -> Self {
        let stream = Stream::connect(address).unwrap().secure(certificates);
        let mut client = Self { stream, tag: 0 };
        let greeting = client.response().unwrap();
        assert!(greeting.text.starts_with("* OK"), "{}", greeting.text);
        client.command(&format!("LOGIN {account} secret"));
        client
    }

    /// Our port of the connection.
    pub(crate) fn port(&self) -> u16 {
        self.stream.port()
    }

    /// Sends a command; gives what came before its `OK`, and panics on `NO` and `BAD`.
    #[track_caller]
    pub(crate) fn command(&mut self, command: &str) -> Vec<Line> {
        self.result(command).0
    }

    /// As [`command`](Self::command), with the text of the `OK`.
    #[track_caller]
    pub(crate) fn result(&mut self, command: &str) -> (Vec<Line>, String) {
        let (lines, end) = self.answer(command);
        assert!(end.starts_with("OK"), "{command}: {end}");
        (lines, end)
    }

    /// As [`result`](Self::result), with `NO` and `BAD` too.
    #[track_caller]
    pub(crate) fn answer(&mut self, command: &str) -> (Vec<Line>, String) {
        self.tag += 1;
        let tag = format!("a{} ", self.tag);
        self.stream.send(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        let mut lines = Vec::new();
        loop {
            let line = self.response().unwrap_or_else(|error| panic!("{command}: {error}"));
            if let Some(end) = line.text.strip_prefix(&tag) {
                return (lines, end.to_owned());
            }
            lines.push(line);
        }
    }

    /// The next line that the server says unasked.
    #[track_caller]
    pub(crate) fn heard(&mut self) -> String {
        self.response().unwrap().text
    }

    /// The whole content of each message of the selected mailbox, in order.
    #[track_caller]
    pub(crate) fn contents(&mut self) -> Vec<Vec<u8>> {
        let lines = self.command("FETCH 1:* (BODY.PEEK[])");
        lines.into_iter().filter_map(|line| line.literals.into_iter().next()).collect()
    }

    fn response(&mut self) -> io::Result<Line> {
        let mut response = Line { text: String::new(), literals: Vec::new() };
        loop {
            let line = self.stream.line()?;
            response.text.push_str(&String::from_utf8_lossy(&line));
            let Some(size) = literal_size(&line) else { return Ok(response) };
            let literal = self.stream.exactly(size)?;
            response.text.push_str("\r\n");
            response.text.push_str(&String::from_utf8_lossy(&literal));
            response.literals.push(literal);
        }
    }
}

/// The number in a `{12}` at the end of a line.
fn literal_size(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('}')?;
    line.rsplit_once('{')?.1.parse().ok()
}
