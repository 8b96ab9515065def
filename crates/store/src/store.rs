//! The store as a whole: opens accounts and takes messages in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

use kings_mail::address::Address;

use crate::account::{Account, AccountState};
use crate::dir::Dir;
use crate::error::StoreError;
use crate::expunged::Retention;
use crate::folder;
use crate::incoming::Incoming;
use crate::index::{AccountIndex, Index};
use crate::name::MailboxName;
use crate::quota::{AccountQuota, Ledger, Quota, Usage};
use crate::root::Root;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::settled::Settled;
use crate::sync::locked;
use crate::tree::Tree;
use crate::watch::Watcher;

/// All mailboxes of this server. Clones share everything.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    root: Arc<Root>,
    watcher: Option<Arc<Watcher>>,
    index: Option<Arc<Index>>,
    accounts: Mutex<HashMap<Address, Arc<Slot>>>,
    quotas: Arc<Rules<AccountQuota>>,
    retention: Arc<Rules<Option<Duration>>>,
    /// Shared by those who sync every folder on the way to an account, held alone by those who rely on the folders that
    /// they find: one of them may have been made a moment ago, and not be on disk yet.
    folders: RwLock<()>,
}

/// The place of one account, which stays when it is closed. Its lock is held while the account is opened.
#[derive(Debug)]
struct Slot {
    known: Mutex<Known>,
    settled: Arc<Settled>,
    ledger: Arc<Ledger>,
}

#[derive(Debug, Default)]
struct Known {
    open: Weak<AccountState>,
    /// All folders above its own were synced by this process; those in it are when mail comes.
    on_disk: bool,
}

impl Store {
    /// Opens the store and starts watching for changes by other programs.
    ///
    /// The folder is made when its parent exists; otherwise, or when it cannot be opened, this fails.
    pub fn open(settings: Settings) -> Result<Self, StoreError> {
        let root = Arc::new(Root::open(&settings.mail_dir, settings.free_space_reserve)?);
        let watcher = Watcher::start(&root.path, settings.trust_inotify).map(Arc::new);
        let index = settings.index_dir.clone().and_then(Index::start);
        Ok(Self(Arc::new(Shared {
            settings,
            root,
            watcher,
            index,
            accounts: Mutex::default(),
            quotas: Arc::default(),
            retention: Arc::default(),
            folders: RwLock::default(),
        })))
    }

    /// Opens an account. On first use it gets its Maildir with Drafts, Sent, Junk, Trash and Archive, all
    /// subscribed. Its name is folded to lower case.
    ///
    /// Fails with [`StoreError::BadName`] for an address that cannot name a folder.
    pub fn account(&self, account: &Address) -> Result<Account, StoreError> {
        let known = locked(&self.slot(account.folded()).known).open.strong_count() > 0;
        let state = self.account_state(account)?;
        if !known {
            let swept = state.sweep(SystemTime::now()).and_then(|()| state.forget_lost_mailboxes());
            if let Err(error) = swept {
                tracing::warn!(%account, %error, "cannot sweep leftovers");
            }
        }
        Ok(Account(state))
    }

    /// Begins to take in a message. Fails with [`StoreError::NoSpace`] below the free-space reserve.
    pub fn begin(&self) -> Result<Incoming, StoreError> {
        self.0.root.check_space()?;
        Ok(Incoming::new(Arc::clone(&self.0.root)))
    }

    /// The same without asking the disk, for callers that must not wait: `None` when only the disk can tell,
    /// which is so every tenth of a second.
    pub fn begin_at_once(&self) -> Option<Incoming> {
        self.0.root.has_space_for_sure().then(|| Incoming::new(Arc::clone(&self.0.root)))
    }

    /// Says how much each account may hold, from now on.
    pub fn limit_by<Q: Into<AccountQuota>>(&self, quota: impl Fn(&Address) -> Q + Send + Sync + 'static) {
        self.0.quotas.set(Arc::new(move |account: &Address| quota(account).into()));
    }

    /// What is said of how much an account may hold, in its single mailboxes too.
    pub fn quota_rules(&self, account: &Address) -> AccountQuota {
        self.0.quotas.of(&account.folded())
    }

    /// Says how long what is expunged from each account can be put back, from now on ([`Account::undelete`]).
    pub fn keep_expunged_for(&self, time: impl Fn(&Address) -> Option<Duration> + Send + Sync + 'static) {
        self.0.retention.set(Arc::new(time));
    }

    /// Removes expunged mail of an account that was kept long enough. One that has no Maildir has none, and gets none.
    pub fn purge_expunged(&self, account: &Address) -> Result<(), StoreError> {
        let key = account.folded();
        let Some(tree) = self.find_folder(&key)? else { return Ok(()) };
        let retention = Retention::new(key, Arc::clone(&self.0.retention));
        Ok(retention.purge(&tree, SystemTime::now())?)
    }

    /// Whether there is a limit for an account at all. Touches no disk.
    pub fn is_limited(&self, account: &Address) -> bool {
        self.0.quotas.of(&account.folded()).limits.is_limit()
    }

    /// What an account holds and may hold. One that has no Maildir yet holds nothing, and gets none.
    pub fn quota(&self, account: &Address) -> Result<Quota, StoreError> {
        let key = account.folded();
        match self.find_folder(&key)? {
            Some(tree) => self.slot(key).ledger.quota(&tree),
            None => Ok(Quota { used: Usage::default(), limits: self.0.quotas.of(&key).limits }),
        }
    }

    /// Counts anew what an account holds, whatever `maildirsize` says.
    pub fn recalculate_quota(&self, account: &Address) -> Result<Quota, StoreError> {
        let key = account.folded();
        match self.find_folder(&key)? {
            Some(tree) => self.slot(key).ledger.recalculate(&tree),
            None => Ok(Quota { used: Usage::default(), limits: self.0.quotas.of(&key).limits }),
        }
    }

    /// Whether a message of this size could be delivered to an account now: [`StoreError::OverQuota`] where it could not.
    pub fn has_room(&self, account: &Address, octets: u64) -> Result<(), StoreError> {
        let key = account.folded();
        match self.find_folder(&key)? {
            Some(tree) => self.slot(key).ledger.check(&tree, octets),
            None => {
                let limits = self.0.quotas.of(&key).of(&MailboxName::inbox());
                let admits = limits.is_none_or(|limits| limits.admits_first(octets));
                if admits { Ok(()) } else { Err(StoreError::OverQuota) }
            }
        }
    }

    /// What `maildirsize` tells of an account, and what a count of all messages finds; `None` without such a file.
    pub(crate) fn usage_told_and_found(
        &self,
        account: &Address,
    ) -> Result<Option<(Usage, Usage)>, StoreError> {
        let key = account.folded();
        let Some(tree) = self.find_folder(&key)? else { return Ok(None) };
        Ok(self.slot(key).ledger.told_and_found(&tree)?)
    }

    /// The index of an account, where one is kept.
    pub(crate) fn index_of(&self, account: &Address) -> Option<AccountIndex> {
        let folders = self.0.settings.layout.folders(&account.folded()).ok()?;
        Some(self.0.index.as_ref()?.of_account(&folders))
    }

    /// The folder of an account, if it has one.
    pub(crate) fn find_folder(&self, folded: &Address) -> Result<Option<Tree>, StoreError> {
        let mut below: Option<Dir> = None;
        for name in self.0.settings.layout.folders(folded)? {
            match below.as_ref().unwrap_or(&self.0.root.dir).open(name) {
                Ok(dir) => below = Some(dir),
                Err(error) if folder::is_no_folder(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(below.map(|dir| Tree::new(dir, self.0.settings.mailboxes)))
    }

    pub(crate) fn root(&self) -> &Root {
        &self.0.root
    }

    /// The account's state, opened or made if need be.
    ///
    /// One thread at a time opens one account, so that nobody delivers into mailboxes that another has made but not
    /// synced yet. Different accounts are made side by side: each syncs all folders on its own way, also those that others
    /// have just made, and the file system puts what is synced at once on disk together. A lock of another program on
    /// one account holds up nobody else. Open accounts pass without touching the disk.
    pub(crate) fn account_state(&self, account: &Address) -> Result<Arc<AccountState>, StoreError> {
        let key = account.folded();
        let slot = self.slot(key.clone());
        let mut known = locked(&slot.known);
        if let Some(state) = known.open.upgrade() {
            return Ok(state);
        }
        let folders = self.0.settings.layout.folders(&key)?;
        // What fails half-way has to sync all of it when it comes again.
        let was_on_disk = std::mem::take(&mut known.on_disk);
        let dir = if was_on_disk {
            let _alone = self.0.folders.write().unwrap_or_else(PoisonError::into_inner);
            self.open_folders(&folders, false)?
        } else {
            let _beside_others = self.0.folders.read().unwrap_or_else(PoisonError::into_inner);
            self.open_folders(&folders, true)?
        };
        let path = folders.iter().fold(self.0.root.path.clone(), |path, folder| path.join(folder));
        let state = AccountState::new(
            Arc::clone(&self.0.root),
            self.0.watcher.clone(),
            (Tree::new(dir, self.0.settings.mailboxes), path),
            (Arc::clone(&slot.settled), Arc::clone(&slot.ledger)),
            Retention::new(key, Arc::clone(&self.0.retention)),
            self.0.index.as_ref().map(|index| index.of_account(&folders)),
        );
        state.prepare()?;
        let state = Arc::new(state);
        *known = Known { open: Arc::downgrade(&state), on_disk: true };
        Ok(state)
    }

    fn slot(&self, folded: Address) -> Arc<Slot> {
        let mut accounts = locked(&self.0.accounts);
        let slot = accounts.entry(folded).or_insert_with_key(|account| {
            let ledger = Arc::new(Ledger::new(account.clone(), Arc::clone(&self.0.quotas)));
            Arc::new(Slot { known: Mutex::default(), settled: Arc::default(), ledger })
        });
        Arc::clone(slot)
    }

    /// Goes down to the account's folder, making what is missing. The first time in this process every
    /// folder above it is synced: an earlier process may have made what is in it and died before it could.
    fn open_folders(&self, folders: &[String], first_time: bool) -> Result<Dir, StoreError> {
        let root = &self.0.root.dir;
        let mut below: Option<Dir> = None;
        for name in folders {
            let dir = below.as_ref().unwrap_or(root);
            let (next, made) = dir.open_or_create(name).map_err(|error| {
                if folder::is_no_folder(&error) { StoreError::BadName } else { error.into() }
            })?;
            if made || first_time {
                dir.sync()?;
            }
            below = Some(next);
        }
        Ok(below.map_or_else(|| root.try_clone(), Ok)?)
    }
}
