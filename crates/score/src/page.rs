//! The score as people read it.

use std::fmt::Write as _;

use kings_mail::visible;

use crate::points::{Grade, Point, Score, tenths};

/// Columns for the name of a point.
const NAMES: usize = 10;

/// A line for each point with what was measured and what to do below it. What others wrote is shown without its control
/// characters.
pub fn text(title: &str, score: &Score) -> String {
    let mut out = format!("{}\n", visible::line(title));
    for point in &score.points {
        lines_of(&mut out, point);
    }
    let word = match score.grade() {
        Grade::Good => "good: nine of ten or more",
        Grade::Below => "below nine of ten",
        Grade::CannotTell => "cannot tell: too little is known",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "  {}/{} known points   {word}", tenths(score.got()), tenths(score.known()));
    out
}

fn lines_of(out: &mut String, point: &Point) {
    let Point { name, full, got, facts, fixes, .. } = point;
    let got = got.map_or("?".to_owned(), tenths);
    let head = format!("{name:NAMES$} {:>5}", format!("{got}/{}", tenths(*full)));
    let mut facts = facts.iter().map(|fact| visible::line(fact));
    let _ = writeln!(out, "  {head}   {}", facts.next().unwrap_or_default());
    let blank = " ".repeat(NAMES + 10);
    for fact in facts {
        let _ = writeln!(out, "{blank} {fact}");
    }
    for fix in fixes {
        let _ = writeln!(out, "{blank} fix: {}", visible::line(fix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::Topic;

    #[test]
    fn nothing_of_a_message_reaches_the_terminal_as_a_command() {
        let points = vec![
            Topic::Tls.full(vec!["a\u{1b}[2Jb".into(), "more".into()]),
            Topic::Dkim.failed(vec!["no".into()], vec!["do\r\nit".into()]),
        ];
        let page = text("x", &Score { points, enough: 30 });
        let expected = "x\n  TLS          1/1   a\u{fffd}[2Jb\n                     more\n  DKIM         0/2   no\n\
                        \x20                    fix: do  it\n  1/3 known points   below nine of ten\n";
        assert_eq!(page, expected);
    }
}
