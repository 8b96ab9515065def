//! Delivery: a message into the mailboxes of its recipients, on disk when the call returns.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mutants::planted;

use crate::account::AccountState;
use crate::dir::Dir;
use crate::error::StoreError;
use crate::folder::Folder;
use crate::incoming::Incoming;
use crate::name::{MailboxName, SpecialUse};
use crate::partial::Partial;
use crate::quota::{Claim, Room, Usage};
use crate::store::Store;

/// Deliveries done at once: each holds six open folders, and a process may have 1,024 files by default.
const BATCH: usize = 50;

/// Where a message is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Here; made when it is missing.
    Mailbox(MailboxName),
    /// Where mail goes that the policy distrusts: the mailbox that was made for it (RFC 6154 §2), or `Junk`.
    Junk,
}

impl From<MailboxName> for Destination {
    fn from(name: MailboxName) -> Self {
        Self::Mailbox(name)
    }
}

/// One recipient's copy.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whose mail it is. The account's Maildir is made when this is its first mail.
    pub account: Address,
    /// Where it goes.
    pub mailbox: Destination,
    /// Complete header fields with CRLF that go in front of the message in this copy.
    pub trace: Vec<u8>,
}

/// The mailbox of one delivery.
struct Target {
    number: usize,
    account: Arc<AccountState>,
    mailbox: MailboxName,
    folder: Folder,
}

/// A file in `tmp`, and the room that the account keeps for it.
struct Written<'a> {
    target: &'a Target,
    partial: Partial<'a>,
    room: Room,
}

/// A file in `new` whose folder is not synced yet.
struct Placed<'a> {
    target: &'a Target,
    name: Vec<u8>,
    room: Room,
}

impl Store {
    /// Stores one copy for each delivery, durably: when it returns, every `Ok` is on disk.
    ///
    /// A recipient that fails does not hold up the others. A file whose sync failed, or whose folder's
    /// did, is dropped, and that is an error. The uidlist is not touched: a UID is given when somebody
    /// looks. One result for each delivery, in order.
    pub fn deliver(&self, incoming: &Incoming, deliveries: &[Delivery]) -> Vec<Result<(), StoreError>> {
        let delivered: Result<_, Infallible> = self.deliver_when(incoming, deliveries, |_| Ok(()));
        delivered.unwrap_or_else(|never| match never {})
    }

    /// The same for a caller that has something else to keep, above all the copies that fail here: once every file is
    /// written and synced, and none is in its place yet, `ready` hears which of them have failed. An error of `ready`
    /// calls all of it off, and no mailbox holds anything. What can still fail after it is a rename or the sync of a
    /// folder.
    ///
    /// `ready` hears of the first fifty copies only; those behind them are written after it.
    pub fn deliver_when<E>(
        &self,
        incoming: &Incoming,
        deliveries: &[Delivery],
        ready: impl FnOnce(&[Result<(), StoreError>]) -> Result<(), E>,
    ) -> Result<Vec<Result<(), StoreError>>, E> {
        let (first, others) = deliveries.split_at(deliveries.len().min(BATCH));
        let mut results = self.deliver_batch(incoming, first, ready)?;
        for batch in others.chunks(BATCH) {
            let delivered: Result<_, Infallible> = self.deliver_batch(incoming, batch, |_| Ok(()));
            results.extend(delivered.unwrap_or_else(|never| match never {}));
        }
        Ok(results)
    }

    /// Every file is written and synced before any is renamed; then each folder is synced once.
    fn deliver_batch<E>(
        &self,
        incoming: &Incoming,
        deliveries: &[Delivery],
        ready: impl FnOnce(&[Result<(), StoreError>]) -> Result<(), E>,
    ) -> Result<Vec<Result<(), StoreError>>, E> {
        let mut results = Vec::with_capacity(deliveries.len());
        let mut targets = Vec::with_capacity(deliveries.len());
        for (number, delivery) in deliveries.iter().enumerate() {
            results.push(self.target(number, delivery).map(|target| targets.push(target)));
        }
        let mut written = Vec::with_capacity(targets.len());
        for target in &targets {
            match self.write(target, (&deliveries[target.number].trace, incoming)) {
                Ok(copy) => written.push(copy),
                Err(error) => results[target.number] = Err(error),
            }
        }
        ready(&results)?;
        let mut folders: HashMap<_, Vec<Placed<'_>>> = HashMap::new();
        for Written { target, partial, room } in written {
            let name = partial.base();
            match partial.place(&target.folder.new, &name) {
                Ok(()) => folders.entry(target.key()).or_default().push(Placed { target, name, room }),
                Err(error) => results[target.number] = Err(error.into()),
            }
        }
        for placed in folders.into_values() {
            self.sync_folder(placed, &mut results);
        }
        Ok(results)
    }

    fn write<'a>(&self, target: &'a Target, content: (&[u8], &Incoming)) -> Result<Written<'a>, StoreError> {
        let size = Usage::message(content.0.len() as u64 + content.1.len());
        let room = target.account.claim(&target.mailbox, size, Claim::Delivered)?;
        let partial = Partial::write(&target.folder.tmp, &self.root().names, content, None)?;
        Ok(Written { target, partial, room })
    }

    fn target(&self, number: usize, delivery: &Delivery) -> Result<Target, StoreError> {
        self.root().check_space()?;
        let account = self.account_state(&delivery.account)?;
        let mailbox = match &delivery.mailbox {
            Destination::Mailbox(name) => name.clone(),
            Destination::Junk => account.for_use(SpecialUse::Junk)?,
        };
        let folder = account.open_or_create_folder(&mailbox)?;
        account.settle(&mailbox, &folder)?;
        Ok(Target { number, account, mailbox, folder })
    }

    /// Syncs the folder that all of `placed` stand in, or takes them back.
    fn sync_folder(&self, placed: Vec<Placed<'_>>, results: &mut [Result<(), StoreError>]) {
        let Some(first) = placed.first().map(|placed| placed.target) else { return };
        match self.sync_names(&first.folder.new) {
            Ok(()) => placed.into_iter().for_each(|placed| placed.target.account.fill(placed.room)),
            Err(error) => {
                for Placed { target, name, .. } in placed {
                    if let Err(error) = target.folder.new.unlink(&name) {
                        tracing::warn!(%error, "a message that was refused cannot be removed and may show up");
                    }
                    results[target.number] = Err(same(&error).into());
                }
            }
        }
        first.account.tell(&first.mailbox);
    }

    fn sync_names(&self, folder: &Dir) -> io::Result<()> {
        if planted("message-folder-not-synced") {
            return Ok(());
        }
        if planted("reply-before-the-sync") {
            let folder = folder.try_clone()?;
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(100));
                folder.sync()
            });
            return Ok(());
        }
        self.root().syncs.sync(folder)
    }
}

impl Target {
    /// The same for deliveries into the same folder.
    fn key(&self) -> (*const AccountState, &MailboxName) {
        (Arc::as_ptr(&self.account), &self.mailbox)
    }
}

/// The error once more: several recipients share a failure.
fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
