//! How a server is: one line for each subject, from measured facts, with the command that mends what is wrong.

mod facts;
mod judge;
mod nagios;

use kings_mail::visible;
use serde_json::{Value, json};

pub use self::facts::{
    Certificate, Disk, Guesses, Mailboxes, Order, Port, Process, Seen, Server, Space, Today, Waiting,
    WaitsFor,
};
pub use self::judge::{certificates, disk, dns, mailboxes, queue, receiving, security, sending, server};
pub use self::nagios::{Figure, NagiosCode, nagios};
pub use crate::dns::State;

/// One line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How programs call it.
    pub id: &'static str,
    /// How people call it.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was measured.
    pub text: String,
    /// The command that mends it; always there where it fails.
    pub fix: Option<String>,
}

impl Line {
    /// All is well.
    pub fn ok(id: &'static str, name: &'static str, text: impl Into<String>) -> Self {
        Self { id, name, state: State::Ok, text: text.into(), fix: None }
    }

    /// All is not well; `fix` mends it.
    pub fn not_ok(
        (id, name): (&'static str, &'static str),
        state: State,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { id, name, state, text: text.into(), fix: Some(fix.into()) }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "id": self.id, "state": self.state.key(), "text": self.text, "fix": self.fix })
    }
}

/// The worst of all lines.
pub fn worst(lines: &[Line]) -> State {
    lines.iter().map(|line| line.state).max().unwrap_or(State::Ok)
}

/// For people: a line for each, and below it what mends it, so that a long command can be copied whole.
pub fn text(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or_default();
    let line = |line: &Line| {
        let fix = line
            .fix
            .as_ref()
            .map_or(String::new(), |fix| format!("  {:width$}        fix: {}\n", "", visible::line(fix)));
        let (name, state) = (line.name, line.state.as_str());
        format!("  {name:width$}  {state:<4}  {}\n{fix}", visible::line(&line.text))
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_tells_its_state_and_what_mends_it_and_words_of_others_stay_in_it() {
        let lines = [
            Line::ok("disk", "Disk", "half of it is free"),
            Line::not_ok(("queue", "Queue"), State::Fail, "said \"\x1b[2J\nok\"", "kings queue list"),
        ];
        assert_eq!(
            text(&lines),
            "  Disk   ok    half of it is free\n  Queue  FAIL  said \"\u{fffd}[2J ok\"\n               fix: kings queue list\n"
        );
        assert_eq!([worst(&lines), worst(&lines[..1]), worst(&[])], [State::Fail, State::Ok, State::Ok]);
        let expected = json!({ "id": "disk", "state": "ok", "text": "half of it is free", "fix": null });
        assert_eq!(lines[0].json(), expected);
    }
}
