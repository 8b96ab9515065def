//! SPF against the tables in `tests/spf`: zones, and what each client gets.
//!
//! A file holds sections. `zone` lines are records, `case` lines are
//! `CLIENT | HELO | MAIL FROM | RESULT | EXPLANATION`; an empty MAIL FROM is the null sender, `HELO` in its place
//! checks the HELO identity. `-` expects no explanation, an empty field says nothing about it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read their tables")]

mod common;

use kings_dns::Zone;
use kings_mail::path::ReversePath;
use kings_msgauth::spf::{Limits, Outcome, Question, check};

fn outcome(zone: &Zone, client: &str, helo: &str, from: &str) -> Outcome {
    let path = (from != "HELO").then(|| ReversePath::parse(from).unwrap_or_else(|_| panic!("{from}")));
    let question = Question {
        client: client.parse().unwrap(),
        helo,
        mail_from: path.as_ref(),
        receiver: "mail.receiver.example",
        time: 1_700_000_000,
        limits: Limits::default(),
    };
    common::now(check(zone, &question, std::future::pending()))
}

fn play(path: &std::path::Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases = 0;
    for section in text.split("\n== ").skip(1) {
        let title = section.lines().next().unwrap();
        let lines = |mark: &'static str| section.lines().filter_map(move |line| line.strip_prefix(mark));
        let zone = lines("zone ").fold(Zone::default(), common::with_line);
        for case in lines("case ") {
            let fields: Vec<&str> = case.split('|').map(str::trim).collect();
            let [client, helo, from, expected, explanation] = fields.as_slice() else { panic!("{case}") };
            let got = outcome(&zone, client, helo, from);
            let told = got.explanation.as_deref().unwrap_or("-");
            let place = format!("{} {title}: {case}\n{got:?}", path.display());
            assert_eq!(got.result.as_str(), *expected, "{place}");
            assert!(explanation.is_empty() || told == *explanation, "{told:?} {place}");
            cases += 1;
        }
    }
    cases
}

#[test]
fn each_client_of_the_tables_gets_its_result() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spf");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let cases: usize = files.iter().map(|path| play(path)).sum();
    assert!(cases >= 150, "{cases} cases in {files:?}");
}
