//! The score as people and as programs read it.

use kings_score::content::Content;
use kings_score::page;
use kings_score::points::{Grade, Point, Score};
use serde_json::{Value, json};

/// All that is shown.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) score: Score,
    pub(super) content: Content,
}

impl Page {
    /// For people. What others wrote is shown without its control characters.
    pub(super) fn text(&self) -> String {
        page::text(&self.title, &self.score)
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

fn point(point: &Point) -> Value {
    let Point { id, full, got, facts, fixes, .. } = point;
    json!({ "id": id, "full": number(*full), "got": got.map(number), "facts": facts, "fixes": fixes })
}

/// Tenths as a number of points.
fn number(count: u16) -> f64 {
    f64::from(count) / 10.0
}
