//! Servers that hang, drop, refuse and talk nonsense at each step: nothing is lost, nothing wrongly bounced, and no
//! second host is asked where the first may have delivered.

use kings_mta::relay::{Action, Recipients, Rule, Source};

use super::*;

const PIPELINING: &str = "250-peer.example\r\n250-PIPELINING\r\n250 SIZE 1000\r\n";
const PIPELINED: Script = &[("EHLO", PIPELINING)];
const CHUNKING: &str = "250-peer.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";

/// What a server does instead of going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing that can be believed: whatever it did, it said neither yes nor no.
    Breaks,
    /// No for now.
    Later,
    /// No for good.
    Never,
}
use Fault::{Breaks, Later, Never};

fn faults() -> Vec<(&'static str, Fault)> {
    let long_line = format!("250 {}\r\n", "x".repeat(1_000_000)).leak();
    let many_lines = ("250-x\r\n".repeat(10_000) + "250 x\r\n").leak();
    vec![
        ("CUT", Breaks),
        ("HANG", Breaks),
        ("25CUT", Breaks),
        ("HTTP/1.1 400 Bad Request\r\n", Breaks),
        ("\r\n", Breaks),
        ("999 x\r\n", Breaks),
        ("250-a\r\n550 b\r\n", Breaks),
        ("\0\r\n", Breaks),
        (long_line, Breaks),
        (many_lines, Breaks),
        ("421 4.3.2 stopping\r\nCUT", Later),
        ("450 4.3.0 later\r\n", Later),
        ("550 5.7.1 never\r\n", Never),
    ]
}

/// Two hosts; the first has a fault at one step. The clock runs ahead where everybody waits.
async fn outcome(offer: &'static str, step: &'static str, fault: &'static str) -> (String, usize) {
    let greeting = if step == "GREETING" { fault } else { "220 hi\r\n" };
    let script: Script = vec![(step, fault), ("EHLO", offer)].leak();
    let first = Peer::start(FIRST, 0, greeting, script).await;
    let port = first.address.port();
    let second = Peer::start(SECOND, port, "220 hi\r\n", &[]).await;
    let setup = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    let outcomes = setup.attempt(&["joe@far.example"]).await;
    (outcomes[0].clone(), second.count("MAIL"))
}

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_step_is_settled_right() {
    for (offer, steps) in [
        ("250 peer.example\r\n", &["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "."][..]),
        (PIPELINING, &["MAIL", "RCPT", "DATA", "."]),
        (CHUNKING, &["MAIL", "RCPT", "BDAT"]),
    ] {
        for &step in steps {
            let is_end = matches!(step, "." | "BDAT");
            for (text, fault) in faults() {
                let (found, asked) = Box::pin(outcome(offer, step, text)).await;
                let case = format!("{text:.20} at {step} of {offer:?}: {found}");
                match fault {
                    // The whole message was sent: it may have been delivered.
                    Breaks if is_end => assert!(found.starts_with("deferred 4.4.2") && asked == 0, "{case}"),
                    Never if matches!(step, "MAIL" | "RCPT" | "DATA" | "." | "BDAT") => {
                        assert!(found == "failed 5.7.1 550 5.7.1 never" && asked == 0, "{case}");
                    }
                    // EHLO refused for good is followed by HELO, and the first host takes it after all.
                    Never if step == "EHLO" => assert!(found.starts_with("relayed") && asked == 0, "{case}"),
                    Breaks | Later | Never => assert!(found.starts_with("relayed") && asked == 1, "{case}"),
                }
            }
        }
    }
}

/// RFC 2920 §3.1: replies to commands that were sent together, one too few.
#[tokio::test(start_paused = true)]
async fn replies_short_by_one_refuse_nobody() {
    let script: Script = &[("EHLO", PIPELINING), ("RCPT TO:<a@", ""), ("RCPT TO:<b@", "550 5.1.1 no\r\n")];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let outcomes = setup.attempt(&["a@far.example", "b@far.example"]).await;
    assert!(outcomes.iter().all(|outcome| outcome.starts_with("deferred 4.4.2")), "{outcomes:?}");
    assert_eq!(peer.count("."), 0);
}

#[tokio::test]
async fn pipelined_recipients_have_outcomes_of_their_own() {
    let script: Script = &[
        ("EHLO", PIPELINING),
        ("RCPT TO:<no@", "550 5.1.1 no such user\r\n"),
        ("RCPT TO:<many@", "552 5.5.3 too many\r\n"),
    ];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let outcomes = setup.attempt(&["no@far.example", "yes@far.example", "many@far.example"]).await;
    let expected = [
        "failed 5.1.1 550 5.1.1 no such user",
        "relayed 250 2.0.0 taken",
        "deferred 4.5.3 552 5.5.3 too many",
    ];
    assert_eq!(outcomes, expected);
}

/// RFC 5321 §4.5.3.1.10: those who were too many follow at once, and nobody else is asked again.
#[tokio::test]
async fn whom_a_server_takes_no_more_at_once_follows_at_once() {
    let four = |first: &'static str, second: &'static str| -> Script {
        let script = [
            ("EHLO", PIPELINING),
            ("1:RCPT TO:<c@", first),
            ("2:RCPT TO:<c@", second),
            ("RCPT TO:<d@", "450 4.2.0 greylisted\r\n"),
        ];
        script.to_vec().leak()
    };
    let recipients = ["a@far.example", "b@far.example", "c@far.example", "d@far.example"];
    let taken = "relayed 250 2.0.0 taken";
    let greylisted = "deferred 4.2.0 450 4.2.0 greylisted";
    for (first, second, third, asked) in [
        ("452 4.5.3 too many\r\n", "250 2.1.5 ok\r\n", taken, 2),
        ("452 too many\r\n", "250 2.1.5 ok\r\n", taken, 2),
        ("552 5.5.3 too many\r\n", "250 2.1.5 ok\r\n", taken, 2),
        ("452 4.5.3 too many\r\n", "452 4.5.3 too many\r\n", "deferred 4.5.3 452 4.5.3 too many", 2),
        ("452 4.5.3 too many\r\n", "550 5.1.1 no\r\n", "failed 5.1.1 550 5.1.1 no", 2),
        ("452 4.2.2 full\r\n", "250 2.1.5 ok\r\n", "deferred 4.2.2 452 4.2.2 full", 1),
        ("452 4.3.1 no room\r\n", "250 2.1.5 ok\r\n", "deferred 4.3.1 452 4.3.1 no room", 1),
    ] {
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", four(first, second)).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let outcomes = setup.attempt(&recipients).await;
        assert_eq!(outcomes, [taken, taken, third, greylisted], "{first}");
        let count = |what| peer.count(what);
        assert_eq!((count("MAIL"), count("RCPT TO:<c@"), count("RCPT TO:<d@")), (asked, asked, 1), "{first}");
    }
    // Where all of them are too many it is the server that is full.
    let none: Script = &[("EHLO", PIPELINING), ("RCPT", "452 4.5.3 too many\r\n")];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", none).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    assert!(setup.attempt(&recipients).await.iter().all(|outcome| outcome.starts_with("deferred 4.5.3")));
    assert_eq!(peer.count("MAIL"), 1);
}

/// A host that hangs up at one recipient takes the others when it does not hear of that one.
#[tokio::test]
async fn whom_a_host_hangs_up_at_waits_alone() {
    let recipients = ["a@far.example", "no@far.example", "b@far.example", "c@far.example", "d@far.example"];
    let taken = "relayed 250 2.0.0 taken";
    for offer in ["250 peer.example\r\n", PIPELINING, CHUNKING] {
        let script = [("EHLO", offer), ("RCPT TO:<b@", "CUT"), ("RCPT TO:<no@", "550 5.1.1 no\r\n")];
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", script.to_vec().leak()).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let outcomes = setup.attempt(&recipients).await;
        assert!(outcomes[2].starts_with("deferred 4.4.2 session with"), "{offer}: {outcomes:?}");
        let others = [0, 1, 3, 4].map(|place| outcomes[place].as_str());
        assert_eq!(others, [taken, "failed 5.1.1 550 5.1.1 no", taken, taken], "{offer}");
        let ends = peer.count("DATA") + peer.count("BDAT");
        assert_eq!((peer.count("MAIL"), peer.count("RCPT TO:<b@"), ends), (2, 1, 1), "{offer}");
    }
    // Another host may take that one, and is asked about nobody else.
    let first = Peer::start(FIRST, 0, "220 hi\r\n", &[("RCPT TO:<b@", "CUT")]).await;
    let second = Peer::start(SECOND, first.address.port(), "220 hi\r\n", &[]).await;
    let port = first.address.port();
    let setup = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    assert_eq!(setup.attempt(&recipients).await, [taken; 5]);
    assert_eq!((second.count("RCPT"), second.count("RCPT TO:<b@")), (1, 1));
}

/// One that hangs up at everybody, that hangs up elsewhere, or that says why, is not asked again and again.
#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_up_at_everybody_is_left_soon() {
    let recipients = [
        "a@far.example",
        "b@far.example",
        "c@far.example",
        "d@far.example",
        "e@far.example",
        "f@far.example",
    ];
    for (step, answer, asked) in [
        ("RCPT", "CUT", 4),
        ("RCPT", "25CUT", 4),
        ("RCPT TO:<f@", "HANG", 1),
        ("RCPT TO:<f@", "421 4.3.2 stopping\r\nCUT", 1),
        ("RCPT TO:<b@", "nonsense\r\n", 1),
        ("MAIL", "CUT", 1),
        ("DATA", "CUT", 1),
    ] {
        let script = [(step, answer)].to_vec().leak();
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let outcomes = setup.attempt(&recipients).await;
        assert!(
            outcomes.iter().all(|outcome| outcome.starts_with("deferred 4.")),
            "{step} {answer}: {outcomes:?}"
        );
        assert_eq!(peer.count("MAIL"), asked, "{step} {answer}");
    }
}

/// RFC 6531 §3.2: an address that a host cannot hear of keeps nobody else from the message.
#[tokio::test]
async fn an_address_in_utf8_fails_alone() {
    let recipients = ["a@far.example", "j\u{f6}@far.example", "b@far.example"];
    let lack = "failed 5.6.7 the message cannot be given to a.far.example[127.0.0.71]: it does not offer SMTPUTF8, which this";
    let taken = "relayed 250 2.0.0 taken";
    let utf8 = || MailParameters { smtputf8: true, ..MailParameters::default() };
    let with_utf8: Script = &[("EHLO", "250-peer\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")];
    let (plain, in_header) =
        (&b"Subject: x\r\n\r\nx\r\n"[..], &b"To: j\xc3\xb6@far.example\r\n\r\nx\r\n"[..]);
    let (address, message) = (format!("{lack} address needs"), format!("{lack} message needs"));
    let cases = [
        (&[][..], plain, [taken, &address, taken]),
        (PIPELINED, plain, [taken, &address, taken]),
        (&[][..], in_header, [message.as_str(), &address, &message]),
        (with_utf8, plain, [taken; 3]),
        (with_utf8, in_header, [taken; 3]),
    ];
    for (script, content, expected) in cases {
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        assert_eq!(setup.attempt_with(&recipients, utf8(), content).await, expected);
    }
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let alone = setup.attempt_with(&recipients[1..2], utf8(), plain).await;
    assert_eq!((alone, peer.count("MAIL")), (vec![message], 0));
}

/// RFC 2033 §4.2: those whose reply came are settled, the others are tried again.
#[tokio::test]
async fn lmtp_lost_after_the_second_of_five_settles_two() {
    let script: Script =
        &[("LHLO", "250-peer\r\n250 PIPELINING\r\n"), (".", "250 2.0.0 stored\r\n552 5.2.2 full\r\nCUT")];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let mut setup = Setup::new(0);
    let host =
        SmartHost { host: "127.0.0.71".into(), port: peer.address.port(), login: None, tls: Level::May };
    let matches = Recipients::Domain(Domain::parse("far.example").unwrap());
    setup.settings.routes.rules =
        vec![Rule { matches: matches.into(), action: Action::Lmtp(host), source: Source::default() }];
    let five = ["a@far.example", "b@far.example", "c@far.example", "d@far.example", "e@far.example"];
    let outcomes = setup.attempt(&five).await;
    assert_eq!(outcomes[..2], ["delivered 250 2.0.0 stored", "failed 5.2.2 552 5.2.2 full"]);
    assert!(outcomes[2..].iter().all(|outcome| outcome.starts_with("deferred 4.4.2")), "{outcomes:?}");
}

/// RFC 3207 §4.2: what came before the handshake is forgotten (Exim's CVE-2021-38371).
#[tokio::test]
async fn replies_injected_before_the_handshake_are_dropped() {
    let script: Script = &[
        ("EHLO", "250-peer\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n250-peer\r\n250 AUTH PLAIN\r\nCUT"),
    ];
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
    let mut setup = Setup::new(peer.address.port());
    setup.settings.smart_hosts = vec![SmartHost {
        host: "127.0.0.71".into(),
        port: peer.address.port(),
        login: Some(Credentials::new("ann", kings_sasl::Secret::new("secret"))),
        tls: Level::Encrypt,
    }];
    let outcomes = setup.attempt(&["joe@far.example"]).await;
    assert!(outcomes[0].starts_with("deferred 4.7.5 TLS handshake"), "{outcomes:?}");
    assert_eq!(peer.count("AUTH"), 0);
}

/// RFC 5321 §5.1: one bad MX record does not hide the good ones, and a host that is down does not become a refusal
/// because another one does not exist.
#[tokio::test]
async fn odd_mx_hosts_are_passed_over() {
    let peer = Peer::start(SECOND, 0, "220 hi\r\n", &[]).await;
    let port = peer.address.port();
    let far = || DnsName::parse("far.example").unwrap();
    let odd = ["dangling.far.example", "192.0.2.1", "localhost"];
    for name in odd {
        let mut setup = Setup::new(port).with_host(20, "b.far.example", SECOND);
        setup.zone = setup.zone.with_mx(far(), 10, DnsName::parse(name).ok());
        assert_eq!(setup.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"], "{name}");

        let mut alone = Setup::new(port);
        alone.zone = alone.zone.with_mx(far(), 10, DnsName::parse(name).ok());
        let outcomes = alone.attempt(&["joe@far.example"]).await;
        assert!(outcomes[0].starts_with("failed 5.1.2"), "{name}: {outcomes:?}");

        let mut down = Setup::new(port).with_host(5, "a.far.example", FIRST);
        down.zone = down.zone.with_mx(far(), 10, DnsName::parse(name).ok());
        let outcomes = down.attempt(&["joe@far.example"]).await;
        assert!(outcomes[0].starts_with("deferred 4.4.1"), "{name}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_hundred_mx_hosts_are_not_all_visited() {
    let mut setup = Setup::new(1);
    for number in 0..100 {
        setup = setup.with_host(
            number,
            &format!("h{number}.far.example"),
            [127, 0, 1, number.try_into().unwrap()],
        );
    }
    let outcomes = setup.attempt(&["joe@far.example"]).await;
    assert!(outcomes[0].contains("cannot connect to h9.far.example"), "{outcomes:?}");
}

/// A lacking extension is final only when every host has been asked and none is merely down.
#[tokio::test]
async fn a_host_that_is_down_may_still_have_what_another_lacks() {
    let lacking = Peer::start(SECOND, 0, "220 hi\r\n", &[]).await;
    let port = lacking.address.port();
    let down = Setup::new(port).with_host(10, "a.far.example", FIRST).with_host(20, "b.far.example", SECOND);
    let content = b"Subject: \xe9\r\n\r\nx\r\n";
    let outcomes = down.attempt_with(&["joe@far.example"], MailParameters::default(), content).await;
    assert!(outcomes[0].starts_with("deferred 4.4.1"), "{outcomes:?}");
    let having = Peer::start(FIRST, port, "220 hi\r\n", &[("EHLO", "250-peer\r\n250 8BITMIME\r\n")]).await;
    let swapped =
        Setup::new(port).with_host(10, "b.far.example", SECOND).with_host(20, "a.far.example", FIRST);
    let outcomes = swapped.attempt_with(&["joe@far.example"], MailParameters::default(), content).await;
    assert_eq!(outcomes, ["relayed 250 2.0.0 taken"]);
    assert_eq!((lacking.count("MAIL"), having.count("MAIL")), (0, 1));
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_other_kind() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let mut setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let host = DnsName::parse("a.far.example").unwrap();
    setup.zone = setup.zone.with_address(host, "::1".parse().unwrap());
    setup.settings.allow_private.push("::1/128".parse().unwrap());
    setup.settings.families = vec![Family::Ipv6, Family::Ipv4];
    assert_eq!(setup.attempt(&["joe@far.example"]).await, ["relayed 250 2.0.0 taken"]);
}
