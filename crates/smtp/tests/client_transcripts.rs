//! Plays every dialogue of `tests/transcripts/client` with the client session: `S:` lines are fed to it, `C:` lines
//! are what it must send; the form is described in `dialogue`.
//!
//! Settings: `@ starttls never`, `if offered` (as by default) or `required`; `@ tls` for TLS from the first byte;
//! `@ lmtp`; `@ login NAME PASSWORD`; `@ message <REVERSE-PATH> RECIPIENT...` for each message to hand over, where
//! `8bitmime`, `smtputf8`, `requiretls`, `ret=` and `envid=` are its parameters, `8bit` and `8bit-header` say what its
//! content holds, and a recipient may have parameters: `joe@a.example|NOTIFY=NEVER|ORCPT=rfc822;x`. `@ content TEXT`
//! is the content of all others. Each recipient's fate is an `= outcome`, `= spent` says that the session cannot take
//! another message, and `S! silent` is a server that lets its time run out.
#![allow(clippy::disallowed_methods, reason = "tests read their transcripts")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod dialogue;

use std::fmt::Write as _;

use dialogue::Chunk;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Body, MailParameters, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::{EnvelopeId, Notify, OriginalRecipient, Return};
use kings_sasl::{Mechanism, Secret};
use kings_smtp::client::{Event, Login, Outcome, Protocol, Session, Settings, StartTls, Survey, Transaction};
use kings_smtp::reply::{Reply, Status};

const BROKEN: Reply = Reply::new(451, Status(4, 4, 2), "Connection lost");

#[test]
fn every_dialogue_settles_each_recipient_once_however_its_bytes_arrive() {
    let count = dialogue::check("transcripts/client", play);
    assert!(count >= 30, "{count} transcripts");
}

struct Player {
    session: Session,
    /// Messages to hand over with their contents, the next one last.
    messages: Vec<(Transaction, Vec<u8>)>,
    /// Of the message being handed over.
    content: Vec<u8>,
    log: String,
    in_handshake: bool,
    closed: bool,
}

fn play(text: &str, chunk: Chunk) -> String {
    let (head, body) = dialogue::split_head(text);
    let mut player = Player::new(&head);
    for line in body.into_iter().filter(|line| !line.starts_with(['C', '='])) {
        assert!(!player.closed, "the client has closed before {line}");
        writeln!(player.log, "{line}").unwrap();
        if line == "S! silent" {
            player.session.timed_out();
            player.abandon();
        } else if line == "S! closed" {
            player.abandon();
        } else if let Some(bytes) = dialogue::wire(line, 'S') {
            player.receive(&bytes, chunk);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
        }
    }
    player.log
}

fn login(name: &str, password: &str) -> Login {
    Login::new(name, Secret::new(password), "rOprNGfwEbeRWgbNEkqO")
}

impl Player {
    fn new(head: &[&str]) -> Self {
        let hostname = Domain::parse("mx.here.example").unwrap();
        let mut settings = Settings {
            hostname,
            protocol: Protocol::Smtp,
            start_tls: StartTls::IfOffered,
            login: None,
            tls: false,
        };
        let (mut messages, mut content) = (Vec::new(), b"Subject: x\r\n\r\n.dot\r\n".to_vec());
        for line in head.iter().filter(|line| line.starts_with('@')) {
            match line.split(' ').skip(1).collect::<Vec<_>>()[..] {
                ["starttls", "never"] => settings.start_tls = StartTls::Never,
                ["starttls", "if", "offered"] => settings.start_tls = StartTls::IfOffered,
                ["starttls", "required"] => settings.start_tls = StartTls::Required,
                ["tls"] => settings.tls = true,
                ["chunk", "whole"] => {}
                ["lmtp"] => settings.protocol = Protocol::Lmtp,
                ["login", name, password] => settings.login = Some(login(name, password)),
                ["mechanisms", ref names @ ..] => {
                    let names = names.iter().map(|name| Mechanism::parse(name).unwrap());
                    settings.login.as_mut().unwrap().mechanisms = names.collect();
                }
                ["first", name] => settings.login.as_mut().unwrap().first = Mechanism::parse(name),
                ["message", reverse_path, ref words @ ..] => {
                    messages.insert(0, (reverse_path.to_owned(), words.to_vec()));
                }
                ["content", ref words @ ..] => content = dialogue::unescape(&words.join(" ")),
                _ => panic!("{line}"),
            }
        }
        let with_content = |(reverse_path, words): (String, Vec<&str>)| {
            let content = match words[..] {
                _ if words.contains(&"8bit") => "Subject: x\r\n\r\né\r\n".into(),
                _ if words.contains(&"8bit-header") => "Subject: é\r\n\r\nx\r\n".into(),
                _ => content.clone(),
            };
            (transaction(&reverse_path, &words, &content), content)
        };
        let messages = messages.into_iter().map(with_content).collect();
        let content = Vec::new();
        let log = head.iter().flat_map(|line| [line, "\n"]).collect();
        Self { session: Session::new(settings), messages, content, log, in_handshake: false, closed: false }
    }

    fn receive(&mut self, bytes: &[u8], chunk: Chunk) {
        for piece in chunk.pieces(bytes) {
            self.session.receive(piece);
            self.draw_events();
        }
        self.flush();
        if std::mem::take(&mut self.in_handshake) {
            self.session.tls_started();
            self.flush();
        }
    }

    fn draw_events(&mut self) {
        while !self.closed {
            match self.session.next_event() {
                Ok(Some(event)) => {
                    self.flush();
                    self.take(event);
                }
                Ok(None) => return,
                Err(bad) => {
                    writeln!(self.log, "= nonsense: {bad}").unwrap();
                    self.abandon();
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::StartTls => {
                self.in_handshake = true;
                self.log.push_str("= tls\n");
            }
            Event::Ready => self.next_message(),
            Event::SendContent(range) => {
                let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                self.session.content(&self.content[range]);
                self.session.end_content();
            }
            Event::Settled(outcomes) => {
                log_outcomes(&mut self.log, &outcomes);
                if self.session.is_reusable() {
                    return self.next_message();
                }
                self.log.push_str("= spent\n");
                self.session.quit();
            }
            Event::Refused(reply) => {
                writeln!(self.log, "= refused {reply}").unwrap();
                self.session.quit();
            }
            Event::Unfit(reply) => {
                writeln!(self.log, "= unfit {reply}").unwrap();
                self.session.quit();
            }
            Event::Closed => {
                self.closed = true;
                self.log.push_str("C! closed\n");
            }
        }
    }

    /// Hands over the next message that this server can take, or says goodbye.
    fn next_message(&mut self) {
        while let Some((message, content)) = self.messages.pop() {
            match self.session.lacks(&message) {
                None => {
                    self.content = content;
                    return self.session.send(message);
                }
                Some(lack) => log_outcomes(&mut self.log, &vec![lack; message.recipients.len()]),
            }
        }
        self.session.quit();
    }

    /// The connection is of no use any more.
    fn abandon(&mut self) {
        if self.session.awaits_final_reply() {
            self.log.push_str("= doubtful\n");
        }
        let outcomes = self.session.abandon(&BROKEN);
        log_outcomes(&mut self.log, &outcomes);
        self.closed = true;
    }

    fn flush(&mut self) {
        dialogue::log_lines(&mut self.log, 'C', &self.session.transmit());
    }
}

fn transaction(reverse_path: &str, words: &[&str], content: &[u8]) -> Transaction {
    let inside = reverse_path.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap();
    let mut parameters = MailParameters::default();
    let mut recipients = Vec::new();
    for word in words {
        match word.split_once('=').filter(|_| !word.contains('@')) {
            Some(("ret", ret)) => parameters.ret = Return::parse(ret),
            Some(("envid", id)) => parameters.envelope_id = EnvelopeId::parse(id),
            Some(_) => panic!("{word}"),
            None => match *word {
                "8bit" | "8bit-header" => {}
                "8bitmime" => parameters.body = Body::EightBitMime,
                "smtputf8" => parameters.smtputf8 = true,
                "requiretls" => parameters.require_tls = true,
                _ => recipients.push(recipient(word)),
            },
        }
    }
    let reverse_path = ReversePath::parse(inside).unwrap();
    Transaction { reverse_path, recipients, parameters, content: Survey::of(content) }
}

fn recipient(word: &str) -> Recipient {
    let mut parts = word.split('|');
    let mut recipient = Recipient::from(ForwardPath::parse(parts.next().unwrap()).unwrap());
    for part in parts {
        match part.split_once('=').unwrap() {
            ("NOTIFY", notify) => recipient.notify = Notify::parse(notify).unwrap(),
            ("ORCPT", original) => recipient.original = OriginalRecipient::parse(original),
            _ => panic!("{part}"),
        }
    }
    recipient
}

fn log_outcomes(log: &mut String, outcomes: &[Outcome]) {
    for (place, outcome) in outcomes.iter().enumerate() {
        let (fate, reply) = match outcome {
            Outcome::Accepted(reply) => ("accepted", reply),
            Outcome::Refused { reply, permanent: true } => ("refused permanent", reply),
            Outcome::Refused { reply, permanent: false } => ("refused temporary", reply),
            Outcome::Incapable(reply) => ("incapable", reply),
            Outcome::Broken(reply) => ("broken", reply),
        };
        writeln!(log, "{}", format!("= outcome {} {fate} {reply}", place + 1).trim_end()).unwrap();
    }
}
