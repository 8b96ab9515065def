//! News of a whole account, for one session each: which mailboxes have changed, that names have, what was renamed and noted.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch::{Receiver, Sender};

use crate::account::{Account, AccountState};
use crate::mailbox_layout::MailboxLayout;
use crate::name::MailboxName;
use crate::subscriptions;
use crate::sync::locked;
use crate::watch::{Hears, Told, Watch};

/// Most renames and notes that wait for one session: more than a person makes between two looks.
const MAX_EVENTS: usize = 1_000;

/// Something that was done in an account and cannot be seen from what it has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// A mailbox has another name.
    Renamed {
        /// The name before.
        from: MailboxName,
        /// The name now.
        to: MailboxName,
    },
    /// Entries of METADATA have changed.
    Noted {
        /// `None` for the account.
        mailbox: Option<MailboxName>,
        /// Their names.
        entries: Vec<String>,
    },
}

/// What has happened since it was asked last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AccountNews {
    /// Something has come, gone or changed in these.
    pub mailboxes: BTreeSet<MailboxName>,
    /// Mailboxes were made or removed, or subscribed or not.
    pub names: bool,
    /// In the order in which they were done.
    pub events: Vec<AccountEvent>,
    /// There were more events than could wait: they are lost.
    pub overflow: bool,
}

impl AccountNews {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one session hears of an account, until it is dropped.
#[derive(Debug)]
pub struct Notices {
    account: Arc<AccountState>,
    pile: Arc<Pile>,
    rings: Receiver<u64>,
    watched: HashMap<MailboxName, Watched>,
    /// On the folders whose entries are mailboxes.
    names: Vec<Watch>,
    names_bell: Arc<Bell>,
}

/// The watches on a mailbox and who hears of them.
#[derive(Debug)]
struct Watched {
    _watches: [Watch; 2],
    _bell: Arc<Bell>,
}

/// News that wait for a session.
#[derive(Debug)]
pub(crate) struct Pile {
    news: Mutex<AccountNews>,
    rings: Sender<u64>,
}

impl Pile {
    fn put(&self, put: impl FnOnce(&mut AccountNews)) {
        put(&mut locked(&self.news));
        self.rings.send_modify(|count| *count += 1);
    }

    fn put_event(&self, event: &AccountEvent) {
        self.put(|news| {
            if news.events.len() < MAX_EVENTS {
                news.events.push(event.clone());
            } else {
                news.overflow = true;
            }
        });
    }
}

/// Hears of one folder.
#[derive(Debug)]
struct Bell {
    pile: Weak<Pile>,
    heard: Heard,
}

/// What one folder tells of.
#[derive(Debug)]
enum Heard {
    Mailbox(MailboxName),
    /// Its entries are mailboxes that lie like that.
    Names(MailboxLayout),
}

impl Hears for Bell {
    fn hear(&self, told: Told<'_>) {
        let entry = match told {
            Told::Came(entry) | Told::Went(entry) => entry,
            Told::Something | Told::Ended => b"",
        };
        let Some(pile) = self.pile.upgrade() else { return };
        match &self.heard {
            Heard::Mailbox(name) => pile.put(|news| {
                news.mailboxes.insert(name.clone());
            }),
            // The inbox keeps its own files there too.
            Heard::Names(layout)
                if entry.is_empty()
                    || layout.names_change_with(entry)
                    || entry == subscriptions::NAME.as_bytes() =>
            {
                pile.put(|news| news.names = true);
            }
            Heard::Names(_) => {}
        }
    }
}

/// Everybody who hears of an account.
#[derive(Debug, Default)]
pub(crate) struct Hearers(Mutex<Vec<Weak<Pile>>>);

impl Hearers {
    /// One more. Those that are gone are forgotten, so that sessions that come and go leave nothing behind.
    fn add(&self, pile: &Arc<Pile>) {
        let mut piles = locked(&self.0);
        piles.retain(|pile| pile.strong_count() > 0);
        piles.push(Arc::downgrade(pile));
    }

    fn each(&self, tell: impl Fn(&Pile)) {
        let mut piles = locked(&self.0);
        piles.retain(|pile| pile.upgrade().inspect(|pile| tell(pile)).is_some());
    }

    /// Mailboxes were made or removed, or subscribed or not.
    pub(crate) fn names(&self) {
        self.each(|pile| pile.put(|news| news.names = true));
    }

    pub(crate) fn event(&self, event: &AccountEvent) {
        self.each(|pile| pile.put_event(event));
    }
}

impl Account {
    /// Hears of this account from now on. Of the mailboxes themselves only with [`Notices::watch`].
    pub fn notices(&self) -> Notices {
        let (rings, heard) = tokio::sync::watch::channel(0);
        let pile = Arc::new(Pile { news: Mutex::default(), rings });
        self.0.hearers.add(&pile);
        let account = Arc::clone(&self.0);
        let heard_there = Heard::Names(account.tree.layout());
        let names_bell = Arc::new(Bell { pile: Arc::downgrade(&pile), heard: heard_there });
        let watch = account.watcher.as_ref().and_then(|watcher| watcher.watch(&account.path, &names_bell));
        let (watched, names) = (HashMap::new(), watch.into_iter().collect());
        Notices { account, pile, rings: heard, watched, names, names_bell }
    }
}

impl Notices {
    /// Hears of these mailboxes and of no others; false when some of them cannot be watched.
    pub fn watch(&mut self, names: &BTreeSet<MailboxName>) -> bool {
        self.watched.retain(|name, _| names.contains(name));
        let mut all = self.watch_names();
        for name in names {
            if !self.watched.contains_key(name) {
                match self.watched(name) {
                    Some(watched) => drop(self.watched.insert(name.clone(), watched)),
                    None => all = false,
                }
            }
        }
        all
    }

    /// Watches every folder whose entries are names, also those that were made since.
    fn watch_names(&mut self) -> bool {
        let AccountState { watcher: Some(watcher), tree, path, .. } = &*self.account else { return false };
        let Ok(holders) = tree.name_holders() else { return false };
        let paths = [path.clone()].into_iter().chain(holders.iter().map(|name| tree.path(path, name)));
        let (mut all, mut names) = (true, Vec::new());
        for path in paths {
            match watcher.watch(&path, &self.names_bell) {
                Some(watch) => names.push(watch),
                // Gone meanwhile: that is news of its own.
                None => all &= !path.exists(),
            }
        }
        // What was made in a new folder before it was watched is seen by another look.
        let is_new = |watch: &Watch| !self.names.iter().any(|old| old.is_of_same_folder(watch));
        let has_new = names.iter().any(is_new);
        self.names = names;
        if has_new {
            self.pile.put(|news| news.names = true);
        }
        all
    }

    fn watched(&self, name: &MailboxName) -> Option<Watched> {
        let heard = Heard::Mailbox(name.clone());
        let bell = Arc::new(Bell { pile: Arc::downgrade(&self.pile), heard });
        let watcher = self.account.watcher.as_ref()?;
        let path = self.account.tree.path(&self.account.path, name);
        let watch = |part: &str| watcher.watch(&path.join(part), &bell);
        Some(Watched { _watches: [watch("new")?, watch("cur")?], _bell: bell })
    }

    /// Waits until there is something; at once where something waits.
    pub async fn wait(&mut self) {
        while locked(&self.pile.news).is_empty() {
            // The sender lives as long as this.
            let _ = self.rings.changed().await;
        }
    }

    /// All that there is.
    pub fn take(&mut self) -> AccountNews {
        std::mem::take(&mut locked(&self.pile.news))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn events_wait_in_order_and_too_many_are_told_as_such() {
        let (rings, _heard) = tokio::sync::watch::channel(0);
        let pile = Arc::new(Pile { news: Mutex::default(), rings });
        let hearers = Hearers::default();
        hearers.add(&pile);
        let event = |number: usize| AccountEvent::Noted { mailbox: None, entries: vec![number.to_string()] };
        for number in 0..MAX_EVENTS {
            hearers.event(&event(number));
        }
        hearers.names();
        let news = std::mem::take(&mut *locked(&pile.news));
        assert_eq!((news.events.len(), news.overflow, news.names), (MAX_EVENTS, false, true));
        assert_eq!(news.events.last(), Some(&event(MAX_EVENTS - 1)));
        for number in 0..=MAX_EVENTS {
            hearers.event(&event(number));
        }
        assert!(locked(&pile.news).overflow);
        drop(pile);
        hearers.names();
        assert!(locked(&hearers.0).is_empty(), "nobody hears any more");
    }

    #[test]
    fn who_hears_no_more_is_forgotten_when_the_next_one_comes() {
        let pile = || {
            let (rings, _) = tokio::sync::watch::channel(0);
            Arc::new(Pile { news: Mutex::default(), rings })
        };
        let hearers = Hearers::default();
        let stays = pile();
        hearers.add(&stays);
        for _ in 0..10 {
            hearers.add(&pile());
        }
        assert_eq!(locked(&hearers.0).len(), 2, "the last one goes with the next");
        hearers.names();
        assert!(locked(&stays.news).names);
        assert_eq!(locked(&hearers.0).len(), 1);
    }

    #[test]
    fn the_inbox_keeps_files_beside_the_folders_of_mailboxes() {
        let (rings, _heard) = tokio::sync::watch::channel(0);
        let pile = Arc::new(Pile { news: Mutex::default(), rings });
        let flat = Bell { pile: Arc::downgrade(&pile), heard: Heard::Names(MailboxLayout::MaildirPlusPlus) };
        let nested = Bell { pile: Arc::downgrade(&pile), heard: Heard::Names(MailboxLayout::Fs) };
        for (entry, is_flat, is_nested) in [
            (&b".Sent"[..], true, true),
            (b"subscriptions", true, true),
            (b"", true, true),
            (b"Sent", false, true),
            (b"cur", false, true),
            (b"new", false, false),
            (b"dovecot-uidlist", false, false),
            (b"subscriptions.lock", false, false),
            (b"maildirsize", false, false),
        ] {
            for (bell, is_name) in [(&flat, is_flat), (&nested, is_nested)] {
                bell.hear(Told::Came(entry));
                let news = std::mem::take(&mut *locked(&pile.news));
                assert_eq!(news.names, is_name, "{}", entry.escape_ascii());
            }
        }
    }
}
