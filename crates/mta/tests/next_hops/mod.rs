//! What a next hop is given beside the message, over which connection, and from which address.

use std::time::Duration;

use kings_mail::report::Return;
use kings_mta::relay::{Action, Match, Recipients, Rule, Source};
use tokio::net::UnixListener;

use super::*;

fn attempt(recipients: &[&str], content: &[u8]) -> Attempt {
    let recipients: Vec<Recipient> =
        recipients.iter().map(|text| ForwardPath::parse(text).unwrap().into()).collect();
    Attempt {
        id: TraceId::new(0, 0),
        reverse_path: ReversePath::parse("ann@here.example").unwrap(),
        parameters: MailParameters::default(),
        recipients,
        number: 1,
        content: Content::from(content.to_vec()),
    }
}

async fn deliver(relay: &Relay<Zone>) -> String {
    short(&relay.deliver(attempt(&["joe@far.example"], b"Subject: x\r\n\r\nx\r\n")).await.outcomes[0])
}

#[tokio::test]
async fn the_next_message_goes_over_the_kept_connection() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let relay = setup.relay();
    for _ in 0..5 {
        assert_eq!(deliver(&relay).await, "relayed 250 2.0.0 taken");
    }
    assert_eq!((peer.count("EHLO"), peer.count("MAIL"), peer.count("RSET")), (1, 5, 0));
    // And it is not kept for long.
    for _ in 0..100 {
        if peer.count("QUIT") == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no QUIT in {:?}", peer.heard());
}

/// Whatever a kept connection turns out to be, it costs nothing: the message leaves over a fresh one.
#[tokio::test]
async fn a_kept_connection_that_is_closed_costs_nothing() {
    let cases: [Script; 4] = [
        &[(".", "250 2.0.0 taken\r\nCUT")],
        &[(".", "250 2.0.0 taken\r\n421 idle\r\nCUT")],
        &[("2:MAIL", "CUT")],
        &[("2:MAIL", "421 4.3.2 enough\r\nCUT")],
    ];
    for script in cases {
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let relay = setup.relay();
        for _ in 0..3 {
            assert_eq!(deliver(&relay).await, "relayed 250 2.0.0 taken", "{script:?}");
        }
        assert_eq!((peer.count("EHLO"), peer.count("Subject")), (3, 3), "{script:?}");
    }
}

/// The mirror image: what the server says about the message counts on a kept connection as on a fresh one.
#[tokio::test]
async fn a_refusal_over_a_kept_connection_is_one() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[("2:MAIL", "550 5.7.1 not from you\r\n")]).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let relay = setup.relay();
    assert_eq!(deliver(&relay).await, "relayed 250 2.0.0 taken");
    assert_eq!(deliver(&relay).await, "failed 5.7.1 550 5.7.1 not from you");
    assert_eq!(peer.count("EHLO"), 1);
}

/// RFC 3461 §5.2: parameters go on where DSN is offered, and the queue hears whether anybody will report.
#[tokio::test]
async fn what_the_sender_asked_for_about_reports_goes_on_where_it_can() {
    for (offer, expected, rcpt) in [
        (
            "250-peer\r\n250 DSN\r\n",
            "passed on 250 2.0.0 taken",
            "RCPT TO:<joe@far.example> NOTIFY=SUCCESS ORCPT=rfc822;first@here.example",
        ),
        ("250 peer\r\n", "relayed 250 2.0.0 taken", "RCPT TO:<joe@far.example>"),
    ] {
        let script: Script = vec![("EHLO", offer)].leak();
        let peer = Peer::start(FIRST, 0, "220 hi\r\n", script).await;
        let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
        let mut attempt = attempt(&["joe@far.example"], b"Subject: x\r\n\r\nx\r\n");
        attempt.parameters.ret = Some(Return::Headers);
        attempt.recipients[0].notify = Notify::parse("SUCCESS").unwrap();
        attempt.recipients[0].original = OriginalRecipient::parse("rfc822;first@here.example");
        assert_eq!(short(&setup.relay().deliver(attempt).await.outcomes[0]), expected);
        assert!(peer.heard().iter().any(|line| line == rcpt), "{:?}", peer.heard());
        assert_eq!(peer.heard().iter().any(|line| line.ends_with(" RET=HDRS")), offer.contains("DSN"));
    }
}

/// Over BDAT content leaves as it is, in chunks that one reply each can stop (RFC 3030 §2).
#[tokio::test]
async fn a_large_message_goes_in_chunks() {
    let line = [&[b'x'; 98][..], b"\r\n"].concat();
    let content = line.repeat(25_000);
    let offer = ("EHLO", "250-peer\r\n250 CHUNKING\r\n");
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", vec![offer].leak()).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let outcomes = setup.attempt_with(&["joe@far.example"], MailParameters::default(), &content).await;
    assert_eq!(outcomes, ["relayed 250 2.0.0 taken"]);
    let heard = peer.heard();
    let chunks: Vec<&String> = heard.iter().skip_while(|line| !line.starts_with("BDAT")).take(6).collect();
    assert_eq!([chunks[0], chunks[2], chunks[4]], ["BDAT 1048576", "BDAT 1048576", "BDAT 402848 LAST"]);
    assert_eq!([chunks[1], chunks[3], chunks[5]].map(String::as_bytes).concat(), content);

    let script = vec![offer, ("BDAT", "552 5.3.4 too large\r\n")].leak();
    let peer = Peer::start(SECOND, 0, "220 hi\r\n", script).await;
    let setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", SECOND);
    let outcomes = setup.attempt_with(&["joe@far.example"], MailParameters::default(), &content).await;
    assert_eq!(outcomes, ["failed 5.3.4 552 5.3.4 too large"]);
    assert_eq!(peer.count("BDAT"), 1);
}

#[tokio::test]
async fn an_lmtp_route_may_lead_to_a_socket_file() {
    let mut setup = Setup::new(0);
    let path = setup.folder.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let lines = heard.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(BufReader::new(stream), "220 hi\r\n", &[("LHLO", "250 peer\r\n")], lines).await;
    });
    let matches = Recipients::Domain(Domain::parse("far.example").unwrap());
    setup.settings.routes.rules =
        vec![Rule { matches: matches.into(), action: Action::LmtpSocket(path), source: Source::default() }];
    assert_eq!(setup.attempt(&["joe@far.example"]).await, ["delivered 250 2.0.0 taken"]);
    assert!(heard.lock().unwrap().contains(&"LHLO mail.here.example".to_owned()));
}

/// What the queue brought together goes to a smart host in one transaction, whatever the domains publish: their policies
/// are about their own hosts. Where there is none, as when a route is gone, each has its way for itself.
#[tokio::test]
async fn domains_behind_one_host_share_a_transaction_and_part_at_their_own_hosts() {
    let peer = Peer::start(FIRST, 0, "220 hi\r\n", &[("RCPT TO:<no@", "550 5.1.1 no such user\r\n")]).await;
    let near = Peer::start(SECOND, peer.address.port(), "220 hi\r\n", &[]).await;
    let mut setup = Setup::new(peer.address.port()).with_host(10, "a.far.example", FIRST);
    let host = DnsName::parse("a.near.example").unwrap();
    setup.zone = setup.zone.with_mx(DnsName::parse("near.example").unwrap(), 10, Some(host.clone()));
    setup.zone = setup.zone.with_address(host, IpAddr::from(SECOND));
    let mut setup = setup.with_policy("enforce", "b.far.example");
    let recipients = ["joe@far.example", "no@near.example", "ann@here.example", "eve@near.example"];
    let not_named =
        "deferred 4.7.5 a.far.example is not named by the MTA-STS policy of the recipient's domain";
    let taken = "relayed 250 2.0.0 taken";
    assert_eq!(setup.attempt(&recipients).await, [not_named, taken, "passed on stored", taken]);
    assert_eq!((peer.heard().len(), near.count("MAIL"), near.count("RCPT")), (0, 1, 2));
    assert_eq!(setup.inbox().len(), 1);

    let host = peer.address.ip().to_string();
    setup.settings.smart_hosts =
        vec![SmartHost { host, port: peer.address.port(), login: None, tls: Level::May }];
    let refused = "failed 5.1.1 550 5.1.1 no such user";
    assert_eq!(setup.attempt(&recipients).await, [taken, refused, "passed on stored", taken]);
    assert_eq!((peer.count("MAIL"), peer.count("RCPT"), near.count("MAIL")), (1, 3, 1));
}

#[tokio::test]
async fn mail_leaves_from_the_address_that_the_config_names() {
    let listener = TcpListener::bind("127.0.0.71:0").await.unwrap();
    let mut setup = Setup::new(listener.local_addr().unwrap().port()).with_host(10, "a.far.example", FIRST);
    let source = |text: &str| [text.parse().unwrap()].into_iter().collect::<Source>();
    setup.settings.sources = Sources {
        by_domain: vec![(Domain::parse("here.example").unwrap(), source("127.0.0.92"))],
        usual: source("127.0.0.91"),
    };
    let ((), peer) = tokio::join!(
        async {
            let _ = tokio::time::timeout(Duration::from_secs(1), setup.attempt(&["joe@far.example"])).await;
        },
        async { listener.accept().await.unwrap().1 }
    );
    assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 92]));
}

/// Partners agree on TLS for mail between them, wherever its MX records lead (Postfix's `smtp_tls_policy_maps`).
#[tokio::test]
async fn a_route_to_mx_hosts_may_ask_them_for_more_tls_than_others() {
    let clear = Peer::start(FIRST, 0, "220 hi\r\n", &[]).await;
    let matches = |domain: &str| Match::from(Recipients::Domain(Domain::parse(domain).unwrap()));
    let taken = "relayed 250 2.0.0 taken";
    for (domain, level, expected) in [
        ("far.example", Some(Level::Encrypt), "deferred 4.7.5"),
        ("far.example", Some(Level::Verify), "deferred 4.7.5"),
        ("far.example", Some(Level::None), taken),
        ("far.example", None, taken),
        ("other.example", Some(Level::Verify), "deferred 4.4.1"),
    ] {
        let mut setup = Setup::new(clear.address.port()).with_host(10, "a.far.example", FIRST);
        // A route of its own leads past the smart host, where nobody is.
        setup.settings.smart_hosts =
            vec![SmartHost { host: "127.0.0.99".into(), port: 1, login: None, tls: Level::May }];
        setup.settings.routes.rules =
            vec![Rule { matches: matches(domain), action: Action::Mx(level), source: Source::default() }];
        let outcomes = setup.attempt(&["joe@far.example"]).await;
        assert!(outcomes[0].starts_with(expected), "{domain} {level:?}: {outcomes:?}");
    }
}
