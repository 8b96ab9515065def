//! One account: its mailboxes, their names and subscriptions.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use crate::acl;
use crate::dir::found;
use crate::error::StoreError;
use crate::expunged::Retention;
use crate::folder::{self, Folder, NewMailbox};
use crate::index::AccountIndex;
use crate::list_file;
use crate::mailbox::{Mailbox, Shared};
use crate::mailbox_file;
use crate::message::Uid;
use crate::name::{MailboxName, SpecialUse};
use crate::notices::{AccountEvent, Hearers};
use crate::quota::{Claim, Ledger, Mark, Quota, Room, Usage, count_mailbox};
use crate::root::Root;
use crate::settled::Settled;
use crate::subscriptions;
use crate::sync::locked;
use crate::tree::{Trash, Tree};
use crate::validity;
use crate::watch::Watcher;

/// The entry of METADATA that says what a mailbox is for (RFC 6154 §4).
const SPECIAL_USE_ENTRY: &str = "/private/specialuse";

/// An open account. Clones share everything.
#[derive(Clone, Debug)]
pub struct Account(pub(crate) Arc<AccountState>);

/// What all handles of one account share.
#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) root: Arc<Root>,
    pub(crate) watcher: Option<Arc<Watcher>>,
    /// Only for watching.
    pub(crate) path: PathBuf,
    pub(crate) tree: Tree,
    /// `None` where nothing is kept beyond the Maildir.
    pub(crate) index: Option<AccountIndex>,
    /// Mailboxes somebody holds.
    open: Mutex<HashMap<MailboxName, Weak<Shared>>>,
    /// Keeps apart the threads that count UIDVALIDITY.
    counting: Mutex<()>,
    /// Keeps two mailboxes from being made for one use, and apart who changes what is noted about the account.
    pub(crate) assigning: Mutex<()>,
    settled: Arc<Settled>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) retention: Retention,
    pub(crate) hearers: Hearers,
}

/// One line of LIST.
#[allow(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The mailbox.
    pub name: MailboxName,
    /// In the list of subscriptions, which may name mailboxes that do not exist.
    pub subscribed: bool,
    /// It can be selected. Otherwise the name is only subscribed, or stands above one that exists, or is a folder.
    pub exists: bool,
    /// There is a folder of this name that is no mailbox.
    pub is_level: bool,
    /// What it is for (RFC 6154 §2).
    pub special_uses: Vec<SpecialUse>,
    /// A mailbox that exists, or a folder, stands below it.
    pub has_children: bool,
}

impl AccountState {
    pub(crate) fn new(
        root: Arc<Root>,
        watcher: Option<Arc<Watcher>>,
        (tree, path): (Tree, PathBuf),
        (settled, ledger): (Arc<Settled>, Arc<Ledger>),
        retention: Retention,
        index: Option<AccountIndex>,
    ) -> Self {
        let (open, counting, assigning) = (Mutex::default(), Mutex::default(), Mutex::default());
        let hearers = Hearers::default();
        Self {
            root,
            watcher,
            path,
            tree,
            index,
            open,
            counting,
            assigning,
            settled,
            ledger,
            retention,
            hearers,
        }
    }

    /// Makes the mailboxes of an account that has none yet.
    ///
    /// An account without subscriptions, folders and uidlist was never used, even if somebody made its
    /// three empty folders. `cur` of the inbox comes last: with it everything else is there.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        if !self.is_unused()? {
            return Ok(());
        }
        let mut names = vec![MailboxName::inbox()];
        for (text, _) in SpecialUse::ALL {
            let name = MailboxName::parse(text, '.')?;
            match self.create(&name, &[]) {
                Ok(_) | Err(StoreError::AlreadyExists) => names.push(name),
                Err(error) => return Err(error),
            }
        }
        subscriptions::change(&self.tree, &names, &[])?;
        Folder::open(&self.tree, &MailboxName::inbox())?;
        Ok(())
    }

    fn is_unused(&self) -> Result<bool, StoreError> {
        if found(self.tree.dir().stat_at(b"cur"))?.is_none() {
            return Ok(true);
        }
        for used in [subscriptions::NAME, crate::uidlist::NAME] {
            if found(self.tree.dir().stat_at(used.as_bytes()))?.is_some() {
                return Ok(false);
            }
        }
        Ok(self.folders()?.is_empty())
    }

    /// The mailboxes that have a folder of their own, in no order. The inbox is not among them.
    fn folders(&self) -> io::Result<Vec<MailboxName>> {
        self.tree.names()
    }

    /// Removes leftovers of crashed deliveries in all mailboxes, and expunged mail that was kept long enough.
    pub(crate) fn sweep(&self, now: SystemTime) -> io::Result<()> {
        self.retention.purge(&self.tree, now)?;
        folder::sweep(self.tree.dir(), now)?;
        for name in self.folders()? {
            if let Some(dir) = self.tree.folder(&name)? {
                folder::sweep(&dir, now)?;
            }
        }
        Ok(())
    }

    /// Has the index forget mailboxes that another program removed. Nothing is forgotten when any mailbox cannot be read:
    /// it might be one of those that are known.
    pub(crate) fn forget_lost_mailboxes(&self) -> io::Result<()> {
        let Some(index) = &self.index else { return Ok(()) };
        let mut guids = Vec::new();
        guids.extend(list_file::header(self.tree.dir())?.guid);
        for name in self.folders()? {
            if let Some(dir) = self.tree.folder(&name)? {
                guids.extend(list_file::header(&dir)?.guid);
            }
        }
        index.forget_others(guids);
        Ok(())
    }

    /// A new mailbox is for those whom the next one above it is for (Dovecot's rule).
    fn create(&self, name: &MailboxName, uses: &[SpecialUse]) -> Result<String, StoreError> {
        if !self.tree.layout().can_hold(name) {
            return Err(StoreError::BadName);
        }
        let validity = self.next_validity(0)?;
        let acl = acl::inherited(&self.tree, name)?;
        let made =
            self.tree.create(name, &self.root.names.unique()?, &NewMailbox { validity, uses, acl: &acl })?;
        self.hearers.names();
        Ok(made)
    }

    /// Makes a mailbox for its owner alone, whoever the one above it is shared with.
    pub(crate) fn make_private(&self, name: &MailboxName) -> Result<Folder, StoreError> {
        let validity = self.next_validity(0)?;
        let new = NewMailbox { validity, uses: &[], acl: &[] };
        match self.tree.create(name, &self.root.names.unique()?, &new) {
            Ok(_) => self.hearers.names(),
            Err(StoreError::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
        Folder::open(&self.tree, name)?.ok_or(StoreError::NoSuchMailbox)
    }

    /// What a mailbox was made for. One that cannot be read now has its name.
    fn made_for(&self, name: &MailboxName) -> Vec<SpecialUse> {
        let folder = (!name.is_inbox()).then(|| self.tree.folder(name).ok().flatten()).flatten();
        folder.and_then(|dir| mailbox_file::special_uses(&dir).ok()).unwrap_or_default()
    }

    /// The mailbox that was made for a use, or else the one that has it by its name, which may be missing.
    pub(crate) fn for_use(&self, special_use: SpecialUse) -> Result<MailboxName, StoreError> {
        let made_for = self.folders()?.into_iter().filter(|name| self.made_for(name).contains(&special_use));
        Ok(made_for.min().unwrap_or_else(|| MailboxName::of(special_use)))
    }

    /// Whether no mailbox but `name` was made for one of these uses.
    fn must_be_free(&self, name: &MailboxName, uses: &[SpecialUse]) -> Result<(), StoreError> {
        let folders = if uses.is_empty() { Vec::new() } else { self.folders()? };
        let mut taken = folders.iter().filter(|other| *other != name).flat_map(|other| self.made_for(other));
        if taken.any(|taken| uses.contains(&taken)) { Err(StoreError::UseTaken) } else { Ok(()) }
    }

    /// The folders of a mailbox that gets mail whether or not it exists.
    pub(crate) fn open_or_create_folder(&self, name: &MailboxName) -> Result<Folder, StoreError> {
        if let Some(folder) = Folder::open(&self.tree, name)? {
            return Ok(folder);
        }
        match self.create(name, &[]) {
            Ok(_) | Err(StoreError::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
        Folder::open(&self.tree, name)?.ok_or(StoreError::NoSuchMailbox)
    }

    /// Puts the folders of a mailbox on disk before this process says for the first time that a message is in it:
    /// another program may have made them a moment ago, and an earlier process may have died before it could sync them.
    pub(crate) fn settle(&self, name: &MailboxName, folder: &Folder) -> io::Result<()> {
        self.settled.settle(name, folder.root.place()?, || {
            if !name.is_inbox() {
                self.root.syncs.sync(&folder.root)?;
            }
            self.tree.above(name)?.iter().rev().try_for_each(|dir| self.root.syncs.sync(dir))
        })
    }

    /// Keeps room for messages that are about to come into a mailbox.
    pub(crate) fn claim(&self, mailbox: &MailboxName, size: Usage, who: Claim) -> Result<Room, StoreError> {
        self.ledger.claim(&self.tree, mailbox, (size, who))
    }

    /// The messages that `room` was kept for are there.
    pub(crate) fn fill(&self, room: Room) {
        room.fill(self.tree.dir());
    }

    /// Messages of a mailbox are gone since `mark`.
    pub(crate) fn gone(&self, mailbox: &MailboxName, mark: Mark, size: Usage) {
        if self.ledger.counts(mailbox) {
            self.ledger.note(self.tree.dir(), mark, (Usage::default(), size));
        }
    }

    /// A new UIDVALIDITY, above all before it and above `above`.
    pub(crate) fn next_validity(&self, above: u32) -> Result<u32, StoreError> {
        let _counting = locked(&self.counting);
        validity::next(self.tree.dir(), above)
    }

    /// Makes later UIDVALIDITY values higher than one that came from elsewhere.
    pub(crate) fn reserve_validity(&self, value: u32) -> Result<(), StoreError> {
        let _counting = locked(&self.counting);
        validity::reserve(self.tree.dir(), value)
    }

    /// The name of the mailbox that a client means: the one that is written like that, or else one that is the same in another
    /// spelling (RFC 5198 §3); where there is none, the name that one would get.
    fn meant(&self, name: &MailboxName) -> Result<MailboxName, StoreError> {
        if name.is_ascii() || self.tree.has(name)? {
            return Ok(name.clone());
        }
        let (mut known, levels) = self.tree.names_and_levels()?;
        known.extend(levels);
        Ok(name.spelt_like(&known))
    }

    /// Tells the sessions of a mailbox that mail came.
    pub(crate) fn tell(&self, name: &MailboxName) {
        if let Some(shared) = locked(&self.open).get(name).and_then(Weak::upgrade) {
            shared.bump();
        }
    }
}

impl Account {
    /// Every mailbox, every folder and every name above one, and every subscribed name; the inbox first, then by name.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut all: BTreeMap<MailboxName, Listed> = BTreeMap::new();
        let listed = |name: &MailboxName| Listed {
            name: name.clone(),
            subscribed: false,
            exists: false,
            is_level: false,
            special_uses: Vec::new(),
            has_children: false,
        };
        let (mailboxes, levels) = self.0.tree.names_and_levels()?;
        let levels = levels.into_iter().map(|name| (name, true));
        for (name, is_level) in
            mailboxes.into_iter().chain([MailboxName::inbox()]).map(|name| (name, false)).chain(levels)
        {
            let mut above = name.parent();
            while let Some(parent) = above {
                all.entry(parent.clone()).or_insert_with(|| listed(&parent)).has_children = true;
                above = parent.parent();
            }
            let entry = all.entry(name.clone()).or_insert_with(|| listed(&name));
            entry.is_level = is_level;
            if !is_level {
                (entry.exists, entry.special_uses) = (true, self.0.made_for(&name));
            }
        }
        name_uses(&mut all);
        for name in subscriptions::read(&self.0.tree)? {
            all.entry(name.clone()).or_insert_with(|| listed(&name)).subscribed = true;
        }
        let mut all: Vec<Listed> = all.into_values().collect();
        all.sort_by_key(|listed| !listed.name.is_inbox());
        Ok(all)
    }

    /// The name of the mailbox that a client means by a name: its own, whatever the spelling (RFC 9051 §5.1).
    pub fn meant(&self, name: &MailboxName) -> Result<MailboxName, StoreError> {
        self.0.meant(name)
    }

    /// What the account holds, and may hold.
    pub fn quota(&self) -> Result<Quota, StoreError> {
        self.0.ledger.quota(&self.0.tree)
    }

    /// Whether its owner could store `messages` of so many octets together in a mailbox now.
    pub fn has_room(&self, mailbox: &MailboxName, octets: u64, messages: u64) -> Result<(), StoreError> {
        self.0.claim(mailbox, Usage { octets, messages }, Claim::Saved).map(drop)
    }

    /// Makes a mailbox with a UIDVALIDITY no mailbox of this account had before. Names above it need not exist.
    pub fn create(&self, name: &MailboxName) -> Result<(), StoreError> {
        self.create_for(name, &[]).map(drop)
    }

    /// The same, with what it is for (RFC 6154 §3): it takes the use from a mailbox that has it by its name alone.
    ///
    /// Returns what [`Mailbox::id`] tells of it. Fails with [`StoreError::UseTaken`] when another mailbox was made for one of
    /// them.
    pub fn create_for(&self, name: &MailboxName, uses: &[SpecialUse]) -> Result<String, StoreError> {
        if name.is_inbox() {
            return Err(StoreError::AlreadyExists);
        }
        if !name.may_be_created() {
            return Err(StoreError::BadName);
        }
        let name = &self.0.meant(name)?;
        if uses.is_empty() {
            return self.0.create(name, uses);
        }
        let _alone = locked(&self.0.assigning);
        let folders = self.0.folders()?;
        if folders.contains(name) {
            return Err(StoreError::AlreadyExists);
        }
        self.0.must_be_free(name, uses)?;
        self.0.create(name, uses)
    }

    /// Changes what a mailbox is for, durably (RFC 6154 §4); without a use its name tells again.
    ///
    /// Fails with [`StoreError::UseTaken`] when another mailbox was made for one of them, and for the inbox.
    pub fn assign(&self, name: &MailboxName, uses: &[SpecialUse]) -> Result<(), StoreError> {
        let mailbox = self.open(name)?;
        let name = &mailbox.name();
        let _alone = locked(&self.0.assigning);
        if name.is_inbox() && !uses.is_empty() {
            return Err(StoreError::UseTaken);
        }
        self.0.must_be_free(name, uses)?;
        let _state = mailbox.0.state()?;
        mailbox_file::assign(&mailbox.0.folder.root, uses)?;
        let entries = vec![SPECIAL_USE_ENTRY.to_owned()];
        self.0.hearers.event(&AccountEvent::Noted { mailbox: Some(name.clone()), entries });
        Ok(())
    }

    /// Removes a mailbox and its messages, or an empty folder that is none. Mailboxes below it stay, and so does its
    /// subscription (RFC 9051 §6.3.5, §6.3.7).
    pub fn delete(&self, name: &MailboxName) -> Result<(), StoreError> {
        if name.is_inbox() {
            return Err(StoreError::CannotDeleteInbox);
        }
        let name = &self.0.meant(name)?;
        let mut open = locked(&self.0.open);
        let guid = match self.keep_validity_rising(name) {
            Err(StoreError::NoSuchMailbox) if self.0.tree.remove_level(name)? => {
                self.0.hearers.names();
                return Ok(());
            }
            guid => guid?,
        };
        let mark = self.0.ledger.mark();
        let trash = self.0.tree.set_aside(name)?;
        self.0.settled.forget(name);
        self.0.hearers.names();
        let shared = open.remove(name).and_then(|weak| weak.upgrade());
        if let Some(shared) = &shared {
            shared.delete();
        }
        // Not while all others who open a mailbox wait too.
        drop(open);
        if let Some(shared) = shared {
            shared.let_finish();
        }
        if let (Some(index), Some(guid)) = (&self.0.index, guid) {
            index.forget_mailbox(&guid);
        }
        match trash.open().and_then(|trashed| count_mailbox(&trashed)) {
            Ok(size) => self.0.gone(name, mark, size),
            Err(error) => tracing::debug!(%error, "cannot count what goes with a mailbox"),
        }
        self.keep_messages(name, &trash);
        self.forget_keywords(name);
        if let Err(error) = trash.remove() {
            tracing::warn!(mailbox = ?name, %error, "not all of a deleted mailbox could be removed");
        }
        Ok(())
    }

    fn forget_keywords(&self, name: &MailboxName) {
        if let Err(error) = Retention::forget_keywords(&self.0.tree, name) {
            tracing::warn!(mailbox = ?name, %error, "expunged mail may come back with other keywords");
        }
    }

    /// The messages of a mailbox that was set aside are kept as if they had been expunged.
    fn keep_messages(&self, name: &MailboxName, trash: &Trash) {
        let Some(bin) = self.0.retention.bin(&self.0.tree, name) else { return };
        let kept = trash.open().and_then(|trashed| bin.take_all(&trashed, &self.0.root.names));
        if let Err(error) = kept {
            tracing::warn!(mailbox = ?name, %error, "the mail of a deleted mailbox is not all kept");
        }
        self.0.bound_what_is_kept(None);
    }

    /// A mailbox of the same name made later must have a higher UIDVALIDITY (RFC 9051 §2.3.1.1). Returns the GUID.
    fn keep_validity_rising(&self, name: &MailboxName) -> Result<Option<String>, StoreError> {
        let dir = self.0.tree.folder(name)?.ok_or(StoreError::NoSuchMailbox)?;
        let header = list_file::header(&dir)?;
        match self.0.reserve_validity(header.validity) {
            // Deleting must work on a full disk. The counter is nearly always ahead already.
            Ok(()) | Err(StoreError::NoSpace) => Ok(header.guid),
            Err(error) => Err(error),
        }
    }

    /// Renames a mailbox and those below it (RFC 9051 §6.3.6). Renaming INBOX moves its messages into a new
    /// mailbox and leaves it empty.
    ///
    /// Fails with [`StoreError::AlreadyExists`] when any of the new names is taken, and with
    /// [`StoreError::BadName`] when one is too long or stands below the old one.
    pub fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), StoreError> {
        if to.is_inbox() {
            return Err(StoreError::AlreadyExists);
        }
        if from.is_inbox() {
            return self.empty_inbox_into(to);
        }
        let (from, to) = (&self.0.meant(from)?, &self.renamed_to(from, to)?);
        if !to.may_be_created() || to.is_below(from) {
            return Err(StoreError::BadName);
        }
        let mut open = locked(&self.0.open);
        let renames = self.renames(from, to)?;
        for (from, _) in &renames {
            self.keep_validity_rising(from)?;
        }
        self.0.tree.rename((from, to), &renames)?;
        if renames.iter().any(|(from, to)| self.0.ledger.counts(from) != self.0.ledger.counts(to)) {
            self.0.ledger.forget(self.0.tree.dir());
        }
        if renames.is_empty() {
            self.0.hearers.names();
        }
        for (from, to) in renames {
            self.forget_keywords(&from);
            if let Some(weak) = open.remove(&from) {
                weak.upgrade().inspect(|shared| shared.rename(&to));
                open.insert(to.clone(), weak);
            }
            self.0.hearers.event(&AccountEvent::Renamed { from, to });
        }
        Ok(())
    }

    /// The name after a rename. Only here the spelling alone may change, which makes it the one that names should have.
    fn renamed_to(&self, from: &MailboxName, to: &MailboxName) -> Result<MailboxName, StoreError> {
        if from.composed() == to.composed() { Ok(to.composed()) } else { self.0.meant(to) }
    }

    /// The old and new names of everything that moves, parents before children.
    fn renames(
        &self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<Vec<(MailboxName, MailboxName)>, StoreError> {
        let folders = self.0.folders()?;
        let mut moving: Vec<MailboxName> =
            folders.iter().filter(|name| *name == from || name.is_below(from)).cloned().collect();
        moving.sort();
        let is_level = || self.0.tree.names_and_levels().map(|(_, levels)| levels.contains(from));
        if moving.is_empty() && !is_level()? {
            return Err(StoreError::NoSuchMailbox);
        }
        // Also when `from` is only a level of names, and nothing would be put in the place of `to`.
        if folders.contains(to) {
            return Err(StoreError::AlreadyExists);
        }
        let mut renames = Vec::with_capacity(moving.len());
        for name in moving {
            let new = name.moved(from, to).ok_or(StoreError::BadName)?;
            if folders.contains(&new) {
                return Err(StoreError::AlreadyExists);
            }
            renames.push((name, new));
        }
        Ok(renames)
    }

    fn empty_inbox_into(&self, to: &MailboxName) -> Result<(), StoreError> {
        self.create(to)?;
        let (inbox, target) = (self.open(&MailboxName::inbox())?, self.open(to)?);
        let uids: Vec<Uid> = inbox.refresh()?.messages.iter().map(|message| message.uid).collect();
        inbox.move_to(&uids, &target).map(drop)
    }

    /// Subscribes a name, whether or not the mailbox exists (RFC 9051 §6.3.7).
    pub fn subscribe(&self, name: &MailboxName) -> Result<(), StoreError> {
        subscriptions::change(&self.0.tree, &[self.0.meant(name)?], &[])?;
        self.0.hearers.names();
        Ok(())
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, name: &MailboxName) -> Result<(), StoreError> {
        subscriptions::change(&self.0.tree, &[], &[self.0.meant(name)?, name.clone()])?;
        self.0.hearers.names();
        Ok(())
    }

    /// The subscribed names of mailboxes of others, their levels parted by slashes.
    pub fn subscriptions_of_others(&self) -> Result<Vec<String>, StoreError> {
        subscriptions::read_others(&self.0.tree)
    }

    /// Subscribes a mailbox of another account by such a name, or ends that.
    pub fn subscribe_other(&self, name: &str, subscribes: bool) -> Result<(), StoreError> {
        subscriptions::change_other(&self.0.tree, name, subscribes)
    }

    /// Opens a mailbox. Two opens of one mailbox give the same state, so its sessions see the same.
    pub fn open(&self, name: &MailboxName) -> Result<Mailbox, StoreError> {
        let shared = self.shared(&self.0.meant(name)?)?;
        shared.load()?;
        Ok(Mailbox(shared))
    }

    /// The state of a mailbox, not loaded yet when nobody has it open.
    fn shared(&self, name: &MailboxName) -> Result<Arc<Shared>, StoreError> {
        let mut open = locked(&self.0.open);
        let folder = Folder::open(&self.0.tree, name)?.ok_or(StoreError::NoSuchMailbox)?;
        if let Some(shared) = open.get(name).and_then(Weak::upgrade)
            && shared.folder.is_same_as(&folder)?
        {
            return Ok(shared);
        }
        open.retain(|_, weak| weak.strong_count() > 0);
        let shared = Arc::new(Shared::new(Arc::clone(&self.0), name, folder));
        open.insert(name.clone(), Arc::downgrade(&shared));
        Ok(shared)
    }
}

/// Gives the uses that no mailbox was made for to the mailboxes of their names.
fn name_uses(all: &mut BTreeMap<MailboxName, Listed>) {
    let taken: Vec<SpecialUse> = all.values().flat_map(|listed| listed.special_uses.clone()).collect();
    for listed in all.values_mut().filter(|listed| listed.exists && listed.special_uses.is_empty()) {
        listed.special_uses.extend(SpecialUse::of(&listed.name).filter(|named| !taken.contains(named)));
    }
}
