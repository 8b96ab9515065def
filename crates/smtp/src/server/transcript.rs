//! What was said in a session, kept for the postmaster: the last lines of both sides, without content and secrets.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reply::{Reply, Status};

/// Lines that are kept; older ones go.
const MAX_LINES: usize = 200;
/// Characters that are kept of a line.
const MAX_LENGTH: usize = 200;

/// What is no secret behind AUTH.
const COMMANDS: [&str; 9] =
    ["MAIL FROM:", "RCPT TO:", "DATA", "BDAT ", "RSET", "NOOP", "QUIT", "EHLO ", "STARTTLS"];

/// What a refusal was about, as Postfix's `notify_classes` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A rule would not have it.
    Policy,
    /// The client does not speak SMTP as it should.
    Protocol,
    /// No room, or no luck with the disk.
    Resource,
    /// A program that has a say gave no answer.
    Software,
}

impl Trouble {
    /// By the codes of a reply; `None` for one that is no trouble, or the recipient's alone.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        if reply.is_positive() {
            return None;
        }
        match (reply.code, reply.status?) {
            (500..=504 | 555, _) | (_, Status(_, 5, 0..=2 | 4..)) => Some(Self::Protocol),
            (_, Status(_, 7, _) | Status(5, 1, 8) | Status(_, 3, 4)) => Some(Self::Policy),
            (_, Status(4, 3, 5)) => Some(Self::Software),
            (_, Status(4, 3, 0 | 1)) => Some(Self::Resource),
            _ => None,
        }
    }
}

/// Kept by the session, read by whoever has the other clone.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// There were more.
    cut: bool,
    troubles: BTreeSet<Trouble>,
    /// How much of the session's output is here.
    taken: usize,
    /// AUTH was heard: a line that is no command may be a password that came too early.
    auth: bool,
}

impl Transcript {
    /// What has gone wrong so far.
    pub fn troubles(&self) -> BTreeSet<Trouble> {
        self.lock().troubles.clone()
    }

    /// Both sides, in their order: what we said is marked `Out:`, what the client said `In:`.
    pub fn lines(&self) -> Vec<String> {
        let kept = self.lock();
        let first = kept.cut.then(|| "(the lines before these are not kept)".to_owned());
        first.into_iter().chain(kept.lines.iter().cloned()).collect()
    }

    /// What the client has said, behind all that stands in `output`.
    pub(super) fn heard(&self, line: &str, output: &[u8]) {
        let mut kept = self.lock();
        kept.take(output);
        let shown = kept.shown(line);
        kept.push("In: ", shown);
    }

    /// All of the output, which is sent then.
    pub(super) fn sent(&self, output: &[u8]) {
        let mut kept = self.lock();
        kept.take(output);
        kept.taken = 0;
    }

    pub(super) fn note(&self, reply: &Reply) {
        if let Some(trouble) = Trouble::of(reply) {
            self.lock().troubles.insert(trouble);
        }
    }

    /// Lines are put in whole, so one that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self, output: &[u8]) {
        let fresh = String::from_utf8_lossy(output.get(self.taken..).unwrap_or_default()).into_owned();
        self.taken = output.len();
        for line in fresh.lines() {
            self.push("Out:", line);
        }
    }

    /// A command as it may be read by others: of AUTH the mechanism alone.
    fn shown<'a>(&mut self, line: &'a str) -> &'a str {
        let is = |verb: &str| line.get(..verb.len()).is_some_and(|start| start.eq_ignore_ascii_case(verb));
        if is("AUTH") {
            self.auth = true;
            let end = line.match_indices(' ').nth(1).map_or(line.len(), |(at, _)| at);
            return &line[..end];
        }
        if self.auth && !COMMANDS.iter().any(|verb| is(verb)) { "(not shown: no command)" } else { line }
    }

    /// In ASCII, whatever it was.
    fn push(&mut self, who: &str, line: &str) {
        let shown: String = line
            .chars()
            .take(MAX_LENGTH)
            .map(|c| if matches!(c, ' '..='~') { c.to_string() } else { c.escape_default().to_string() })
            .collect();
        self.lines.push_back(format!("{who} {shown}"));
        if self.lines.len() > MAX_LINES {
            self.lines.pop_front();
            self.cut = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_sorted_as_postfix_sorts_them() {
        let cases = [
            (Reply::OK, None),
            (Reply::GOODBYE, None),
            (Reply::START_MAIL, None),
            (Reply::UNKNOWN_USER, None),
            (Reply::TIMEOUT, None),
            (Reply::SHUTDOWN, None),
            (Reply::TOO_MANY_RECIPIENTS, None),
            (Reply::RELAY_DENIED, Some(Trouble::Policy)),
            (Reply::UNKNOWN_SENDER_DOMAIN, Some(Trouble::Policy)),
            (Reply::MESSAGE_TOO_LARGE, Some(Trouble::Policy)),
            (Reply::LOGIN_REFUSED, Some(Trouble::Policy)),
            (Reply::UNKNOWN_COMMAND, Some(Trouble::Protocol)),
            (Reply::BAD_REVERSE_PATH, Some(Trouble::Protocol)),
            (Reply::BAD_SEQUENCE, Some(Trouble::Protocol)),
            (Reply::NOT_SMTP, Some(Trouble::Protocol)),
            (Reply::UNKNOWN_PARAMETER, Some(Trouble::Protocol)),
            (Reply::NO_SPACE, Some(Trouble::Resource)),
            (Reply::TRY_LATER, Some(Trouble::Resource)),
            (Reply::new(451, Status(4, 3, 5), "x"), Some(Trouble::Software)),
        ];
        for (reply, expected) in cases {
            assert_eq!(Trouble::of(&reply), expected, "{reply}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let mut lines = Kept::default();
        let cases = [
            ("c2VjcmV0 before any AUTH", "c2VjcmV0 before any AUTH"),
            ("AUTH PLAIN AGFubgBzZWNyZXQ=", "AUTH PLAIN"),
            ("auth login YW5u", "auth login"),
            ("AUTH", "AUTH"),
            ("c2VjcmV0", "(not shown: no command)"),
            ("mail from:<a@b> AUTH=<>", "mail from:<a@b> AUTH=<>"),
        ];
        for (line, expected) in cases {
            assert_eq!(lines.shown(line), expected);
        }
    }

    #[test]
    fn a_flood_of_lines_and_odd_letters_stay_within_bounds() {
        let transcript = Transcript::default();
        for number in 0..10_000 {
            transcript.heard(&format!("{number} \u{fc}\r{}", "x".repeat(5_000)), b"");
        }
        let lines = transcript.lines();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert!(lines.iter().all(|line| line.is_ascii() && !line.contains('\r') && line.len() < 250));
        assert!(lines[1].starts_with("In:  9800 \\u{fc}\\rxxx"), "{}", lines[1]);
    }
}
