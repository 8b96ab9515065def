//! Whatever a stranger writes behind RCPT: what is accepted is ours, and goes nowhere that the operator did not name.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_directory::{Place, Resolution, Target};
use kings_mail::domain::Domain;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_smtp::reply::Reply;
use kings_smtp::server::{self, Event, Role, Trust};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::runtime::Runtime;

use crate::core::Core;
use crate::deliver::tests::Setup;
use crate::policy::{self, RcptFacts};

/// What addresses, routes and tricks are made of; `here.example` is ours.
const WORDS: &[&str] = &[
    "ann",
    "joe",
    "team",
    "away",
    "postmaster",
    "nobody",
    "here.example",
    "HERE.example",
    "mail.here.example",
    "far.example",
    "other.example",
    "sub.here.example",
    "here.example.other.example",
    "localhost",
    "[127.0.0.1]",
    "[IPv6:::1]",
    "SRS0=abcd=AA=other.example=joe",
    "SRS1=abcd=other.example==abcd=AA=x.example=joe",
    "xn--hre-hoa.example",
    "h\u{435}re.example",
    "",
];
const MARKS: &[&str] = &[
    "@", "@", "@", "@", "%", "!", ":", ",", ";", ".", "+", "=", "\"", "\\", "<", ">", "(", ")", " ",
    "\u{ff20}", "\0",
];

fn server(core: &Core, role: Role) -> server::Session {
    let settings = server::Settings {
        hostname: core.hostname.clone(),
        role,
        start_tls: false,
        message_bytes: 1_000_000,
        recipients: 100,
        dsn: true,
        // More than these listeners take.
        bare_paths: true,
        origin: core.directory.origin().cloned(),
        future_release: None,
        trust: Trust::default(),
    };
    server::Session::new(settings, false)
}

/// Says the lines; gives each recipient that was accepted, with what it stands for.
fn accepted(core: &Core, runtime: &Runtime, role: Role, lines: &[String]) -> Vec<(ForwardPath, Resolution)> {
    let mut session = server(core, role);
    let (mut sender, mut accepted) = (ReversePath::Null, Vec::new());
    for line in lines {
        session.receive(format!("{line}\r\n").as_bytes());
        while let Some(event) = session.next_event() {
            match event {
                Event::Mail(path, _) => {
                    sender = path;
                    session.answer(&Reply::SENDER_OK);
                }
                Event::Rcpt(recipient) => {
                    let resolution =
                        runtime.block_on(core.resolve(&recipient.path, &sender, policy::reach(false)));
                    let facts = RcptFacts {
                        may_send: false,
                        resolution: &resolution,
                        no_way: None,
                        full: None,
                        recipients_so_far: 0,
                        most_recipients: 100,
                    };
                    let verdict = policy::rcpt(&facts);
                    session.answer(verdict.as_ref().err().unwrap_or(&Reply::RECIPIENT_OK));
                    if verdict.is_ok() {
                        accepted.push((recipient.path, resolution));
                    }
                }
                Event::Closed => return accepted,
                other => panic!("{line}: {other:?}"),
            }
        }
        session.transmit();
    }
    accepted
}

fn is_ours(path: &ForwardPath) -> bool {
    let ForwardPath::Address(address) = path else { return true };
    let folded = address.folded();
    let name = folded.local_part.as_str().split('+').next().unwrap_or_default();
    match address.domain().map(Domain::as_str) {
        // Our own address literals stand for the first domain here.
        None => true,
        Some("here.example") => true,
        // Role names alone (RFC 5321 §4.5.1).
        Some("mail.here.example") => ["postmaster", "abuse"].contains(&name),
        _ => false,
    }
}

/// The targets that the alias file names, with any tag.
fn is_named(target: &Target) -> bool {
    match &target.place {
        Place::Account(address) | Place::Nobody(address) => {
            address.domain().is_some_and(|domain| domain.as_str() == "here.example")
        }
        Place::Remote(address) => {
            let name = address.local_part.as_str().split('+').next().unwrap_or_default();
            let is_far = address.domain().is_some_and(|domain| domain.as_str() == "far.example");
            is_far && ["far", "off"].contains(&name)
        }
    }
}

/// What stands behind `RCPT TO:`.
fn argument() -> impl Strategy<Value = String> {
    let pairs = vec((select(WORDS), select(MARKS)), 1..5);
    let address = (pairs, select(WORDS)).prop_map(|(pairs, last)| {
        let text: String = pairs.into_iter().map(|(word, mark)| format!("{word}{mark}")).collect();
        text + last
    });
    let address = address.boxed();
    prop_oneof![
        3 => (select(WORDS), select(WORDS)).prop_map(|(name, host)| format!("<{name}@{host}>")),
        4 => address.clone().prop_map(|address| format!("<{address}>")),
        1 => (address.clone(), address.clone()).prop_map(|(route, address)| format!("<@{route}:{address}>")),
        1 => address.clone().prop_map(|address| format!("<\"{address}\"@here.example>")),
        1 => address,
        1 => ".{0,60}".prop_map(|text| text.replace(['\r', '\n'], " ")),
    ]
}

#[test]
fn nothing_outside_our_domains_is_ever_accepted_from_a_stranger() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let setup = runtime.block_on(async { Setup::new() });
    let core = &setup.core;
    let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() };
    let senders = select(&["<>", "<ann@here.example>", "<joe@other.example>"][..]);
    let hits = std::cell::Cell::new(0);
    proptest!(config, |(sender in senders, arguments in vec(argument(), 1..6), lmtp in any::<bool>())| {
        let (role, hello) = if lmtp { (Role::Lmtp, "LHLO") } else { (Role::Inbound, "EHLO") };
        let opening = [format!("{hello} client.example"), format!("MAIL FROM:{sender}")];
        let recipients = arguments.iter().map(|argument| format!("RCPT TO:{argument}"));
        let lines: Vec<String> = opening.into_iter().chain(recipients).collect();
        for (path, resolution) in accepted(core, &runtime, role, &lines) {
            prop_assert!(is_ours(&path), "{lines:?}: {path}");
            let Resolution::Targets(targets) = resolution else { panic!("{path}: {resolution:?}") };
            prop_assert!(targets.iter().all(is_named), "{lines:?}: {path} {targets:?}");
            hits.set(hits.get() + 1);
        }
    });
    // A generator that never hits anything of ours would show nothing.
    assert!(hits.get() > 20, "{hits:?} accepted");
}
