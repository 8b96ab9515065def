//! STORE (RFC 3501 §6.4.6), also of what has not changed since (RFC 7162 §3.1.3).

use kings_imap::command::{Store, StoreMode};
use kings_imap::{Code, Condition, ModSeq, SequenceSet, Tagged};
use kings_mail::rights::Rights;
use kings_store::{FlagChange, FlagKinds, Flags, Stored};

use super::convert::{flag_set, modseq_to_store, to_imap, to_store};
use super::selected::{Known, Selected};
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

impl Client {
    /// Without `.SILENT` the new flags come from the comparison after the command; the numbers of changes come at once.
    pub(super) async fn store<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        store: &Store,
    ) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        let wanted = selected.resolve(&store.set, store.uid)?;
        let flags = flag_set(&store.flags).map_err(Trouble::Store)?;
        let change = match store.mode {
            StoreMode::Replace => FlagChange::Replace(flags),
            StoreMode::Add => FlagChange::Add(flags),
            StoreMode::Remove => FlagChange::Remove(flags),
        };
        let allowed = allowed(&change, FlagKinds::of(selected.mailbox.rights()));
        let allowed = allowed.ok_or(Trouble::Refused(Tagged::NO_PERMISSION))?;
        selected.to_change(Rights::READ)?;
        let uids: Vec<_> = wanted.iter().map(|(_, uid)| to_store(*uid)).collect();
        let Stored { flags: changed, left_alone } =
            selected.change_flags_unless(uids, allowed, store.unchanged_since).await?;
        let some_are_gone = changed.len() + left_alone.len() < wanted.len();
        if selected.tells_modseq {
            selected.tell_stored(wire, store, &change, changed).await?;
        } else if store.silent {
            selected.note_silently(changed, &change);
        }
        let left_alone = wanted.iter().filter(|(_, uid)| left_alone.contains(&to_store(*uid)));
        let names = left_alone.map(|(number, uid)| if store.uid { uid.0 } else { number.0 });
        Ok(match SequenceSet::of_numbers(names) {
            Some(set) => Tagged::with(Condition::Ok, Code::Modified(set), "Some messages have changed"),
            None if some_are_gone => Tagged::SOME_EXPUNGED,
            None => Tagged::DONE,
        })
    }
}

/// The change as far as somebody may do it; `None` where nothing of it is left (RFC 4314 §4). What the client asked for it takes
/// for done, so it hears of the rest as of news.
fn allowed(change: &FlagChange, kinds: FlagKinds) -> Option<FlagChange> {
    let some = |flags: &Flags| Some(flags.only(kinds)).filter(|some| flags.is_empty() || !some.is_empty());
    match change {
        change if kinds == FlagKinds::ALL => Some(change.clone()),
        FlagChange::Add(flags) => some(flags).map(FlagChange::Add),
        FlagChange::Remove(flags) => some(flags).map(FlagChange::Remove),
        FlagChange::Replace(flags) | FlagChange::ReplaceSome(flags, _) => {
            let any = kinds.seen || kinds.deleted || kinds.others;
            any.then(|| FlagChange::ReplaceSome(flags.clone(), kinds))
        }
    }
}

impl Selected {
    pub(super) async fn change_flags(
        &mut self,
        uids: Vec<kings_store::Uid>,
        change: FlagChange,
    ) -> Result<Vec<(kings_store::Uid, Flags)>, Trouble> {
        let mailbox = self.to_change(Rights::READ)?.clone();
        Ok(blocking(move || mailbox.store_flags(&uids, &change)).await?)
    }

    async fn change_flags_unless(
        &mut self,
        uids: Vec<kings_store::Uid>,
        change: FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, Trouble> {
        let Some(since) = unchanged_since.map(modseq_to_store) else {
            return Ok(Stored { flags: self.change_flags(uids, change).await?, ..Stored::default() });
        };
        let mailbox = self.to_change(Rights::READ)?.clone();
        Ok(blocking(move || mailbox.store_flags_unless_changed(&uids, &change, since)).await?)
    }

    /// Tells the numbers of what a client has changed, also under `.SILENT` (RFC 7162 §3.1.3). A conditional STORE is told
    /// of each message, even one that was as it should be; another one of those that have a new number.
    async fn tell_stored<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        store: &Store,
        change: &FlagChange,
        changed: Vec<(kings_store::Uid, Flags)>,
    ) -> Result<(), Trouble> {
        let snapshot = self.to_read()?.snapshot();
        for (uid, flags) in changed {
            let uid = to_imap(uid);
            let (Some(number), Some(told)) = (self.view.number(uid), self.view.flags(uid)) else { continue };
            let Some(message) = snapshot.message(to_store(uid)) else { continue };
            let is_news = message.modseq != told.modseq || store.unchanged_since.is_some();
            let is_expected = message.flags == flags && told.flags.changed(change) == flags;
            if is_news && (!store.silent || is_expected) {
                let known = Known { flags: message.flags.clone(), modseq: message.modseq };
                wire.respond(&self.fetch_flags((number, uid), &known, !store.silent)).await?;
                self.view.note_flags(uid, known);
            }
        }
        Ok(())
    }

    /// The client knows the outcome of its own change; where somebody else's is mixed in, it does not
    /// (RFC 3501 §6.4.6), and hears of it as of other news.
    fn note_silently(&mut self, changed: Vec<(kings_store::Uid, Flags)>, change: &FlagChange) {
        for (uid, flags) in changed {
            let uid = to_imap(uid);
            if self.view.flags(uid).is_some_and(|known| known.flags.changed(change) == flags) {
                self.view.note_flags(uid, Known { flags, modseq: kings_store::ModSeq::ZERO });
            }
        }
    }
}
