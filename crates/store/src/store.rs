//! The store as a whole: opens accounts and takes messages in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use kings_mail::address::Address;

use crate::account::{Account, AccountState};
use crate::dir::Dir;
use crate::error::StoreError;
use crate::folder;
use crate::incoming::Incoming;
use crate::root::Root;
use crate::settings::Settings;
use crate::sync::locked;
use crate::watch::Watcher;

/// All mailboxes of this server. Clones share everything.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    root: Arc<Root>,
    watcher: Option<Arc<Watcher>>,
    /// Open accounts. A name stays after its account is closed: its folders are known to be on disk.
    accounts: Mutex<HashMap<Address, Weak<AccountState>>>,
}

impl Store {
    /// Opens the store and starts watching for changes by other programs.
    ///
    /// The folder is made when its parent exists; otherwise, or when it cannot be opened, this fails.
    pub fn open(settings: Settings) -> Result<Self, StoreError> {
        let root = Arc::new(Root::open(&settings.mail_dir, settings.free_space_reserve)?);
        let watcher = Watcher::start(&root.path).map(Arc::new);
        Ok(Self(Arc::new(Shared { settings, root, watcher, accounts: Mutex::default() })))
    }

    /// Opens an account. On first use it gets its Maildir with Drafts, Sent, Junk, Trash and Archive, all
    /// subscribed. Its name is folded to lower case.
    ///
    /// Fails with [`StoreError::BadName`] for an address that cannot name a folder.
    pub fn account(&self, account: &Address) -> Result<Account, StoreError> {
        let known =
            locked(&self.0.accounts).get(&account.folded()).is_some_and(|weak| weak.strong_count() > 0);
        let state = self.account_state(account)?;
        if !known && let Err(error) = state.sweep(SystemTime::now()) {
            tracing::warn!(%account, %error, "cannot sweep leftovers");
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

    pub(crate) fn root(&self) -> &Root {
        &self.0.root
    }

    /// The account's state, opened or made if need be.
    ///
    /// All opening happens under one lock, so that nobody delivers into folders that another thread has
    /// made but not yet synced. Open accounts pass through it without touching the disk.
    pub(crate) fn account_state(&self, account: &Address) -> Result<Arc<AccountState>, StoreError> {
        let key = account.folded();
        let mut accounts = locked(&self.0.accounts);
        let known = accounts.get(&key);
        if let Some(state) = known.and_then(Weak::upgrade) {
            return Ok(state);
        }
        let folders = self.0.settings.layout.folders(&key)?;
        let dir = self.open_folders(&folders, known.is_none())?;
        let path = folders.iter().fold(self.0.root.path.clone(), |path, folder| path.join(folder));
        let state = AccountState::new(Arc::clone(&self.0.root), self.0.watcher.clone(), dir, path);
        state.prepare()?;
        let state = Arc::new(state);
        accounts.insert(key, Arc::downgrade(&state));
        Ok(state)
    }

    /// Goes down to the account's folder, making what is missing. The first time in this process every
    /// folder on the way is synced: an earlier process may have made it and died before it could.
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
        let dir = below.map_or_else(|| root.try_clone(), Ok)?;
        if first_time {
            dir.sync()?;
        }
        Ok(dir)
    }
}
