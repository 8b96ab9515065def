//! pyspf judges the same cases as we do: generated records, senders and clients, the same DNS.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run a program and give it a file")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use kings_dns::Zone;
use kings_mail::path::ReversePath;
use kings_msgauth::spf::{BadRecord, Limits, Outcome, Question, Reason, Wrong, check};

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
            let local = numbers.one_of(&["ann", "ann+list", "bob", "x-ann", "Ann"]);
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

fn ours(zone: &Zone, [client, helo, sender]: &[String; 3]) -> Outcome {
    let path = ReversePath::parse(sender).unwrap();
    let question = Question {
        client: client.parse().unwrap(),
        helo,
        mail_from: Some(&path),
        receiver: "mail.receiver.example",
        time: 0,
        limits: Limits::default(),
    };
    common::now(check(zone, &question, std::future::pending()))
}

/// Why pyspf may say otherwise: the section of RFC 7208 that decides for us.
fn explained(case: &[String; 3], zone: &str, ours: &Outcome, theirs: &str) -> Option<&'static str> {
    let mut fields = theirs.split('|');
    let (result, voids) = (fields.next().unwrap(), fields.next_back().unwrap().parse::<u32>().unwrap());
    let domain = case[2].split_once('@').map_or(case[1].as_str(), |(_, domain)| domain);
    let own = format!("include:{domain}");
    let mut records = zone.lines().filter_map(|line| line.strip_prefix(domain)?.strip_prefix(" TXT "));
    let includes_itself = records
        .any(|record| record.split(' ').any(|term| term.ends_with(&own) || term.ends_with("include:%{d2}")));
    match result {
        // pyspf refuses the whole record; what stands before the include decides, and the include itself is a loop.
        "permerror" if includes_itself => Some("4.6.2: mechanisms are evaluated in turn"),
        // pyspf counts each question: each MX host without an address of the client's family, and %{p}.
        "permerror" if voids > 2 => Some("4.6.4: the limit on void lookups counts terms"),
        _ => match &ours.reason {
            // pyspf takes an unfinished macro for plain text, and the digit 0 for none.
            Reason::Malformed { bad: BadRecord::Term { term, wrong: Wrong::Macro }, .. }
                if term == "x=%{" =>
            {
                Some("7.1: a macro ends in a brace")
            }
            Reason::Malformed { bad: BadRecord::Term { term, wrong: Wrong::Macro }, .. }
                if term.contains("%{d0}") =>
            {
                Some("7.3: the number of labels is not zero")
            }
            _ => None,
        },
    }
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
    for (case, theirs) in cases.iter().zip(&verdicts) {
        let outcome = ours(&zone, case);
        *results.entry(outcome.result.as_str()).or_default() += 1;
        let told = outcome.explanation.as_deref().unwrap_or("-");
        if theirs.starts_with(&format!("{}|{told}|", outcome.result)) {
            continue;
        }
        match explained(case, &text, &outcome, theirs) {
            Some(section) => *differing.entry(section).or_default() += 1,
            None => unexplained.push(format!("{case:?}: pyspf {theirs}, ours {outcome:?}")),
        }
    }
    assert!(unexplained.is_empty(), "{} cases:\n{}", unexplained.len(), unexplained.join("\n"));
    // Each result occurs, and what is explained stays rare.
    for word in ["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"] {
        assert!(word == "none" || results.get(word).is_some_and(|count| *count > 20), "{results:?}");
    }
    let count: usize = differing.values().sum();
    assert!(count * 20 < cases.len(), "{count} of {} differ: {differing:?}", cases.len());
}
