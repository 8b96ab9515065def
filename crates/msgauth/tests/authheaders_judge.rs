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
use kings_msgauth::dkim::{PrivateKey, Rules, Selector, Signer, SigningIdentity, Word, key_files};
use kings_msgauth::dmarc::{self, Proof};
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
/// Three that RFC 7489, by which authheaders goes, reads in another way than RFC 9989.
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
    author: String,
    sender: String,
    signer: String,
    /// What was done to the signature.
    how: &'static str,
    message: String,
}

const NO_KEY: &str = "RFC 8601 §2.7.1: a missing key is a permerror";
const UNSIGNED: &str = "RFC 8601 §2.7.1: without a signature the result is none";

/// What a signature comes to by what was done to it: with us, with authheaders, and the section that decides where these
/// differ.
const SIGNATURES: [(&str, &str, &str, Option<&str>); 5] = [
    ("whole", "pass", "pass", None),
    ("changed", "fail", "fail", None),
    ("broken", "temperror", "temperror", None),
    ("absent", "permerror", "fail", Some(NO_KEY)),
    ("unsigned", "none", "fail", Some(UNSIGNED)),
];

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
                author: author.to_owned(),
                sender: sender.to_owned(),
                signer: signer.to_owned(),
                how,
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
        writeln!(text, "case {}|client.example|ann@{}", case.client, case.sender).unwrap();
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
    let path = ReversePath::parse(&format!("ann@{}", case.sender)).unwrap();
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

/// Where RFC 9989 decides otherwise than RFC 7489 over this matrix, each in one point.
const WALK: &str = "RFC 9989 §4.10.1: the record is that of the author's domain, or of its organisational domain as the tree walk finds it";
const HIGHEST: &str = "RFC 9989 §4.10.2: the organisational domain is the highest that has a record";
const UNKNOWN: &str =
    "RFC 9989 §4.10.1: a policy that is unknown, where no reports are asked for, is not applied";
const MISSING: &str = "RFC 9989 §4.10.1: without a policy, where reports are asked for, it is none";
const DEFAULT: &str = "RFC 9989 §4.7: an alignment that is unknown is the default";
const LATER: &str = "RFC 9989 §9.1: what cannot be told now is a temperror";
const POINTS: [&str; 6] = [WALK, HIGHEST, UNKNOWN, MISSING, DEFAULT, LATER];

/// Every difference that there is over this matrix, with our result, theirs, and how often: one more, or one less, is a
/// failure.
const DIFFERENCES: [(&[&str], &str, &str, usize); 18] = [
    (&[NO_KEY], "permerror", "fail", 138),
    (&[UNSIGNED], "none", "fail", 158),
    (&[UNKNOWN], "none", "fail", 40),
    (&[UNKNOWN], "none", "pass", 41),
    (&[UNKNOWN, LATER], "none", "fail", 9),
    (&[WALK], "fail", "none", 53),
    (&[WALK], "pass", "none", 7),
    (&[WALK], "temperror", "none", 4),
    (&[MISSING], "fail", "none", 71),
    (&[MISSING], "pass", "none", 72),
    (&[MISSING], "temperror", "none", 13),
    (&[HIGHEST], "fail", "pass", 8),
    (&[HIGHEST], "temperror", "pass", 2),
    (&[HIGHEST, UNKNOWN], "none", "pass", 5),
    (&[DEFAULT], "pass", "fail", 13),
    (&[DEFAULT], "temperror", "fail", 3),
    (&[DEFAULT, LATER], "pass", "fail", 1),
    (&[LATER], "temperror", "fail", 61),
];

/// What DMARC has to go by.
struct Facts<'a> {
    /// By the name that they stand at.
    records: &'a BTreeMap<&'a str, &'a str>,
    author: &'a str,
    /// The domains that SPF and DKIM are about.
    proofs: [(&'a str, Proof, &'static str); 2],
}

impl Facts<'_> {
    /// The result by RFC 9989, but for the points of this set, which are as in RFC 7489. Written from the two texts, and from
    /// nothing of what it judges.
    fn result(&self, old: &[&str]) -> &'static str {
        let is_old = |point| old.contains(&point);
        let above = self.organisation(self.author, is_old(WALK));
        let record = self.records.get(self.author).or_else(|| self.records.get(above));
        let record = match record {
            None => return "none",
            Some(&BAD_POLICY) if !is_old(UNKNOWN) => return "none",
            Some(&NO_POLICY) if is_old(MISSING) => return "none",
            Some(record) => *record,
        };
        let is_aligned = |domain: &str, tag: &str| {
            let value = record.split(';').find_map(|part| part.trim().strip_prefix(tag)?.strip_prefix('='));
            match value.unwrap_or("r") {
                "s" => domain == self.author,
                "x" if is_old(DEFAULT) => false,
                _ => {
                    self.organisation(domain, is_old(HIGHEST))
                        == self.organisation(self.author, is_old(HIGHEST))
                }
            }
        };
        let has = |wanted: fn(&Proof) -> bool| {
            self.proofs.iter().any(|(domain, proof, tag)| wanted(proof) && is_aligned(domain, tag))
        };
        if has(|proof| matches!(proof, Proof::Pass)) {
            "pass"
        } else if !is_old(LATER) && has(|proof| matches!(proof, Proof::TempError)) {
            "temperror"
        } else {
            "fail"
        }
    }

    /// By RFC 7489 the name below the public suffix, which is `example`. By RFC 9989 the shortest name from here up that has
    /// a record, or the domain itself where none has; no record here says `psd`.
    fn organisation<'d>(&self, domain: &'d str, is_old: bool) -> &'d str {
        if is_old {
            let below = domain.trim_end_matches(".example").rfind('.').map_or(0, |dot| dot + 1);
            return &domain[below..];
        }
        let above = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, above)| above));
        above.filter(|name| self.records.contains_key(name)).last().unwrap_or(domain)
    }

    /// The fewest points that make the one result of the other.
    fn points_between(&self, ours: &str, theirs: &str) -> Option<Vec<&'static str>> {
        let mut sets = POINTS.iter().fold(vec![Vec::new()], |sets, point| {
            let with = sets.iter().map(|set| [&set[..], &[*point]].concat()).collect();
            [sets, with].concat()
        });
        if self.result(&[]) != ours || self.result(&POINTS) != theirs {
            return None;
        }
        sets.sort_by_key(Vec::len);
        sets.into_iter().find(|set| self.result(set) == theirs)
    }
}

/// The records that either RFC takes for one of DMARC.
fn dmarc_records(zone: &str) -> BTreeMap<&str, &str> {
    let records = zone.lines().filter_map(|line| line.strip_prefix("_dmarc.")?.split_once(" TXT "));
    records.filter(|(_, text)| text.starts_with("v=DMARC1")).collect()
}

fn proof(word: &str) -> Proof {
    match word {
        "pass" => Proof::Pass,
        "temperror" => Proof::TempError,
        _ => Proof::Other,
    }
}

#[test]
fn authheaders_comes_to_the_same_results() {
    let (text, cases) = matrix();
    let zone = text.lines().fold(Zone::default(), common::with_line);
    let records = dmarc_records(&text);
    let verdicts = judge(&text, &cases);
    assert_eq!(verdicts.len(), cases.len());
    assert!(cases.len() >= 1_000);
    let mut counts = BTreeMap::<String, usize>::new();
    let mut differing = BTreeMap::<(Vec<&str>, String, String), usize>::new();
    let mut unexplained = Vec::new();
    for (case, theirs) in cases.iter().zip(&verdicts) {
        let Ours { spf, dkim, dmarc } = ours(&zone, case);
        let words = [spf.result.as_str(), dkim.word().as_str(), dmarc.result.as_str()];
        let (_, expected, to_them, why) = SIGNATURES.into_iter().find(|(how, ..)| *how == case.how).unwrap();
        assert_eq!(words[1], expected, "{}: {}", case.how, case.message);
        let facts = Facts {
            records: &records,
            author: &case.author,
            proofs: [(&case.sender, proof(words[0]), "aspf"), (&case.signer, proof(words[1]), "adkim")],
        };
        for ((method, ours), theirs) in ["spf", "dkim", "dmarc"].into_iter().zip(words).zip(theirs.split(' '))
        {
            *counts.entry(format!("{method}={ours}")).or_default() += 1;
            let why = match method {
                // Each result is that of one of the two texts, also where they are the same.
                "dmarc" => facts.points_between(ours, theirs),
                _ if ours == theirs => Some(Vec::new()),
                "dkim" => why.filter(|_| theirs == to_them).map(|why| vec![why]),
                _ => None,
            };
            match why {
                Some(none) if none.is_empty() => {}
                Some(why) => *differing.entry((why, ours.to_owned(), theirs.to_owned())).or_default() += 1,
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
    let expected =
        DIFFERENCES.map(|(why, ours, theirs, count)| ((why.to_vec(), ours.into(), theirs.into()), count));
    assert_eq!(differing, expected.into(), "{differing:#?}");
}

#[test]
fn the_page_about_judges_has_each_difference() {
    let page = include_str!("../../../docs/message-authentication.md");
    for (why, ours, theirs, count) in DIFFERENCES {
        let row = format!("| {} | {ours} | {theirs} | {count} |\n", why.join(" + "));
        assert!(page.contains(&row), "{row}");
    }
}

/// What would excuse anything shows nothing.
#[test]
fn a_result_of_neither_text_is_not_explained() {
    let records = BTreeMap::from([("o.example", BAD_ALIGNMENT), ("mail.o.example", "v=DMARC1; p=none")]);
    let facts = |author, sender, of_spf, signer, of_dkim| Facts {
        records: &records,
        author,
        proofs: [(sender, of_spf, "aspf"), (signer, of_dkim, "adkim")],
    };
    let (pass, other, later) = (Proof::Pass, Proof::Other, Proof::TempError);
    let cases = [
        (facts("o.example", "o.example", pass, "other.example", other), "pass", "pass", Some(vec![])),
        (facts("o.example", "o.example", pass, "other.example", other), "pass", "fail", None),
        (facts("o.example", "o.example", pass, "other.example", other), "fail", "fail", None),
        (facts("o.example", "other.example", pass, "o.example", pass), "pass", "fail", Some(vec![DEFAULT])),
        (facts("o.example", "other.example", pass, "o.example", pass), "pass", "none", None),
        (
            facts("o.example", "o.example", later, "other.example", pass),
            "temperror",
            "fail",
            Some(vec![LATER]),
        ),
        (facts("o.example", "o.example", later, "other.example", pass), "fail", "fail", None),
        (facts("x.example", "x.example", pass, "x.example", pass), "none", "none", Some(vec![])),
        (facts("x.example", "x.example", pass, "x.example", pass), "pass", "none", None),
    ];
    for (number, (facts, ours, theirs, expected)) in cases.into_iter().enumerate() {
        assert_eq!(facts.points_between(ours, theirs), expected, "{number}: {ours} {theirs}");
    }
}
