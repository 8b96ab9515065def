//! Hosts that are this server under another name or address: what is sent there comes back (RFC 5321 §5.1).

use kings_mta::relay::{Action, Recipients, Rule, Source};

use super::*;

/// Where this server listens, in the tables below.
const US: [u8; 4] = [127, 0, 0, 61];
const OTHER: [u8; 4] = [127, 0, 0, 62];
const THIRD: [u8; 4] = [127, 0, 0, 63];

const TAKEN: &str = "relayed 250 2.0.0 taken";
const LOOP: &str = "failed 5.4.6 mail loops back to this server, which does not host the domain: ";

/// An MX host of the domain; `ip` is one that answers, or none.
type Host = (u16, &'static str, Option<[u8; 4]>);

/// Three servers on one port, of which the first would be ourselves.
struct Network {
    us: Peer,
    other: Peer,
    third: Peer,
}

impl Network {
    async fn start(other: Script) -> Self {
        let us = Peer::start(US, 0, "220 hi\r\n", &[]).await;
        let port = us.address.port();
        let other = Peer::start(OTHER, port, "220 hi\r\n", other).await;
        let third = Peer::start(THIRD, port, "220 hi\r\n", &[]).await;
        Self { us, other, third }
    }

    fn setup(&self, hosts: &[Host]) -> Setup {
        let mut setup = Setup::new(self.us.address.port());
        for (preference, name, ip) in hosts {
            setup = match ip {
                Some(ip) => setup.with_host(*preference, name, *ip),
                None => setup.with_mx(*preference, name),
            };
        }
        setup.settings.ourselves.listening = vec![self.us.address];
        setup
    }

    /// Which of them were asked at all.
    fn asked(&self) -> Vec<&str> {
        let peers = [("us", &self.us), ("other", &self.other), ("third", &self.third)];
        peers.into_iter().filter(|(_, peer)| !peer.heard().is_empty()).map(|(name, _)| name).collect()
    }
}

impl Setup {
    fn with_mx(mut self, preference: u16, name: &str) -> Self {
        let far = DnsName::parse("far.example").unwrap();
        self.zone = self.zone.with_mx(far, preference, Some(DnsName::parse(name).unwrap()));
        self
    }
}

/// We and all that are not preferred to us are left out, however we are called there.
#[tokio::test]
async fn mx_hosts_from_our_own_address_on_are_not_asked() {
    const LATER: Script = &[("RCPT", "451 4.3.0 later\r\n")];
    let looping = format!("{LOOP}b.far.example[127.0.0.61] has its address");
    let by_name = format!("{LOOP}mail.here.example is its name");
    let cases: [(&[Host], Script, &str, &[&str]); 10] = [
        (&[(10, "b.far.example", Some(US))], &[], &looping, &[]),
        (&[(10, "a.far.example", Some(OTHER)), (20, "b.far.example", Some(US))], &[], TAKEN, &["other"]),
        (&[(10, "b.far.example", Some(US)), (20, "a.far.example", Some(OTHER))], &[], &looping, &[]),
        (&[(10, "b.far.example", Some(US)), (10, "a.far.example", Some(OTHER))], &[], &looping, &[]),
        (&[(10, "mail.here.example", None), (20, "a.far.example", Some(OTHER))], &[], &by_name, &[]),
        (&[(10, "MAIL.here.example.", None), (10, "a.far.example", Some(OTHER))], &[], &by_name, &[]),
        (
            &[
                (10, "a.far.example", Some(OTHER)),
                (20, "mail.here.example", None),
                (30, "c.far.example", Some(THIRD)),
            ],
            LATER,
            "deferred 4.3.0 451 4.3.0 later",
            &["other"],
        ),
        (
            &[
                (10, "a.far.example", Some(OTHER)),
                (20, "b.far.example", Some(US)),
                (20, "c.far.example", Some(THIRD)),
                (30, "d.far.example", Some(THIRD)),
            ],
            LATER,
            "deferred 4.3.0 451 4.3.0 later",
            &["other"],
        ),
        // Those that would have it are not to be found now, which is no reason to give up.
        (
            &[
                (10, "gone.far.example", None),
                (20, "b.far.example", Some(US)),
                (30, "c.far.example", Some(THIRD)),
            ],
            &[],
            "deferred 4.4.4 no mail server that is preferred to this one has an address",
            &[],
        ),
        (
            &[(10, "a.far.example", Some(OTHER)), (20, "c.far.example", Some(THIRD))],
            LATER,
            TAKEN,
            &["other", "third"],
        ),
    ];
    for (hosts, script, expected, asked) in cases {
        // Equal hosts change their order by chance.
        for _ in 0..4 {
            let network = Network::start(script).await;
            let setup = network.setup(hosts);
            assert_eq!(setup.attempt(&["joe@far.example"]).await, [expected], "{hosts:?}");
            assert_eq!(network.asked(), asked, "{hosts:?}");
        }
    }
}

/// Whoever passes mail of a domain on is one of its hosts, perhaps the one that cannot be looked up now.
#[tokio::test]
async fn those_behind_a_host_that_may_be_this_server_are_not_asked() {
    let broken = "deferred 4.4.3 cannot look up gone.far.example: DNS does not answer now: SERVFAIL";
    let cases: [(&[Host], bool, &str, &[&str]); 4] = [
        (&[(10, "gone.far.example", None), (20, "a.far.example", Some(OTHER))], false, TAKEN, &["other"]),
        (&[(10, "gone.far.example", None), (20, "a.far.example", Some(OTHER))], true, broken, &[]),
        // Before the one that is us, as DNS knows, the other ones are not.
        (
            &[
                (10, "gone.far.example", None),
                (20, "a.far.example", Some(OTHER)),
                (30, "mail.here.example", None),
            ],
            true,
            TAKEN,
            &["other"],
        ),
        (&[(10, "a.far.example", Some(OTHER)), (20, "gone.far.example", None)], true, TAKEN, &["other"]),
    ];
    for (hosts, relays, expected, asked) in cases {
        let network = Network::start(&[]).await;
        let mut setup = network.setup(hosts);
        setup.zone = setup.zone.with_failure(DnsName::parse("gone.far.example").unwrap());
        setup.relays.extend(relays.then(|| Domain::parse("far.example").unwrap()));
        assert_eq!(setup.attempt(&["joe@far.example"]).await, [expected], "{hosts:?} {relays}");
        assert_eq!(network.asked(), asked, "{hosts:?} {relays}");
    }
}

/// A domain without MX records, IPv6, an address that a router translates, and one that no public server has.
#[tokio::test]
async fn our_own_address_is_known_in_all_its_forms() {
    let peer = Peer::start(US, 0, "220 hi\r\n", &[]).await;
    let port = peer.address.port();
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), port);
    // Listening, translated, address of the domain; whether that is this server.
    let cases = [
        (vec![at("127.0.0.61")], "", "127.0.0.61", true),
        (vec![at("0.0.0.0")], "", "127.0.0.61", true),
        (vec![at("::")], "", "127.0.0.61", true),
        (vec![at("::")], "", "::1", true),
        (vec![at("::1")], "", "::1", true),
        (vec![at("::ffff:127.0.0.61")], "", "127.0.0.61", true),
        (vec![], "127.0.0.61", "127.0.0.61", true),
        (vec![], "2001:db8::61", "2001:db8::61", true),
        // Another server of this machine: at an address of its own, at a port of its own, or we listen nowhere.
        (vec![at("127.0.0.60")], "", "127.0.0.61", false),
        (vec![at("::1")], "", "127.0.0.61", false),
        (
            vec![SocketAddr::from((US, port ^ 1)), SocketAddr::from(([0; 4], port ^ 1))],
            "",
            "127.0.0.61",
            false,
        ),
        (vec![], "127.0.0.60", "127.0.0.61", false),
        (vec![], "", "127.0.0.61", false),
    ];
    for (listening, own, ip, is_us) in cases {
        for private in [true, false] {
            let mut setup = Setup::new(port);
            let name = DnsName::parse("far.example").unwrap();
            setup.zone = setup.zone.with_address(name, ip.parse().unwrap());
            setup.settings.ourselves.listening.clone_from(&listening);
            setup.settings.ourselves.addresses = own.parse().into_iter().collect();
            if !private {
                setup.settings.allow_private.clear();
            }
            let expected = match (is_us, private) {
                (true, _) => format!("{LOOP}far.example[{ip}] has its address"),
                (false, true) => TAKEN.to_owned(),
                (false, false) => "failed 5.4.4 far.example has no public address".to_owned(),
            };
            assert_eq!(setup.attempt(&["joe@far.example"]).await, [expected], "{listening:?} {own} {ip}");
        }
    }
}

/// What no address shows, since a router or a proxy stands between, the host says itself.
#[tokio::test]
async fn a_host_that_answers_under_our_name_is_given_nothing() {
    let looping = format!("{LOOP}a.far.example[127.0.0.62] answers under its name");
    let cases: [(Script, &str); 6] = [
        (&[("EHLO", "250-mail.here.example\r\n250 SIZE 1000\r\n")], &looping),
        (&[("EHLO", "250 MAIL.Here.Example. greets you\r\n")], &looping),
        (&[("EHLO", "502 what?\r\n"), ("HELO", "250 mail.here.example\r\n")], &looping),
        (&[("EHLO", "250 mail.here.example.net\r\n")], TAKEN),
        (&[("EHLO", "250 hello mail.here.example\r\n")], TAKEN),
        (&[("EHLO", "250\r\n")], TAKEN),
    ];
    for (script, expected) in cases {
        let network = Network::start(script).await;
        let setup = network.setup(&[(10, "a.far.example", Some(OTHER)), (20, "c.far.example", Some(THIRD))]);
        assert_eq!(setup.attempt(&["joe@far.example"]).await, [expected], "{script:?}");
        let given = usize::from(expected == TAKEN);
        assert_eq!((network.other.count("MAIL"), network.third.count("EHLO")), (given, 0), "{script:?}");
    }
    // As one of the others: the first is waited for, and those behind us are not asked.
    let network = Network::start(&[("EHLO", "250 mail.here.example\r\n")]).await;
    let hosts: [Host; 3] = [
        (10, "gone.far.example", Some([127, 0, 0, 64])),
        (20, "a.far.example", Some(OTHER)),
        (30, "c.far.example", Some(THIRD)),
    ];
    let outcomes = network.setup(&hosts).attempt(&["joe@far.example"]).await;
    assert!(outcomes[0].starts_with("deferred 4.4.1 cannot connect to gone.far.example"), "{outcomes:?}");
    assert_eq!(network.asked(), ["other"]);
}

type Kind = fn(SmartHost) -> Action;

/// A host that the config names may be a filter on this machine, with its name, at a port where we do not listen.
#[tokio::test]
async fn a_configured_host_is_ourselves_only_where_we_listen() {
    let named: Script = &[("EHLO", "250 mail.here.example\r\n"), ("LHLO", "250 mail.here.example\r\n")];
    let cases: [(Kind, bool, &str); 4] = [
        (
            Action::Host,
            true,
            "failed 5.4.6 mail loops back to this server, which does not host the domain: \
             127.0.0.62[127.0.0.62] has its address",
        ),
        (Action::Host, false, TAKEN),
        (Action::Lmtp, true, "delivered 250 2.0.0 taken"),
        (Action::Lmtp, false, "delivered 250 2.0.0 taken"),
    ];
    for (kind, listens, expected) in cases {
        let network = Network::start(named).await;
        let mut setup = network.setup(&[]);
        let there = network.other.address;
        let host =
            SmartHost { host: there.ip().to_string(), port: there.port(), login: None, tls: Level::None };
        let matches = Recipients::Domain(Domain::parse("far.example").unwrap());
        setup.settings.routes.rules =
            vec![Rule { matches: matches.into(), action: kind(host), source: Source::default() }];
        if listens {
            setup.settings.ourselves.listening = vec![there];
        }
        assert_eq!(setup.attempt(&["joe@far.example"]).await, [expected], "{listens}");
    }
}
