//! Reverse names and lists in DNS, against zones.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{name, now, with_line};
use kings_dns::Zone;
use kings_mail::domain::Domain;
use kings_msgauth::dns_list::{
    BadList, Doubt, Kind, List, Subject, Verdict, look_up, score, test as test_list,
};
use kings_msgauth::iprev::{self, MAX_NAMES, Reason};
use proptest::prelude::*;

fn zone(lines: &[&str]) -> Zone {
    lines.iter().fold(Zone::default(), |zone, line| with_line(zone, line))
}

#[test]
fn a_reverse_name_counts_only_where_it_leads_back() {
    let zone = zone(&[
        "192.0.2.1 PTR mail.example",
        "mail.example A 192.0.2.1",
        "mail.example AAAA 2001:db8::1",
        "2001:db8::1 PTR mail.example",
        "192.0.2.2 PTR mail.example",
        "192.0.2.3 PTR gone.example",
        "192.0.2.4 PTR broken.example",
        "broken.example FAILS",
        "192.0.2.5 PTR liar.example",
        "192.0.2.5 PTR five.example",
        "five.example A 192.0.2.5",
        "192.0.2.6 PTR broken.example",
        "192.0.2.6 PTR six.example",
        "six.example A 192.0.2.6",
    ]);
    let cases = [
        ("192.0.2.1", "pass", Some("mail.example"), "the reverse name leads back"),
        ("::ffff:192.0.2.1", "pass", Some("mail.example"), "the reverse name leads back"),
        ("2001:db8::1", "pass", Some("mail.example"), "the reverse name leads back"),
        ("192.0.2.2", "fail", None, "mail.example does not lead back"),
        ("192.0.2.3", "fail", None, "gone.example does not lead back"),
        ("192.0.2.4", "temperror", None, "DNS does not answer: SERVFAIL"),
        ("192.0.2.5", "pass", Some("five.example"), "the reverse name leads back"),
        ("192.0.2.6", "pass", Some("six.example"), "the reverse name leads back"),
        ("192.0.2.9", "permerror", None, "no reverse name"),
    ];
    for (client, result, found, reason) in cases {
        let outcome = now(iprev::check(&zone, client.parse().unwrap()));
        let got = (
            outcome.result.as_str(),
            outcome.name.as_ref().map(ToString::to_string),
            outcome.reason.to_string(),
        );
        assert_eq!(got, (result, found.map(str::to_owned), reason.to_owned()), "{client}");
    }
}

#[test]
fn no_more_than_ten_reverse_names_are_looked_at() {
    let client = "192.0.2.1".parse().unwrap();
    let mut many = Zone::default().with_address(name("real.example"), client);
    for number in 0..MAX_NAMES {
        many = many.with_reverse(client, name(&format!("n{number}.example")));
    }
    let outcome = now(iprev::check(&many.with_reverse(client, name("real.example")), client));
    assert_eq!(outcome.reason, Reason::LeadsElsewhere(name("n0.example")));
}

#[test]
fn a_list_reads_as_postfix_writes_it() {
    for (text, zone, weight) in [
        ("zen.example", "zen.example", 1),
        ("zen.example*3", "zen.example", 3),
        ("zen.example=127.0.0.[2..11]*2", "zen.example", 2),
        ("wl.example=127.0.[0..255].[1..3]*-2", "wl.example", -2),
        ("zen.example=127.0.0.[2;4..8;10]", "zen.example", 1),
        (" zen.example = 127.0.0.2 * 5 ", "zen.example", 5),
    ] {
        let list = List::parse(text).unwrap();
        assert_eq!((list.zone.as_str(), list.weight), (zone, weight), "{text}");
    }
    for (text, expected) in [
        ("", BadList::Zone),
        ("a b", BadList::Zone),
        ("zen.example=", BadList::Codes),
        ("zen.example=127.0.0", BadList::Codes),
        ("zen.example=127.0.0.2.3", BadList::Codes),
        ("zen.example=127.0.0.256", BadList::Codes),
        ("zen.example=127.0.0.[9..2]", BadList::Codes),
        ("zen.example=127.0.0.[2", BadList::Codes),
        ("zen.example=127.0.0.[2]x", BadList::Codes),
        ("zen.example=127.0.0.2.", BadList::Codes),
        ("zen.example*x", BadList::Weight),
        ("zen.example*1001", BadList::Weight),
    ] {
        assert_eq!(List::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn only_a_plain_answer_of_a_list_is_a_listing() {
    let zone = zone(&[
        "1.2.0.192.zen.example A 127.0.0.2",
        "1.2.0.192.zen.example A 127.0.0.10",
        "2.2.0.192.zen.example A 127.0.0.12",
        "3.2.0.192.zen.example A 127.255.255.254",
        "4.2.0.192.zen.example A 198.51.100.1",
        "5.2.0.192.zen.example A 127.0.0.1",
        "6.2.0.192.zen.example FAILS",
        "7.2.0.192.zen.example A 127.0.0.2",
        "7.2.0.192.zen.example A 127.255.255.252",
        "8.2.0.192.zen.example TXT listed without a code",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example A 127.0.0.4",
        "spam.example.dbl.example A 127.0.1.2",
    ]);
    let zen = List::parse("zen.example=127.0.0.[2..11]*2").unwrap();
    let listed = |codes: &[&str]| Verdict::Listed(codes.iter().map(|code| code.parse().unwrap()).collect());
    let cases = [
        ("192.0.2.1", listed(&["127.0.0.2", "127.0.0.10"])),
        ("::ffff:192.0.2.1", listed(&["127.0.0.2", "127.0.0.10"])),
        ("192.0.2.2", Verdict::NotListed),
        ("192.0.2.3", Verdict::CannotTell(Doubt::Refused("127.255.255.254".parse().unwrap()))),
        ("192.0.2.4", Verdict::CannotTell(Doubt::Nonsense("198.51.100.1".parse().unwrap()))),
        ("192.0.2.5", Verdict::CannotTell(Doubt::Nonsense("127.0.0.1".parse().unwrap()))),
        ("192.0.2.6", Verdict::CannotTell(Doubt::Dns("SERVFAIL".to_owned()))),
        ("192.0.2.7", Verdict::CannotTell(Doubt::Refused("127.255.255.252".parse().unwrap()))),
        ("192.0.2.8", Verdict::NotListed),
        ("192.0.2.9", Verdict::NotListed),
        ("2001:db8::1", listed(&["127.0.0.4"])),
        ("2001:db8::2", Verdict::NotListed),
    ];
    for (client, expected) in cases {
        assert_eq!(
            now(look_up(&zone, &zen, Subject::Address(client.parse().unwrap()))),
            expected,
            "{client}"
        );
    }
    let dbl = List::parse("dbl.example").unwrap();
    let domain = |text: &str| Domain::parse(text).unwrap();
    assert_eq!(now(look_up(&zone, &dbl, Subject::Domain(&domain("SPAM.example")))), listed(&["127.0.1.2"]));
    assert_eq!(now(look_up(&zone, &dbl, Subject::Domain(&domain("ham.example")))), Verdict::NotListed);
    let long = domain(&format!("{}example", "a.".repeat(121)));
    assert_eq!(now(look_up(&zone, &dbl, Subject::Domain(&long))), Verdict::CannotTell(Doubt::TooLong));
}

#[test]
fn weights_add_up_for_listings_alone() {
    let [bad, worse, good] =
        ["a.example*2", "b.example*5", "c.example*-3"].map(|text| List::parse(text).unwrap());
    let listed = Verdict::Listed(vec!["127.0.0.2".parse().unwrap()]);
    let doubt = Verdict::CannotTell(Doubt::Insane);
    assert_eq!(score([(&bad, &listed), (&worse, &doubt), (&good, &Verdict::NotListed)]), 2);
    assert_eq!(score([(&bad, &listed), (&worse, &listed), (&good, &listed)]), 4);
    assert_eq!(score([]), 0);
}

/// RFC 5782 §5.
#[test]
fn a_list_that_fails_its_own_test_is_told() {
    let zone = zone(&[
        "2.0.0.127.good.example A 127.0.0.2",
        "test.good.example A 127.0.1.2",
        "2.0.0.127.all.example A 127.0.0.2",
        "1.0.0.127.all.example A 127.0.0.2",
        "2.0.0.127.closed.example A 127.255.255.254",
        "2.0.0.127.parked.example A 198.51.100.1",
        "2.0.0.127.broken.example FAILS",
    ]);
    let cases = [
        ("good.example", Kind::Addresses, None),
        ("good.example", Kind::Domains, None),
        ("all.example", Kind::Addresses, Some(Doubt::Insane)),
        ("absent.example", Kind::Addresses, Some(Doubt::Insane)),
        ("absent.example", Kind::Domains, Some(Doubt::Insane)),
        ("closed.example", Kind::Addresses, Some(Doubt::Refused("127.255.255.254".parse().unwrap()))),
        ("parked.example", Kind::Addresses, Some(Doubt::Nonsense("198.51.100.1".parse().unwrap()))),
        ("broken.example", Kind::Addresses, Some(Doubt::Dns("SERVFAIL".to_owned()))),
    ];
    for (list, kind, expected) in cases {
        assert_eq!(now(test_list(&zone, &List::parse(list).unwrap(), kind)), expected, "{list}");
    }
}

proptest! {
    /// No answer outside 127.0.0.0/8 or inside 127.255.255.0/24 ever counts.
    #[test]
    fn odd_answers_never_list(octets in any::<[u8; 4]>()) {
        let answer = std::net::Ipv4Addr::from(octets);
        let zone = Zone::default().with_address(name("1.2.0.192.zen.example"), answer.into());
        let list = List::parse("zen.example").unwrap();
        let verdict = now(look_up(&zone, &list, Subject::Address("192.0.2.1".parse().unwrap())));
        let plain = octets[0] == 127 && octets[..3] != [127, 255, 255] && octets != [127, 0, 0, 1];
        prop_assert_eq!(matches!(verdict, Verdict::Listed(_)), plain);
        prop_assert_eq!(matches!(verdict, Verdict::CannotTell(_)), !plain);
    }
}
