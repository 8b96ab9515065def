//! Relaying to servers that behave, misbehave and vanish: scripted peers on loopback, MX records in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod loops;
mod misbehaviour;
mod next_hops;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kings_directory::{Directory, HostedDomain, RelayDomain, TableSource};
use kings_dns::Zone;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::envelope::{Body, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::{Notify, OriginalRecipient};
use kings_mta::relay::{Credentials, Family, Level, Ourselves, Relay, Routes, Settings, SmartHost, Sources};
use kings_mta::{Clients, Core, HouseRules, Limits, Outgoing, Parts, Passes, Rates, Traffic};
use kings_queue::{Attempt, Contact, Content, Deliver, Finished, Outcome, Queue};
use kings_records::Records;
use kings_store::{Layout, Store};
use kings_tls::{Certificates, ClientTls, Source};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// What a scripted server does when it hears a line that starts with the first word.
type Script = &'static [(&'static str, &'static str)];

/// The usual answers; a script before them wins.
const POLITE: Script = &[
    ("EHLO", "250-peer.example\r\n250 SIZE 1000\r\n"),
    ("HELO", "250 peer.example\r\n"),
    ("MAIL", "250 ok\r\n"),
    ("RCPT", "250 ok\r\n"),
    ("DATA", "354 go\r\n"),
    (".", "250 2.0.0 taken\r\n"),
    ("BDAT", "250 2.0.0 taken\r\n"),
    ("RSET", "250 ok\r\n"),
    ("QUIT", "221 bye\r\n"),
];

/// A server on loopback; the lines it has heard, of all its connections.
///
/// A word like `2:MAIL` is for the second line of its kind in a connection. An answer that ends in `CUT` is said up to
/// there, and then the connection is closed; `HANG` is never followed by anything.
struct Peer {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    async fn start(ip: [u8; 4], port: u16, greeting: &'static str, script: Script) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((ip, port))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(answer(BufReader::new(stream), greeting, script, lines.clone()));
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// How many lines it heard that begin like this.
    fn count(&self, word: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(word)).count()
    }
}

/// One connection of a peer.
async fn answer<S: AsyncBufRead + AsyncWrite + Unpin>(
    mut stream: S,
    greeting: &'static str,
    script: Script,
    lines: Arc<Mutex<Vec<String>>>,
) {
    let (mut here, mut in_data): (Vec<String>, bool) = (Vec::new(), false);
    if !say(&mut stream, greeting).await {
        return;
    }
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim_end().to_owned();
        lines.lock().unwrap().push(text.clone());
        if in_data && text != "." {
            continue;
        }
        here.push(text.clone());
        if let Some(octets) = text.strip_prefix("BDAT ").and_then(|rest| rest.split(' ').next()) {
            let mut chunk = vec![0; octets.parse().unwrap()];
            let _ = stream.read_exact(&mut chunk).await;
            lines.lock().unwrap().push(String::from_utf8_lossy(&chunk).into_owned());
        }
        let is_meant = |word: &str| match word.split_once(':').map(|(n, word)| (n.parse::<usize>(), word)) {
            Some((Ok(n), word)) => {
                text.starts_with(word) && here.iter().filter(|line| line.starts_with(word)).count() == n
            }
            _ => text.starts_with(word),
        };
        let Some((word, answer)) = script.iter().chain(POLITE).find(|(word, _)| is_meant(word)) else {
            return;
        };
        in_data = word.ends_with("DATA") && answer.starts_with("354");
        if !say(&mut stream, answer).await {
            return;
        }
    }
}

/// False when the connection is to be closed.
async fn say<S: AsyncWrite + Unpin>(stream: &mut S, answer: &str) -> bool {
    if answer == "HANG" {
        std::future::pending::<()>().await;
    }
    let text = answer.strip_suffix("CUT");
    let _ = stream.write_all(text.unwrap_or(answer).as_bytes()).await;
    text.is_none()
}

/// A Kings without listeners.
struct Setup {
    folder: tempfile::TempDir,
    zone: Zone,
    settings: Settings,
    records: Records,
    /// Domains whose mail is passed on.
    relays: Vec<Domain>,
}

impl Setup {
    fn new(port: u16) -> Self {
        let settings = Settings {
            smart_hosts: Vec::new(),
            port,
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
            tls: Level::May,
            mta_sts_port: 443,
            routes: Routes::default(),
            families: vec![Family::Ipv4, Family::Ipv6],
            sources: Sources::default(),
            ourselves: Ourselves::default(),
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            zone: Zone::default(),
            settings,
            records: Records::none(),
            relays: Vec::new(),
        }
    }

    /// An MX host of far.example on this loopback address.
    fn with_host(mut self, preference: u16, name: &str, ip: [u8; 4]) -> Self {
        let host = DnsName::parse(name).unwrap();
        let far = DnsName::parse("far.example").unwrap();
        self.zone =
            self.zone.with_mx(far, preference, Some(host.clone())).with_address(host, IpAddr::from(ip));
        self
    }

    /// A policy of far.example on record, as if it had been fetched.
    fn with_policy(mut self, mode: &str, mx: &str) -> Self {
        let file = self.folder.path().join("records.sqlite");
        let keep = Duration::from_hours(1);
        self.records = Records::open(kings_records::Settings { file, keep }).unwrap();
        let text = format!("version: STSv1\nmode: {mode}\nmax_age: 600\nmx: {mx}\n");
        self.records.keep_policy(&Domain::parse("far.example").unwrap(), "1", &text, keep);
        self
    }

    /// What the records say of sessions with far.example: policy, successes, failures.
    fn results(&self) -> Vec<(String, u64, Vec<String>)> {
        self.records.flush();
        let days = kings_records::reader::tls_results(&self.folder.path().join("records.sqlite")).unwrap();
        let failures =
            |day: &kings_records::DayOfResults| day.failures.iter().map(|(word, ..)| word.clone()).collect();
        days.iter().map(|day| (day.policy.clone(), day.successful, failures(day))).collect()
    }

    fn relay(&self) -> Relay<Zone> {
        let folder = self.folder.path();
        std::fs::write(folder.join("users"), "ann@here.example:{PLAIN}x\nbob@here.example:{PLAIN}x\n")
            .unwrap();
        std::fs::write(
            folder.join("aliases"),
            "both@here.example bob@here.example, sue@here.example\nsue@here.example ann@here.example\n",
        )
        .unwrap();
        let hostname = Domain::parse("mail.here.example").unwrap();
        let name = Domain::parse("here.example").unwrap();
        let directory = Directory::open(kings_directory::Settings {
            hostname: hostname.clone(),
            domains: vec![HostedDomain { name, catch_all: None }],
            accounts: folder.join("users"),
            aliases: vec![TableSource::Plain(folder.join("aliases"))],
            machine: None,
            sender_logins: Vec::new(),
            relays: self
                .relays
                .iter()
                .map(|name| RelayDomain { name: name.clone(), recipients: None })
                .collect(),
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
        });
        let store = Store::open(kings_store::Settings {
            mail_dir: folder.join("mail"),
            index_dir: None,
            layout: Layout::default(),
            mailboxes: kings_store::MailboxLayout::default(),
            trust_inotify: true,
            free_space_reserve: 0,
        });
        let certificates = Certificates::open(&Source::SelfSigned {
            folder: folder.join("tls"),
            hostname: hostname.clone(),
        })
        .unwrap();
        let core = Core::new(Parts {
            hostname: hostname.clone(),
            limits: Limits { message_bytes: 100_000, recipients: 10, rates: Rates::UNLIMITED },
            traffic: Traffic::default(),
            memory: kings_net::Memory::default(),
            clients: Clients::default(),
            outgoing: Outgoing::default(),
            milters: kings_mta::milter::Milters::default(),
            signing: kings_mta::signing::Signing::default(),
            directory: directory.unwrap(),
            rules: HouseRules::default(),
            passes: Passes::default(),
            ways: kings_mta::relay::Ways::default(),
            srs: None,
            store: store.unwrap(),
            queue: Queue::open(kings_queue::Settings::new(folder.join("queue"), hostname)).unwrap(),
            reports: kings_mta::Reports::default(),
            scoring: kings_mta::scoring::Scoring::default(),
            records: self.records.clone(),
            tls: certificates.server(),
            tls_for_people: certificates.server(),
        });
        Relay::new(&core, self.zone.clone(), ClientTls::new(), None, self.settings.clone())
    }

    /// One attempt for these recipients; the outcomes in short.
    async fn attempt(&self, recipients: &[&str]) -> Vec<String> {
        self.attempt_with(recipients, MailParameters::default(), b"Subject: x\r\n\r\n.dot\r\n").await
    }

    async fn attempt_with(
        &self,
        recipients: &[&str],
        parameters: MailParameters,
        content: &[u8],
    ) -> Vec<String> {
        let recipients = recipients.iter().map(|text| ForwardPath::parse(text).unwrap().into()).collect();
        let finished = self.finish(recipients, parameters, content).await;
        finished.outcomes.iter().map(short).collect()
    }

    async fn finish(
        &self,
        recipients: Vec<Recipient>,
        parameters: MailParameters,
        content: &[u8],
    ) -> Finished {
        self.finish_from("ann@here.example", recipients, parameters, content).await
    }

    async fn finish_from(
        &self,
        sender: &str,
        recipients: Vec<Recipient>,
        parameters: MailParameters,
        content: &[u8],
    ) -> Finished {
        let attempt = Attempt {
            id: TraceId::new(0, 0),
            reverse_path: ReversePath::parse(sender).unwrap(),
            parameters: MailParameters { size: Some(content.len() as u64), ..parameters },
            recipients,
            number: 1,
            content: Content::from(content.to_vec()),
        };
        self.relay().deliver(attempt).await
    }

    /// What lies in the inbox of ann, who sends everything here.
    fn inbox(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("mail/here.example/ann/new")) else {
            return Vec::new();
        };
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered(report) => format!("delivered {}", report.reply),
        Outcome::Relayed(report) => format!("relayed {}", report.reply),
        Outcome::PassedOn(report) => format!("passed on {}", report.reply),
        Outcome::Deferred(report) => format!("deferred {} {}", report.status, report.reply),
        Outcome::Failed(report) => format!("failed {} {}", report.status, report.reply),
    }
}

/// Addresses of 127.0.0.0/8 on one port: two hosts that differ only by name, as MX hosts do.
const FIRST: [u8; 4] = [127, 0, 0, 71];
const SECOND: [u8; 4] = [127, 0, 0, 72];

#[tokio::test]
async fn each_recipient_has_an_outcome_of_its_own() {
    let script: Script = &[
        ("RCPT TO:<no@", "550 5.1.1 no such user\r\n"),
        ("RCPT TO:<later@", "450 4.2.1 busy\r\n"),
        ("RCPT TO:<many@", "552 too many recipients\r\n"),
    ];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let outcomes =
        setup.attempt(&["yes@far.example", "no@far.example", "later@far.example", "many@far.example"]).await;
    assert_eq!(
        outcomes,
        [
            "relayed 250 2.0.0 taken",
            "failed 5.1.1 550 5.1.1 no such user",
            "deferred 4.2.1 450 4.2.1 busy",
            "deferred 4.0.0 552 too many recipients",
        ]
    );
    let heard = peer.heard();
    assert!(heard.contains(&"MAIL FROM:<ann@here.example> SIZE=20".to_owned()), "{heard:?}");
    assert!(heard.contains(&"..dot".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn the_second_host_takes_what_the_first_does_not() {
    let first = Peer::start(FIRST, 0, "554 go away\r\n", &[]).await;
    let port = first.address.port();
    let second = Peer::start(SECOND, port, "220 hi\r\n", &[]).await;
    let setup = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    assert_eq!(setup.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
    assert!(second.heard().iter().any(|line| line == "RCPT TO:<joe@far.example>"));
}

#[tokio::test]
async fn a_host_that_is_down_is_passed_over_and_alone_it_defers() {
    let second = Peer::start(SECOND, 0, "220 hi\r\n", &[]).await;
    let port = second.address.port();
    let both = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    assert_eq!(both.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
    let alone = Setup::new(port).with_host(10, "a.far.example", FIRST).attempt(&["joe@far.example"]).await;
    assert!(alone[0].starts_with("deferred 4.4.1 cannot connect to a.far.example[127.0.0.71]:"), "{alone:?}");
}

/// Going on to another host could deliver the message twice.
#[tokio::test]
async fn a_final_reply_that_never_comes_ends_the_attempt() {
    let first = Peer::start(FIRST, 0, "220 hi\r\n", &[(".", "CUT")]).await;
    let port = first.address.port();
    let second = Peer::start(SECOND, port, "220 hi\r\n", &[]).await;
    let setup = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    let outcomes = setup.attempt(&["joe@far.example"]).await;
    assert!(outcomes[0].starts_with("deferred 4.4.2"), "{outcomes:?}");
    assert_eq!(second.heard(), Vec::<String>::new());
}

/// The mirror image: before the final dot another host is safe.
#[tokio::test]
async fn a_session_that_breaks_before_the_dot_goes_to_the_next_host() {
    let first = Peer::start(FIRST, 0, "220 hi\r\n", &[("DATA", "CUT")]).await;
    let port = first.address.port();
    let _second = Peer::start(SECOND, port, "220 hi\r\n", &[]).await;
    let setup = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    assert_eq!(setup.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
}

#[tokio::test]
async fn tls_that_does_not_work_falls_back_only_where_it_may() {
    let script: Script = &[
        ("EHLO", "250-peer.example\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n"),
        ("\u{16}", "not TLS at all\r\n"),
    ];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let mut setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    assert_eq!(setup.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
    setup.settings.tls = Level::Encrypt;
    let outcomes = setup.attempt(&["joe@far.example"]).await;
    assert!(outcomes[0].starts_with("deferred 4.7.5 TLS handshake"), "{outcomes:?}");
}

#[tokio::test]
async fn a_message_no_host_can_carry_fails_with_the_reason() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let usual = MailParameters::default;
    let signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n";
    let cases: [(MailParameters, &[u8], &str); 5] = [
        (usual(), signed, "5.6.3 it does not offer 8BITMIME, which this message needs"),
        (
            usual(),
            b"Subject: \xe9\r\n\r\nx\r\n",
            "5.6.3 it does not offer 8BITMIME, which this message needs",
        ),
        (
            MailParameters { smtputf8: true, ..usual() },
            b"A: \xc3\xa9\r\n\r\nb\r\n",
            "5.6.7 it does not offer SMTPUTF8, which this message needs",
        ),
        (
            MailParameters { require_tls: true, ..usual() },
            b"A: b\r\n",
            "5.7.30 it does not offer REQUIRETLS, which the sender asks for",
        ),
        (usual(), &[b'x'; 1_001], "5.3.4 it takes at most 1000 octets, and this message has 1001"),
    ];
    for (parameters, content, expected) in cases {
        let outcomes = setup.attempt_with(&["joe@far.example"], parameters, content).await;
        let (status, why) = expected.split_once(' ').unwrap();
        let words =
            format!("failed {status} the message cannot be given to a.far.example[127.0.0.71]: {why}");
        assert_eq!(outcomes, [words]);
    }
    assert!(!peer.heard().iter().any(|line| line.starts_with("MAIL")));
}

/// RFC 6152 §3; with SMTPUTF8 announced for nothing but its body (RFC 6531 §3.2) as well.
#[tokio::test]
async fn a_host_that_takes_7_bit_alone_gets_it_converted() {
    let smtputf8 = MailParameters { smtputf8: true, body: Body::EightBitMime, ..MailParameters::default() };
    let content = "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nein schönes Wort\r\n";
    let converted = ["Content-Transfer-Encoding: quoted-printable", "", "ein sch=C3=B6nes Wort"];
    let lacks_both: Script = &[];
    let lacks_smtputf8: Script = &[("EHLO", "250-peer\r\n250 8BITMIME\r\n")];
    for (parameters, script, expected) in [
        (MailParameters::default(), lacks_both, &converted[..]),
        (smtputf8.clone(), lacks_both, &converted),
        (smtputf8, lacks_smtputf8, &converted),
        (
            MailParameters::default(),
            lacks_smtputf8,
            &["Content-Transfer-Encoding: 8bit", "", "ein schönes Wort"],
        ),
    ] {
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let outcomes = setup.attempt_with(&["joe@far.example"], parameters, content.as_bytes()).await;
        assert_eq!(outcomes, ["relayed 250 2.0.0 taken"]);
        let heard = peer.heard();
        assert!(heard.windows(expected.len()).any(|lines| lines == expected), "{expected:?}: {heard:?}");
        assert_eq!(
            peer.count("MAIL FROM:<ann@here.example> BODY=8BITMIME"),
            usize::from(expected[0].ends_with("8bit"))
        );
    }
}

#[tokio::test]
async fn private_hosts_are_refused_unless_allowed_and_a_smart_host_always_is() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let mut setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    setup.settings.allow_private.clear();
    assert_eq!(
        setup.attempt(&["joe@far.example"]).await,
        ["failed 5.4.4 a.far.example has no public address"]
    );
    setup.settings.smart_hosts = vec![SmartHost {
        host: "127.0.0.71".into(),
        port: peer.address.port(),
        login: None,
        tls: Level::May,
    }];
    assert_eq!(setup.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
}

#[tokio::test]
async fn a_password_is_not_sent_in_clear() {
    let script: Script = &[("EHLO", "250-peer.example\r\n250 AUTH PLAIN LOGIN\r\n")];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let mut setup = Setup::new(peer.address.port());
    setup.settings.smart_hosts = vec![SmartHost {
        host: "127.0.0.71".into(),
        port: peer.address.port(),
        login: Some(Credentials::new("ann", kings_sasl::Secret::new("secret"))),
        tls: Level::May,
    }];
    let outcomes = setup.attempt(&["joe@far.example"]).await;
    assert!(outcomes[0].contains("no password is sent"), "{outcomes:?}");
    assert!(!peer.heard().iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn queue_entries_for_our_own_users_are_stored_or_refused() {
    let setup = Setup::new(25);
    assert_eq!(setup.attempt(&["ann@here.example"]).await, ["passed on stored"]);
    assert_eq!(setup.attempt(&["nobody@here.example"]).await, ["failed 5.1.1 550 5.1.1 No such mailbox"]);
    let inbox = setup.folder.path().join("mail/here.example/ann/new");
    assert_eq!(std::fs::read_dir(inbox).unwrap().count(), 1);
}

/// What the queue learns about a destination, so that it asks less of one that has enough.
#[tokio::test]
async fn an_attempt_tells_whether_the_destination_answered() {
    let cases: [(&'static str, Script, Contact); 5] = [
        ("220 hi\r\n", &[], Contact::Answered),
        ("220 hi\r\n", &[("RCPT", "450 4.7.1 greylisted\r\n")], Contact::Answered),
        ("421 too many connections\r\n", &[], Contact::Crowded),
        ("220 hi\r\n", &[("MAIL", "421 4.3.2 going down\r\n")], Contact::Crowded),
        ("554 go away\r\n", &[], Contact::Answered),
    ];
    let joe = || vec![ForwardPath::parse("joe@far.example").unwrap().into()];
    for (greeting, script, expected) in cases {
        let peer = Peer::start(FIRST, 0, greeting, script).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let finished = setup.finish(joe(), MailParameters::default(), b"A: b\r\n\r\n").await;
        assert_eq!(finished.contact, expected, "{greeting} {script:?}: {finished:?}");
    }
    let nobody = Setup::new(1).with_host(10, "a.far.example", FIRST);
    let finished = nobody.finish(joe(), MailParameters::default(), b"A: b\r\n\r\n").await;
    assert_eq!(finished.contact, Contact::Silent, "{finished:?}");
}

/// RFC 3461 §5.2.3 and §5.2.7.3: who asked hears once, of the mailbox or of the list; and nobody else does.
#[tokio::test]
async fn whoever_asked_to_hear_of_success_hears_of_it_once() {
    let cases = [
        ("bob@here.example", "SUCCESS,FAILURE", Some("Action: delivered")),
        ("both@here.example", "SUCCESS", Some("Action: expanded")),
        ("bob@here.example", "FAILURE", None),
        ("bob@here.example", "NEVER", None),
        ("bob@here.example", "", None),
    ];
    for (address, notify, expected) in cases {
        let setup = Setup::new(1);
        let recipient = Recipient {
            path: ForwardPath::parse(address).unwrap(),
            notify: Notify::parse(notify).unwrap_or_default(),
            original: OriginalRecipient::parse("rfc822;first@here.example"),
            resolved: false,
            added: false,
        };
        let finished = setup.finish(vec![recipient], MailParameters::default(), b"Subject: x\r\n\r\n").await;
        assert!(matches!(finished.outcomes[0], Outcome::PassedOn(_)), "{finished:?}");
        let mut told = setup.inbox();
        told.retain(|text| text.contains("multipart/report"));
        assert_eq!(told.len(), usize::from(expected.is_some()), "{address} {notify}: {told:?}");
        for text in told {
            let fields = format!(
                "\r\nOriginal-Recipient: rfc822;first@here.example\r\nFinal-Recipient: rfc822; {address}\r\n{}\r\n",
                expected.unwrap()
            );
            assert!(text.contains(&fields) && text.starts_with("Return-Path: <>\r\n"), "{text}");
        }
    }
}

const NO_TLS: &str =
    "deferred 4.7.5 nothing can be given to a.far.example[127.0.0.71]: it offers no TLS, which is required";

#[tokio::test]
async fn an_enforced_policy_never_ends_in_clear_text_unless_the_author_wants_it_so() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let setup = setup.with_policy("enforce", "a.far.example");
    assert_eq!(setup.attempt(&["joe@far.example"]).await, [NO_TLS]);
    let content = |value: &str| format!("Subject: x\r\nTLS-Required: {value}\r\n\r\nbody\r\n");
    for (value, expected) in [("Yes", NO_TLS), ("No thanks", NO_TLS), ("no", "relayed 250 2.0.0 taken")] {
        let content = content(value);
        let outcomes =
            setup.attempt_with(&["joe@far.example"], MailParameters::default(), content.as_bytes()).await;
        assert_eq!(outcomes, [expected], "{value}");
    }
    // The sender's REQUIRETLS outweighs the author's wish (RFC 8689 §3).
    let parameters = MailParameters { require_tls: true, ..MailParameters::default() };
    let outcomes = setup.attempt_with(&["joe@far.example"], parameters, content("No").as_bytes()).await;
    assert!(!outcomes[0].starts_with("relayed"), "{outcomes:?}");
    let (policy, successful, failures) = setup.results().remove(0);
    assert_eq!((policy.as_str(), successful), ("sts", 0));
    assert_eq!(failures, ["starttls-not-supported"]);
}

/// Otherwise two servers that ask each other for reports would write for ever about nothing but their reports.
#[tokio::test]
async fn sessions_that_carry_our_reports_are_in_no_report_and_all_others_are() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let report = "Report Domain: far.example\r\n Submitter: here.example\r\n Report-ID: <1@here.example>";
    let cases = [
        ("", report, false),
        ("ann@here.example", report, true),
        ("", "Undelivered: Report Domain: far.example", true),
        ("", "Report Domain: what is that?", true),
    ];
    for (sender, subject, counts) in cases {
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let setup = setup.with_policy("testing", "a.far.example");
        let recipients = vec![ForwardPath::parse("joe@far.example").unwrap().into()];
        let content = format!("Subject: {subject}\r\nTLS-Required: No\r\n\r\nbody\r\n");
        let finished =
            setup.finish_from(sender, recipients, MailParameters::default(), content.as_bytes()).await;
        assert_eq!(short(&finished.outcomes[0]), "relayed 250 2.0.0 taken", "{sender} {subject}");
        let counted = [("sts".to_owned(), 0, vec!["starttls-not-supported".to_owned()])];
        let expected = if counts { counted.as_slice() } else { &[] };
        assert_eq!(setup.results(), expected, "<{sender}> {subject}");
    }
}

#[tokio::test]
async fn a_host_that_the_policy_does_not_name_is_not_spoken_to_and_the_next_one_is() {
    let first = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let port = first.address.port();
    let second = Peer::start(SECOND, port, "220 hi\r\n", &[]).await;
    let setup = || {
        let setup = Setup::new(port).with_host(10, "a.far.example", FIRST);
        setup.with_host(20, "b.far.example", SECOND)
    };
    let enforcing = setup().with_policy("enforce", "b.far.example");
    let no_tls = NO_TLS.replace("a.far.example[127.0.0.71]", "b.far.example[127.0.0.72]");
    assert_eq!(enforcing.attempt(&["joe@far.example"]).await, [no_tls]);
    assert!(first.heard().is_empty() && !second.heard().is_empty());

    // In testing nothing is held up, and the report tells (RFC 8461 §5).
    let testing = setup().with_policy("testing", "b.far.example");
    assert_eq!(testing.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
    assert_eq!(testing.results(), [("sts".to_owned(), 0, vec!["starttls-not-supported".to_owned()])]);
    assert!(!first.heard().is_empty());
}

#[tokio::test]
async fn requiretls_never_falls_back_to_clear_text() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    for tls in [Level::None, Level::May, Level::Encrypt, Level::Verify] {
        let mut setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        setup.settings.tls = tls;
        let parameters = MailParameters { require_tls: true, ..MailParameters::default() };
        let outcomes = setup.attempt_with(&["joe@far.example"], parameters, b"Subject: x\r\n\r\nx\r\n").await;
        assert!(!outcomes[0].starts_with("relayed"), "{tls:?} {outcomes:?}");
    }
    assert!(!peer.heard().iter().any(|line| line.starts_with("MAIL")), "{:?}", peer.heard());
}
