//! The score as people and as programs read it.

use std::fmt::Write as _;

use kings_mail::visible;
use kings_score::content::Content;
use kings_score::points::{Grade, Point, Score, tenths};
use serde_json::{Value, json};

/// Columns for the name of a point.
const NAMES: usize = 10;

/// All that is shown.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) score: Score,
    pub(super) content: Content,
}

impl Page {
    /// For people. What others wrote is shown without its control characters.
    pub(super) fn text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for point in &self.score.points {
            lines_of(&mut out, point);
        }
        let (got, known) = (self.score.got(), self.score.known());
        let word = match self.score.grade() {
            Grade::Good => "good: nine of ten or more",
            Grade::Below => "below nine of ten",
            Grade::CannotTell => "cannot tell: too little is known",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {}/{} known points   {word}", tenths(got), tenths(known));
        out
    }

    /// For programs: stable, as `docs/score.md` documents it.
    pub(super) fn json(&self) -> String {
        let grade = match self.score.grade() {
            Grade::Good => "good",
            Grade::Below => "below",
            Grade::CannotTell => "cannot-tell",
        };
        let points: Vec<Value> = self.score.points.iter().map(point).collect();
        let findings: Vec<Value> = self
            .content
            .findings
            .iter()
            .map(|finding| {
                let rule = finding.rule;
                json!({ "rule": rule.id, "costs": number(rule.weight), "what": rule.what, "fact": finding.fact,
                    "why": rule.why, "fix": rule.fix, "source": rule.source })
            })
            .collect();
        let object = json!({
            "schema": 1,
            "got": number(self.score.got()),
            "known": number(self.score.known()),
            "grade": grade,
            "points": points,
            "findings": findings,
        });
        format!("{object}\n")
    }
}

fn lines_of(out: &mut String, point: &Point) {
    let Point { name, full, got, facts, fixes, .. } = point;
    let got = got.map_or("?".to_owned(), tenths);
    let head = format!("{name:NAMES$} {:>5}", format!("{got}/{}", tenths(*full)));
    let mut facts = facts.iter().map(|fact| visible::line(fact));
    let _ = writeln!(out, "  {head}   {}", facts.next().unwrap_or_default());
    let blank = " ".repeat(NAMES + 9);
    for fact in facts {
        let _ = writeln!(out, "{blank} {fact}");
    }
    for fix in fixes {
        let _ = writeln!(out, "{blank} fix: {}", visible::line(fix));
    }
}

fn point(point: &Point) -> Value {
    let Point { id, full, got, facts, fixes, .. } = point;
    json!({ "id": id, "full": number(*full), "got": got.map(number), "facts": facts, "fixes": fixes })
}

/// Tenths as a number of points.
fn number(count: u16) -> f64 {
    f64::from(count) / 10.0
}
