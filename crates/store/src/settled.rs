//! Which mailboxes of an account have their folders on disk for sure.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

use kings_mutants::planted;

use crate::name::MailboxName;
use crate::sync::locked;

/// Mailboxes whose folders this process has synced, by their place on the disk. It stays when the account is closed.
#[derive(Debug, Default)]
pub(crate) struct Settled(Mutex<HashMap<MailboxName, (u64, u64)>>);

impl Settled {
    /// Syncs a mailbox that stands at `place`, unless that went well before.
    pub(crate) fn settle(
        &self,
        name: &MailboxName,
        place: (u64, u64),
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if locked(&self.0).get(name) == Some(&place) {
            return Ok(());
        }
        if !planted("new-mailbox-not-synced") {
            sync()?;
        }
        locked(&self.0).insert(name.clone(), place);
        Ok(())
    }

    /// The mailbox goes: a new one of its name may well get its place.
    pub(crate) fn forget(&self, name: &MailboxName) {
        locked(&self.0).remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::name::SpecialUse;

    #[test]
    fn a_place_is_synced_once_and_again_after_a_failure_a_move_or_a_removal() {
        let (settled, junk) = (Settled::default(), MailboxName::of(SpecialUse::Junk));
        let syncs = std::cell::Cell::new(0);
        let sync = || {
            syncs.set(syncs.get() + 1);
            Ok(())
        };
        assert!(settled.settle(&junk, (1, 1), || Err(io::ErrorKind::Other.into())).is_err());
        for (place, expected) in [((1, 1), 1), ((1, 1), 1), ((1, 2), 2), ((1, 2), 2), ((1, 1), 3)] {
            settled.settle(&junk, place, sync).unwrap();
            assert_eq!(syncs.get(), expected, "{place:?}");
        }
        settled.settle(&MailboxName::inbox(), (1, 1), sync).unwrap();
        settled.forget(&junk);
        settled.settle(&junk, (1, 1), sync).unwrap();
        assert_eq!(syncs.get(), 5);
    }
}
