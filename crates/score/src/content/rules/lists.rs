//! Mail to many: what Gmail, Yahoo and Microsoft want of those who send to lists.

use kings_mail::header;
use kings_msgauth::dkim::Signature;

use super::super::Rule;
use super::super::subject::Subject;
use super::when;

pub(super) const RULES: &[&Rule] = &[
    &Rule {
        id: "unsubscribe-missing",
        weight: 8,
        source: "Gmail, Yahoo and Outlook.com sender rules; RFC 2369 §3.2",
        what: "Mail to many has no List-Unsubscribe",
        why: "Gmail and Yahoo want it from whoever sends many; readers without it press the button for spam.",
        fix: "Add List-Unsubscribe with an https address, and List-Unsubscribe-Post.",
        check: |subject| {
            let mark = mark_of_lists(subject)?;
            when(subject.first("List-Unsubscribe").is_none(), || format!("{mark}, and no List-Unsubscribe"))
        },
    },
    &Rule {
        id: "unsubscribe-malformed",
        weight: 4,
        source: "RFC 2369 §2",
        what: "List-Unsubscribe names no address in angle brackets",
        why: "Programs show no button, and the rules of Gmail and Yahoo count it as missing.",
        fix: "Write \"List-Unsubscribe: <https://example.org/u/ID>, <mailto:leave@example.org>\".",
        check: |subject| {
            let value = subject.value("List-Unsubscribe")?;
            let is_good =
                addresses(&value).any(|address| starts(address, "https:") || starts(address, "mailto:"));
            when(!is_good, || format!("List-Unsubscribe: {value}"))
        },
    },
    &Rule {
        id: "unsubscribe-not-one-click",
        weight: 5,
        source: "RFC 8058 §3.1; Gmail and Yahoo sender rules",
        what: "Unsubscribing takes more than one click",
        why: "From 5,000 messages a day on Gmail and Yahoo want it by one request, without a page to log in to.",
        fix: "Name an https address in List-Unsubscribe, and add \"List-Unsubscribe-Post: List-Unsubscribe=One-Click\".",
        check: one_click,
    },
    &Rule {
        id: "unsubscribe-unsigned",
        weight: 5,
        source: "RFC 8058 §4",
        what: "No DKIM signature covers List-Unsubscribe and List-Unsubscribe-Post",
        why: "Receivers then ignore them, since anybody on the way could have put them there.",
        fix: "Sign both fields: they belong into h= of the signature. Kings signs them.",
        check: unsigned,
    },
];

/// What says that a message goes to many.
fn mark_of_lists(subject: &Subject<'_>) -> Option<String> {
    let precedence = subject.value("Precedence").unwrap_or_default().to_ascii_lowercase();
    if matches!(precedence.as_str(), "bulk" | "list") {
        return Some(format!("Precedence: {precedence}"));
    }
    let marks = ["List-Id", "List-Post", "Feedback-ID", "X-CSA-Complaints"];
    marks.into_iter().find(|name| subject.first(name).is_some()).map(|name| format!("there is {name}"))
}

/// What stands in angle brackets.
fn addresses(value: &str) -> impl Iterator<Item = &str> {
    value.split('<').skip(1).filter_map(|piece| piece.split_once('>')).map(|(address, _)| address.trim())
}

fn starts(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn one_click(subject: &Subject<'_>) -> Option<String> {
    let value = subject.value("List-Unsubscribe")?;
    // One that is no address at all is told by the rule above.
    addresses(&value).next()?;
    let post = subject.value("List-Unsubscribe-Post").unwrap_or_default();
    let is_post = post.eq_ignore_ascii_case("List-Unsubscribe=One-Click");
    let by_web = addresses(&value).any(|address| starts(address, "https:"));
    match (by_web, is_post) {
        (true, true) => None,
        (false, _) => Some("no https address in List-Unsubscribe".into()),
        (true, false) => Some("no List-Unsubscribe-Post: List-Unsubscribe=One-Click".into()),
    }
}

fn unsigned(subject: &Subject<'_>) -> Option<String> {
    const BOTH: [&str; 2] = ["list-unsubscribe", "list-unsubscribe-post"];
    if !BOTH.iter().all(|name| subject.first(name).is_some()) {
        return None;
    }
    let covers = |field: header::Field<'_>| {
        Signature::parse(field.value).is_ok_and(|signature| {
            BOTH.iter().all(|name| signature.names.iter().any(|signed| signed == name))
        })
    };
    let is_covered = header::all(subject.header(), "DKIM-Signature").take(20).any(covers);
    when(!is_covered, || "no signature has both in h=".into())
}
