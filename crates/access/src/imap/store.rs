//! STORE (RFC 3501 §6.4.6).

use kings_imap::Tagged;
use kings_imap::command::{Store, StoreMode};
use kings_store::{FlagChange, Flags};

use super::convert::{flag_set, to_imap, to_store};
use super::selected::Selected;
use super::{Client, Trouble};
use crate::blocking::blocking;

impl Client {
    /// Without `.SILENT` the new flags come from the comparison after the command.
    pub(super) async fn store(&mut self, store: &Store) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        selected.must_be_writable()?;
        let wanted = selected.resolve(&store.set, store.uid)?;
        let flags = flag_set(&store.flags).map_err(Trouble::Store)?;
        let change = match store.mode {
            StoreMode::Replace => FlagChange::Replace(flags),
            StoreMode::Add => FlagChange::Add(flags),
            StoreMode::Remove => FlagChange::Remove(flags),
        };
        let uids: Vec<_> = wanted.iter().map(|(_, uid)| to_store(*uid)).collect();
        let changed = selected.change_flags(uids, change.clone()).await?;
        let some_are_gone = changed.len() < wanted.len();
        if store.silent {
            selected.note_silently(changed, &change);
        }
        Ok(if some_are_gone { Tagged::SOME_EXPUNGED } else { Tagged::DONE })
    }
}

impl Selected {
    pub(super) async fn change_flags(
        &mut self,
        uids: Vec<kings_store::Uid>,
        change: FlagChange,
    ) -> Result<Vec<(kings_store::Uid, Flags)>, Trouble> {
        let mailbox = self.mailbox.clone();
        Ok(blocking(move || mailbox.store_flags(&uids, &change)).await?)
    }

    /// The client knows the outcome of its own change; where somebody else's is mixed in, it does not
    /// (RFC 3501 §6.4.6), and hears of it as of other news.
    fn note_silently(&mut self, changed: Vec<(kings_store::Uid, Flags)>, change: &FlagChange) {
        for (uid, flags) in changed {
            let uid = to_imap(uid);
            if self.view.flags(uid).is_some_and(|known| known.changed(change) == flags) {
                self.view.note_flags(uid, flags);
            }
        }
    }
}
