//! Routes by recipient domain or sender: `[[route]]` of the config.

use std::path::PathBuf;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::path::ReversePath;
use kings_queue::{Attempt, Destination, Outcome, Report};

use super::SmartHost;
use super::outcome::{deferred, failed};
use super::source::Source;

/// One route; the first that matches an attempt wins.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which mail it is for.
    pub matches: Match,
    /// What happens to it.
    pub action: Action,
    /// The address it leaves from, before all others that the config names.
    pub source: Source,
}

/// Which mail a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// To this domain.
    Recipients(Domain),
    /// From this address (folded).
    Sender(Address),
    /// From any address of this domain.
    SenderDomain(Domain),
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub enum Action {
    /// To this host.
    Host(SmartHost),
    /// To the LMTP server at this host, which has mailboxes (RFC 2033 §3).
    Lmtp(SmartHost),
    /// To the LMTP server behind this socket file.
    LmtpSocket(PathBuf),
    /// Nowhere, without a word.
    Discard,
    /// Back to the sender with this text.
    Error(String),
}

impl Match {
    fn covers(&self, reverse_path: &ReversePath, destination: &Destination) -> bool {
        let sender = || match reverse_path {
            ReversePath::Address(address) => Some(address.folded()),
            ReversePath::Null => None,
        };
        match self {
            Self::Recipients(domain) => *destination == Destination::Domain(domain.clone()),
            Self::Sender(address) => sender().as_ref() == Some(address),
            Self::SenderDomain(domain) => sender().is_some_and(|address| address.domain() == Some(domain)),
        }
    }
}

/// The route of this attempt, if there is one for it.
pub(crate) fn find<'r>(rules: &'r [Rule], attempt: &Attempt) -> Option<&'r Rule> {
    find_for(rules, &attempt.reverse_path, &attempt.destination)
}

/// The route of mail between these, if there is one for it.
pub(super) fn find_for<'r>(
    rules: &'r [Rule],
    reverse_path: &ReversePath,
    destination: &Destination,
) -> Option<&'r Rule> {
    rules.iter().find(|rule| rule.matches.covers(reverse_path, destination))
}

/// The outcome of an action that asks no host.
pub(crate) fn settled(action: &Action) -> Option<Outcome> {
    match action {
        Action::Host(_) | Action::Lmtp(_) | Action::LmtpSocket(_) => None,
        Action::Discard => {
            // No success to speak of: nobody is told.
            Some(Outcome::PassedOn(Report::ours(Status::DONE, "discarded by a route")))
        }
        Action::Error(text) => Some(error(text)),
    }
}

fn error(text: &str) -> Outcome {
    match error_status(text).0 {
        status @ Status(4, ..) => deferred(status, text),
        status => failed(status, text),
    }
}

/// Text that begins with a status of its own says whether to try again, as with Postfix's error(8) and retry(8); and
/// what stands behind the status.
pub(super) fn error_status(text: &str) -> (Status, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match Status::parse(first) {
        Some(status @ Status(4 | 5, ..)) => (status, rest.trim_start()),
        _ => (Status(5, 7, 1), text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::envelope::MailParameters;
    use kings_mail::id::TraceId;
    use kings_queue::Content;

    use super::*;

    fn attempt(reverse_path: &str, domain: &str) -> Attempt {
        Attempt {
            id: TraceId::new(0, 0),
            reverse_path: ReversePath::parse(reverse_path).unwrap(),
            parameters: MailParameters::default(),
            destination: Destination::Domain(Domain::parse(domain).unwrap()),
            recipients: Vec::new(),
            number: 1,
            content: Content::from(Vec::new()),
        }
    }

    #[test]
    fn the_status_of_an_error_says_whether_to_try_again() {
        let ours = Report::ours;
        for (text, expected) in [
            ("not that way", Outcome::Failed(ours(Status(5, 7, 1), "not that way"))),
            ("5.1.2 gone", Outcome::Failed(ours(Status(5, 1, 2), "5.1.2 gone"))),
            ("4.7.1 later", Outcome::Deferred(ours(Status(4, 7, 1), "4.7.1 later"))),
            ("2.0.0 what", Outcome::Failed(ours(Status(5, 7, 1), "2.0.0 what"))),
        ] {
            assert_eq!(settled(&Action::Error(text.to_owned())), Some(expected));
        }
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let rule = |matches, text: &str| Rule {
            matches,
            action: Action::Error(text.to_owned()),
            source: Source::default(),
        };
        let rules = [
            rule(Match::Recipients(Domain::parse("a.example").unwrap()), "one"),
            rule(Match::Sender(Address::parse("ann@example.org").unwrap()), "two"),
            rule(Match::SenderDomain(Domain::parse("example.org").unwrap()), "three"),
        ];
        let cases = [
            ("ann@example.org", "a.example", Some("one")),
            ("Ann@Example.org", "b.example", Some("two")),
            ("joe@example.org", "b.example", Some("three")),
            ("joe@sub.example.org", "b.example", None),
            ("", "b.example", None),
        ];
        for (sender, domain, expected) in cases {
            let found = find(&rules, &attempt(sender, domain)).and_then(|rule| settled(&rule.action));
            let text = found.map(|outcome| match outcome {
                Outcome::Failed(report) => report.reply,
                other => panic!("{other:?}"),
            });
            assert_eq!(text.as_deref(), expected, "{sender} {domain}");
        }
    }
}
