//! A client that keeps what it was told of a mailbox, as a mail program does, and finds out when that cannot be.

use std::collections::{BTreeMap, BTreeSet};

use super::Imap;

/// Numbers that depend on nothing but the seed (xorshift64*).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

pub(crate) type Flags = BTreeSet<String>;

/// One session as its client knows it.
pub(crate) struct View {
    pub(crate) imap: Imap,
    /// By number; `None` while the UID is not known.
    pub(crate) uids: Vec<Option<u32>>,
    pub(crate) flags: BTreeMap<u32, Flags>,
    /// The number of changes at the last mark.
    pub(crate) mark: u64,
}

/// What a command came to, in words that do not depend on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: String,
    /// UIDs that SEARCH or MODIFIED told.
    pub(crate) found: BTreeSet<u32>,
    /// What FETCH told.
    pub(crate) fetched: BTreeMap<u32, Flags>,
    /// Source and target of COPYUID, as they stand there.
    pub(crate) copied: String,
}

fn number(word: &str) -> Option<u32> {
    word.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// The numbers of a set such as `1:3,5`.
fn numbers(set: &str) -> Vec<u32> {
    let one = |part: &str| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let (a, b) = (first.parse::<u32>().unwrap(), last.parse::<u32>().unwrap());
        a.min(b)..=a.max(b)
    };
    set.split(',').filter(|part| !part.is_empty()).flat_map(one).collect()
}

pub(crate) fn between<'a>(text: &'a str, start: &str, end: char) -> Option<&'a str> {
    text.split_once(start)?.1.split(end).next()
}

impl View {
    pub(crate) fn new(imap: Imap) -> Self {
        Self { imap, uids: Vec::new(), flags: BTreeMap::new(), mark: 0 }
    }

    pub(crate) fn uid_of(&self, number: u32) -> Option<u32> {
        *self.uids.get(usize::try_from(number).unwrap().checked_sub(1)?)?
    }

    /// Sends a command and hears all that comes with it.
    pub(crate) fn run(&mut self, command: &str) -> Outcome {
        let (lines, end) = self.imap.answer(command);
        let may_expunge =
            !["FETCH", "STORE", "SEARCH", "SORT", "THREAD"].iter().any(|name| command.starts_with(name));
        let mut outcome = Outcome { status: end.split(' ').next().unwrap().to_owned(), ..Outcome::default() };
        for line in &lines {
            let text = line.text.strip_prefix("* ").unwrap_or(&line.text);
            // RFC 3501 §7.4.1: numbers must not move while a command that has numbers is under way.
            assert!(may_expunge || !text.ends_with(" EXPUNGE"), "{command}: {text}");
            self.hear(text, command, &mut outcome);
        }
        if let Some(set) = between(&end, "[MODIFIED ", ']') {
            let by_uid = command.starts_with("UID ");
            let uid = |number: u32| if by_uid { Some(number) } else { self.uid_of(number) };
            outcome.found.extend(numbers(set).into_iter().filter_map(uid));
        }
        if let Some(code) = between(&end, "[COPYUID ", ']') {
            code.split_once(' ').unwrap().1.clone_into(&mut outcome.copied);
        }
        outcome
    }

    fn hear(&mut self, text: &str, command: &str, outcome: &mut Outcome) {
        let mut words = text.split(' ');
        let (first, second) = (words.next().unwrap(), words.next().unwrap_or_default());
        match (first, second) {
            (count, "EXISTS") => {
                let count = usize::try_from(number(count).unwrap()).unwrap();
                assert!(count >= self.uids.len(), "{command}: messages vanished without a word");
                self.uids.resize(count, None);
            }
            (place, "EXPUNGE") => {
                let place = usize::try_from(number(place).unwrap()).unwrap();
                if let Some(uid) = self.uids.remove(place - 1) {
                    self.flags.remove(&uid);
                }
            }
            (place, "FETCH") => self.fetched(number(place).unwrap(), text, command, outcome),
            ("SEARCH", _) => {
                let plain = text.split(" (").next().unwrap();
                let by_uid = command.starts_with("UID ");
                let found = plain.split(' ').skip(1).filter_map(|word| word.parse().ok());
                let uid = |number: u32| if by_uid { Some(number) } else { self.uid_of(number) };
                outcome.found.extend(found.filter_map(uid));
            }
            ("OK", code) if code.starts_with("[COPYUID") => {
                let code = between(text, "[COPYUID ", ']').unwrap();
                code.split_once(' ').unwrap().1.clone_into(&mut outcome.copied);
            }
            _ => {}
        }
    }

    fn fetched(&mut self, place: u32, text: &str, command: &str, outcome: &mut Outcome) {
        let at = usize::try_from(place).unwrap() - 1;
        assert!(at < self.uids.len(), "{command}: {place} is told of {} messages", self.uids.len());
        let slot = &mut self.uids[at];
        if let Some(uid) = between(text, "UID ", ' ').and_then(number) {
            assert!(slot.is_none_or(|known| known == uid), "{command}: {place} has become another message");
            *slot = Some(uid);
            // RFC 3501 §2.3.1.1: UIDs rise with the numbers.
            let told: Vec<u32> = self.uids.iter().flatten().copied().collect();
            assert!(told.is_sorted_by(|a, b| a < b), "{command}: UIDs do not rise: {told:?}");
        }
        let (Some(uid), Some(flags)) = (self.uids[at], between(text, "FLAGS (", ')')) else { return };
        let flags: Flags =
            flags.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned).collect();
        self.flags.insert(uid, flags.clone());
        if command.contains("FETCH") {
            outcome.fetched.insert(uid, flags);
        }
    }

    /// Hears all news, and of every message its UID and flags, while others change things.
    pub(crate) fn look(&mut self) {
        self.run("NOOP");
        if !self.uids.is_empty() {
            self.run("FETCH 1:* (UID FLAGS)");
        }
    }

    /// The same while nobody changes anything: then nothing may be left unknown.
    pub(crate) fn catch_up(&mut self) -> BTreeMap<u32, Flags> {
        self.look();
        assert!(self.uids.iter().all(Option::is_some));
        assert_eq!(self.uids.len(), self.flags.len());
        self.flags.clone()
    }

    /// Selects a mailbox while others change it.
    pub(crate) fn begin(&mut self, mailbox: &str) {
        (self.uids, self.flags) = (Vec::new(), BTreeMap::new());
        let (lines, _) = self.imap.result(&format!("SELECT {mailbox} (CONDSTORE)"));
        for line in lines {
            if let Some(highest) = between(&line.text, "[HIGHESTMODSEQ ", ']') {
                self.mark = highest.parse().unwrap();
            }
            self.news(&line.text);
        }
    }

    /// One line that came with something else.
    pub(crate) fn news(&mut self, line: &str) {
        self.hear(line.strip_prefix("* ").unwrap(), "", &mut Outcome::default());
    }

    /// Selects a mailbox that nobody changes.
    pub(crate) fn select(&mut self, mailbox: &str) {
        self.begin(mailbox);
        self.catch_up();
    }

    /// Remembers the number of changes of this moment.
    pub(crate) fn set_mark(&mut self, mailbox: &str) {
        let lines = self.imap.command(&format!("STATUS {mailbox} (HIGHESTMODSEQ)"));
        for line in lines {
            match between(&line.text, "HIGHESTMODSEQ ", ')') {
                Some(highest) if line.text.starts_with("* STATUS") => self.mark = highest.parse().unwrap(),
                _ => self.news(&line.text),
            }
        }
    }
}
