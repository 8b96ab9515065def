//! What tables, classes and masquerading make of addresses, in envelope and header.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::path::Path;

use kings_directory::{Keys, TableSource};

use super::*;

const ALL: [Class; 4] =
    [Class::EnvelopeSender, Class::EnvelopeRecipient, Class::HeaderSender, Class::HeaderRecipient];

fn table(lines: &str, classes: impl IntoIterator<Item = Class>) -> Canonical {
    let from = TableSource::parse(&format!("inline:{{{lines}}}"), Path::new("/")).unwrap();
    let (names, faults) = Lookup::open("canonical", Keys::Address, vec![from]);
    assert!(faults.is_empty(), "{faults:?}");
    Canonical { names, classes: Classes::of(classes) }
}

fn rewriting(tables: Vec<Canonical>) -> Rewriting {
    Rewriting { tables, masquerade: Masquerade::default(), delimiters: "+".to_owned() }
}

async fn of(rewriting: &Rewriting, class: Class, address: &str) -> String {
    match rewriting.rewritten(class, Address::parse(address).unwrap()).await {
        Ok(address) => address.to_string(),
        Err(fault) => format!("{fault:?}"),
    }
}

#[tokio::test]
async fn names_are_found_as_canonical_5_has_it() {
    let lines = "ann@x.example=Ann.Lee@x.example, ann+x@x.example=other@x.example, @old.example=@x.example, \
                 @all.example=one@x.example, a@loop.example=b@loop.example, b@loop.example=a@loop.example, \
                 self@x.example=Self@x.example, one@chain.example=two@chain.example, two@chain.example=ann@x.example";
    let rewriting = rewriting(vec![table(lines, ALL)]);
    for (address, expected) in [
        ("ann@x.example", "Ann.Lee@x.example"),
        ("ANN@X.example", "Ann.Lee@x.example"),
        ("ann+tag@x.example", "Ann.Lee+tag@x.example"),
        ("ann+x@x.example", "other@x.example"),
        ("joe@x.example", "joe@x.example"),
        ("Joe+a@old.example", "Joe+a@x.example"),
        // Again with what came of it.
        ("ann@old.example", "Ann.Lee@x.example"),
        ("ann+y@old.example", "Ann.Lee+y@x.example"),
        ("one@chain.example", "Ann.Lee@x.example"),
        ("who+tag@all.example", "one@x.example"),
        ("SELF@x.example", "Self@x.example"),
        ("ann@sub.old.example", "ann@sub.old.example"),
        ("a@loop.example", "Endless"),
    ] {
        assert_eq!(of(&rewriting, Class::HeaderSender, address).await, expected, "{address}");
    }
}

#[tokio::test]
async fn each_table_is_for_its_classes_and_sees_what_the_one_before_made() {
    use Class::{EnvelopeRecipient, EnvelopeSender, HeaderRecipient, HeaderSender};
    let senders = table("ann@x.example=sender@x.example", [EnvelopeSender, HeaderSender]);
    let recipients = table("ann@x.example=recipient@x.example", [EnvelopeRecipient]);
    let both = table("sender@x.example=last@x.example, ann@x.example=both@x.example", ALL);
    let rewriting = rewriting(vec![senders, recipients, both]);
    for (class, expected) in [
        (EnvelopeSender, "last@x.example"),
        (HeaderSender, "last@x.example"),
        (EnvelopeRecipient, "recipient@x.example"),
        (HeaderRecipient, "both@x.example"),
    ] {
        assert_eq!(of(&rewriting, class, "ann@x.example").await, expected, "{class:?}");
    }
}

#[tokio::test]
async fn hosts_below_a_domain_are_not_shown() {
    let domain = |text: &str| Domain::parse(text).unwrap();
    let masquerade = Masquerade {
        domains: vec![
            (domain("lab.example.org"), false),
            (domain("example.org"), true),
            (domain("example.net"), true),
        ],
        exceptions: vec!["root".to_owned()],
        classes: Classes::of([Class::HeaderSender]),
    };
    let rewriting = Rewriting { masquerade, ..rewriting(vec![]) };
    for (address, expected) in [
        ("ann@desk.example.org", "ann@example.org"),
        ("ann@a.b.example.net", "ann@example.net"),
        ("ann@example.org", "ann@example.org"),
        ("ann@desk.lab.example.org", "ann@desk.lab.example.org"),
        ("ann@lab.example.org", "ann@lab.example.org"),
        ("Root@desk.example.org", "Root@desk.example.org"),
        ("ann@notexample.org", "ann@notexample.org"),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
    ] {
        assert_eq!(of(&rewriting, Class::HeaderSender, address).await, expected, "{address}");
    }
    let elsewhere = of(&rewriting, Class::EnvelopeRecipient, "ann@desk.example.org").await;
    assert_eq!(elsewhere, "ann@desk.example.org");
}

#[tokio::test]
async fn only_addresses_of_the_header_change() {
    let senders = table("ann@x.example=Ann.Lee@x.example", [Class::HeaderSender]);
    let recipients = table("joe@x.example=joseph@x.example", [Class::HeaderRecipient]);
    let rewriting = rewriting(vec![senders, recipients]);
    let head = "Received: from ann@x.example\r\nFrom: \"ann@x.example\" <ann@x.example> (ann@x.example)\r\n\
                To:joe@x.example,\r\n\tJoe <JOE@x.example>, ann@x.example\r\nSubject: joe@x.example\r\n\
                reply-to : ann@x.example\r\n\r\nFrom: ann@x.example\r\n";
    let expected = "Received: from ann@x.example\r\nFrom: \"ann@x.example\" <Ann.Lee@x.example> (ann@x.example)\r\n\
                    To:joseph@x.example,\r\n\tJoe <joseph@x.example>, ann@x.example\r\nSubject: joe@x.example\r\n\
                    reply-to : Ann.Lee@x.example\r\n\r\nFrom: ann@x.example\r\n";
    let found = rewriting.header(head.as_bytes()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), expected);
    let others = b"From: bob@x.example\r\nTo: ann@x.example, undisclosed:;\r\n\r\nTo: joe@x.example\r\n";
    assert_eq!(rewriting.header(others).await, Ok(None));
}

#[test]
fn what_is_no_other_name_is_said() {
    for text in ["ann", "ann@x.example, joe@x.example", "@", "@x@y", ""] {
        assert!(text.parse::<OtherName>().is_err(), "{text}");
    }
    assert!("ann@x.example".parse::<OtherName>().is_ok() && "@x.example".parse::<OtherName>().is_ok());
}
