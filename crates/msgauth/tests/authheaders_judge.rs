//! authheaders judges the same messages as we do: SPF, DKIM and DMARC over generated records, senders and clients.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run a program and give it files")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::path::ReversePath;
use kings_msgauth::dkim::{PrivateKey, Rules, Selector, Signer, SigningIdentity, Verdict, Word, key_files};
use kings_msgauth::dmarc::{self, DmarcResult, Proof};
use kings_msgauth::spf::{Limits, Question, SpfResult};
use kings_msgauth::{dkim, spf};

const ORGANISATIONS: u32 = 60;
const CASES_OF_EACH: u32 = 20;
const CLIENTS: [&str; 4] = ["192.0.2.1", "198.51.100.9", "203.0.113.200", "2001:db8::1"];
const RSA: &str = include_str!("data/rsa2048.pem");
/// A date that both clocks believe: dkimpy looks at its own.
const SIGNED: i64 = 1_700_000_000;

const SPF: [&str; 9] = [
    "v=spf1 ip4:192.0.2.0/24 -all",
    "v=spf1 ip4:198.51.100.9 ip6:2001:db8::/32 ~all",
    "v=spf1 a:host.example -all",
    "v=spf1 include:pass.example ?all",
    "v=spf1 redirect=pass.example",
    "v=spf1 +all",
    "v=spf1 a:broken.example -all",
    "v=spf1 what -all",
    "",
];
/// Three that the older RFC 7489, by which authheaders goes, reads in another way.
const BAD_POLICY: &str = "v=DMARC1; p=what";
const NO_POLICY: &str = "v=DMARC1; sp=reject; rua=mailto:dmarc@reports.example";
const BAD_ALIGNMENT: &str = "v=DMARC1; p=reject; adkim=x";
const DMARC: [&str; 11] = [
    "v=DMARC1; p=none",
    "v=DMARC1; p=reject; sp=quarantine",
    "v=DMARC1; p=quarantine; adkim=s",
    "v=DMARC1; p=reject; aspf=s",
    "v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:dmarc@reports.example",
    "v=DMARC1;p=none;np=reject;fo=1",
    BAD_POLICY,
    NO_POLICY,
    BAD_ALIGNMENT,
    "V=dmarc1; p=reject",
    "",
];
const SHARED: &str = "\
host.example A 203.0.113.200
pass.example TXT v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/48 -all
other.example TXT v=spf1 +all
broken.example FAILS
broken._domainkey.other.example FAILS
";

/// The same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        choices[usize::try_from(self.0 >> 33).unwrap() % choices.len()]
    }
}

struct Case {
    client: String,
    sender: String,
    message: String,
}

/// How a message is signed, if at all.
fn signed(key: &PrivateKey, author: &str, domain: &str, how: &str) -> String {
    let message = format!(
        "From: Ann <ann@{author}>\r\nTo: joe@receiver.example\r\nSubject: hello\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@{author}>\r\n\r\nHello.\r\n"
    );
    if how == "unsigned" {
        return message;
    }
    let selector = if how == "broken" || how == "absent" { how } else { "sel" };
    let (domain, selector) = (Domain::parse(domain).unwrap(), Selector::parse(selector).unwrap());
    let mut signer = Signer::new(Rules::default());
    signer.push(message.as_bytes());
    let identity = SigningIdentity { domain: &domain, selector: &selector, key, agent: None };
    let field = signer.finish(&[identity], DateTime::from_unix(SIGNED)).unwrap();
    let message = field + &message;
    if how == "changed" { message.replace("Hello.", "Goodbye.") } else { message }
}

/// The zone, and the cases.
fn matrix() -> (String, Vec<Case>) {
    let key = PrivateKey::from_pem(RSA).unwrap();
    let record = key_files::record(&key);
    let mut numbers = Numbers(11);
    let mut zone = format!("{SHARED}sel._domainkey.other.example TXT {record}\n");
    let mut cases = Vec::new();
    for number in 0..ORGANISATIONS {
        let organisation = format!("o{number}.example");
        let below = format!("mail.{organisation}");
        for domain in [&organisation, &below] {
            writeln!(zone, "sel._domainkey.{domain} TXT {record}").unwrap();
            writeln!(zone, "broken._domainkey.{domain} FAILS").unwrap();
            for (owner, text) in
                [(domain.clone(), numbers.one_of(&SPF)), (format!("_dmarc.{domain}"), numbers.one_of(&DMARC))]
            {
                if !text.is_empty() {
                    writeln!(zone, "{owner} TXT {text}").unwrap();
                }
            }
        }
        let deep = format!("list.{below}");
        let names = [organisation.as_str(), &below, &deep, "other.example"];
        for _ in 0..CASES_OF_EACH {
            let (author, sender) = (numbers.one_of(&names[..3]), numbers.one_of(&names));
            let signer = numbers.one_of(&[names[0], names[1], names[3]]);
            let how = numbers
                .one_of(&["whole", "whole", "whole", "whole", "changed", "unsigned", "broken", "absent"]);
            let message = signed(&key, author, signer, how);
            cases.push(Case {
                client: numbers.one_of(&CLIENTS).to_owned(),
                sender: format!("ann@{sender}"),
                message,
            });
        }
    }
    (zone, cases)
}

fn judge(zone: &str, cases: &[Case]) -> Vec<String> {
    let folder: PathBuf =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("authheaders-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = zone.to_owned();
    for (number, case) in cases.iter().enumerate() {
        writeln!(text, "case {}|client.example|{}", case.client, case.sender).unwrap();
        std::fs::write(folder.join(format!("{number}.eml")), &case.message).unwrap();
    }
    std::fs::write(folder.join("zone"), text).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/with_authheaders.py");
    let output = Command::new(common::python()).arg(script).arg(&folder).output();
    let output = output.expect("python3; ./test.sh sets it up");
    std::fs::remove_dir_all(&folder).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "authheaders (./test.sh installs it): {complaint}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

struct Ours {
    spf: spf::Outcome,
    dkim: dkim::Report,
    dmarc: dmarc::Outcome,
}

fn ours(zone: &Zone, case: &Case) -> Ours {
    let path = ReversePath::parse(&case.sender).unwrap();
    let question = Question {
        client: case.client.parse().unwrap(),
        helo: "client.example",
        mail_from: Some(&path),
        receiver: "judge.example",
        time: 0,
        limits: Limits::default(),
    };
    let spf = common::now(spf::check(zone, &question, std::future::pending()));
    let message = case.message.as_bytes();
    let dkim = common::now(dkim::check(message, zone, DateTime::from_unix(SIGNED)));
    let proof = |pass: bool, later: bool| match (pass, later) {
        (true, _) => Proof::Pass,
        (false, true) => Proof::TempError,
        (false, false) => Proof::Other,
    };
    let identifiers: Vec<(DnsName, Proof)> = dkim
        .signatures
        .iter()
        .filter_map(|one| {
            let word = one.verdict.word();
            let proof = proof(word == Word::Pass, word == Word::TempError);
            Some((DnsName::from(&one.claim.as_ref()?.domain), proof))
        })
        .collect();
    let of_spf = proof(spf.result == SpfResult::Pass, spf.result == SpfResult::TempError);
    let evidence =
        dmarc::Evidence { dkim: &identifiers, spf: spf.domain.as_ref().map(|domain| (domain, of_spf)) };
    let dmarc = common::now(dmarc::evaluate(zone, message, evidence));
    Ours { spf, dkim, dmarc }
}

/// The section that decides where authheaders has another word for the signature.
fn dkim_explained(ours: &dkim::Report, theirs: &str) -> Option<&'static str> {
    match ours.signatures.first().map(|one| &one.verdict) {
        None if theirs == "fail" => Some("RFC 8601 §2.7.1: without a signature the result is none"),
        Some(Verdict::NoKey) if theirs == "fail" => Some("RFC 8601 §2.7.1: a missing key is a permerror"),
        _ => None,
    }
}

/// The same for DMARC. authheaders takes the record of the author's domain or of the one below the public suffix.
fn dmarc_explained(ours: &dmarc::Outcome, zone: &str, theirs: &str) -> Option<&'static str> {
    let author = ours.author.as_ref()?.to_string();
    let above = author.trim_end_matches(".example").rsplit('.').next()?;
    let organisation = format!("{above}.example");
    let record = |domain: &str| {
        let owner = format!("_dmarc.{domain} TXT ");
        let text = zone.lines().find_map(|line| line.strip_prefix(&owner))?;
        text.starts_with("v=DMARC1").then_some(text)
    };
    let published = ours.published.as_ref().map(|(domain, _)| domain.to_string());
    let is_between = published.is_some_and(|domain| domain != author && domain != organisation);
    let has_organisation_none = record(&organisation).is_none_or(|text| text == BAD_POLICY);
    match (theirs, ours.result, record(&author).or_else(|| record(&organisation))) {
        ("fail", DmarcResult::TempError, _) => Some("RFC 9989 §9.1: what cannot be told now is a temperror"),
        (_, _, Some(BAD_POLICY)) => {
            Some("RFC 9989 §4.10.1: a policy that is unknown, where no reports are asked for, is no record")
        }
        ("none", _, Some(NO_POLICY)) => {
            Some("RFC 9989 §4.10.1: without a policy, where reports are asked for, it is none")
        }
        ("fail", DmarcResult::Pass, Some(BAD_ALIGNMENT)) if ours.dkim_aligned && !ours.spf_aligned => {
            Some("RFC 9989 §4.7: a value that is unknown is the default")
        }
        _ if is_between => Some("RFC 9989 §4.10.1: the tree walk takes the record of the nearest name above"),
        ("pass", DmarcResult::Fail | DmarcResult::TempError, _)
            if author != organisation && has_organisation_none =>
        {
            Some("RFC 9989 §4.10.2: the organisational domain is the highest that has a record")
        }
        _ => None,
    }
}

#[test]
fn authheaders_comes_to_the_same_results() {
    let (text, cases) = matrix();
    let zone = text.lines().fold(Zone::default(), common::with_line);
    let verdicts = judge(&text, &cases);
    assert_eq!(verdicts.len(), cases.len());
    assert!(cases.len() >= 1_000);
    let mut counts = BTreeMap::<String, usize>::new();
    let mut differing = BTreeMap::<&str, usize>::new();
    let mut unexplained = Vec::new();
    for (case, theirs) in cases.iter().zip(&verdicts) {
        let Ours { spf, dkim, dmarc } = ours(&zone, case);
        let words = [spf.result.as_str(), dkim.word().as_str(), dmarc.result.as_str()];
        let methods = ["spf", "dkim", "dmarc"];
        for ((method, ours), theirs) in methods.into_iter().zip(words).zip(theirs.split(' ')) {
            *counts.entry(format!("{method}={ours}")).or_default() += 1;
            if ours == theirs {
                continue;
            }
            let why = match method {
                "dkim" => dkim_explained(&dkim, theirs),
                "dmarc" => dmarc_explained(&dmarc, &text, theirs),
                _ => None,
            };
            match why {
                Some(section) => *differing.entry(section).or_default() += 1,
                None => unexplained.push(format!(
                    "{method}: theirs {theirs}, ours {ours}: {} {} {dmarc:?}\n{spf:?}\n{}",
                    case.client, case.sender, case.message
                )),
            }
        }
    }
    let first: Vec<_> = unexplained.iter().take(5).collect();
    assert!(unexplained.is_empty(), "{} results: {first:#?}\n{differing:?}", unexplained.len());
    for word in [
        "spf=pass",
        "spf=fail",
        "dkim=pass",
        "dkim=fail",
        "dkim=temperror",
        "dmarc=pass",
        "dmarc=fail",
        "dmarc=none",
    ] {
        assert!(counts.get(word).is_some_and(|count| *count > 20), "{word}: {counts:?}");
    }
    // Each of the three methods has a result for each message.
    let count: usize = differing.values().sum();
    assert!(count * 5 < 3 * cases.len(), "{count} results differ: {differing:?}");
}
