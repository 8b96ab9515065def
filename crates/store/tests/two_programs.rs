//! Two stores on one folder, as Kings and Dovecot would be: whatever they do in whatever order, no UID
//! is used twice, no message is lost, and both end with the same view.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::Barrier;

use common::{Here, all, keyword, name};
use kings_mail::address::Address;
use kings_store::{
    Delivery, FlagChange, Flags, Listed, Mailbox, Message, ModSeq, StoreError, SystemFlag, Uid, UidValidity,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Deliver,
    Append(usize),
    Flag(usize, u8, bool),
    Keyword(usize, u8),
    Delete(usize, u8),
    Expunge(usize),
    Move(usize, u8),
    Back(usize, u8),
    Refresh(usize),
    Select(usize),
    Reopen(usize),
    /// A program without locks or UIDs drops a file in, or renames one.
    Foreign,
    ForeignFlag(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0_usize..2;
    prop_oneof![
        3 => Just(Step::Deliver),
        2 => who.clone().prop_map(Step::Append),
        2 => (who.clone(), any::<u8>(), any::<bool>()).prop_map(|(w, n, on)| Step::Flag(w, n, on)),
        1 => (who.clone(), any::<u8>()).prop_map(|(w, n)| Step::Keyword(w, n)),
        2 => (who.clone(), any::<u8>()).prop_map(|(w, n)| Step::Delete(w, n)),
        1 => who.clone().prop_map(Step::Expunge),
        1 => (who.clone(), any::<u8>()).prop_map(|(w, n)| Step::Move(w, n)),
        1 => (who.clone(), any::<u8>()).prop_map(|(w, n)| Step::Back(w, n)),
        3 => who.clone().prop_map(Step::Refresh),
        1 => who.clone().prop_map(Step::Select),
        1 => who.prop_map(Step::Reopen),
        1 => Just(Step::Foreign),
        1 => any::<u8>().prop_map(Step::ForeignFlag),
    ]
}

/// What the test knows: which text each UID showed, and which texts must still be somewhere.
struct World {
    stores: [Here; 2],
    inbox: [Mailbox; 2],
    trash: [Mailbox; 2],
    meaning: HashMap<(bool, UidValidity, Uid), Vec<u8>>,
    highest: HashMap<(usize, bool), Uid>,
    alive: HashSet<String>,
    count: usize,
    steps: usize,
}

impl World {
    fn new() -> Self {
        let first = Here::new();
        let stores = [first.again(0), first];
        let inbox = [0, 1].map(|who: usize| stores[who].inbox());
        let trash = [0, 1].map(|who: usize| stores[who].account().open(&name("Trash")).unwrap());
        let (meaning, highest, alive) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { stores, inbox, trash, meaning, highest, alive, count: 0, steps: 0 }
    }

    fn text(&mut self) -> String {
        self.count += 1;
        let text = format!("message {}", self.count);
        self.alive.insert(text.clone());
        text
    }

    fn pick(mailbox: &Mailbox, number: u8) -> Option<Uid> {
        let uids = all(mailbox);
        (!uids.is_empty()).then(|| uids[usize::from(number) % uids.len()])
    }

    fn flag(&self, who: usize, number: u8, change: &FlagChange) {
        if let Some(uid) = Self::pick(&self.inbox[who], number) {
            self.inbox[who].store_flags(&[uid], change).unwrap();
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Deliver => {
                let text = self.text();
                self.stores[0].deliver(&text);
            }
            Step::Append(who) => {
                let text = self.text();
                self.stores[who].append(&self.inbox[who], &text, &Flags::default());
            }
            Step::Flag(who, number, on) => {
                let seen = Flags::default().with(SystemFlag::Seen);
                self.flag(who, number, &if on { FlagChange::Add(seen) } else { FlagChange::Remove(seen) });
            }
            Step::Keyword(who, number) => {
                self.flag(who, number, &FlagChange::Add(keyword(&format!("k{}", number % 5))));
            }
            Step::Delete(who, number) => {
                self.flag(who, number, &FlagChange::Add(Flags::default().with(SystemFlag::Deleted)));
            }
            Step::Expunge(who) => self.expunge(who),
            Step::Move(who, number) => Self::carry(&self.inbox[who], &self.trash[who], number),
            Step::Back(who, number) => Self::carry(&self.trash[who], &self.inbox[who], number),
            Step::Refresh(who) => self.refresh(who),
            Step::Select(who) => drop(self.inbox[who].select().unwrap()),
            Step::Reopen(who) => self.reopen(who),
            Step::Foreign => {
                let text = self.text();
                let file = format!("new/{}.foreign{}", 1_500_000_000 + self.count % 7, self.count);
                std::fs::write(self.stores[0].file(file), text).unwrap();
            }
            Step::ForeignFlag(number) => self.rename_one(number),
        }
        self.check();
    }

    /// Who looks sees what is there, whoever did it, without reading a message: what reads finds out what it missed.
    fn refresh(&self, who: usize) {
        for (mailbox, folder) in [(&self.inbox[who], ""), (&self.trash[who], ".Trash/")] {
            let snapshot = mailbox.refresh().unwrap();
            let files = ["new", "cur"].map(|part| self.stores[who].names(&format!("{folder}{part}")));
            let letters = |name: &String| {
                name.split_once(":2,").map(|(_, letters)| letters.to_owned()).unwrap_or_default()
            };
            let on_disk =
                |letter: char| files.iter().flatten().filter(|name| letters(name).contains(letter)).count();
            let shown =
                |flag| snapshot.messages.iter().filter(|message| message.flags.contains(flag)).count();
            assert_eq!(snapshot.messages.len(), files.iter().flatten().count(), "{files:?}");
            for (letter, flag) in
                [('S', SystemFlag::Seen), ('F', SystemFlag::Flagged), ('T', SystemFlag::Deleted)]
            {
                assert_eq!(shown(flag), on_disk(letter), "{letter} in {files:?}");
            }
        }
    }

    /// What the expunged messages were is known from the meaning of their UIDs.
    fn expunge(&mut self, who: usize) {
        let validity = self.inbox[who].snapshot().uid_validity;
        for uid in self.inbox[who].expunge(None).unwrap() {
            let text = self.meaning.get(&(true, validity, uid)).cloned().unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(
                self.alive.remove(text.trim_start_matches("Received: here\r\n")),
                "{text} expunged twice"
            );
        }
    }

    fn carry(from: &Mailbox, to: &Mailbox, number: u8) {
        let Some(uid) = Self::pick(from, number) else { return };
        match from.move_to(&[uid], to) {
            Ok(_) | Err(StoreError::Expunged) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn reopen(&mut self, who: usize) {
        let store = self.stores[who].again(0);
        self.inbox[who] = store.inbox();
        self.trash[who] = store.account().open(&name("Trash")).unwrap();
        self.stores[who] = store;
        self.highest.retain(|(owner, _), _| *owner != who);
    }

    fn rename_one(&self, number: u8) {
        let names = self.stores[0].names("cur");
        let Some(old) = (!names.is_empty()).then(|| &names[usize::from(number) % names.len()]) else {
            return;
        };
        if !old.contains(":2,") || old.contains('F') {
            return;
        }
        let cur = self.stores[0].file("cur");
        std::fs::rename(cur.join(old), cur.join(old.replace(":2,", ":2,F"))).unwrap();
    }

    /// No UID ever shows another text, and what is new to a session has higher UIDs than all before.
    fn check(&mut self) {
        self.steps += 1;
        let reads_all = self.steps.is_multiple_of(8);
        for who in [0, 1] {
            for (is_inbox, mailbox) in [(true, &self.inbox[who]), (false, &self.trash[who])] {
                let snapshot = mailbox.snapshot();
                let validity = snapshot.uid_validity;
                assert!(snapshot.messages.is_sorted_by(|a, b| a.uid < b.uid));
                let next = self.highest.insert((who, is_inbox), snapshot.uid_next);
                assert!(next.is_none_or(|next| next <= snapshot.uid_next), "UIDNEXT went back");
                for message in &snapshot.messages {
                    assert!(message.uid < snapshot.uid_next);
                    // A reading mends a view that is stale: it must not come between each change and the next look.
                    let is_known = self.meaning.contains_key(&(is_inbox, validity, message.uid));
                    if is_known && !reads_all {
                        continue;
                    }
                    let Ok(content) = mailbox.read(message.uid) else { continue };
                    let text = content.as_ref().to_vec();
                    let known =
                        self.meaning.entry((is_inbox, validity, message.uid)).or_insert_with(|| text.clone());
                    assert_eq!(*known, text, "UID {} means another message", message.uid);
                }
            }
        }
    }

    /// At rest both see the same, and every message that was not expunged is there once.
    fn settle(&self) {
        let mut seen = HashMap::new();
        for who in [0, 1, 0, 1] {
            self.inbox[who].refresh().unwrap();
            self.trash[who].refresh().unwrap();
        }
        for (a, b) in [(&self.inbox[0], &self.inbox[1]), (&self.trash[0], &self.trash[1])] {
            let (left, right) = (a.snapshot(), b.snapshot());
            assert_eq!((left.uid_validity, left.uid_next), (right.uid_validity, right.uid_next));
            assert_eq!(without_modseq(&left.messages), without_modseq(&right.messages));
            for uid in all(a) {
                let text = String::from_utf8(a.read(uid).unwrap().as_ref().to_vec()).unwrap();
                *seen.entry(text.trim_start_matches("Received: here\r\n").to_owned()).or_insert(0) += 1;
            }
        }
        let expected: HashMap<String, i32> = self.alive.iter().map(|text| (text.clone(), 1)).collect();
        assert_eq!(seen, expected);
    }
}

/// Each program counts changes for itself.
fn without_modseq(messages: &[Message]) -> Vec<Message> {
    messages.iter().map(|message| Message { modseq: ModSeq::ZERO, ..message.clone() }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn two_stores_on_one_folder_agree(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.settle();
    }
}

/// The first moment of an account is where programs meet most: every one of them finds nothing and makes everything.
#[test]
fn stores_that_make_the_same_account_at_the_same_moment_agree() {
    const ACCOUNTS: usize = 10;
    let first = Here::new();
    let stores = [first.again(0), first.again(0), first.again(0), first];
    let barrier = Barrier::new(stores.len());
    std::thread::scope(|scope| {
        for here in &stores {
            scope.spawn(|| {
                for number in 0..ACCOUNTS {
                    let address = Address::parse(&format!("new{number}@example.org")).unwrap();
                    barrier.wait();
                    let delivery = |mailbox| Delivery { account: address.clone(), ..Here::delivery(mailbox) };
                    let deliveries = [delivery("INBOX"), delivery("Junk"), delivery("Lists")];
                    let results = here.store().deliver(&here.incoming("hello"), &deliveries);
                    results.into_iter().for_each(Result::unwrap);
                }
            });
        }
    });
    for number in 0..ACCOUNTS {
        let address = Address::parse(&format!("new{number}@example.org")).unwrap();
        let accounts = stores.each_ref().map(|here| here.store().account(&address).unwrap());
        let listed = accounts[0].list().unwrap();
        let mut validities = HashSet::new();
        for Listed { name, .. } in &listed {
            let views = accounts.each_ref().map(|account| account.open(name).unwrap().snapshot());
            assert!(views.iter().all(|view| view.uid_validity == views[0].uid_validity), "{name:?}");
            assert!(validities.insert(views[0].uid_validity), "{name:?} has the UIDVALIDITY of another");
            let expected =
                if ["INBOX", "Junk", "Lists"].contains(&name.text('.').as_str()) { stores.len() } else { 0 };
            assert_eq!(views[0].messages.len(), expected, "{name:?}");
        }
        assert_eq!(listed.len(), 7, "{listed:?}");
    }
}

#[test]
fn stores_that_work_at_the_same_time_lose_nothing_and_repeat_nothing() {
    const EACH: usize = 40;
    let first = Here::new();
    let stores = [first.again(0), first];
    std::thread::scope(|scope| {
        for (who, here) in stores.iter().enumerate() {
            scope.spawn(move || {
                let inbox = here.inbox();
                for n in 0..EACH {
                    let text = format!("{who} {n}");
                    if n % 2 == 0 {
                        here.deliver(&text);
                    } else {
                        here.append(&inbox, &text, &Flags::default());
                    }
                    let uids: Vec<Uid> = inbox.refresh().unwrap().messages.iter().map(|m| m.uid).collect();
                    let seen = FlagChange::Add(Flags::default().with(SystemFlag::Seen));
                    inbox.store_flags(&uids[uids.len().saturating_sub(3)..], &seen).unwrap();
                }
            });
        }
    });
    let views = stores.each_ref().map(Here::inbox);
    for view in views.iter().chain(&views) {
        view.refresh().unwrap();
    }
    let [left, right] = views.each_ref().map(|view| without_modseq(&view.snapshot().messages));
    assert_eq!(left, right);
    let texts: HashSet<Vec<u8>> = Here::texts(&views[0]).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts.len(), 2 * EACH);
    assert_eq!(all(&views[0]).len(), 2 * EACH);
}
