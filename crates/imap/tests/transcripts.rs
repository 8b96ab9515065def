//! Plays every dialogue of `tests/transcripts`, whole lines and one byte at a time.
//!
//! `C: text` is a line of the client, `C\: text` the same with escapes (`\n`, `\x00`, `\{90*x}` for ninety
//! `x`) and without the line end added, `S: text` a line of the server, `! words` something from outside, `#` a comment. A line
//! `S! closed` says that the server has closed. `UPDATE=1 cargo test` writes what the server says now.
#![allow(clippy::disallowed_methods, reason = "tests read their transcripts")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;
mod escapes;

use std::fmt::Write as _;
use std::path::PathBuf;

use backend::Backend;
use escapes::unescape;
use kings_imap::{Event, Namespaces, Session, Settings};
use kings_sasl::{Mechanism, Mechanisms};

#[test]
fn transcripts() {
    let mut count = 0;
    for path in files() {
        let expected = std::fs::read_to_string(&path).unwrap();
        // One byte at a time must give the same dialogue as one line at a time.
        for chunk in [usize::MAX, 1] {
            let actual = play(&expected, chunk);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &actual).unwrap(); // then read the diff
            } else {
                assert_eq!(actual, expected, "{} in chunks of {chunk}", path.display());
            }
        }
        count += 1;
    }
    assert!(count >= 30, "{count} transcripts");
}

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "imap"));
    files.sort();
    files
}

struct Player {
    session: Session,
    backend: Backend,
    chunk: usize,
    closed: bool,
    log: String,
}

fn play(dialogue: &str, chunk: usize) -> String {
    let clear = dialogue.lines().any(|line| line == "! clear");
    let names = dialogue.lines().find_map(|line| line.strip_prefix("! mechanisms "));
    let mechanisms = names.map(|names| names.split(' ').filter_map(Mechanism::parse).collect());
    let mechanisms = mechanisms.unwrap_or(Mechanisms::PASSWORD);
    let settings = Settings {
        namespaces: Namespaces { separator: '.', below_inbox: false, shares: true },
        tls: !clear,
        starttls: clear,
        message_bytes: 100_000,
        mechanisms,
    };
    let (session, mut backend) = (Session::new(settings), Backend::new());
    backend.house.binds = names.is_some_and(|names| names.contains("-PLUS"));
    let mut player = Player { session, backend, chunk, closed: false, log: String::new() };
    let mut greeted = false;
    for line in dialogue.lines().filter(|line| !line.starts_with('S')) {
        if !greeted && !line.starts_with('#') && line != "! clear" && !line.starts_with("! mechanisms ") {
            greeted = true;
            player.output(line != "! login");
        }
        writeln!(player.log, "{line}").unwrap();
        match line.split_at(line.len().min(2)) {
            ("C:", text) => {
                player.input(format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)).as_bytes());
            }
            ("C\\", text) => player.input(&unescape(text.strip_prefix(": ").unwrap())),
            ("! ", words) if words == "clear" || words.starts_with("mechanisms ") => {}
            ("! ", "login") => {
                player.feed(b"0 LOGIN ann secret\r\n");
                drop(player.session.transmit());
            }
            ("! ", words) => {
                player.backend.outside(words, &mut player.session);
                player.output(true);
            }
            _ => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
    }
    player.log
}

impl Player {
    fn input(&mut self, bytes: &[u8]) {
        assert!(!self.closed, "the server has closed");
        self.feed(bytes);
        self.output(true);
    }

    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.chunk) {
            self.session.receive(piece);
            while let Some(event) = self.session.next_event() {
                if event == Event::Closed {
                    self.closed = true;
                    break;
                }
                let is_handshake = event == Event::StartTls;
                self.backend.answer(&mut self.session, event);
                if is_handshake {
                    // The rest would be clear text where TLS is expected: no byte of it gets here.
                    return;
                }
            }
        }
    }

    fn output(&mut self, show: bool) {
        let output = self.session.transmit();
        if !show || output.is_empty() {
            return;
        }
        let text = output.strip_suffix(b"\r\n").expect("responses end in CRLF");
        for line in String::from_utf8_lossy(text).split("\r\n") {
            let safe = line.replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t");
            writeln!(self.log, "{}", format!("S: {safe}").trim_end()).unwrap();
        }
        if self.closed {
            self.log.push_str("S! closed\n");
        }
    }
}
