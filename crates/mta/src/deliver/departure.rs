//! What leaves: one entry of the queue for each guise, and one copy for each target.

use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::path::ReversePath;
use kings_mail::report::Notify;

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

/// One more recipient stands for a target that has its copy already: whoever asked for reports still gets them.
pub(super) fn merge(departures: &mut Vec<Departure>, guise: Guise, recipient: Recipient) {
    let mut notify = recipient.notify;
    for departure in &mut *departures {
        let named_now = guise.alias.is_none() && departure.guise.alias.is_some();
        let is_same =
            |known: &Recipient| known.path == recipient.path && known.resolved == recipient.resolved;
        let Some(place) = departure.recipients.iter().position(is_same) else { continue };
        let Some(known) = departure.recipients.get_mut(place) else { continue };
        notify = known.notify.and(notify);
        if !takes_over(known, &recipient, named_now) {
            known.notify = notify;
            return;
        }
        departure.recipients.remove(place);
    }
    departures.retain(|departure| !departure.recipients.is_empty());
    depart(departures, guise, Recipient { notify, ..recipient });
}

/// Whether the second of two recipients that stand for one target is the one its sender hears of: when the first wants
/// to hear nothing, or when this one was named and the first only led there.
pub(super) fn takes_over(known: &Recipient, recipient: &Recipient, named_now: bool) -> bool {
    recipient.notify != Notify::Never && (known.notify == Notify::Never || named_now)
}
