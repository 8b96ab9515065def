//! Where the copies of one message go, before anything is done about it.

use std::collections::{HashMap, HashSet};

use kings_directory::{Place, Resolution, Target};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::header;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::Handover;
use kings_smtp::reply::Reply;

use super::{DeliveryError, Message, stays_here};
use crate::core::Core;
use crate::policy::ours::Leaving;

/// Where the copies of one message go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Copies for accounts here.
    pub(super) local: Vec<LocalCopy>,
    /// What the queue takes: recipients elsewhere, and those that stand for nothing any more, or for what
    /// nobody can tell now.
    pub(super) departures: Vec<Departure>,
    /// Recipients that stand for several, whose sender hears of that instead of each copy (RFC 3461 §5.2.7.3).
    pub(super) expanded: Vec<Recipient>,
    /// Recipients that had this very message before: nobody tries them, and the sender hears of it.
    pub(super) looping: Vec<Recipient>,
    /// The same of accounts on a list whose other members get it.
    pub(super) repeated: Vec<Recipient>,
    /// Recipients that stand for nobody.
    pub(super) discarded: Vec<Recipient>,
}

/// A copy for an account here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalCopy {
    pub(super) account: Address,
    /// The one it stands for.
    pub(super) recipient: Recipient,
    /// The sender, or the owner of the list that the account is on.
    pub(super) reverse_path: ReversePath,
}

impl LocalCopy {
    /// The same copy for the queue.
    pub(super) fn waiting(&self) -> (Guise, Recipient) {
        let account = at(&self.recipient, self.account.clone());
        (Guise::plain(&self.reverse_path), Recipient { resolved: true, ..account })
    }
}

/// Recipients whose copies leave in one entry of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    pub(super) guise: Guise,
    pub(super) recipients: Vec<Recipient>,
}

/// How a copy leaves. Copies of several aliases do not share an entry, or each would tell of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guise {
    /// The sender, or the one that the alias puts in its place.
    pub(super) reverse_path: ReversePath,
    /// The alias that sends it on.
    pub(super) alias: Option<Address>,
}

/// What a message says of its way: each address that it was delivered to or sent on from, here or elsewhere
/// (RFC 9228 §4).
pub(super) struct Visited(HashSet<String>);

impl Visited {
    pub(super) fn told_by(head: &[u8]) -> Self {
        Self(header::all(head, "Delivered-To").map(|field| field.text().trim().to_lowercase()).collect())
    }

    fn holds(&self, address: &Address) -> bool {
        !self.0.is_empty() && self.0.contains(&address.folded().to_string())
    }
}

impl Plan {
    /// No account gets two copies, however many aliases lead to it, and none a second one of what it had before.
    pub(super) async fn make(
        core: &Core,
        message: &Message,
        recipients: &[Recipient],
        visited: &Visited,
    ) -> Result<Self, DeliveryError> {
        let reverse_path = &message.reverse_path;
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        for recipient in recipients {
            match core.resolve_again(recipient, reverse_path).await {
                Resolution::Targets(targets) if has_sent_on(&recipient.path, &targets, visited) => {
                    plan.looping.push(recipient.clone());
                }
                Resolution::Targets(targets) if targets.is_empty() => plan.discarded.push(recipient.clone()),
                Resolution::Targets(targets) => {
                    let recipient = &plan.standing_for(recipient, targets.len());
                    let targets = plan.without_visited(recipient, targets, visited);
                    for target in targets.into_iter().filter(|target| seen.insert(target.place.clone())) {
                        plan.add(core, message, recipient, target)?;
                    }
                }
                Resolution::Elsewhere(address) => {
                    if seen.insert(Place::Remote(address.clone())) {
                        plan.depart(Guise::plain(reverse_path), at(recipient, address));
                    }
                }
                // The queue would send it there without asking again.
                Resolution::Unavailable if !stays_here(core, recipient) => {
                    return Err(DeliveryError::Unavailable);
                }
                // The queue bounces the first two in the end, and asks again about the third.
                Resolution::Unknown | Resolution::Looping | Resolution::Unavailable => {
                    plan.depart(Guise::plain(reverse_path), recipient.clone());
                }
            }
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        core: &Core,
        message: &Message,
        recipient: &Recipient,
        Target { place, owner }: Target,
    ) -> Result<(), DeliveryError> {
        let reverse_path = &owned(&message.reverse_path, owner);
        match place {
            Place::Account(account) => self.local.push(LocalCopy {
                account,
                recipient: recipient.clone(),
                reverse_path: reverse_path.clone(),
            }),
            Place::Remote(address) => {
                let guise = guise(core, message, reverse_path, &recipient.path, &address)?;
                self.depart(guise, at(recipient, address));
            }
        }
        Ok(())
    }

    /// The recipient as its targets inherit it: the success of one of several says nothing of the whole.
    fn standing_for(&mut self, recipient: &Recipient, targets: usize) -> Recipient {
        if targets < 2 || !recipient.notify.on_success() {
            return recipient.clone();
        }
        self.expanded.push(recipient.clone());
        Recipient { notify: recipient.notify.without_success(), ..recipient.clone() }
    }

    pub(super) fn depart(&mut self, guise: Guise, recipient: Recipient) {
        depart(&mut self.departures, guise, recipient);
    }

    /// For whom a copy was stored, and whose copies go on from here.
    pub(super) fn reached(&self, failures: &HashMap<Address, Reply>) -> Vec<(Recipient, Handover)> {
        let stored = self.local.iter().filter(|copy| !failures.contains_key(&copy.account));
        let stored = stored.map(|copy| (copy.recipient.clone(), Handover::Mailbox));
        let expanded = self.expanded.iter().map(|recipient| (recipient.clone(), Handover::Expanded));
        stored.chain(expanded).collect()
    }

    /// What is held waits in the queue, our own accounts' copies too (RFC 4865 §4).
    pub(super) fn wait(&mut self) {
        for copy in std::mem::take(&mut self.local) {
            let (guise, recipient) = copy.waiting();
            self.depart(guise, recipient);
        }
    }

    /// Whether something of it does not end in a mailbox here.
    pub(super) fn needs_queue(&self) -> bool {
        !self.departures.is_empty() || !self.looping.is_empty()
    }

    /// The targets that have not had the message yet.
    fn without_visited(
        &mut self,
        recipient: &Recipient,
        targets: Vec<Target>,
        visited: &Visited,
    ) -> Vec<Target> {
        let had_it = |target: &Target| matches!(&target.place, Place::Account(a) if visited.holds(a));
        let (had, others): (Vec<Target>, Vec<Target>) = targets.into_iter().partition(had_it);
        let had = had.into_iter().filter_map(|target| match target.place {
            Place::Account(account) => Some(at(recipient, account)),
            Place::Remote(_) => None,
        });
        if others.is_empty() { &mut self.looping } else { &mut self.repeated }.extend(had);
        others
    }

    /// Settles what has been done before, or refuses the message for it.
    ///
    /// Whether a stranger tells the truth about the way of the message, and is its sender at all, nobody knows: a report
    /// could reach somebody who has nothing to do with it. So the client is told while it is there; and members of a list
    /// who are said to have had it are left out in silence, for the others are to get theirs.
    pub(super) fn settle_loops(&mut self, vouched: bool) -> Result<(), DeliveryError> {
        if vouched {
            self.looping.append(&mut self.repeated);
        }
        let only_loops = self.local.is_empty() && self.departures.is_empty();
        let refuses = !self.looping.is_empty() && (only_loops || !vouched);
        if refuses { Err(DeliveryError::Loop) } else { Ok(()) }
    }
}

impl Departure {
    /// Each recipient with its guise.
    pub(super) fn each(&self) -> impl Iterator<Item = (Guise, Recipient)> + '_ {
        self.recipients.iter().map(|recipient| (self.guise.clone(), recipient.clone()))
    }
}

impl Guise {
    /// As it came.
    pub(super) fn plain(reverse_path: &ReversePath) -> Self {
        Self { reverse_path: reverse_path.clone(), alias: None }
    }
}

/// Adds a recipient to those that leave in the same guise, once.
pub(super) fn depart(departures: &mut Vec<Departure>, guise: Guise, recipient: Recipient) {
    match departures.iter_mut().find(|known| known.guise == guise) {
        Some(known) if known.recipients.iter().any(|other| other.path == recipient.path) => {}
        Some(known) => known.recipients.push(recipient),
        None => departures.push(Departure { guise, recipients: vec![recipient] }),
    }
}

/// The recipient for one of the addresses it stands for: what is tried again must not reach the others again.
pub(super) fn at(recipient: &Recipient, address: Address) -> Recipient {
    recipient.at(ForwardPath::Address(address))
}

/// Whom failures of a copy are for. What has no sender gets none, or bounces could bounce (RFC 5321 §4.5.5).
fn owned(reverse_path: &ReversePath, owner: Option<Address>) -> ReversePath {
    match (reverse_path, owner) {
        (ReversePath::Address(_), Some(owner)) => ReversePath::Address(owner),
        (reverse_path, _) => reverse_path.clone(),
    }
}

/// Whether this alias has sent the message on to other servers before, so that it is back from one of them.
fn has_sent_on(path: &ForwardPath, targets: &[Target], visited: &Visited) -> bool {
    let ForwardPath::Address(alias) = path else { return false };
    let leaves = |target: &Target| matches!(&target.place, Place::Remote(address) if address.folded() != alias.folded());
    visited.holds(alias) && targets.iter().any(leaves)
}

/// How the copy leaves that goes to `target` in the place of `path`; `reverse_path` is that of the sender, or of whoever
/// owns the list.
fn guise(
    core: &Core,
    message: &Message,
    reverse_path: &ReversePath,
    path: &ForwardPath,
    target: &Address,
) -> Result<Guise, DeliveryError> {
    let alias = match path {
        ForwardPath::Address(address) if address.folded() == target.folded() => {
            return Ok(Guise::plain(reverse_path));
        }
        ForwardPath::Address(alias) => Some(alias.clone()),
        ForwardPath::Postmaster => None,
    };
    let reverse_path = match message.leaving {
        Leaving::AsItCame | Leaving::Never | Leaving::NotYet if core.keeps(reverse_path, target) => {
            reverse_path.clone()
        }
        Leaving::Suited => core.sent_on_by(reverse_path, target),
        Leaving::AsItCame => message.reverse_path.clone(),
        Leaving::Never => return Err(DeliveryError::InOurName),
        Leaving::NotYet => return Err(DeliveryError::Unsure),
    };
    Ok(Guise { reverse_path, alias })
}
