//! Where the copies of one message go, before anything is done about it.

use std::collections::{HashMap, HashSet};

use kings_directory::{Place, Resolution, Target};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::Handover;
use kings_smtp::reply::Reply;

use super::departure::{self, Departure, Guise, depart, takes_over};
use super::visited::Visited;
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
    /// Aliases that have sent on this very message before: nobody tries them, and the sender hears of it.
    pub(super) looping: Vec<Recipient>,
    /// The same of aliases whose accounts here get their copies all the same.
    pub(super) cut_off: Vec<Recipient>,
    /// Addresses of ours that are nobody's, behind aliases that lead to others as well. The queue asks once more and then
    /// fails them, as it does all that nobody knows.
    dead: Vec<(Guise, Recipient)>,
    /// Recipients elsewhere that do not get what an alias would send on.
    withheld: Vec<(Recipient, Withheld)>,
    /// Recipients that stand for nobody.
    pub(super) discarded: Vec<Recipient>,
}

/// Why a copy does not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Withheld {
    /// It writes in our name, and proves nothing.
    InOurName,
    /// The same, and DNS does not tell whether it is ours.
    Unsure,
}

impl From<Withheld> for DeliveryError {
    fn from(why: Withheld) -> Self {
        match why {
            Withheld::InOurName => Self::InOurName,
            Withheld::Unsure => Self::Unsure,
        }
    }
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

impl Plan {
    /// No account gets two copies, however many aliases lead to it.
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
                Resolution::Targets(targets) if targets.is_empty() => plan.discarded.push(recipient.clone()),
                Resolution::Targets(targets) => {
                    let Some(targets) = plan.without_rings(recipient, targets, visited) else { continue };
                    if waits_whole(message, recipient, &targets)
                        && targets.iter().all(|target| !seen.contains(&target.place))
                    {
                        seen.extend(targets.into_iter().map(|target| target.place));
                        plan.depart(Guise::plain(reverse_path), recipient.clone());
                        continue;
                    }
                    let recipient = &plan.standing_for(recipient, targets.len());
                    for target in targets {
                        if seen.insert(target.place.clone()) {
                            plan.add(core, message, recipient, target);
                        } else {
                            plan.merge(core, message, recipient, target);
                        }
                    }
                }
                Resolution::Elsewhere(address) => {
                    let (guise, copy) = (Guise::plain(reverse_path), at(recipient, address.clone()));
                    if seen.insert(Place::Remote(address)) {
                        plan.depart(guise, copy);
                    } else {
                        departure::merge(&mut plan.departures, guise, copy);
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
        plan.settle_withheld()?;
        for (guise, recipient) in std::mem::take(&mut plan.dead) {
            departure::merge(&mut plan.departures, guise, recipient);
        }
        Ok(plan)
    }

    /// All of it leaves for a filter, whoever its recipients stand for: aliases act when it comes back, and rings are found
    /// then.
    pub(super) fn whole(message: &Message) -> Self {
        let mut plan = Self::default();
        for recipient in &message.recipients {
            plan.depart(Guise::plain(&message.reverse_path), recipient.clone());
        }
        plan
    }

    fn add(
        &mut self,
        core: &Core,
        message: &Message,
        recipient: &Recipient,
        Target { place, owner }: Target,
    ) {
        let reverse_path = &owned(&message.reverse_path, owner);
        match place {
            Place::Account(account) => self.local.push(LocalCopy {
                account,
                recipient: recipient.clone(),
                reverse_path: reverse_path.clone(),
            }),
            Place::Remote(address) => {
                let guise = guise(core, message, reverse_path, &recipient.path, &address);
                let copy = at(recipient, address);
                match guise {
                    Ok(guise) => self.depart(guise, copy),
                    Err(why) => self.withheld.push((copy, why)),
                }
            }
            Place::Nobody(address) => self.bury(message, recipient, reverse_path, address),
        }
    }

    /// One more recipient stands for a target that has its copy already: whoever asked for reports still gets them.
    fn merge(
        &mut self,
        core: &Core,
        message: &Message,
        recipient: &Recipient,
        Target { place, owner }: Target,
    ) {
        let reverse_path = owned(&message.reverse_path, owner);
        match place {
            Place::Account(account) => {
                let Some(copy) = self.local.iter_mut().find(|copy| copy.account == account) else { return };
                let names = |recipient: &Recipient| matches!(&recipient.path, ForwardPath::Address(address) if address.folded() == account.folded());
                let named_now = names(recipient) && !names(&copy.recipient);
                let notify = copy.recipient.notify.and(recipient.notify);
                if takes_over(&copy.recipient, recipient, named_now) {
                    copy.recipient = recipient.clone();
                    copy.reverse_path = reverse_path;
                }
                copy.recipient.notify = notify;
            }
            Place::Remote(address) => {
                if let Ok(guise) = guise(core, message, &reverse_path, &recipient.path, &address) {
                    departure::merge(&mut self.departures, guise, at(recipient, address));
                }
            }
            Place::Nobody(address) => self.bury(message, recipient, &reverse_path, address),
        }
    }

    /// A copy that reaches nobody. Its failure is the sender's to hear of, or the list owner's. Where the message says to be
    /// of ours and proves nothing, that would tell somebody whose address was taken, so the postmaster is told.
    fn bury(
        &mut self,
        message: &Message,
        recipient: &Recipient,
        reverse_path: &ReversePath,
        address: Address,
    ) {
        let reverse_path = match message.leaving {
            Leaving::Never | Leaving::NotYet if *reverse_path == message.reverse_path => &ReversePath::Null,
            Leaving::Suited | Leaving::AsItCame | Leaving::Never | Leaving::NotYet => reverse_path,
        };
        self.dead.push((Guise::plain(reverse_path), at(recipient, address)));
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

    /// What is held waits in the queue, our own accounts' copies too (RFC 4865 §4). Nothing has become of it yet that its
    /// sender could hear of.
    pub(super) fn wait(&mut self) {
        self.expanded.clear();
        for copy in std::mem::take(&mut self.local) {
            let (guise, recipient) = copy.waiting();
            self.depart(guise, recipient);
        }
    }

    /// Whether something of it does not end in a mailbox here.
    pub(super) fn needs_queue(&self) -> bool {
        !self.departures.is_empty() || !self.looping.is_empty()
    }

    /// The targets that the message does not come back from; nothing where it would come back from all of them.
    fn without_rings(
        &mut self,
        recipient: &Recipient,
        mut targets: Vec<Target>,
        visited: &Visited,
    ) -> Option<Vec<Target>> {
        let all = targets.len();
        targets.retain(|target| !visited.rings(recipient, target));
        let rings = targets.len() < all;
        if rings && targets.iter().all(|target| matches!(target.place, Place::Nobody(_))) {
            self.looping.push(recipient.clone());
            return None;
        }
        if rings {
            self.cut_off.push(recipient.clone());
        }
        Some(targets)
    }

    /// Refuses the message where something of it must not leave and nothing else becomes of it: others are not to lose
    /// theirs. Doubt is for now, so it comes first.
    fn settle_withheld(&self) -> Result<(), DeliveryError> {
        if !self.local.is_empty() || !self.departures.is_empty() {
            return Ok(());
        }
        let unsure = self.withheld.iter().find(|(_, why)| *why == Withheld::Unsure);
        unsure.or(self.withheld.first()).map_or(Ok(()), |(_, why)| Err((*why).into()))
    }

    /// Who gets no copy though the message is taken, and why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&Recipient, &'static str)> {
        let discarded = self.discarded.iter().map(|recipient| (recipient, "an alias leads to /dev/null"));
        let cut_off = "by its Delivered-To this alias has sent it on before: not sent on again";
        let cut_off = self.cut_off.iter().map(move |recipient| (recipient, cut_off));
        let withheld = self.withheld.iter().map(|(recipient, why)| match why {
            Withheld::InOurName => (recipient, "not sent on: it says to be from here and does not prove it"),
            Withheld::Unsure => {
                (recipient, "not sent on: DNS does not tell whether it is from here, as it says")
            }
        });
        discarded.chain(cut_off).chain(withheld)
    }

    /// Settles what has been sent on before, or refuses the message for it.
    ///
    /// Whether a stranger tells the truth about the way of the message, and is its sender at all, nobody knows: a report
    /// could reach somebody who has nothing to do with it. So the client is told while it is there; and an alias that has
    /// accounts here beside what leaves is cut off in our log alone, for these are to get theirs.
    pub(super) fn settle_loops(&mut self, vouched: bool) -> Result<(), DeliveryError> {
        if vouched {
            self.looping.append(&mut self.cut_off);
        }
        let only_loops = self.local.is_empty() && self.departures.is_empty();
        let refuses = !self.looping.is_empty() && (only_loops || !vouched);
        if refuses { Err(DeliveryError::Loop) } else { Ok(()) }
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

/// Whether a recipient that stands for several waits as it is: its sender, who wants to hear of that, is to hear it when
/// the message is let go. What must not leave for everybody is told of at once instead.
fn waits_whole(message: &Message, recipient: &Recipient, targets: &[Target]) -> bool {
    let wants = targets.len() > 1 && recipient.notify.on_success();
    wants && message.is_held() && message.leaving == Leaving::Suited
}

/// How the copy leaves that goes to `target` in the place of `path`; `reverse_path` is that of the sender, or of whoever
/// owns the list.
fn guise(
    core: &Core,
    message: &Message,
    reverse_path: &ReversePath,
    path: &ForwardPath,
    target: &Address,
) -> Result<Guise, Withheld> {
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
        Leaving::Suited => core.sent_on_by(path, reverse_path, target),
        Leaving::AsItCame => message.reverse_path.clone(),
        Leaving::Never => return Err(Withheld::InOurName),
        Leaving::NotYet => return Err(Withheld::Unsure),
    };
    Ok(Guise { reverse_path, alias })
}
