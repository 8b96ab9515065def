//! The line of a plugin for Nagios and its kin: a word, what is wrong, and figures.

use kings_mail::visible;

use super::{Line, State, worst};

/// The exit code of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NagiosCode {
    /// All is well.
    Ok = 0,
    /// Somebody should look.
    Warning = 1,
    /// Something does not work.
    Critical = 2,
    /// Nobody can tell.
    Unknown = 3,
}

impl NagiosCode {
    /// What is under way is worth a look, as it may stay so.
    fn of(state: State) -> Self {
        match state {
            State::Ok => Self::Ok,
            State::Warn | State::Wait => Self::Warning,
            State::CannotTell => Self::Unknown,
            State::Fail => Self::Critical,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One figure: `label=value[unit];warn;crit;min`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name.
    pub label: &'static str,
    /// How much.
    pub value: i64,
    /// `s`, `B`, `%`, `c` for a counter, or nothing.
    pub unit: &'static str,
    /// From where it is worth a look, and from where it is a fault, as ranges of the plugin guidelines.
    pub bounds: (&'static str, &'static str),
}

/// The line, and the code to exit with.
pub fn nagios(lines: &[Line], figures: &[Figure]) -> (String, NagiosCode) {
    let code = NagiosCode::of(worst(lines));
    let bad: Vec<&Line> = {
        let mut bad: Vec<&Line> = lines.iter().filter(|line| line.state != State::Ok).collect();
        bad.sort_by_key(|line| std::cmp::Reverse(line.state));
        bad
    };
    let text = match bad.as_slice() {
        [] => "all is well".to_owned(),
        bad => bad.iter().map(|line| format!("{}: {}", line.name, line.text)).collect::<Vec<_>>().join("; "),
    };
    // A bar would begin the figures.
    let text = visible::line(&text).replace('|', "/");
    let figure = |Figure { label, value, unit, bounds: (warn, crit) }: &Figure| {
        format!("{label}={value}{unit};{warn};{crit}")
    };
    let figures: Vec<String> = figures.iter().map(figure).collect();
    let bar = if figures.is_empty() { "" } else { " | " };
    (format!("KINGS {} - {text}{bar}{}", code.word(), figures.join(" ")), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: State, text: &str) -> Line {
        Line { id: "x", name: "X", state, text: text.to_owned(), fix: None }
    }

    #[test]
    fn the_worst_line_gives_word_and_code_and_stands_first() {
        let cases = [
            (vec![line(State::Ok, "fine")], "KINGS OK - all is well", NagiosCode::Ok),
            (vec![line(State::Wait, "w")], "KINGS WARNING - X: w", NagiosCode::Warning),
            (
                vec![line(State::Warn, "w"), line(State::CannotTell, "c")],
                "KINGS UNKNOWN - X: c; X: w",
                NagiosCode::Unknown,
            ),
            (
                vec![line(State::CannotTell, "c"), line(State::Fail, "f|g\nh")],
                "KINGS CRITICAL - X: f/g h; X: c",
                NagiosCode::Critical,
            ),
        ];
        for (lines, text, code) in cases {
            assert_eq!(nagios(&lines, &[]), (text.to_owned(), code));
        }
        let figure = Figure { label: "oldest", value: 5, unit: "s", bounds: ("14400", "") };
        assert_eq!(nagios(&[], &[figure]).0, "KINGS OK - all is well | oldest=5s;14400;");
        assert_eq!(NagiosCode::Unknown as u8, 3);
    }
}
