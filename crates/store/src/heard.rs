//! What inotify tells of the two folders of a mailbox, and which of it was done here: who knows that nothing else has
//! happened need not read ten thousand names again after each change of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::folder::Folder;
use crate::mailbox::Shared;
use crate::scan::Place;
use crate::state::State;
use crate::sync::locked;
use crate::watch::{Changes, Hears, Told, Watch, Watcher};

/// Most events that wait for a look; with more of them the folders are read.
const MAX_EVENTS: usize = 10_000;

/// Listens to the folders of one mailbox.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) changes: Arc<Changes>,
    log: Arc<Mutex<Log>>,
    /// `None` where not every change is told.
    watcher: Option<Arc<Watcher>>,
    _ears: [(Arc<Ear>, Option<Watch>); 2],
}

/// Events in their order, until somebody looks.
#[derive(Debug, Default)]
struct Log {
    events: VecDeque<Event>,
    /// Some of them are not among these.
    lost: bool,
    /// None will come any more.
    ended: bool,
}

/// Something was done with a name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    place: Place,
    /// It is there now; or else it is not any more.
    came: bool,
    name: Box<[u8]>,
}

#[derive(Debug)]
struct Ear {
    place: Place,
    changes: Arc<Changes>,
    log: Arc<Mutex<Log>>,
}

impl Hears for Ear {
    fn hear(&self, told: Told<'_>) {
        let mut log = locked(&self.log);
        let event = match told {
            Told::Came(name) => Some((true, name)),
            Told::Went(name) => Some((false, name)),
            Told::Something | Told::Ended => None,
        };
        log.ended |= matches!(told, Told::Ended);
        match event.filter(|_| log.events.len() < MAX_EVENTS) {
            Some(_) if log.lost => {}
            Some((came, name)) => log.events.push_back(Event { place: self.place, came, name: name.into() }),
            None => log.lose(),
        }
        drop(log);
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Log {
    fn lose(&mut self) {
        (self.events, self.lost) = (VecDeque::new(), true);
    }
}

impl Heard {
    /// Listens from now on; nobody has read the folders yet.
    pub(crate) fn new(folder: &Folder, watcher: Option<&Arc<Watcher>>) -> Self {
        let (changes, log): (_, Arc<Mutex<Log>>) = (Arc::new(Changes::new(0)), Arc::default());
        let ears = [(Place::New, &folder.new), (Place::Cur, &folder.cur)].map(|(place, dir)| {
            let ear = Arc::new(Ear { place, changes: Arc::clone(&changes), log: Arc::clone(&log) });
            let watch = watcher.and_then(|watcher| watcher.watch_open(dir, &ear));
            (ear, watch)
        });
        let all = ears.iter().all(|(_, watch)| watch.is_some())
            && folder.new.tells_of_changes()
            && folder.cur.tells_of_changes();
        let watcher = watcher.filter(|watcher| all && watcher.is_trusted()).cloned();
        // Nobody asks for what is not all of it.
        locked(&log).lost = watcher.is_none();
        Self { changes, log, watcher, _ears: ears }
    }
}

/// What was done here to the folders since they were read.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// inotify tells of every change.
    is_told: bool,
    /// The folders were read, and what has happened since is either in `done` or in the log.
    listening: bool,
    /// What has not been heard of yet.
    done: VecDeque<Event>,
}

impl Own {
    /// Before the first look.
    pub(crate) fn new(heard: &Heard) -> Self {
        Self { is_told: heard.watcher.is_some(), ..Self::default() }
    }

    /// A name came into a folder.
    pub(crate) fn put(&mut self, place: Place, name: &[u8]) {
        self.did(place, true, name);
    }

    /// A name went out of a folder.
    pub(crate) fn took(&mut self, place: Place, name: &[u8]) {
        self.did(place, false, name);
    }

    fn did(&mut self, place: Place, came: bool, name: &[u8]) {
        if self.done.len() >= MAX_EVENTS {
            // Nobody has looked for long.
            self.is_lost();
        } else if self.listening {
            self.done.push_back(Event { place, came, name: name.into() });
        }
    }

    /// The folders were read, after [`Shared::listen_anew`].
    pub(crate) fn has_read(&mut self) {
        self.listening = self.is_told;
    }

    /// The folders must be read before they are known again.
    pub(crate) fn is_lost(&mut self) {
        (self.listening, self.done) = (false, VecDeque::new());
    }
}

impl Shared {
    /// To be called before the folders are read: what has happened until now will be seen there. Until then nobody knows them,
    /// since a reading can fail.
    pub(crate) fn listen_anew(&self, state: &mut State) {
        state.must_look();
        if let Some(watcher) = &self.heard.watcher {
            let told = watcher.catch_up();
            let mut log = locked(&self.heard.log);
            (log.events, log.lost) = (VecDeque::new(), !told);
        }
    }

    /// Whether nothing has happened since [`listen_anew`](Self::listen_anew), here or elsewhere.
    pub(crate) fn was_still(&self) -> bool {
        let Some(watcher) = &self.heard.watcher else { return false };
        let told = watcher.catch_up();
        let log = locked(&self.heard.log);
        told && !log.ended && !log.lost && log.events.is_empty()
    }

    /// Whether the state shows the folders as they are: all that has happened since they were read was done here. Where it was
    /// not, no time of a folder proves that nothing has happened.
    pub(crate) fn is_up_to_date(&self, state: &mut State) -> bool {
        let Some(watcher) = self.heard.watcher.as_ref().filter(|_| state.own.listening) else { return false };
        let told = watcher.catch_up();
        let mut log = locked(&self.heard.log);
        while let Some(event) = log.events.pop_front() {
            if state.own.done.pop_front().as_ref() != Some(&event) {
                log.lose();
            }
        }
        // What was done here and nobody told of did not happen as it seemed.
        let knows = told && !log.ended && !log.lost && state.own.done.is_empty();
        if !knows {
            state.must_look();
        }
        knows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::path::PathBuf;

    use kings_mail::address::Address;

    use super::MAX_EVENTS;
    use crate::scan::Place;
    use crate::{
        Appended, Delivery, FlagChange, Flags, Layout, Mailbox, MailboxLayout, MailboxName, Settings, Store,
        SystemFlag,
    };

    type Deed = fn(&Here);

    struct Here {
        temp: tempfile::TempDir,
        store: Store,
        inbox: Mailbox,
    }

    fn ann() -> Address {
        Address::parse("ann@example.org").unwrap()
    }

    impl Here {
        fn new(trust_inotify: bool) -> Self {
            let temp = tempfile::tempdir().unwrap();
            let store = Store::open(Settings {
                mail_dir: temp.path().join("mail"),
                index_dir: None,
                layout: Layout::default(),
                mailboxes: MailboxLayout::default(),
                trust_inotify,
                free_space_reserve: 0,
            });
            let store = store.unwrap();
            let inbox = store.account(&ann()).unwrap().open(&MailboxName::inbox()).unwrap();
            Self { temp, store, inbox }
        }

        fn append(&self, count: usize) {
            let message = || {
                let mut content = self.store.begin().unwrap();
                content.write(b"Subject: x\r\n\r\nx\r\n").unwrap();
                Appended { content, flags: Flags::default(), internal_date: None }
            };
            let messages: Vec<Appended> = (0..count).map(|_| message()).collect();
            self.inbox.append(&messages).unwrap();
        }

        fn deliver(&self) {
            let mut incoming = self.store.begin().unwrap();
            incoming.write(b"Subject: x\r\n\r\nx\r\n").unwrap();
            let delivery =
                Delivery { account: ann(), mailbox: MailboxName::inbox().into(), trace: Vec::new() };
            self.store.deliver(&incoming, &[delivery]).remove(0).unwrap();
        }

        fn folder(&self, place: &str) -> PathBuf {
            self.temp.path().join("mail/example.org/ann").join(place)
        }

        fn some_file(&self) -> PathBuf {
            fs::read_dir(self.folder("cur")).unwrap().next().unwrap().unwrap().path()
        }

        fn knows(&self) -> bool {
            let mut state = self.inbox.0.state().unwrap();
            self.inbox.0.is_up_to_date(&mut state)
        }

        fn count(&self) -> usize {
            self.inbox.refresh().unwrap().messages.len()
        }
    }

    #[test]
    fn what_was_done_here_needs_no_second_look() {
        let here = Here::new(true);
        here.append(3);
        assert!(here.knows(), "nothing was read since the mailbox was opened");
        let seen = Flags::default().with(SystemFlag::Seen);
        let uids = |here: &Here| here.inbox.snapshot().messages.iter().map(|m| m.uid).collect::<Vec<_>>();
        here.inbox.store_flags(&uids(&here), &FlagChange::Add(seen.clone())).unwrap();
        assert!(here.knows());
        here.inbox.store_flags(&uids(&here), &FlagChange::Add(seen)).unwrap();
        assert!(here.knows(), "nothing had to be renamed");
        here.inbox.copy_to(&uids(&here)[..1], &here.inbox).unwrap();
        assert!(here.knows());
        let trash =
            here.store.account(&ann()).unwrap().open(&MailboxName::parse("Trash", '.').unwrap()).unwrap();
        here.inbox.move_to(&uids(&here)[..1], &trash).unwrap();
        assert!(here.knows());
        here.inbox.remove(&uids(&here)[..1]).unwrap();
        assert!(here.knows());
        assert_eq!(here.count(), 2);
        here.deliver();
        assert!(!here.knows(), "a delivery has no UID yet");
        assert_eq!(here.count(), 3);
        assert!(here.knows());
        here.inbox.select().unwrap();
        assert!(here.knows(), "new messages moved to cur");
    }

    #[test]
    fn what_others_did_needs_one() {
        let here = Here::new(true);
        here.append(3);
        let deeds: [(Deed, usize); 5] = [
            (|here| fs::remove_file(here.some_file()).unwrap(), 2),
            (|here| fs::write(here.folder("new/fresh"), "x").unwrap(), 3),
            (|here| fs::rename(here.some_file(), here.folder("cur/other:2,S")).unwrap(), 3),
            (|here| fs::hard_link(here.some_file(), here.folder("cur/second:2,")).unwrap(), 4),
            (|here| fs::rename(here.some_file(), here.temp.path().join("away")).unwrap(), 3),
        ];
        for (number, (deed, count)) in deeds.into_iter().enumerate() {
            here.count();
            assert!(here.knows(), "{number}");
            deed(&here);
            assert!(!here.knows(), "{number}");
            assert!(!here.knows(), "{number}: it stays so until somebody has looked");
            assert_eq!(here.count(), count, "{number}");
        }
    }

    #[test]
    fn what_others_did_between_deeds_of_ours_is_not_taken_for_one() {
        let here = Here::new(true);
        here.append(2);
        let first = here.inbox.snapshot().messages[0].uid;
        let flagged = Flags::default().with(SystemFlag::Flagged);
        here.inbox.store_flags(&[first], &FlagChange::Add(flagged.clone())).unwrap();
        // Another program takes it back, and does again what was done here.
        let file = fs::read_dir(here.folder("cur")).unwrap().map(|entry| entry.unwrap().path());
        let file = file.into_iter().find(|path| path.to_str().unwrap().ends_with(":2,F")).unwrap();
        let plain = file.to_str().unwrap().trim_end_matches('F').to_owned();
        fs::rename(&file, &plain).unwrap();
        fs::rename(&plain, &file).unwrap();
        here.append(1);
        assert!(!here.knows());
        assert_eq!(here.count(), 3);
        assert!(here.inbox.snapshot().message(first).unwrap().flags.contains(SystemFlag::Flagged));
    }

    #[test]
    fn what_was_done_before_a_reading_explains_nothing_after_it() {
        let here = Here::new(true);
        here.append(1);
        // Another program writes the list, so that the folders are read, and removes what was added.
        let list = here.temp.path().join("mail/example.org/ann/dovecot-uidlist");
        let text = fs::read(&list).unwrap();
        fs::write(&list, text).unwrap();
        assert_eq!(here.count(), 1);
        fs::remove_file(here.some_file()).unwrap();
        assert_eq!(here.count(), 0);
    }

    #[test]
    fn a_reading_that_failed_leaves_nothing_known() {
        let here = Here::new(true);
        here.append(1);
        fs::remove_file(here.some_file()).unwrap();
        here.inbox.0.listen_anew(&mut here.inbox.0.state().unwrap());
        assert!(!here.knows());
        assert_eq!(here.count(), 0);
    }

    #[test]
    fn what_is_not_told_is_not_kept_and_what_nobody_asks_for_is_bounded() {
        for (trusted, kept) in [(false, 0), (true, MAX_EVENTS)] {
            let here = Here::new(trusted);
            here.count();
            let mut state = here.inbox.0.state().unwrap();
            let mut most = 0;
            for number in 0..2 * MAX_EVENTS {
                state.own.put(Place::Cur, number.to_string().as_bytes());
                most = most.max(state.own.done.len());
            }
            assert_eq!(most, kept);
            drop(state);
            assert!(!here.knows());
        }
    }

    #[test]
    fn more_deeds_than_the_kernel_tells_of_at_once_are_known_all_the_same() {
        let here = Here::new(true);
        here.append(2_500);
        let uids: Vec<_> = here.inbox.snapshot().messages.iter().map(|message| message.uid).collect();
        for change in [FlagChange::Add, FlagChange::Remove] {
            for flag in [SystemFlag::Flagged, SystemFlag::Answered, SystemFlag::Draft] {
                here.inbox.store_flags(&uids, &change(Flags::default().with(flag))).unwrap();
            }
        }
        assert!(here.knows());
    }

    #[test]
    fn without_inotify_nothing_is_known_from_it() {
        let here = Here::new(false);
        here.append(1);
        here.count();
        assert!(!here.knows());
        fs::remove_file(here.some_file()).unwrap();
        assert_eq!(here.count(), 0);
    }
}
