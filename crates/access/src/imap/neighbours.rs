//! Who shares mailboxes with others, so that LIST need not look into every account. It is read from the accounts themselves,
//! now and then, and decides nothing: what a client may do is told by each mailbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kings_mail::address::Address;
use kings_store::Identifier;
use tokio::sync::{OnceCell, watch};

use super::{Client, Inner, Sharing, Trouble};
use crate::blocking::blocking;

/// After this time the accounts are looked through again: another program may have shared something.
const REFRESH: Duration = Duration::from_mins(5);

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    known: Mutex<Known>,
    /// Done once all accounts were looked through for the first time: until then nobody's list would be whole.
    met: OnceCell<()>,
    /// Counts the changes of what somebody shares that were made here, or were found.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// To whom each account grants that they may look up a mailbox of its own.
    shares: BTreeMap<Address, Vec<Identifier>>,
    /// When the accounts began to be looked through last.
    looked: Option<Instant>,
}

impl Neighbours {
    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts whenever somebody shares something anew, or does no more.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whose mailboxes somebody may perhaps look up.
    fn of(&self, me: &str) -> Vec<Address> {
        let is_for_me = |identifier: &Identifier| match identifier {
            Identifier::Anyone | Identifier::Authenticated => true,
            Identifier::User(name) => name == me,
            Identifier::Owner | Identifier::Group(_) | Identifier::GroupOverride(_) => false,
        };
        self.with(|known| {
            let sharers = known.shares.iter().filter(|(_, to)| to.iter().any(is_for_me));
            sharers.map(|(owner, _)| owner.clone()).collect()
        })
    }
}

impl Inner {
    /// Blocking: looks through all accounts.
    fn meet_all(&self) {
        self.neighbours.with(|known| known.looked = Some(Instant::now()));
        for (address, _) in self.door.people.directory.accounts() {
            self.meet(&address);
        }
    }

    /// Blocking: looks through one account. What cannot be read stays as it was known.
    fn meet(&self, owner: &Address) {
        let owner = owner.folded();
        let to = match self.door.people.store.shares_of(&owner) {
            Ok(to) => to,
            Err(error) => {
                return tracing::debug!(%error, account = %owner, "cannot see with whom an account shares");
            }
        };
        let before = self.neighbours.with(|known| {
            if to.is_empty() { known.shares.remove(&owner) } else { known.shares.insert(owner, to.clone()) }
        });
        if before.unwrap_or_default() != to {
            self.neighbours.changes.send_modify(|count| *count += 1);
        }
    }
}

impl Client {
    /// Whose mailboxes this client may perhaps look up. Whoever asks first waits until all accounts were looked through, and
    /// so do all others meanwhile: a list that lacks mailboxes would have clients forget them.
    pub(super) async fn sharers(&self) -> Result<Vec<Address>, Trouble> {
        if self.inner.sharing == Sharing::Off {
            return Ok(Vec::new());
        }
        let neighbours = &self.inner.neighbours;
        let inner = Arc::clone(&self.inner);
        let meet = || {
            blocking(move || {
                inner.meet_all();
                Ok(())
            })
        };
        neighbours.met.get_or_try_init(meet).await?;
        let is_due = neighbours.with(|known| {
            let is_due = known.looked.is_none_or(|looked| looked.elapsed() > REFRESH);
            if is_due {
                known.looked = Some(Instant::now());
            }
            is_due
        });
        if is_due {
            let inner = Arc::clone(&self.inner);
            drop(tokio::task::spawn_blocking(move || inner.meet_all()));
        }
        let me = self.person()?.address.folded().to_string();
        let mut sharers = neighbours.of(&me);
        sharers.retain(|owner| self.may_share(owner));
        Ok(sharers)
    }

    /// With whom an account shares may have changed.
    pub(super) async fn shares_anew(&self, owner: Option<&Address>) -> Result<(), Trouble> {
        let owner = owner
            .map_or_else(|| self.person().map(|person| person.address.clone()), |owner| Ok(owner.clone()))?;
        let inner = Arc::clone(&self.inner);
        let met = blocking(move || {
            inner.meet(&owner);
            // What somebody may do has changed, though perhaps not with whom anything is shared.
            if inner.neighbours.with(|known| known.shares.contains_key(&owner.folded())) {
                inner.neighbours.changes.send_modify(|count| *count += 1);
            }
            Ok(())
        });
        Ok(met.await?)
    }
}
