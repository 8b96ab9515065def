//! Plays every dialogue of `tests/transcripts` with the server session; the form is described in `dialogue`.
//!
//! Settings: `@ port 25` (as by default), `587`, `465` or `24` for LMTP, `@ no dsn`, `@ trusted` for a host that may speak for others, `@ limit OCTETS` of a message, `@ recipients N`, `@ full`
//! for a full disk, `@ mechanisms NAME...` to log in with (and -PLUS among them to bind the login to its connection), `@ chunk whole` for what only counts when it comes in one piece. `= tls` is the handshake: it
//! happens once all bytes of the line above have arrived. `= message` shows what was accepted, `C! silent` is a client that lets its time run out.
#![allow(clippy::disallowed_methods, reason = "tests read their transcripts")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;
mod dialogue;

use std::fmt::Write as _;

use backend::{Backend, Message};
use dialogue::Chunk;
use kings_mail::envelope::Recipient;
use kings_mail::report::Notify;
use kings_sasl::{Mechanism, Mechanisms};
use kings_smtp::claim::{Attribute, Claim};
use kings_smtp::reply::Reply;
use kings_smtp::server::{Client, Event, Session, Trust};

/// Contents up to this size are shown.
const SHOWN: usize = 160;

#[test]
fn every_dialogue_goes_as_written_however_its_bytes_arrive() {
    let count = dialogue::check("transcripts", play);
    assert!(count >= 40, "{count} transcripts");
}

struct Player {
    session: Session,
    backend: Backend,
    log: String,
    in_handshake: bool,
    closed: bool,
}

fn play(text: &str, chunk: Chunk) -> String {
    let (head, body) = dialogue::split_head(text);
    let mut player = Player::new(&head);
    player.flush();
    for line in body.into_iter().filter(|line| !line.starts_with(['S', '='])) {
        assert!(!player.closed, "the server has closed before {line}");
        writeln!(player.log, "{line}").unwrap();
        if line == "C! silent" {
            player.session.close(&Reply::TIMEOUT);
            player.draw_events();
        } else if let Some(bytes) = dialogue::wire(line, 'C') {
            player.receive(&bytes, chunk);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
        }
    }
    player.log
}

impl Player {
    fn new(head: &[&str]) -> Self {
        let (mut port, mut limit, mut backend) = (25, 1_000, Backend::default());
        let mut trust = Trust::default();
        let (mut log, mut mechanisms, mut dsn) = (String::new(), Mechanisms::PASSWORD, true);
        for line in head {
            writeln!(log, "{line}").unwrap();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["@", "port", number] => port = number.parse().unwrap(),
                ["@", "limit", octets] => limit = octets.parse().unwrap(),
                ["@", "recipients", most] => backend.most_recipients = most.parse().unwrap(),
                ["@", "full"] => backend.full = true,
                ["@", "mechanisms", ref names @ ..] => {
                    backend.house.binds = names.iter().any(|name| name.ends_with("-PLUS"));
                    mechanisms = names.iter().filter_map(|name| Mechanism::parse(name)).collect();
                }
                ["@", "no", "dsn"] => dsn = false,
                ["@", "trusted"] => trust = Trust { xclient: true, xforward: true },
                _ => assert!(line.starts_with('#') || *line == "@ chunk whole", "{line}"),
            }
        }
        backend.lmtp = port == 24;
        let mut session = backend::session(port, limit, trust, dsn);
        session.offer(mechanisms);
        Self { session, backend, log, in_handshake: false, closed: false }
    }

    fn receive(&mut self, bytes: &[u8], chunk: Chunk) {
        for piece in chunk.pieces(bytes) {
            self.session.receive(piece);
            self.draw_events();
        }
        self.flush();
        if std::mem::take(&mut self.in_handshake) {
            self.session.tls_started();
        }
    }

    fn draw_events(&mut self) {
        while !self.closed
            && let Some(event) = self.session.next_event()
        {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        self.flush();
        match event {
            Event::StartTls => {
                self.in_handshake = true;
                self.log.push_str("= tls\n");
            }
            Event::Closed => {
                self.closed = true;
                self.log.push_str("S! closed\n");
            }
            event => {
                if let Event::Xclient(claim) | Event::Xforward(claim) = &event {
                    writeln!(self.log, "= claim {}", described_claim(claim)).unwrap();
                }
                let before = self.backend.messages.len();
                self.backend.answer(event, &mut self.session);
                for message in &self.backend.messages[before..] {
                    log_message(&mut self.log, message, self.session.client());
                }
            }
        }
    }

    fn flush(&mut self) {
        dialogue::log_lines(&mut self.log, 'S', &self.session.transmit());
    }
}

fn log_message(log: &mut String, Message { envelope, content }: &Message, client: &Client) {
    let recipients: Vec<String> = envelope.recipients.iter().map(described).collect();
    let octets = content.len();
    let (from, to) = (&envelope.reverse_path, recipients.join(" "));
    write!(log, "= message {from} to {to} with {} from {}, {octets} octets", protocol(client), client.name)
        .unwrap();
    match octets {
        1..=SHOWN => writeln!(log, ": {}", content.escape_ascii()).unwrap(),
        _ => log.push('\n'),
    }
}

/// What a trusted host said of its client.
fn described_claim(claim: &Claim) -> String {
    fn add<T: std::fmt::Debug>(words: &mut Vec<String>, name: &str, attribute: &Attribute<T>) {
        match attribute {
            Attribute::Unsaid => {}
            Attribute::Unavailable => words.push(format!("{name} unknown")),
            Attribute::Is(value) => words.push(format!("{name} {value:?}")),
        }
    }
    let mut words = Vec::new();
    add(&mut words, "name", &claim.name);
    add(&mut words, "address", &claim.address);
    add(&mut words, "port", &claim.port);
    add(&mut words, "extended", &claim.extended);
    add(&mut words, "helo", &claim.helo);
    add(&mut words, "login", &claim.login);
    add(&mut words, "ident", &claim.ident);
    words.join(", ")
}

/// The path, and what RCPT asked for beside it.
fn described(recipient: &Recipient) -> String {
    let notify = match recipient.notify {
        Notify::Unsaid => String::new(),
        notify => format!(" NOTIFY={notify}"),
    };
    let original = recipient.original.as_ref().map(|original| format!(" ORCPT={original}"));
    format!("{}{notify}{}", recipient.path, original.unwrap_or_default())
}

/// The name that a Received field gives to how a message came (RFC 3848 §1).
fn protocol(client: &Client) -> String {
    let letter = |is_so: bool, letter| if is_so { letter } else { "" };
    [letter(client.extended, "E"), "SMTP", letter(client.tls, "S"), letter(client.logged_in, "A")].concat()
}
