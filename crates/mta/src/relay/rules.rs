//! Routes by recipient or sender: `[[route]]` of the config, and tables beside it.

use std::path::PathBuf;

use kings_directory::{Answers, Lookup, Nearness, Stop, Unavailable, answered};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::{Attempt, Outcome, Report};

use super::outcome::{deferred, failed};
use super::source::Source;
use super::transport::{RelayHost, Transport};
use super::{Level, SmartHost};

/// The routes of the config.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// All of them, in their order.
    pub rules: Vec<Rule>,
    /// What parts a name from its tag: a route of `ann@` is also one of `ann+tag@`.
    pub delimiters: String,
    /// More of them, by recipient (Postfix's `transport_maps`).
    pub transports: Lookup<Transport>,
    /// More of them, by sender (Postfix's `sender_dependent_relayhost_maps`).
    pub relay_hosts: Lookup<RelayHost>,
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
    /// To the first of these hosts that takes it.
    Hosts(Vec<SmartHost>),
    /// To the LMTP server at this host, which has mailboxes (RFC 2033 §3).
    Lmtp(SmartHost),
    /// To the LMTP server behind this socket file.
    LmtpSocket(PathBuf),
    /// To the MX hosts of the recipient's domain, past the smart host, which must offer this where it is said.
    Mx(Option<Level>),
    /// To the MX hosts of this domain, at this port where one is named.
    MxOf(Domain, Option<u16>),
    /// Nowhere, without a word to the sender; for this reason.
    Discard(String),
    /// Back to the sender with this text.
    Error(String),
}

/// How near a condition is to naming one address; the nearest decides. The order is that of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// It names so much.
    Named(Nearness),
    /// There is no condition.
    Free,
}

/// What is found for one recipient.
#[derive(Clone, Debug)]
pub(super) enum Way<'a> {
    /// A route of the config.
    Rule(&'a Rule),
    /// What a table says.
    Table(Transport),
}

impl Way<'_> {
    /// The address that it says to leave from.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Rule(rule) => rule.source,
            Self::Table(_) => Source::default(),
        }
    }
}

impl PartialEq for Way<'_> {
    /// Whether it is the very same route, or tables say the same.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rule(one), Self::Rule(other)) => std::ptr::eq(*one, *other),
            (Self::Table(one), Self::Table(other)) => one == other,
            _ => false,
        }
    }
}

/// The way of some recipients, where the tables could tell, and their places in the attempt.
pub(super) type Shared<'a> = (Result<Option<Way<'a>>, Unavailable>, Vec<usize>);

impl Routes {
    /// The route of mail between these, if there is one for it: that with the nearest recipients, then with the nearest
    /// senders, then the first, and those of the config before those of tables. So a route that names recipients stands
    /// before all that name senders alone, as transport(5) stands before `sender_dependent_relayhost_maps` with Postfix.
    pub(super) fn look(
        &self,
        reverse_path: &ReversePath,
        recipient: &Address,
        answers: &Answers,
    ) -> Result<Option<Way<'_>>, Stop> {
        let rule = self.rule(reverse_path, recipient);
        let distance = rule.map_or((Distance::Free, Distance::Free), |(distance, _)| distance);
        let rule = rule.map(|(_, rule)| Way::Rule(rule));
        let by_recipient = self.transports.nearest(Some(recipient), &self.delimiters, answers)?;
        match by_recipient {
            None | Some((_, Transport::Unchanged)) => {}
            Some((near, transport)) if (Distance::Named(near), Distance::Free) < distance => {
                return Ok(Some(Way::Table(transport)));
            }
            Some(_) => return Ok(rule),
        }
        if distance.0 != Distance::Free {
            return Ok(rule);
        }
        let sender = reverse_path.address();
        match self.relay_hosts.nearest(sender, &self.delimiters, answers)? {
            Some((near, RelayHost(host)))
                if host != Transport::Unchanged && (rule.is_none() || Distance::Named(near) < distance.1) =>
            {
                Ok(Some(Way::Table(host)))
            }
            _ => Ok(rule),
        }
    }

    /// The same, where other programs are asked as well.
    pub(super) async fn find(
        &self,
        reverse_path: &ReversePath,
        recipient: &Address,
    ) -> Result<Option<Way<'_>>, Unavailable> {
        answered(|answers| self.look(reverse_path, recipient, answers)).await
    }

    /// The nearest route of the config, and how near it is.
    fn rule(&self, reverse_path: &ReversePath, recipient: &Address) -> Option<((Distance, Distance), &Rule)> {
        let sender = reverse_path.address().map(|sender| Sought::new(sender, &self.delimiters));
        let recipient = Sought::new(recipient, &self.delimiters);
        let free = Some(Distance::Free);
        let distance = |matches: &Match| {
            let to = matches.recipients.as_ref().map_or(free, |to| to.distance(&recipient))?;
            let from = matches.senders.as_ref().map_or(free, |from| from.distance(sender.as_ref()))?;
            Some((to, from))
        };
        let found = self.rules.iter().filter_map(|rule| Some((distance(&rule.matches)?, rule)));
        found.min_by_key(|(distance, _)| *distance)
    }

    /// The ways that these recipients of an attempt take: of each the route, if there is one for it, and the places in
    /// the attempt. What no route names goes together.
    pub(super) async fn ways(&self, attempt: &Attempt, places: &[usize]) -> Vec<Shared<'_>> {
        let mut ways: Vec<Shared<'_>> = Vec::new();
        for &place in places {
            let way = match &attempt.recipients[place].path {
                // A program that has just kept us waiting in vain is not asked for each of the others.
                ForwardPath::Address(address) if ways.iter().any(|(way, _)| way.is_err()) => {
                    let known = self.look(&attempt.reverse_path, address, &Answers::default());
                    known.map_err(|_| Unavailable)
                }
                ForwardPath::Address(address) => self.find(&attempt.reverse_path, address).await,
                ForwardPath::Postmaster => Ok(None),
            };
            match ways.iter_mut().find(|(other, _)| *other == way) {
                Some((_, places)) => places.push(place),
                None => ways.push((way, vec![place])),
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
            return Some(Distance::Named(Nearness::Address));
        }
        (self.untagged.as_ref() == Some(address)).then_some(Distance::Named(Nearness::Untagged))
    }
}

impl Recipients {
    fn distance(&self, recipient: &Sought) -> Option<Distance> {
        let domain = recipient.folded.domain();
        match self {
            Self::Address(address) => recipient.distance(address),
            Self::Domain(own) => (domain == Some(own)).then_some(Distance::Named(Nearness::Domain)),
            Self::Below(own) => {
                let above = domain?.with_parents().position(|parent| parent == *own)?;
                (above > 0).then_some(Distance::Named(Nearness::Below(above)))
            }
            Self::All => Some(Distance::Named(Nearness::All)),
        }
    }
}

impl Senders {
    fn distance(&self, sender: Option<&Sought>) -> Option<Distance> {
        match (self, sender) {
            (Self::Address(address), Some(sender)) => sender.distance(address),
            (Self::Domain(own), Some(sender)) => {
                (sender.folded.domain() == Some(own)).then_some(Distance::Named(Nearness::Domain))
            }
            (Self::Null, None) => Some(Distance::Named(Nearness::Domain)),
            _ => None,
        }
    }
}

/// The outcome of an action that asks no host.
pub(crate) fn settled(action: &Action) -> Option<Outcome> {
    match action {
        Action::Host(_)
        | Action::Hosts(_)
        | Action::Lmtp(_)
        | Action::LmtpSocket(_)
        | Action::Mx(_)
        | Action::MxOf(..) => None,
        Action::Discard(why) => {
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            // No success to speak of: nobody is told.
            Some(Outcome::PassedOn(Report::ours(Status::DONE, format!("discarded by a route{why}"))))
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
mod tests;
