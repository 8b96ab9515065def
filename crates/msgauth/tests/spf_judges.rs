//! pyspf judges the same cases as we do: generated records, senders and clients, the same DNS.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run a program and give it a file")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use kings_dns::Zone;
use kings_mail::path::ReversePath;
use kings_msgauth::spf::{Limits, Outcome, Question, check};

const DOMAINS: u32 = 300;
const CLIENTS: [&str; 6] =
    ["192.0.2.1", "192.0.2.77", "198.51.100.9", "203.0.113.200", "2001:db8::1", "2001:db8:1::99"];

/// The same numbers on every run: a failure can be looked at again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % end
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(u32::try_from(choices.len()).unwrap()) as usize]
    }
}

/// Hosts that all records may name.
const HOSTS: &str = "\
one.host.example A 192.0.2.1
one.host.example AAAA 2001:db8::1
two.host.example A 198.51.100.9
two.host.example A 203.0.113.7
six.host.example AAAA 2001:db8:1::1
both.host.example A 192.0.2.64
both.host.example AAAA 2001:db8::64
mx.host.example MX 10 one.host.example
mx.host.example MX 20 both.host.example
mx2.host.example MX 10 two.host.example
broken.host.example FAILS
192.0.2.1 PTR one.host.example
192.0.2.77 PTR liar.host.example
198.51.100.9 PTR two.host.example
2001:db8::1 PTR one.host.example
ann.list.example A 127.0.0.2
ann+list.list.example A 127.0.0.2
srs0=x/y=host.example=joe.list.example A 127.0.0.2
192.0.2.1.list.example A 127.0.0.2
77.2.0.192.in-addr.list.example A 127.0.0.2
host.example.list.example A 127.0.0.2
pass.example TXT v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/48 -all
soft.example TXT v=spf1 a:one.host.example ~all
neutral.example TXT v=spf1 mx:mx.host.example ?all
deep.example TXT v=spf1 include:pass.example include:soft.example -all
wrong.example TXT v=spf1 a:host
brokenrecord.example FAILS
why.example TXT %{s} may not use %{c} (%{d}, %{l}, %{o})
";

fn record(numbers: &mut Numbers, domain: &str) -> String {
    let mut text = "v=spf1".to_owned();
    for _ in 0..numbers.below(5) {
        let qualifier = numbers.one_of(&["", "", "", "+", "-", "~", "?"]);
        let term = numbers.one_of(&[
            "a:one.host.example",
            "a:two.host.example/24",
            "a:both.host.example//64",
            "a:one.host.example/16//32",
            "a:six.host.example",
            "mx:mx.host.example",
            "mx:mx2.host.example/24",
            "mx:mx.host.example/0",
            "ptr",
            "ptr:host.example",
            "ptr:two.host.example",
            "ip4:192.0.2.1",
            "ip4:192.0.2.0/25",
            "ip4:198.51.100.0/24",
            "ip4:0.0.0.0/0",
            "ip6:2001:db8::/32",
            "ip6:2001:db8::1",
            "ip6:::/0",
            "include:pass.example",
            "include:soft.example",
            "include:neutral.example",
            "include:deep.example",
            "exists:%{i}.list.example",
            "exists:%{l}.list.example",
            "exists:%{ir}.%{v}.list.example",
            "exists:%{h2}.list.example",
            "exists:%{l1r+-}.list.example",
            "a:%{h}",
            "a:%{o}",
            "include:%{d2}",
            "A:ONE.host.example",
            "IP4:192.0.2.77",
        ]);
        write!(text, " {qualifier}{term}").unwrap();
    }
    // Now and then something that is wrong, absent or broken.
    if numbers.below(6) == 0 {
        let odd = numbers.one_of(&[
            "include:absent.example",
            "include:wrong.example",
            "include:brokenrecord.example",
            "a:broken.host.example",
            "mx:broken.host.example",
            "a:absent.example",
            "mx:absent.example",
            "exists:absent.example",
            "ip4:192.0.2.300",
            "ip4:192.0.2.0/33",
            "ip6:2001:db8::/129",
            "ip4:192.0.2.1/",
            "a/33",
            "all:x",
            "include",
            "exists:",
            "a:",
            "what",
            "a:host",
            "redirect:pass.example",
            "x=%{d}",
            "x=%{",
            "exists:%{x}.example",
            "a:%{d0}.example",
            "-",
            "=x",
            "moo.cow-far_out=man:dog/cat",
            "ptr:",
            "mx//129",
            "include:self.example",
            "exp=a.example exp=b.example",
        ]);
        write!(text, " {odd}").unwrap();
    }
    if numbers.below(60) == 0 {
        write!(text, " include:{domain}").unwrap();
    }
    let end = numbers.one_of(&[
        " -all",
        " ~all",
        " ?all",
        " +all",
        "",
        " redirect=pass.example",
        " redirect=deep.example",
        " -all exp=why.example",
        " redirect=absent.example",
        " redirect=soft.example",
        " exp=why.example -all",
        "  -all ",
    ]);
    text + end
}

/// Records and cases, as the judge reads them.
fn matrix() -> (String, Vec<[String; 3]>) {
    let mut numbers = Numbers(7);
    let mut zone = HOSTS.to_owned();
    let mut cases = Vec::new();
    for number in 0..DOMAINS {
        let domain = format!("d{number}.example");
        writeln!(zone, "{domain} TXT {}", record(&mut numbers, &domain)).unwrap();
        if numbers.below(40) == 0 {
            writeln!(zone, "{domain} TXT v=spf1 -all").unwrap();
        }
        for _ in 0..5 {
            let client = numbers.one_of(&CLIENTS).to_owned();
            let helo = numbers.one_of(&[
                "one.host.example",
                "host.example",
                "h.example",
                "localhost",
                "[192.0.2.1]",
            ]);
            let local =
                numbers.one_of(&["ann", "ann+list", "SRS0=x/y=host.example=joe", "bob", "x-ann", "Ann"]);
            let sender = if numbers.below(10) == 0 { String::new() } else { format!("{local}@{domain}") };
            let helo = if sender.is_empty() { domain.clone() } else { helo.to_owned() };
            cases.push([client, helo, sender]);
        }
    }
    (zone, cases)
}

/// pyspf's answers, one for each case.
fn judge(zone: &str, cases: &[[String; 3]]) -> Vec<String> {
    let mut text = zone.to_owned();
    for case in cases {
        writeln!(text, "case {}", case.join("|")).unwrap();
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spf-matrix-{}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/pyspf.py");
    let output = Command::new(common::python())
        .arg(script)
        .arg(&file)
        .output()
        .expect("python3; ./test.sh sets it up");
    std::fs::remove_file(&file).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pyspf (./test.sh installs it): {complaint}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn ours(zone: &Zone, case: &[String; 3]) -> Outcome {
    within(Limits::default(), zone, case)
}

fn within(limits: Limits, zone: &Zone, [client, helo, sender]: &[String; 3]) -> Outcome {
    let path = ReversePath::parse(sender).unwrap();
    let question = Question {
        client: client.parse().unwrap(),
        helo,
        mail_from: Some(&path),
        receiver: "mail.receiver.example",
        time: 0,
        limits,
    };
    common::now(check(zone, &question, std::future::pending()))
}

/// Where pyspf reads a record in another way than RFC 7208 has it.
const IN_TURN: &str = "RFC 7208 §4.6.2: mechanisms are evaluated in turn";
const VOID: &str = "RFC 7208 §4.6.4: the limit on void lookups counts terms";
const BRACE: &str = "RFC 7208 §7.1: a macro ends in a brace";
const LABELS: &str = "RFC 7208 §7.3: the number of labels is not zero";

/// Every difference that there is over this matrix, and how often: one more, or one less, is a failure.
const DIFFERENCES: [(&str, usize); 4] = [(IN_TURN, 20), (VOID, 1), (BRACE, 15), (LABELS, 3)];

/// The record as pyspf reads it: what we make of that must be what pyspf makes of this.
fn as_pyspf(record: &str, domain: &str) -> Option<(&'static str, String)> {
    let own = format!("include:{domain}");
    let is_own = |term: &&str| term.ends_with(&own) || term.ends_with("include:%{d2}");
    if let Some(own) = record.split(' ').find(is_own) {
        // It refuses the whole record; to us what stands before the include decides, and the include itself is a loop.
        return Some((IN_TURN, record.replacen("v=spf1", &format!("v=spf1 {own}"), 1)));
    }
    if record.contains(" x=%{ ") || record.ends_with(" x=%{") {
        return Some((BRACE, record.replacen(" x=%{", "", 1)));
    }
    record.contains("%{d0}").then(|| (LABELS, record.replacen("%{d0}", "%{d}", 1)))
}

/// Why pyspf says otherwise: the section that decides for us, where pyspf's result is what follows without it.
fn explained(case: &[String; 3], text: &str, theirs: &str) -> Option<&'static str> {
    let domain = case[2].split_once('@').map_or(case[1].as_str(), |(_, domain)| domain);
    let start = format!("{domain} TXT ");
    let record = text.lines().find_map(|line| line.strip_prefix(&start))?;
    let (why, outcome) = match as_pyspf(record, domain) {
        Some((why, read)) => {
            let text = text.replacen(&format!("{start}{record}\n"), &format!("{start}{read}\n"), 1);
            (why, ours(&text.lines().fold(Zone::default(), common::with_line), case))
        }
        // It counts each question: each MX host without an address of the client's family, each name of a client.
        None => {
            let voids: usize = theirs.rsplit('|').next()?.parse().ok()?;
            let zone = text.lines().fold(Zone::default(), common::with_line);
            let none = Limits { void_lookups: 0, ..Limits::default() };
            Some((VOID, within(none, &zone, case))).filter(|_| voids > 2)?
        }
    };
    theirs.starts_with(&told(&outcome)).then_some(why)
}

/// Result and explanation as the judge writes them.
fn told(outcome: &Outcome) -> String {
    format!("{}|{}|", outcome.result, outcome.explanation.as_deref().unwrap_or("-"))
}

#[test]
fn pyspf_comes_to_the_same_result() {
    let (text, cases) = matrix();
    let zone = text.lines().fold(Zone::default(), common::with_line);
    let verdicts = judge(&text, &cases);
    assert_eq!(verdicts.len(), cases.len());
    assert!(cases.len() >= 1_000);
    let mut results = std::collections::BTreeMap::<&str, usize>::new();
    let mut differing = std::collections::BTreeMap::<&str, usize>::new();
    let mut unexplained = Vec::new();
    let mut signed_local_parts = 0;
    for (case, theirs) in cases.iter().zip(&verdicts) {
        let outcome = ours(&zone, case);
        *results.entry(outcome.result.as_str()).or_default() += 1;
        let by_local_part = outcome.reason.to_string().contains("matched exists:%{l}.list.example");
        signed_local_parts += usize::from(by_local_part && case[2].contains(['+', '=']));
        if theirs.starts_with(&told(&outcome)) {
            continue;
        }
        match explained(case, &text, theirs) {
            Some(section) => *differing.entry(section).or_default() += 1,
            None => unexplained.push(format!("{case:?}: pyspf {theirs}, ours {outcome:?}")),
        }
    }
    assert!(unexplained.is_empty(), "{} cases:\n{}", unexplained.len(), unexplained.join("\n"));
    // "none" is for senders without a record, which are none of these.
    for word in ["neutral", "pass", "fail", "softfail", "temperror", "permerror"] {
        assert!(results.get(word).is_some_and(|count| *count > 20), "{results:?}");
    }
    assert_eq!(differing, DIFFERENCES.into(), "{} cases", cases.len());
    assert!(signed_local_parts > 5, "{signed_local_parts} local parts with signs were found in the list");
}

#[test]
fn the_page_about_judges_has_each_difference() {
    let page = include_str!("../../../docs/message-authentication.md");
    for (why, count) in DIFFERENCES {
        assert!(page.contains(&format!("| {why} | {count} |\n")), "{why}");
    }
}

/// What would excuse anything shows nothing.
#[test]
fn a_result_that_does_not_follow_from_a_reading_is_not_explained() {
    let case = |client: &str| [client.to_owned(), "h.example".to_owned(), "ann@d.example".to_owned()];
    let (near, far) = (case("192.0.2.1"), case("203.0.113.200"));
    let cases = [
        ("v=spf1 ip4:192.0.2.1 include:d.example -all", &near, "permerror|-|0", Some(IN_TURN)),
        ("v=spf1 ip4:192.0.2.1 include:d.example -all", &near, "fail|-|0", None),
        ("v=spf1 ip4:192.0.2.1 x=%{ -all", &near, "pass|-|0", Some(BRACE)),
        ("v=spf1 ip4:192.0.2.1 x=%{ -all", &far, "fail|-|0", Some(BRACE)),
        ("v=spf1 ip4:192.0.2.1 x=%{ -all", &far, "pass|-|0", None),
        ("v=spf1 ip4:192.0.2.1 a:%{d0}.example ~all", &far, "softfail|-|1", Some(LABELS)),
        ("v=spf1 ip4:192.0.2.1 a:%{d0}.example ~all", &far, "neutral|-|1", None),
        ("v=spf1 a:absent.example -all", &far, "permerror|-|3", Some(VOID)),
        ("v=spf1 a:absent.example -all", &far, "permerror|-|2", None),
        ("v=spf1 ip4:192.0.2.1 -all", &far, "permerror|-|3", None),
        ("v=spf1 ip4:192.0.2.1 -all", &far, "pass|-|0", None),
    ];
    for (record, case, theirs, expected) in cases {
        let text = format!("{HOSTS}d.example TXT {record}\n");
        assert_eq!(explained(case, &text, theirs), expected, "{record} {theirs}");
    }
}
