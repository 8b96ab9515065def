//! Which route decides, of those of the config and of tables.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::path::Path;

use kings_directory::{Keys, TableSource};
use kings_mail::envelope::MailParameters;
use kings_mail::id::TraceId;
use kings_queue::Content;

use super::*;

#[test]
fn the_status_of_an_error_says_whether_to_try_again() {
    let ours = Report::ours;
    for (text, expected) in [
        ("not that way", Outcome::Failed(ours(Status(5, 7, 1), "not that way"))),
        ("5.1.2 gone", Outcome::Failed(ours(Status(5, 1, 2), "5.1.2 gone"))),
        ("4.7.1 later", Outcome::Deferred(ours(Status(4, 7, 1), "4.7.1 later"))),
        ("2.0.0 what", Outcome::Failed(ours(Status(5, 7, 1), "2.0.0 what"))),
    ] {
        assert_eq!(settled(&Action::Error(text.to_owned())), Some(expected));
    }
}

/// Every route is an error whose text is its name.
fn routes(rules: &[(Option<Recipients>, Option<Senders>, &str)]) -> Routes {
    let rule = |(recipients, senders, name): &(Option<Recipients>, Option<Senders>, &str)| Rule {
        matches: Match { recipients: recipients.clone(), senders: senders.clone() },
        action: Action::Error((*name).to_owned()),
        source: Source::default(),
    };
    Routes { rules: rules.iter().map(rule).collect(), delimiters: "+".to_owned(), ..Routes::default() }
}

fn name(way: Way<'_>) -> String {
    match way {
        Way::Rule(Rule { action: Action::Error(name), .. }) => name.clone(),
        Way::Table(Transport::Error(name) | Transport::Host(name, _)) => name,
        other => panic!("{other:?}"),
    }
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[track_caller]
fn lead(routes: &Routes, cases: &[(&str, &str, &str)]) {
    for (sender, recipient, expected) in cases {
        let sender = ReversePath::parse(sender).unwrap();
        let found = routes.look(&sender, &address(recipient), &Answers::default()).unwrap();
        assert_eq!(found.map(name).unwrap_or_default(), *expected, "{sender} to {recipient}");
    }
}

/// transport(5): the address, the address without its tag, the domain, the nearest domain above, everything. The
/// order of the file is the wrong one throughout.
#[test]
fn the_route_with_the_nearest_recipients_decides() {
    use Recipients::{Address, All, Below, Domain};
    let routes = routes(&[
        (Some(All), None, "all"),
        (Some(Below(domain("example"))), None, "below example"),
        (Some(Below(domain("a.example"))), None, "below a.example"),
        (Some(Domain(domain("a.example"))), None, "a.example"),
        (Some(Address(address("joe@a.example"))), None, "joe"),
        (Some(Address(address("joe+x@a.example"))), None, "joe+x"),
        (Some(Address(address("joe@[192.0.2.1]"))), None, "joe at a literal"),
    ]);
    lead(
        &routes,
        &[
            ("ann@example.org", "Joe+X@A.example", "joe+x"),
            ("ann@example.org", "JOE@a.example", "joe"),
            ("", "joe+other@a.example", "joe"),
            ("ann@example.org", "bob@a.example", "a.example"),
            ("ann@example.org", "joe@sub.a.example", "below a.example"),
            ("ann@example.org", "joe@deep.sub.a.example", "below a.example"),
            ("ann@example.org", "joe@b.example", "below example"),
            ("ann@example.org", "joe@xa.example", "below example"),
            ("ann@example.org", "joe@example", "all"),
            ("ann@example.org", "joe@a.example.net", "all"),
            ("ann@example.org", "joe@[192.0.2.1]", "joe at a literal"),
            ("ann@example.org", "bob@[192.0.2.1]", "all"),
        ],
    );
    let only_below = Routes { rules: routes.rules[2..3].to_vec(), ..Routes::default() };
    lead(&only_below, &[("", "joe@a.example", ""), ("", "joe@b.a.example", "below a.example")]);
    let no_tags = Routes { rules: routes.rules[4..5].to_vec(), ..Routes::default() };
    lead(&no_tags, &[("", "joe@a.example", "joe"), ("", "joe+x@a.example", "")]);
}

#[test]
fn senders_decide_where_no_recipients_do() {
    use Senders::{Address, Domain, Null};
    let all = Some(Recipients::Domain(domain("a.example")));
    let routes = routes(&[
        (None, Some(Domain(domain("example.org"))), "example.org"),
        (None, Some(Address(address("ann@example.org"))), "ann"),
        (None, Some(Null), "nobody"),
        (all.clone(), None, "a.example"),
        (all.clone(), Some(Domain(domain("example.net"))), "example.net to a.example"),
        (all, Some(Null), "nobody to a.example"),
    ]);
    lead(
        &routes,
        &[
            ("Ann@Example.org", "joe@b.example", "ann"),
            ("ann+x@example.org", "joe@b.example", "ann"),
            ("bob@example.org", "joe@b.example", "example.org"),
            ("bob@sub.example.org", "joe@b.example", ""),
            ("", "joe@b.example", "nobody"),
            ("ann@example.org", "joe@a.example", "a.example"),
            ("carol@example.net", "joe@a.example", "example.net to a.example"),
            ("carol@example.net", "joe@b.example", ""),
            ("", "joe@a.example", "nobody to a.example"),
        ],
    );
}

#[test]
fn the_first_of_two_equal_routes_wins() {
    let to = |name| Some(Recipients::Domain(domain(name)));
    let routes = routes(&[(to("a.example"), None, "one"), (to("a.example"), None, "two")]);
    lead(&routes, &[("", "joe@a.example", "one"), ("", "joe@b.example", "")]);
}

/// `transport` and `relay_hosts` as texts of `inline:` tables.
fn tables(transport: &str, relay_hosts: &str) -> Routes {
    let table = |pairs: &str| TableSource::parse(&format!("inline:{{{pairs}}}"), Path::new("/")).unwrap();
    let (transports, faults) = Lookup::open("transport", Keys::Transport, vec![table(transport)]);
    assert!(faults.is_empty(), "{faults:?}");
    let (relay_hosts, faults) = Lookup::open("relay_hosts", Keys::Address, vec![table(relay_hosts)]);
    assert!(faults.is_empty(), "{faults:?}");
    Routes { transports, relay_hosts, delimiters: "+".to_owned(), ..Routes::default() }
}

/// As with Postfix: all that names recipients before all that names senders, and an empty right side is no line at all.
#[test]
fn tables_stand_where_their_keys_do() {
    let transport = "joe@a.example=error:joe, a.example=error:a, .a.example=error:below, pass@a.example=:, eq.example=error:late";
    let relay_hosts = "ann@example.org=[ann], @example.org=[house], bob@example.org=DUNNO, <>=[nobody]";
    let to = |name: &str| Some(Recipients::Domain(domain(name)));
    let from = |name: &str| Some(Senders::Domain(domain(name)));
    let of_the_config = routes(&[
        (to("deep.a.example"), None, "rule"),
        (to("eq.example"), None, "first"),
        (None, from("example.org"), "rule of the house"),
        (None, from("example.net"), "rule of the net"),
    ]);
    let both = Routes { rules: of_the_config.rules, ..tables(transport, relay_hosts) };
    lead(
        &both,
        &[
            ("ann@example.org", "Joe+x@a.example", "joe"),
            ("ann@example.org", "eve@a.example", "a"),
            ("ann@example.org", "eve@x.a.example", "below"),
            ("ann@example.org", "eve@deep.a.example", "rule"),
            ("ann@example.org", "eve@eq.example", "first"),
            ("ann@example.org", "pass@a.example", "ann"),
            ("Ann+x@example.org", "eve@b.example", "ann"),
            ("carol@example.org", "eve@b.example", "rule of the house"),
            ("bob@example.org", "eve@b.example", "rule of the house"),
            ("dan@example.net", "eve@b.example", "rule of the net"),
            ("dan@example.com", "eve@b.example", ""),
            ("", "eve@b.example", "nobody"),
        ],
    );
    let alone = tables("*=error:all", relay_hosts);
    lead(&alone, &[("ann@example.org", "eve@b.example", "all"), ("", "eve@[192.0.2.1]", "all")]);
}

/// Nobody's mail goes where it should not because a program is away; and each attempt waits for it once.
#[tokio::test]
async fn a_table_that_is_away_is_doubt_for_those_alone_who_need_it() {
    let away = TableSource::parse("socketmap:unix:/nonexistent/socket:transport", Path::new("/")).unwrap();
    let here = TableSource::parse("inline:{joe@a.example=error:joe}", Path::new("/")).unwrap();
    let (transports, _) = Lookup::open("transport", Keys::Transport, vec![here, away]);
    let known = routes(&[(Some(Recipients::All), None, "all")]);
    let routes = Routes { transports, ..known };
    let attempt = attempt(&["eve@a.example", "joe@a.example", "bob@a.example"]);
    let ways = routes.ways(&attempt, &[0, 1, 2]).await;
    let named = |(way, places): Shared<'_>| (way.map(|way| way.map(name)), places);
    let ways: Vec<_> = ways.into_iter().map(named).collect();
    assert_eq!(ways, [(Err(Unavailable), vec![0, 2]), (Ok(Some("joe".to_owned())), vec![1])]);
}

fn attempt(recipients: &[&str]) -> Attempt {
    Attempt {
        id: TraceId::new(0, 0),
        reverse_path: ReversePath::Null,
        parameters: MailParameters::default(),
        recipients: recipients.iter().map(|text| ForwardPath::parse(text).unwrap().into()).collect(),
        number: 1,
        content: Content::from(Vec::new()),
    }
}

#[tokio::test]
async fn recipients_of_one_domain_part_where_their_ways_do() {
    let routes = routes(&[(Some(Recipients::Address(address("joe@a.example"))), None, "joe")]);
    let attempt = attempt(&["ann@a.example", "joe@a.example", "bob@a.example", "joe+x@a.example"]);
    let ways = routes.ways(&attempt, &[0, 1, 2, 3]).await;
    let named = |(way, places): &Shared<'_>| (way.clone().unwrap().map(name), places.clone());
    let ways: Vec<_> = ways.iter().map(named).collect();
    assert_eq!(ways, [(None, vec![0, 2]), (Some("joe".to_owned()), vec![1, 3])]);
    assert_eq!(Routes::default().ways(&attempt, &[1, 3]).await.len(), 1);
}
