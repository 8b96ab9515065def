//! The rules about one message: each has a name, a weight, a source, a reason and a remedy, and looks at nothing but the octets.

mod html;
mod link;
mod rules;
mod style;
mod subject;
mod words;

pub use self::rules::{RULES, rule};
use self::subject::Subject;

/// Tenths of a point that a content without findings has: two of the ten points.
pub const FULL: u16 = 20;
/// Longest fact of a finding, in characters: it quotes what others wrote.
pub const MAX_FACT: usize = 200;

/// One thing that a receiver holds against a message.
#[derive(Debug)]
pub struct Rule {
    /// How findings, documents and tests call it.
    pub id: &'static str,
    /// What it costs, in tenths of a point.
    pub weight: u16,
    /// Where it stands: a section of an RFC, or the published rule of a receiver or filter.
    pub source: &'static str,
    /// What is wrong when it hits.
    pub what: &'static str,
    /// Why receivers mind.
    pub why: &'static str,
    /// What to do about it.
    pub fix: &'static str,
    /// The fact, where it hits.
    check: fn(&Subject<'_>) -> Option<String>,
}

/// A rule that hit.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which one.
    pub rule: &'static Rule,
    /// What was found: one line, at most [`MAX_FACT`] characters. It quotes the message: show it with care.
    pub fact: String,
}

/// All that the rules found, the heaviest first.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// One for each rule that hit.
    pub findings: Vec<Finding>,
}

impl Content {
    /// What is left of [`FULL`].
    pub fn tenths(&self) -> u16 {
        let lost: u16 = self.findings.iter().map(|finding| finding.rule.weight).sum();
        FULL.saturating_sub(lost)
    }
}

/// Judges a message. `now` is in seconds since 1970.
///
/// Lines may end in LF alone throughout, as files of this machine have it. Time and room grow with the length of the
/// message; of its text no more than a megabyte is read as HTML.
pub fn judge(message: &[u8], now: i64) -> Content {
    let subject = Subject::new(message, now);
    let mut findings: Vec<Finding> = RULES
        .iter()
        .copied()
        .flatten()
        .filter_map(|rule| (rule.check)(&subject).map(|fact| Finding { rule, fact: short(&fact) }))
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.rule.weight));
    Content { findings }
}

/// One line of bounded length.
fn short(fact: &str) -> String {
    let line: String = fact
        .chars()
        .map(|c| if matches!(c, '\r' | '\n' | '\t') { ' ' } else { c })
        .take(MAX_FACT + 1)
        .collect();
    match line.char_indices().nth(MAX_FACT) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}
