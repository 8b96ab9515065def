//! News of a whole account, for one session each: which mailboxes have changed, that names have, what was renamed and noted.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch::{Receiver, Sender};

use crate::account::{Account, AccountState};
use crate::name::MailboxName;
use crate::subscriptions;
use crate::sync::locked;
use crate::watch::{Hears, Watch};

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
    _names: Option<(Watch, Arc<Bell>)>,
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
    /// `None` for the folder of the account, whose entries are the mailboxes.
    mailbox: Option<MailboxName>,
}

impl Hears for Bell {
    fn changed(&self, entry: &[u8]) {
        let Some(pile) = self.pile.upgrade() else { return };
        match &self.mailbox {
            Some(name) => pile.put(|news| {
                news.mailboxes.insert(name.clone());
            }),
            // The inbox keeps its own files there too.
            None if entry.is_empty()
                || entry.starts_with(b".")
                || entry == subscriptions::NAME.as_bytes() =>
            {
                pile.put(|news| news.names = true);
            }
            None => {}
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
        let bell = Arc::new(Bell { pile: Arc::downgrade(&pile), mailbox: None });
        let watch = self.0.watcher.as_ref().and_then(|watcher| watcher.watch(&self.0.path, &bell));
        let names = watch.map(|watch| (watch, bell));
        Notices { account: Arc::clone(&self.0), pile, rings: heard, watched: HashMap::new(), _names: names }
    }
}

impl Notices {
    /// Hears of these mailboxes and of no others; false when some of them cannot be watched.
    pub fn watch(&mut self, names: &BTreeSet<MailboxName>) -> bool {
        self.watched.retain(|name, _| names.contains(name));
        let mut all = true;
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

    fn watched(&self, name: &MailboxName) -> Option<Watched> {
        let bell = Arc::new(Bell { pile: Arc::downgrade(&self.pile), mailbox: Some(name.clone()) });
        let watcher = self.account.watcher.as_ref()?;
        let path =
            name.folder().map_or_else(|| self.account.path.clone(), |folder| self.account.path.join(folder));
        let watch = |part: &str| watcher.watch(&Path::new(&path).join(part), &bell);
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
        let bell = Bell { pile: Arc::downgrade(&pile), mailbox: None };
        for (entry, is_name) in [
            (&b".Sent"[..], true),
            (b"subscriptions", true),
            (b"", true),
            (b"dovecot-uidlist", false),
            (b"subscriptions.lock", false),
            (b"maildirsize", false),
        ] {
            bell.changed(entry);
            assert_eq!(std::mem::take(&mut *locked(&pile.news)).names, is_name, "{}", entry.escape_ascii());
        }
    }
}
