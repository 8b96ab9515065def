//! A mail server talks to the filter in memory, byte by byte.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use kings_dns::Zone;
use kings_mail::domain::DnsName;
use kings_milter::{
    Change, Client, Command, Event, Family, Heard, Macros, Outcome, Peer, Sent, Server, Steps,
};
use kings_msgauth::dkim::{PrivateKey, Selector, Word, check, key_files};

use super::session::Session;
use super::*;
use crate::authenticate::Check;
use crate::core::now;
use crate::signing::Key;
use kings_msgauth::dkim::opendkim::Matching;

const CUTS: [usize; 3] = [1, 7, 1 << 20];
const PEM: &str = include_str!("../../../msgauth/tests/data/ed25519.pem");

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn zone() -> Zone {
    let record = key_files::record(&PrivateKey::from_pem(PEM).unwrap());
    Zone::default()
        .with_txt(DnsName::parse("sel._domainkey.example.org").unwrap(), record)
        .with_failure(DnsName::parse("gone._domainkey.example.org").unwrap())
}

/// Signs for example.org what 10.0.0.0/8 brings.
fn settings() -> Settings {
    let key = Key {
        domain: None,
        selector: Selector::parse("sel").unwrap(),
        private: PrivateKey::from_pem(PEM).unwrap().into(),
    };
    let ours = Hosts::parse("10.0.0.0/8\n.trusted.example\n", Matching::Plain).0;
    Settings {
        mode: Mode::Both,
        signing: Signing::new(HashMap::from([(domain("example.org"), vec![key])]), None, ours, None, None),
        rules: Rules::default(),
        peers: Hosts::parse("192.0.2.99\n", Matching::Plain).0,
        ignored: Hosts::default(),
        exempt: Vec::new(),
        unsigned_to: Addresses::default(),
        results: OtherResults::default(),
        marks: vec![Mark { name: "daemon_name".to_owned(), values: vec!["MSA".to_owned()] }],
        methods: Methods { dkim: Check::Tag, ..Methods::default() },
        authserv_id: None,
        hostname: domain("filter.example"),
        records_unsigned: true,
        replaces_signatures: false,
        handling: Handling { bad_signature: Action::Reject, ..Handling::default() },
        limits: Limits::default(),
    }
}

/// A mail server, with the filter behind a wire that carries `cut` bytes at once.
struct MailServer {
    client: Client,
    server: Server,
    filter: Filter<Zone>,
    session: Session<Zone>,
    macros: Macros,
    cut: usize,
}

type Said = (Outcome, Vec<Change>);

impl MailServer {
    async fn new(settings: Settings, cut: usize) -> Self {
        let filter = Filter::new(settings, zone());
        let session = Session::new(filter.0.clone());
        let (client, server) = (Client::new(1 << 20), Server::new(wire::offer(&filter.0.settings)));
        let mut pair = Self { client, server, filter, session, macros: Macros::default(), cut };
        pair.macros.set("j", b"mx.example.net");
        pair.macros.set("i", b"ABC");
        assert_eq!(pair.cross().await, Some(Heard::Ready));
        assert!(pair.client.keeps_leading_space());
        pair
    }

    async fn cross(&mut self) -> Option<Heard> {
        for piece in self.client.transmit().chunks(self.cut) {
            self.server.receive(piece);
            assert!(self.filter.hear_all(&mut self.server, &mut self.session).await.unwrap());
        }
        let mut heard = None;
        for piece in self.server.transmit().chunks(self.cut) {
            self.client.receive(piece);
            heard = heard.or(self.client.next_word().unwrap());
        }
        heard
    }

    /// Says something; what the filter answers, where it is asked.
    async fn say(&mut self, command: &Command) -> Option<Said> {
        let sent = self.client.send(command, &self.macros);
        let heard = self.cross().await;
        match (sent, heard) {
            (Sent::Asked, Some(Heard::Answer(outcome, changes))) => Some((outcome, changes)),
            (Sent::Told | Sent::Skipped, None) => None,
            other => panic!("{command:?}: {other:?}"),
        }
    }

    async fn connect(&mut self, name: &str, address: &str) -> Outcome {
        let peer = Peer { family: Family::Ipv4, port: 1, address: address.into() };
        self.say(&Command::Connect(name.into(), Some(peer))).await.unwrap().0
    }

    /// A whole message as octets with CRLFs; the answer of the step that ended it.
    async fn message(&mut self, content: &str) -> Said {
        self.message_to(&["<joe@example.net>"], content).await
    }

    async fn message_to(&mut self, recipients: &[&str], content: &str) -> Said {
        self.say(&Command::Helo(b"client.example".to_vec())).await;
        self.say(&Command::Mail(vec![b"<ann@example.org>".to_vec(), b"SIZE=1".to_vec()])).await;
        for recipient in recipients {
            self.say(&Command::Rcpt(vec![recipient.as_bytes().to_vec()])).await;
        }
        self.say(&Command::Data).await;
        let (head, body) = content.split_once("\r\n\r\n").unwrap();
        for field in kings_mail::header::Fields::new(format!("{head}\r\n").as_bytes()) {
            let value: Vec<u8> = field.value.iter().copied().filter(|octet| *octet != b'\r').collect();
            let value = value.strip_suffix(b"\n").unwrap_or(&value).to_vec();
            self.say(&Command::Header(field.name.into(), value)).await;
        }
        let (outcome, changes) = self.say(&Command::EndOfHeader).await.unwrap();
        if outcome != Outcome::Continue {
            return (outcome, changes);
        }
        for piece in body.as_bytes().chunks(10) {
            self.say(&Command::Body(piece.to_vec())).await;
        }
        self.say(&Command::EndOfBody(Vec::new())).await.unwrap()
    }
}

const PLAIN: &str = "From: Ann <ann@example.org>\r\nSubject:  two\r\n\tlines\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n\
                     Hello  there\r\n.\r\n\r\n";

async fn from(settings: Settings, cut: usize, address: &str, content: &str) -> Said {
    let mut server = MailServer::new(settings, cut).await;
    assert_eq!(server.connect("client.example", address).await, Outcome::Continue);
    server.message(content).await
}

/// The message with the fields that were put on top.
fn changed(changes: &[Change], content: &str) -> String {
    let mut text = content.to_owned();
    for change in changes {
        let Change::InsertHeader(0, name, value) = change else { panic!("{change:?}") };
        let value = String::from_utf8(value.clone()).unwrap().replace('\n', "\r\n");
        text = format!("{}:{value}\r\n{text}", String::from_utf8(name.clone()).unwrap());
    }
    text
}

fn results(changes: &[Change]) -> String {
    let of = |change: &Change| match change {
        Change::InsertHeader(0, name, value) if name == b"Authentication-Results" => {
            String::from_utf8(value.clone()).ok()
        }
        _ => None,
    };
    changes.iter().find_map(of).unwrap_or_default()
}

#[tokio::test]
async fn ours_are_signed_at_the_top_however_the_bytes_come() {
    for cut in CUTS {
        let (outcome, changes) = from(settings(), cut, "10.1.2.3", PLAIN).await;
        assert_eq!(outcome, Outcome::Accept);
        let report = check(changed(&changes, PLAIN).as_bytes(), &zone(), now()).await;
        assert_eq!(report.word(), Word::Pass, "{report:?}");
        let report = check(changed(&changes, PLAIN).replace("two", "2").as_bytes(), &zone(), now()).await;
        assert_eq!(report.word(), Word::Fail, "{report:?}");
    }
}

#[tokio::test]
async fn ours_are_signed_however_carelessly_they_name_their_author() {
    let cases = [
        ("K\u{e4}se <ann@example.org>", true),
        ("ann@example.org <ann@example.org>", true),
        ("Doe, Ann <ann@example.org>", true),
        ("\"Ann Doe <ann@example.org>", true),
        ("Ann <ann@example.org> (work", true),
        ("Team: ann@example.org;", true),
        ("ann(x)@example.org", true),
        ("joe@example.net, ann@example.org", false),
        ("ann at example.org", false),
        ("\"ann@example.org\"", false),
    ];
    for (author, is_signed) in cases {
        let content = PLAIN.replace("Ann <ann@example.org>", author);
        let (outcome, changes) = from(settings(), 1 << 20, "10.1.2.3", &content).await;
        assert_eq!(outcome, Outcome::Accept);
        let report = check(changed(&changes, &content).as_bytes(), &zone(), now()).await;
        assert_eq!(report.word() == Word::Pass, is_signed, "{author}: {report:?}");
    }
}

#[tokio::test]
async fn who_is_ours_is_told_by_address_name_login_or_daemon() {
    type Macro = (&'static str, &'static str);
    let cases: [(&str, &str, &[Macro], bool); 8] = [
        ("unknown", "10.1.2.3", &[], true),
        ("mail.trusted.example", "192.0.2.1", &[], true),
        ("[mail.trusted.example", "192.0.2.1", &[], false),
        ("client.example", "192.0.2.1", &[("auth_authen", "ann")], true),
        ("client.example", "192.0.2.1", &[("auth_type", "PLAIN")], true),
        ("client.example", "192.0.2.1", &[("auth_authen", "")], false),
        ("client.example", "192.0.2.1", &[("daemon_name", "MSA")], true),
        ("client.example", "192.0.2.1", &[("daemon_name", "smtpd")], false),
    ];
    for (name, address, macros, signed) in cases {
        let mut server = MailServer::new(settings(), 1 << 20).await;
        for (name, value) in macros {
            server.macros.set(name, value.as_bytes());
        }
        assert_eq!(server.connect(name, address).await, Outcome::Continue);
        let (_, changes) = server.message(PLAIN).await;
        let has = changes
            .iter()
            .any(|change| matches!(change, Change::InsertHeader(0, name, _) if name == b"DKIM-Signature"));
        assert_eq!(has, signed, "{name} {address} {macros:?}: {changes:?}");
    }
}

#[tokio::test]
async fn strangers_are_verified_and_forged_results_go() {
    let (_, changes) = from(settings(), 1 << 20, "10.1.2.3", PLAIN).await;
    let signed = changed(&changes, PLAIN);
    let forged = format!(
        "Authentication-Results: other.example; none\r\nAuthentication-Results: MX.example.net;\r\n\tdkim=pass\r\n{signed}"
    );
    let forged = forged.replace("Subject", "authentication-results: (x) mx.example.net; spf=pass\r\nSubject");
    for cut in CUTS {
        let (outcome, changes) = from(settings(), cut, "192.0.2.1", &forged).await;
        assert_eq!(outcome, Outcome::Accept);
        let said = results(&changes);
        assert!(said.starts_with(" mx.example.net;\n\tdkim=pass"), "{said}");
        let removed: Vec<u32> = changes.iter().filter_map(removed_at).collect();
        assert_eq!(removed, [3, 2]);
    }
    // One that is ours loses them as well, and they are not signed.
    let (_, changes) = from(settings(), 1 << 20, "10.1.2.3", &forged).await;
    assert_eq!(changes.len(), 3, "{changes:?}");
}

type Name = Option<&'static str>;

/// With a name of our own, readers may still believe the mail server's, and with none they believe that one.
#[tokio::test]
async fn forged_results_go_in_our_name_and_in_that_of_the_mail_server() {
    let forged = format!(
        "Authentication-Results: own.example; dkim=pass\r\nAuthentication-Results: MX (x) . example.net; dkim=pass\r\n\
         Authentication-Results: filter.example; dkim=pass\r\nAuthentication-Results: sub.own.example; dkim=pass\r\n{PLAIN}"
    );
    let cases: [(Name, Name, &str, &[u32]); 6] = [
        (Some("own.example"), Some("mx.example.net"), "own.example", &[2, 1]),
        (Some("own.example"), Some("OWN.example"), "own.example", &[1]),
        (Some("own.example"), Some("[192.0.2.1]"), "own.example", &[1]),
        (Some("own.example"), None, "own.example", &[1]),
        (None, Some("mx.example.net"), "mx.example.net", &[2]),
        (None, None, "filter.example", &[3]),
    ];
    for (own, said, id, removed) in cases {
        let settings = Settings { authserv_id: own.map(domain), ..settings() };
        for cut in CUTS {
            let mut server = MailServer::new(settings.clone(), cut).await;
            server.macros = Macros::default();
            if let Some(name) = said {
                server.macros.set("j", name.as_bytes());
            }
            server.connect("client.example", "192.0.2.1").await;
            let (_, changes) = server.message(&forged).await;
            assert!(results(&changes).starts_with(&format!(" {id};\n\tdkim=none")), "{changes:?}");
            let gone: Vec<u32> = changes.iter().filter_map(removed_at).collect();
            assert_eq!(gone, removed, "{own:?} {said:?}");
        }
        let kept = OtherResults { kept: true, ..OtherResults::default() };
        let mut server = MailServer::new(Settings { results: kept, ..settings }, 1 << 20).await;
        server.connect("client.example", "192.0.2.1").await;
        let (_, changes) = server.message(&forged).await;
        assert_eq!(changes.iter().filter_map(removed_at).count(), 0);
    }
}

/// Which Authentication-Results field is removed.
fn removed_at(change: &Change) -> Option<u32> {
    match change {
        Change::ChangeHeader(at, name, value) if value.is_empty() && name == b"Authentication-Results" => {
            Some(*at)
        }
        _ => None,
    }
}

#[tokio::test]
async fn each_outcome_is_answered_as_the_settings_say() {
    let (_, changes) = from(settings(), 1 << 20, "10.1.2.3", PLAIN).await;
    let signed = changed(&changes, PLAIN);
    let refused = |outcome: &Outcome| match outcome {
        Outcome::Reply(reply) => reply.code,
        _ => 0,
    };
    let (outcome, changes) = from(settings(), 1, "192.0.2.1", &signed.replace("Hello", "Bye")).await;
    assert_eq!((refused(&outcome), changes), (550, Vec::new()));
    assert!(format!("{outcome:?}").contains("7, 20"), "{outcome:?}");
    let (outcome, _) = from(settings(), 1, "192.0.2.1", &signed.replace("s=sel;", "s=gone;")).await;
    assert_eq!(refused(&outcome), 451);
    let lenient = Settings { handling: Handling::RECORD, ..settings() };
    let (outcome, changes) = from(lenient.clone(), 1, "192.0.2.1", &signed.replace("Hello", "Bye")).await;
    assert_eq!(outcome, Outcome::Accept);
    assert!(results(&changes).contains("dkim=fail"), "{changes:?}");
    let held =
        Settings { handling: Handling { bad_signature: Action::Quarantine, ..Handling::RECORD }, ..lenient };
    let (outcome, changes) = from(held, 1, "192.0.2.1", &signed.replace("Hello", "Bye")).await;
    assert_eq!(outcome, Outcome::Accept);
    assert!(changes.iter().any(|change| matches!(change, Change::Quarantine(_))), "{changes:?}");
    let (outcome, changes) = from(settings(), 1, "192.0.2.1", PLAIN).await;
    assert_eq!(outcome, Outcome::Accept);
    assert!(results(&changes).contains("dkim=none"), "{changes:?}");
    let quiet = Settings { records_unsigned: false, ..settings() };
    assert_eq!(from(quiet, 1, "192.0.2.1", PLAIN).await, (Outcome::Accept, Vec::new()));
}

#[tokio::test]
async fn what_is_too_large_is_neither_signed_nor_kept() {
    let large = PLAIN.replace("Subject", &format!("X-Long: {}\r\nSubject", "x".repeat(2_000)));
    let limits = Limits { header_bytes: 1_000, ..Limits::default() };
    let settings_with = |limits| Settings { limits, ..settings() };
    let (outcome, changes) = from(settings_with(limits), 1 << 20, "10.1.2.3", &large).await;
    assert!(matches!(outcome, Outcome::Reply(reply) if reply.code == 451) && changes.is_empty());
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    let (outcome, _) = from(settings_with(limits), 1 << 20, "192.0.2.1", PLAIN).await;
    assert!(matches!(outcome, Outcome::Reply(reply) if reply.code == 451));
}

#[tokio::test]
async fn peers_and_signers_alone_look_no_further_than_they_must() {
    let mut server = MailServer::new(settings(), 1).await;
    assert_eq!(server.connect("x", "192.0.2.99").await, Outcome::Accept);
    let signer = Settings { mode: Mode::Sign, ..settings() };
    assert_eq!(from(signer.clone(), 1, "192.0.2.1", PLAIN).await, (Outcome::Accept, Vec::new()));
    // Nothing to sign with, but something to remove.
    let forged = format!("Authentication-Results: mx.example.net; none\r\n{PLAIN}");
    let (_, changes) = from(signer, 1, "192.0.2.1", &forged).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
}

#[tokio::test]
async fn a_second_message_knows_nothing_of_the_first_or_of_one_that_was_dropped() {
    let mut server = MailServer::new(settings(), 3).await;
    server.connect("x", "192.0.2.1").await;
    let forged = format!("Authentication-Results: mx.example.net; none\r\n{PLAIN}");
    assert_eq!(server.message(&forged).await.1.len(), 2);
    server.say(&Command::Mail(vec![b"<>".to_vec()])).await;
    server.say(&Command::Header(b"Authentication-Results".to_vec(), b" mx.example.net; none".to_vec())).await;
    server.client.abort();
    assert_eq!(server.message(PLAIN).await.1.len(), 1);
}

#[tokio::test]
async fn an_old_mail_server_without_the_blank_gets_values_without_it() {
    let mut server = Server::new(wire::offer(&settings()));
    // Version 2 and no steps at all: everything is asked and the blank is dropped.
    let options = kings_milter::Options {
        version: 2,
        actions: kings_milter::Actions::ALL,
        steps: Steps::default(),
        symbols: Vec::new(),
    };
    let filter = Filter::new(settings(), zone());
    let mut session = Session::new(filter.0.clone());
    let peer = Peer { family: Family::Ipv4, port: 1, address: b"10.0.0.1".to_vec() };
    let commands = [
        Command::Negotiate(options),
        Command::Connect(b"x".to_vec(), Some(peer)),
        Command::Mail(vec![b"<>".to_vec()]),
        Command::Header(b"From".to_vec(), b"ann@example.org".to_vec()),
        Command::EndOfHeader,
        Command::EndOfBody(b"Hello\r\n".to_vec()),
    ];
    for command in &commands {
        let mut wire = Vec::new();
        command.write_to(&mut wire);
        server.receive(&wire);
        assert!(filter.hear_all(&mut server, &mut session).await.unwrap());
    }
    let said = String::from_utf8_lossy(&server.transmit()).into_owned();
    assert!(said.contains("DKIM-Signature\0v=1;"), "{said:?}");
    server.receive(b"\0\0\0\x01?");
    assert!(filter.hear_all(&mut server, &mut session).await.is_err());
    assert!(matches!(Server::new(wire::offer(&settings())).next_event(), Ok(None::<Event>)));
}

/// As OpenDKIM 2.11 was seen to do.
#[tokio::test]
async fn mail_of_ours_is_left_alone_where_one_recipient_wants_it_unsigned() {
    let text = "From: ann@example.org\r\nSubject: x\r\n\r\nhello\r\n";
    let unsigned_to = Addresses::parse("Joe@example.net\n", Matching::Plain);
    let cases: [(&str, &[&str], Option<&str>); 6] = [
        ("10.0.0.1", &["<eve@example.net>"], Some("DKIM-Signature")),
        ("10.0.0.1", &["<joe@EXAMPLE.net>"], None),
        ("10.0.0.1", &["<eve@example.net>", "<joe@example.net>"], None),
        ("10.0.0.1", &["<joe@example.net>", "<eve@example.net>"], None),
        ("10.0.0.1", &["<joe@sub.example.net>"], Some("DKIM-Signature")),
        ("192.0.2.1", &["<joe@example.net>"], Some("Authentication-Results")),
    ];
    for (client, recipients, expected) in cases {
        let settings = Settings { unsigned_to: unsigned_to.clone(), ..settings() };
        for cut in CUTS {
            let mut server = MailServer::new(settings.clone(), cut).await;
            server.connect("client.example", client).await;
            let (_, changes) = server.message_to(recipients, text).await;
            let added: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
            assert_eq!(
                changes.first().map(name_of).as_deref(),
                expected,
                "{client} {recipients:?}: {added:?}"
            );
            // What would not be signed anyhow is verified.
            let (_, changes) =
                server.message_to(recipients, &text.replace("example.org", "other.example")).await;
            assert_eq!(changes.first().map(name_of).as_deref(), Some("Authentication-Results"));
            // The next message knows nothing of it.
            let (_, changes) = server.message_to(&["<eve@example.net>"], text).await;
            assert_eq!(changes.len(), 1, "{client} {recipients:?}");
        }
    }
}

fn name_of(change: &Change) -> String {
    match change {
        Change::AddHeader(name, _) | Change::InsertHeader(_, name, _) => {
            String::from_utf8_lossy(name).into_owned()
        }
        other => panic!("{other:?}"),
    }
}
