//! What a check of DNS has found, for people and programs.

use kings_mail::domain::DnsName;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// Mail works, and something is left to do.
    Warn,
    /// It is on its way.
    Wait,
    /// Nobody knows now.
    CannotTell,
    /// Mail suffers.
    Fail,
}

impl State {
    /// The word in front of a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Wait => "wait",
            Self::CannotTell => "?",
            Self::Fail => "FAIL",
        }
    }

    /// The word for programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::CannotTell => "cannot_tell",
            Self::Fail => "fail",
            state => state.as_str(),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub state: State,
    /// The type of the record, `PTR` among them.
    pub kind: &'static str,
    /// Where it stands; an address for `PTR`.
    pub name: String,
    /// What it is for.
    pub purpose: &'static str,
    /// What was found.
    pub what: String,
    /// What to do, as text to paste.
    pub fix: Option<String>,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each zone with the servers that were asked.
    pub zones: Vec<(DnsName, Vec<String>)>,
    /// Line by line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many are in this state.
    pub fn count(&self, state: State) -> usize {
        self.findings.iter().filter(|finding| finding.state == state).count()
    }

    /// The worst of all lines: one that fails before one that nobody can tell.
    pub fn worst(&self) -> State {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }

    /// Findings about one purpose.
    pub fn about<'a>(&'a self, purpose: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.purpose == purpose)
    }

    /// For a terminal; lines that are well are counted unless all are wanted.
    pub fn text(&self, all: bool) -> String {
        let mut text = String::new();
        for (zone, servers) in &self.zones {
            let asked = match servers.as_slice() {
                [] => "no name server answers".to_owned(),
                [one] => format!("asked {one} directly"),
                [first, rest @ ..] => format!("asked {first} and {} more directly", rest.len()),
            };
            text += &format!("{zone}   {asked}\n");
        }
        let shown = |finding: &&Finding| all || finding.state != State::Ok;
        let width = self.findings.iter().filter(shown).map(|finding| finding.name.len()).max().unwrap_or(0);
        for Finding { state, kind, name, purpose, what, fix } in self.findings.iter().filter(shown) {
            text += &format!("  {:<4}  {kind:<5}  {name:width$}  {purpose}: {what}\n", state.as_str());
            if let Some(fix) = fix {
                text += &format!("              fix: {}\n", fix.replace('\n', "\n                   "));
            }
        }
        let good = self.count(State::Ok);
        if !all && good > 0 {
            text += &format!("  ok    {good} more (show with -v)\n");
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let counted = [
            (State::Fail, "failed", "failed"),
            (State::Warn, "warning", "warnings"),
            (State::Wait, "waiting", "waiting"),
            (State::CannotTell, "cannot be told now", "cannot be told now"),
        ];
        let parts = counted.into_iter().filter_map(|(state, one, more)| match self.count(state) {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { "All is well.\n".to_owned() } else { format!("{}.\n", parts.join(", ")) }
    }
}
