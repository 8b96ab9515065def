//! Plays every dialogue of `tests/transcripts`, whole lines and one byte at a time.
//!
//! `C: text` is a line of the client, `C\: text` the same with escapes and without the line end added, `S: text` a line of
//! the server, `#` a comment, `! words` something from outside: `clear` begins without TLS, `mechanisms`, `delay` set what
//! is offered, `mail utf8` adds a message whose header is not ASCII, `gone N` lets a message vanish, `broken disk` lets removing fail, `bye` ends the session from our side, `login`
//! logs in without a word. A line `S! closed` says that the server has closed. `UPDATE=1 cargo test` writes what the
//! server says now.
#![allow(clippy::disallowed_methods, reason = "tests read their transcripts")]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../imap/tests/escapes/mod.rs"]
mod escapes;
#[path = "../../sasl/tests/house/mod.rs"]
mod house;

use std::fmt::Write as _;
use std::path::PathBuf;

use escapes::unescape;
use house::{Answer, House};
use kings_mail::surrogate::Surrogate;
use kings_pop3::{Entry, Event, Maildrop, Reply, Session, Settings, UidlFormat, UidlParts};
use kings_sasl::{Mechanism, Mechanisms, Turn};

const MESSAGES: [&str; 4] = [
    "Subject: one\r\nFrom: ann@example.org\r\n\r\nfirst\r\n.second\r\n\r\n..fourth\r\n",
    "Subject: two\r\n\r\n",
    "Subject: three\r\n\r\nno line end",
    // Only where a dialogue has `! mail utf8`.
    "From: J\u{f6}rg <j\u{f6}rg@example.org>\r\nSubject: vier \u{e4}\r\nMessage-ID: <\u{e4}@x>\r\n\r\n\u{f6}\r\nend\r\n",
];

#[test]
fn transcripts() {
    let mut count = 0;
    for path in files() {
        let expected = std::fs::read_to_string(&path).unwrap();
        // One byte at a time must give the same dialogue as one line at a time.
        for chunk in [usize::MAX, 1] {
            let actual = Player::play(&expected, chunk);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &actual).unwrap(); // then read the diff
            } else {
                assert_eq!(actual, expected, "{} in chunks of {chunk}", path.display());
            }
        }
        count += 1;
    }
    assert!(count >= 20, "{count} transcripts");
}

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pop3"));
    files.sort();
    files
}

struct Player {
    session: Session,
    house: House,
    messages: &'static [&'static str],
    gone: Vec<usize>,
    disk_is_broken: bool,
    chunk: usize,
    closed: bool,
    log: String,
}

impl Player {
    fn play(dialogue: &str, chunk: usize) -> String {
        let value = |name: &str| dialogue.lines().find_map(|line| line.strip_prefix(name));
        let clear = value("! clear").is_some();
        let names = value("! mechanisms ");
        let mechanisms = names.map(|names| names.split(' ').filter_map(Mechanism::parse).collect());
        let settings = Settings {
            tls: !clear,
            stls: clear,
            mechanisms: mechanisms.unwrap_or(Mechanisms::PASSWORD),
            login_delay: value("! delay ").map(|seconds| seconds.parse().unwrap()),
        };
        let session = match value("! refuse") {
            Some(_) => Session::refusing(settings, "Too many connections from your address"),
            None => Session::new(settings),
        };
        let (house, log) = (House::new("ann"), String::new());
        let messages = if value("! mail utf8").is_some() { &MESSAGES } else { &MESSAGES[..3] };
        let gone = Vec::new();
        let mut player =
            Self { session, house, messages, gone, disk_is_broken: false, chunk, closed: false, log };
        player.draw();
        let is_setting = |line: &str| {
            ["#", "! clear", "! mechanisms", "! delay", "! refuse", "! mail"]
                .iter()
                .any(|start| line.starts_with(start))
        };
        let mut greeted = false;
        for line in dialogue.lines().filter(|line| !line.starts_with('S')) {
            if !greeted && !is_setting(line) {
                greeted = true;
                player.output(line != "! login");
            }
            writeln!(player.log, "{line}").unwrap();
            player.line(line);
        }
        if !greeted {
            player.output(true);
        }
        player.log
    }

    fn line(&mut self, line: &str) {
        match line.split_at(line.len().min(2)) {
            ("C:", text) => self.input(format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)).as_bytes()),
            ("C\\", text) => self.input(&unescape(text.strip_prefix(": ").unwrap())),
            ("! ", words) => self.outside(words),
            _ => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
    }

    fn outside(&mut self, words: &str) {
        match words.split_once(' ').unwrap_or((words, "")) {
            ("login", _) => {
                self.feed(b"USER ann\r\nPASS secret\r\n");
                self.output(false);
            }
            ("gone", number) => self.gone.push(number.parse::<usize>().unwrap() - 1),
            ("broken", _) => self.disk_is_broken = true,
            ("bye", _) => {
                self.session.bye("Server is shutting down");
                self.draw();
                self.output(true);
            }
            ("clear" | "mechanisms" | "delay" | "refuse" | "mail", _) => {}
            other => panic!("{other:?}"),
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        assert!(!self.closed, "the server has closed");
        self.feed(bytes);
        self.output(true);
    }

    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.chunk) {
            self.session.receive(piece);
            if self.draw() {
                // The rest would be clear text where TLS is expected: no byte of it gets here.
                return;
            }
        }
    }

    /// Answers what there is to answer; true after a handshake.
    fn draw(&mut self) -> bool {
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Login(credentials) => {
                    let initial = format!("\0{}\0{}", credentials.login, credentials.password.expose());
                    self.log_in(&Turn::Begin(Mechanism::Plain, Some(initial.into_bytes())));
                }
                Event::Authenticate(turn) => self.log_in(&turn),
                Event::Message { place, .. } if self.gone.contains(&place) => {
                    self.session.refuse(Reply::GONE);
                }
                Event::Message { place, .. } => self.message(MESSAGES[place]),
                Event::Update(places) => {
                    assert!(places.iter().all(|place| *place < self.messages.len()));
                    self.session.updated(!self.disk_is_broken);
                }
                Event::Relieve => {}
                Event::StartTls => {
                    self.session.tls_started();
                    return true;
                }
                Event::Closed => {
                    self.closed = true;
                    break;
                }
            }
        }
        false
    }

    fn log_in(&mut self, turn: &Turn) {
        match self.house.answer(turn) {
            Answer::Challenge(challenge) => self.session.challenge(&challenge),
            Answer::LoggedIn => {
                let entry = |(uid, message): (u32, &&str)| {
                    let parts = UidlParts { uid, validity: 1_795_479_510, guid: "" };
                    let uidl = UidlFormat::default().write(parts).into();
                    Entry { octets: message.len() as u64, uidl }
                };
                self.session.welcome(Maildrop::new((7..).zip(self.messages).map(entry).collect()));
            }
            Answer::Refused(kings_sasl::BadExchange::Malformed) => self.session.refuse(Reply::BAD_RESPONSE),
            Answer::Refused(_) => self.session.refuse(Reply::LOGIN_FAILED),
        }
    }

    fn message(&mut self, message: &str) {
        let is_sent_as_it_is = self.session.takes_utf8();
        let surrogate =
            if is_sent_as_it_is { Surrogate::default() } else { Surrogate::of(message.as_bytes()) };
        let pieces = || surrogate.pieces(message.as_bytes());
        self.session.begin_message(pieces().map(<[u8]>::len).sum());
        for piece in pieces().flat_map(|piece| piece.chunks(self.chunk)) {
            if !self.session.write_message(piece) {
                break;
            }
        }
        self.session.end_message();
    }

    fn output(&mut self, show: bool) {
        let output = self.session.transmit();
        if !show || output.is_empty() {
            return;
        }
        let text = output.strip_suffix(b"\r\n").expect("replies end in CRLF");
        for line in String::from_utf8_lossy(text).split("\r\n") {
            writeln!(self.log, "{}", format!("S: {line}").trim_end()).unwrap();
        }
        if self.closed {
            self.log.push_str("S! closed\n");
        }
    }
}
