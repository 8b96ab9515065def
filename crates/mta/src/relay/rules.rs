//! Routes by recipient or sender: `[[route]]` of the config.

use std::path::PathBuf;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::{Attempt, Outcome, Report};

use super::SmartHost;
use super::outcome::{deferred, failed};
use super::source::Source;

/// The routes of the config.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// All of them, in their order.
    pub rules: Vec<Rule>,
    /// What parts a name from its tag: a route of `ann@` is also one of `ann+tag@`.
    pub delimiters: String,
}

/// One route.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which mail it is for.
    pub matches: Match,
    /// What happens to it.
    pub action: Action,
    /// The address it leaves from, before all others that the config names.
    pub source: Source,
}

/// Which mail a route is for; what is not named may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// To these.
    pub recipients: Option<Recipients>,
    /// From these.
    pub senders: Option<Senders>,
}

/// Whom mail is for, as in Postfix's transport(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// This address (folded), with any tag.
    Address(Address),
    /// Anybody in this domain.
    Domain(Domain),
    /// Anybody in a domain below this one.
    Below(Domain),
    /// Anybody.
    All,
}

/// Whom mail is from, as in Postfix's `sender_dependent_relayhost_maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Senders {
    /// This address (folded), with any tag.
    Address(Address),
    /// Anybody in this domain.
    Domain(Domain),
    /// Nobody: bounces and other reports (RFC 5321 §4.5.5).
    Null,
}

impl From<Recipients> for Match {
    fn from(recipients: Recipients) -> Self {
        Self { recipients: Some(recipients), senders: None }
    }
}

impl From<Senders> for Match {
    fn from(senders: Senders) -> Self {
        Self { recipients: None, senders: Some(senders) }
    }
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

/// How far a condition is from naming one address; the nearest decides. The order is that of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// It names the very address.
    Address,
    /// It names the address that stands before the tag.
    Untagged,
    /// It names the domain, or nobody.
    Domain,
    /// It names a domain so many labels above.
    Below(usize),
    /// It names everybody.
    All,
    /// There is no condition.
    Free,
}

impl Routes {
    /// The route of mail between these, if there is one for it: that with the nearest recipients, then with the nearest
    /// senders, then the first. So a route that names recipients stands before all that name senders alone, as
    /// transport(5) stands before `sender_dependent_relayhost_maps` with Postfix.
    pub(super) fn find(&self, reverse_path: &ReversePath, recipient: &Address) -> Option<&Rule> {
        let sender = reverse_path.address().map(|sender| Sought::new(sender, &self.delimiters));
        let recipient = Sought::new(recipient, &self.delimiters);
        let distance = |matches: &Match| {
            let to =
                matches.recipients.as_ref().map_or(Some(Distance::Free), |to| to.distance(&recipient))?;
            let from = matches
                .senders
                .as_ref()
                .map_or(Some(Distance::Free), |from| from.distance(sender.as_ref()))?;
            Some((to, from))
        };
        let found = self.rules.iter().filter_map(|rule| Some((distance(&rule.matches)?, rule)));
        found.min_by_key(|(distance, _)| *distance).map(|(_, rule)| rule)
    }

    /// The ways that the recipients of an attempt take: of each the route, if there is one for it, and the places in
    /// the attempt. What no route names goes together.
    pub(super) fn ways(&self, attempt: &Attempt) -> Vec<(Option<&Rule>, Vec<usize>)> {
        let mut ways: Vec<(Option<&Rule>, Vec<usize>)> = Vec::new();
        for (place, recipient) in attempt.recipients.iter().enumerate() {
            let rule = match &recipient.path {
                ForwardPath::Address(address) => self.find(&attempt.reverse_path, address),
                ForwardPath::Postmaster => None,
            };
            let same = |other: Option<&Rule>| rule.map(std::ptr::from_ref) == other.map(std::ptr::from_ref);
            match ways.iter_mut().find(|(other, _)| same(*other)) {
                Some((_, places)) => places.push(place),
                None => ways.push((rule, vec![place])),
            }
        }
        ways
    }
}

/// An address that routes are sought for.
struct Sought {
    folded: Address,
    untagged: Option<Address>,
}

impl Sought {
    fn new(address: &Address, delimiters: &str) -> Self {
        let folded = address.folded();
        Self { untagged: folded.without_tag(delimiters), folded }
    }

    fn distance(&self, address: &Address) -> Option<Distance> {
        if self.folded == *address {
            return Some(Distance::Address);
        }
        (self.untagged.as_ref() == Some(address)).then_some(Distance::Untagged)
    }
}

impl Recipients {
    fn distance(&self, recipient: &Sought) -> Option<Distance> {
        let domain = recipient.folded.domain();
        match self {
            Self::Address(address) => recipient.distance(address),
            Self::Domain(own) => (domain == Some(own)).then_some(Distance::Domain),
            Self::Below(own) => {
                let above = domain?.with_parents().position(|parent| parent == *own)?;
                (above > 0).then_some(Distance::Below(above))
            }
            Self::All => Some(Distance::All),
        }
    }
}

impl Senders {
    fn distance(&self, sender: Option<&Sought>) -> Option<Distance> {
        match (self, sender) {
            (Self::Address(address), Some(sender)) => sender.distance(address),
            (Self::Domain(own), Some(sender)) => {
                (sender.folded.domain() == Some(own)).then_some(Distance::Domain)
            }
            (Self::Null, None) => Some(Distance::Domain),
            _ => None,
        }
    }
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
    use kings_queue::{Content, Destination};

    use super::*;

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

    /// Every route is an error whose text is its name.
    fn routes(rules: &[(Option<Recipients>, Option<Senders>, &str)]) -> Routes {
        let rule = |(recipients, senders, name): &(Option<Recipients>, Option<Senders>, &str)| Rule {
            matches: Match { recipients: recipients.clone(), senders: senders.clone() },
            action: Action::Error((*name).to_owned()),
            source: Source::default(),
        };
        Routes { rules: rules.iter().map(rule).collect(), delimiters: "+".to_owned() }
    }

    fn name(rule: &Rule) -> &str {
        match &rule.action {
            Action::Error(name) => name,
            other => panic!("{other:?}"),
        }
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[track_caller]
    fn lead(routes: &Routes, cases: &[(&str, &str, &str)]) {
        for (sender, recipient, expected) in cases {
            let found = routes.find(&ReversePath::parse(sender).unwrap(), &address(recipient));
            assert_eq!(found.map_or("", name), *expected, "{sender} to {recipient}");
        }
    }

    /// transport(5): the address, the address without its tag, the domain, the nearest domain above, everything. The
    /// order of the file is the wrong one throughout.
    #[test]
    fn the_route_with_the_nearest_recipients_decides() {
        use Recipients::{Address, All, Below, Domain};
        let routes = routes(&[
            (Some(All), None, "all"),
            (Some(Below(domain("example"))), None, "below example"),
            (Some(Below(domain("a.example"))), None, "below a.example"),
            (Some(Domain(domain("a.example"))), None, "a.example"),
            (Some(Address(address("joe@a.example"))), None, "joe"),
            (Some(Address(address("joe+x@a.example"))), None, "joe+x"),
            (Some(Address(address("joe@[192.0.2.1]"))), None, "joe at a literal"),
        ]);
        lead(
            &routes,
            &[
                ("ann@example.org", "Joe+X@A.example", "joe+x"),
                ("ann@example.org", "JOE@a.example", "joe"),
                ("", "joe+other@a.example", "joe"),
                ("ann@example.org", "bob@a.example", "a.example"),
                ("ann@example.org", "joe@sub.a.example", "below a.example"),
                ("ann@example.org", "joe@deep.sub.a.example", "below a.example"),
                ("ann@example.org", "joe@b.example", "below example"),
                ("ann@example.org", "joe@xa.example", "below example"),
                ("ann@example.org", "joe@example", "all"),
                ("ann@example.org", "joe@a.example.net", "all"),
                ("ann@example.org", "joe@[192.0.2.1]", "joe at a literal"),
                ("ann@example.org", "bob@[192.0.2.1]", "all"),
            ],
        );
        let only_below = Routes { rules: routes.rules[2..3].to_vec(), delimiters: String::new() };
        lead(&only_below, &[("", "joe@a.example", ""), ("", "joe@b.a.example", "below a.example")]);
        let no_tags = Routes { rules: routes.rules[4..5].to_vec(), delimiters: String::new() };
        lead(&no_tags, &[("", "joe@a.example", "joe"), ("", "joe+x@a.example", "")]);
    }

    #[test]
    fn senders_decide_where_no_recipients_do() {
        use Senders::{Address, Domain, Null};
        let all = Some(Recipients::Domain(domain("a.example")));
        let routes = routes(&[
            (None, Some(Domain(domain("example.org"))), "example.org"),
            (None, Some(Address(address("ann@example.org"))), "ann"),
            (None, Some(Null), "nobody"),
            (all.clone(), None, "a.example"),
            (all.clone(), Some(Domain(domain("example.net"))), "example.net to a.example"),
            (all, Some(Null), "nobody to a.example"),
        ]);
        lead(
            &routes,
            &[
                ("Ann@Example.org", "joe@b.example", "ann"),
                ("ann+x@example.org", "joe@b.example", "ann"),
                ("bob@example.org", "joe@b.example", "example.org"),
                ("bob@sub.example.org", "joe@b.example", ""),
                ("", "joe@b.example", "nobody"),
                ("ann@example.org", "joe@a.example", "a.example"),
                ("carol@example.net", "joe@a.example", "example.net to a.example"),
                ("carol@example.net", "joe@b.example", ""),
                ("", "joe@a.example", "nobody to a.example"),
            ],
        );
    }

    #[test]
    fn the_first_of_two_equal_routes_wins() {
        let to = |name| Some(Recipients::Domain(domain(name)));
        let routes = routes(&[(to("a.example"), None, "one"), (to("a.example"), None, "two")]);
        lead(&routes, &[("", "joe@a.example", "one"), ("", "joe@b.example", "")]);
    }

    #[test]
    fn recipients_of_one_domain_part_where_their_ways_do() {
        let routes = routes(&[(Some(Recipients::Address(address("joe@a.example"))), None, "joe")]);
        let recipients = ["ann@a.example", "joe@a.example", "bob@a.example", "joe+x@a.example"];
        let recipients = recipients.map(|text| ForwardPath::parse(text).unwrap().into()).to_vec();
        let attempt = Attempt {
            id: TraceId::new(0, 0),
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            destination: Destination::Domain(domain("a.example")),
            recipients,
            number: 1,
            content: Content::from(Vec::new()),
        };
        let ways = routes.ways(&attempt);
        let ways: Vec<_> = ways.iter().map(|(rule, places)| (rule.map(name), places.as_slice())).collect();
        assert_eq!(ways, [(None, &[0, 2][..]), (Some("joe"), &[1, 3][..])]);
        assert_eq!(Routes::default().ways(&attempt).len(), 1);
    }
}
