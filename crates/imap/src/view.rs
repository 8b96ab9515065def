//! The selected view: which message has which number for this client, and what it has not been told yet.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::sequence::{SequenceNumber, SequenceSet, Uid};

/// What news a command lets the server tell (RFC 3501 §7.4.1). Each command's is in
/// [`Request::reports`](crate::Request::reports).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// The command ends or begins the view: there is nothing to compare.
    Nothing,
    /// Flags and arrivals; message numbers must stay.
    AllButExpunge,
    /// Removals too.
    Everything,
}

/// What one client believes of its selected mailbox. `F` is whatever the caller uses for flags: it is
/// compared and handed back, nothing else.
#[derive(Clone, Debug)]
pub struct View<F> {
    entries: Entries<F>,
    /// Messages that are `\Recent` in this session (RFC 3501 §2.3.2).
    recent: BTreeSet<Uid>,
    /// `$`: what the last search with SAVE found (RFC 5182 §2.1), rising.
    saved: Vec<Uid>,
    read_only: bool,
}

/// A mailbox as it was told to clients: it never changes, and all who were told the same share it.
pub trait Told<F>: fmt::Debug + Send + Sync {
    /// How many messages there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The UID of the message at an index, the message number less one; they rise.
    fn uid(&self, index: usize) -> Option<Uid>;
    /// Its flags.
    fn flags(&self, index: usize) -> Option<F>;
}

/// What the client was told; the index is the message number less one.
#[derive(Clone, Debug)]
enum Entries<F> {
    /// The same as others.
    Shared(Arc<dyn Told<F>>),
    /// Something that no mailbox was like: what it may not be told yet stays in it.
    Own(Vec<Entry<F>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<F> {
    uid: Uid,
    flags: F,
}

impl<F: Clone> Entries<F> {
    fn len(&self) -> usize {
        match self {
            Self::Shared(told) => told.len(),
            Self::Own(entries) => entries.len(),
        }
    }

    fn uid(&self, index: usize) -> Option<Uid> {
        match self {
            Self::Shared(told) => told.uid(index),
            Self::Own(entries) => entries.get(index).map(|entry| entry.uid),
        }
    }

    fn flags(&self, index: usize) -> Option<F> {
        match self {
            Self::Shared(told) => told.flags(index),
            Self::Own(entries) => entries.get(index).map(|entry| entry.flags.clone()),
        }
    }

    /// The first index whose UID is not below this number.
    fn start_of(&self, uid: u32) -> usize {
        let Range { mut start, mut end } = 0..self.len();
        while start < end {
            let middle = start + (end - start) / 2;
            if self.uid(middle).is_some_and(|there| there.0.get() < uid) {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        start
    }

    fn find(&self, uid: Uid) -> Option<usize> {
        let index = self.start_of(uid.0.get());
        (self.uid(index)? == uid).then_some(index)
    }

    /// The indexes of the UIDs in a range.
    fn range(&self, range: &RangeInclusive<u32>) -> Range<usize> {
        let end = range.end().checked_add(1).map_or(self.len(), |end| self.start_of(end));
        self.start_of(*range.start())..end
    }

    fn iter(&self) -> impl Iterator<Item = Entry<F>> {
        (0..self.len()).filter_map(|index| Some(Entry { uid: self.uid(index)?, flags: self.flags(index)? }))
    }

    /// An entry to be changed, which makes all of them its own.
    fn entry(&mut self, index: usize) -> Option<&mut Entry<F>> {
        if let Self::Shared(_) = self {
            *self = Self::Own(self.iter().collect());
        }
        match self {
            Self::Own(entries) => entries.get_mut(index),
            Self::Shared(_) => None,
        }
    }
}

/// One thing the client must be told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<F> {
    /// The message with this number is gone; those behind it move up at once (RFC 3501 §7.4.1).
    Expunge(SequenceNumber, Uid),
    /// How many messages there are now (RFC 3501 §7.3.1).
    Exists(usize),
    /// How many of them are `\Recent` (RFC 3501 §7.3.2).
    Recent(usize),
    /// New flags of a message (RFC 3501 §7.4.2).
    Flags {
        /// Its number after the changes before this one.
        number: SequenceNumber,
        /// Its UID.
        uid: Uid,
        /// Its flags.
        flags: F,
    },
}

/// A message number that the view does not have: the client is out of step (RFC 3501 §9: an error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message has this number")]
pub struct NoSuchNumber;

impl<F: Clone + PartialEq> View<F> {
    /// The view at SELECT. `messages` come with rising UIDs; `recent` are theirs that are new to all.
    pub fn new(
        messages: impl IntoIterator<Item = (Uid, F)>,
        recent: impl IntoIterator<Item = Uid>,
        read_only: bool,
    ) -> Self {
        let entries = messages.into_iter().map(|(uid, flags)| Entry { uid, flags }).collect();
        Self::with(Entries::Own(entries), recent, read_only)
    }

    /// The same of a mailbox that others are told of as well.
    pub fn of(told: Arc<dyn Told<F>>, recent: impl IntoIterator<Item = Uid>, read_only: bool) -> Self {
        Self::with(Entries::Shared(told), recent, read_only)
    }

    fn with(entries: Entries<F>, recent: impl IntoIterator<Item = Uid>, read_only: bool) -> Self {
        Self { entries, recent: recent.into_iter().collect(), saved: Vec::new(), read_only }
    }

    /// The client has been told all of this by [`update`](Self::update), or by something else: what the view knows is shared from
    /// now on.
    pub fn share(&mut self, told: Arc<dyn Told<F>>) {
        self.entries = Entries::Shared(told);
    }

    /// Whether what the client was told is shared: a mailbox was like that.
    pub fn is_shared(&self) -> bool {
        matches!(self.entries, Entries::Shared(_))
    }

    /// How many messages the client knows of.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows of none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Whether the mailbox was opened with EXAMINE.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The UID behind a message number.
    pub fn uid(&self, number: SequenceNumber) -> Option<Uid> {
        self.entries.uid(number.index())
    }

    /// The message number of a UID.
    pub fn number(&self, uid: Uid) -> Option<SequenceNumber> {
        SequenceNumber::from_index(self.entries.find(uid)?)
    }

    /// The flags the client knows of.
    pub fn flags(&self, uid: Uid) -> Option<F> {
        self.entries.flags(self.entries.find(uid)?)
    }

    /// Whether the message is `\Recent` here.
    pub fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(&uid)
    }

    /// How many are `\Recent` here.
    pub fn recent_count(&self) -> usize {
        self.recent.len()
    }

    /// The messages behind a UID, in order; without one, all of them.
    pub fn behind(&self, last: Option<Uid>) -> Vec<(SequenceNumber, Uid)> {
        let start = last.map_or(0, |last| {
            last.0.get().checked_add(1).map_or(self.len(), |next| self.entries.start_of(next))
        });
        self.at(start..self.len()).collect()
    }

    /// The last message that the client knows of.
    pub fn last(&self) -> Option<Uid> {
        self.entries.uid(self.len().checked_sub(1)?)
    }

    /// Every message with its number, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SequenceNumber, Uid)> {
        self.at(0..self.len())
    }

    fn at(&self, indexes: Range<usize>) -> impl Iterator<Item = (SequenceNumber, Uid)> {
        indexes.filter_map(|index| Some((SequenceNumber::from_index(index)?, self.entries.uid(index)?)))
    }

    /// The messages that a set of numbers means, rising, each once.
    ///
    /// A number beyond the last message is an error; `*` in an empty mailbox is not.
    pub fn numbered(&self, set: &SequenceSet) -> Result<Vec<(SequenceNumber, Uid)>, NoSuchNumber> {
        let ranges = set.ranges(self.last_number());
        let beyond = ranges.last().is_some_and(|range| *range.end() as usize > self.len());
        if beyond {
            return Err(NoSuchNumber);
        }
        let numbers =
            ranges.into_iter().flatten().filter_map(|number| NonZeroU32::new(number).map(SequenceNumber));
        Ok(self.with_saved(set, numbers.filter_map(|number| Some((number, self.uid(number)?))).collect()))
    }

    /// The messages that a set of UIDs means, rising, each once. UIDs of no message mean nothing
    /// (RFC 3501 §6.4.8).
    pub fn with_uids(&self, set: &SequenceSet) -> Vec<(SequenceNumber, Uid)> {
        let mut found = Vec::new();
        for range in set.ranges(self.last_uid()) {
            found.extend(self.at(self.entries.range(&range)));
        }
        self.with_saved(set, found)
    }

    /// The UIDs of a range that the client knows of, rising.
    pub(crate) fn uids_in(&self, range: RangeInclusive<u32>) -> impl Iterator<Item = Uid> {
        self.entries.range(&range).filter_map(|index| self.entries.uid(index))
    }

    /// Adds what `$` means, if the set has it. What is gone since then is not in it (RFC 5182 §2.1).
    fn with_saved(
        &self,
        set: &SequenceSet,
        mut found: Vec<(SequenceNumber, Uid)>,
    ) -> Vec<(SequenceNumber, Uid)> {
        if set.has_saved() {
            found.extend(self.saved());
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// What `$` means now.
    pub(crate) fn saved(&self) -> impl Iterator<Item = (SequenceNumber, Uid)> {
        self.saved.iter().filter_map(|uid| Some((self.number(*uid)?, *uid)))
    }

    /// Keeps the result of a search for `$`: rising UIDs (RFC 5182 §2.1).
    pub fn save(&mut self, found: Vec<Uid>) {
        self.saved = found;
    }

    /// What `*` means as a message number.
    pub(crate) fn last_number(&self) -> Option<NonZeroU32> {
        self.len().checked_sub(1).and_then(SequenceNumber::from_index).map(|number| number.0)
    }

    /// What `*` means as a UID.
    pub(crate) fn last_uid(&self) -> Option<NonZeroU32> {
        self.entries.uid(self.len().checked_sub(1)?).map(|uid| uid.0)
    }

    /// The messages that a command means, by number or by UID.
    pub fn resolve(&self, set: &SequenceSet, uid: bool) -> Result<Vec<(SequenceNumber, Uid)>, NoSuchNumber> {
        if uid { Ok(self.with_uids(set)) } else { self.numbered(set) }
    }

    /// Marks messages as `\Recent` in this session; unknown ones count once they arrive.
    pub fn add_recent(&mut self, uids: impl IntoIterator<Item = Uid>) {
        self.recent.extend(uids);
    }

    /// Notes flags that the client knows of already, because its own command set them silently.
    pub fn note_flags(&mut self, uid: Uid, flags: F) {
        if let Some(entry) = self.entries.find(uid).and_then(|index| self.entries.entry(index)) {
            entry.flags = flags;
        }
    }

    /// Compares with the mailbox as it is and says what the client must hear; the view then knows it.
    ///
    /// `now` comes with rising UIDs. Order as clients expect it: removals, arrivals, flags. Removals that
    /// `reports` forbids stay in the view, number and all, until a later update.
    pub fn update(&mut self, now: impl IntoIterator<Item = (Uid, F)>, reports: Reports) -> Vec<Change<F>> {
        if reports == Reports::Nothing {
            return Vec::new();
        }
        let mut now = now.into_iter().peekable();
        let mut merged = Merge::new(self.entries.len(), reports);
        for entry in self.entries.iter() {
            // A UID below one we know that was not there before never appears: UIDs only rise.
            while now.next_if(|(uid, _)| *uid < entry.uid).is_some() {}
            match now.next_if(|(uid, _)| *uid == entry.uid) {
                Some((_, flags)) => merged.keep(&entry.flags, entry.uid, flags),
                None => merged.lose(entry, &mut self.recent),
            }
        }
        merged.entries.extend(now.map(|(uid, flags)| Entry { uid, flags }));
        self.entries = Entries::Own(merged.entries);
        let mut changes = merged.expunged;
        // Not after EXPUNGE alone: the client counts down by itself (RFC 3501 §7.4.1).
        if self.entries.len() > merged.before - changes.len() {
            changes.extend([Change::Exists(self.entries.len()), Change::Recent(self.recent.len())]);
        }
        changes.extend(merged.changed);
        changes
    }
}

/// One comparison under way.
struct Merge<F> {
    before: usize,
    reports: Reports,
    entries: Vec<Entry<F>>,
    expunged: Vec<Change<F>>,
    changed: Vec<Change<F>>,
}

impl<F: Clone + PartialEq> Merge<F> {
    fn new(before: usize, reports: Reports) -> Self {
        Self {
            before,
            reports,
            entries: Vec::with_capacity(before),
            expunged: Vec::new(),
            changed: Vec::new(),
        }
    }

    fn keep(&mut self, known: &F, uid: Uid, flags: F) {
        if *known != flags
            && let Some(number) = SequenceNumber::from_index(self.entries.len())
        {
            self.changed.push(Change::Flags { number, uid, flags: flags.clone() });
        }
        self.entries.push(Entry { uid, flags });
    }

    fn lose(&mut self, entry: Entry<F>, recent: &mut BTreeSet<Uid>) {
        match (self.reports, SequenceNumber::from_index(self.entries.len())) {
            (Reports::Everything, Some(number)) => {
                recent.remove(&entry.uid);
                self.expunged.push(Change::Expunge(number, entry.uid));
            }
            _ => self.entries.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn uid(number: u32) -> Uid {
        Uid(NonZeroU32::new(number).unwrap())
    }

    fn number(number: u32) -> SequenceNumber {
        SequenceNumber(NonZeroU32::new(number).unwrap())
    }

    fn mailbox(messages: &[(u32, &'static str)]) -> Vec<(Uid, &'static str)> {
        messages.iter().map(|(n, flags)| (uid(*n), *flags)).collect()
    }

    fn view(messages: &[(u32, &'static str)]) -> View<&'static str> {
        View::new(mailbox(messages), [], false)
    }

    #[test]
    fn removals_are_numbered_one_after_the_other() {
        let mut view = view(&[(1, ""), (2, ""), (5, ""), (7, "")]);
        let changes = view.update(mailbox(&[(2, "S"), (9, "")]), Reports::Everything);
        let expected = [
            Change::Expunge(number(1), uid(1)),
            Change::Expunge(number(2), uid(5)),
            Change::Expunge(number(2), uid(7)),
            Change::Exists(2),
            Change::Recent(0),
            Change::Flags { number: number(1), uid: uid(2), flags: "S" },
        ];
        assert_eq!(changes, expected);
        assert_eq!(view.update(mailbox(&[(2, "S"), (9, "")]), Reports::Everything), []);
    }

    /// A mailbox that is shared.
    #[derive(Debug)]
    struct Mailbox(Vec<(Uid, &'static str)>);

    impl Told<&'static str> for Mailbox {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn uid(&self, index: usize) -> Option<Uid> {
            self.0.get(index).map(|(uid, _)| *uid)
        }

        fn flags(&self, index: usize) -> Option<&'static str> {
            self.0.get(index).map(|(_, flags)| *flags)
        }
    }

    #[test]
    fn a_shared_view_is_like_an_own_one_until_it_changes_and_changes_for_nobody_else() {
        let messages = [(1, ""), (2, "S"), (5, ""), (7, "F")];
        let told: Arc<dyn Told<&'static str>> = Arc::new(Mailbox(mailbox(&messages)));
        let (mut shared, mut own) = (View::of(told.clone(), [], false), view(&messages));
        let other = View::of(told, [], false);
        let same = |shared: &View<&'static str>, own: &View<&'static str>| {
            assert_eq!(shared.iter().collect::<Vec<_>>(), own.iter().collect::<Vec<_>>());
            for number in 1..10 {
                assert_eq!(shared.flags(uid(number)), own.flags(uid(number)));
                assert_eq!(shared.number(uid(number)), own.number(uid(number)));
                assert_eq!(shared.uid(super::tests::number(number)), own.uid(super::tests::number(number)));
                let range = |view: &View<&'static str>| view.uids_in(number..=number + 2).collect::<Vec<_>>();
                assert_eq!(range(shared), range(own));
            }
            assert_eq!(shared.uids_in(0..=u32::MAX).count(), own.len());
            assert_eq!((shared.last_number(), shared.last_uid()), (own.last_number(), own.last_uid()));
        };
        same(&shared, &own);
        for view in [&mut shared, &mut own] {
            view.note_flags(uid(3), "of nobody");
        }
        assert!(shared.is_shared());
        for view in [&mut shared, &mut own] {
            view.note_flags(uid(5), "S");
        }
        assert!(!shared.is_shared() && other.is_shared());
        same(&shared, &own);
        same(&other, &view(&messages));
        let now = [(2, ""), (5, "S"), (9, "")];
        assert_eq!(
            shared.update(mailbox(&now), Reports::Everything),
            own.update(mailbox(&now), Reports::Everything)
        );
        shared.share(Arc::new(Mailbox(mailbox(&now))));
        same(&shared, &own);
    }

    #[test]
    fn numbers_stay_while_removals_may_not_be_told() {
        let mut view = view(&[(1, ""), (2, ""), (3, "")]);
        let now = [(3, "F"), (4, "")];
        let changes = view.update(mailbox(&now), Reports::AllButExpunge);
        let flags = Change::Flags { number: number(3), uid: uid(3), flags: "F" };
        assert_eq!(changes, [Change::Exists(4), Change::Recent(0), flags]);
        assert_eq!(view.uid(number(1)), Some(uid(1)), "still numbered, though gone");
        let changes = view.update(mailbox(&now), Reports::Everything);
        assert_eq!(changes, [Change::Expunge(number(1), uid(1)), Change::Expunge(number(1), uid(2))]);
    }

    #[test]
    fn recent_messages_are_counted_with_the_arrivals() {
        let mut view = view(&[(1, "")]);
        view.add_recent([uid(2)]);
        let changes = view.update(mailbox(&[(1, ""), (2, "")]), Reports::Everything);
        assert_eq!(changes, [Change::Exists(2), Change::Recent(1)]);
        view.update(mailbox(&[(1, "")]), Reports::Everything);
        assert_eq!(view.recent_count(), 0);
    }

    #[test]
    fn numbers_beyond_the_last_are_errors_and_unknown_uids_are_not() {
        let view = view(&[(10, ""), (20, ""), (30, "")]);
        let set = |text: &str| SequenceSet::parse(text.as_bytes()).unwrap();
        let uids =
            |found: Vec<(SequenceNumber, Uid)>| found.iter().map(|(_, u)| u.0.get()).collect::<Vec<_>>();
        assert_eq!(view.numbered(&set("2:*")).map(uids), Ok(vec![20, 30]));
        assert_eq!(view.numbered(&set("4")), Err(NoSuchNumber));
        assert_eq!(view.numbered(&set("1:4294967295")), Err(NoSuchNumber));
        assert_eq!(uids(view.with_uids(&set("1:19,30,99"))), [10, 30]);
        assert_eq!(uids(view.with_uids(&set("31:*"))), [30]);
        let empty = View::<&str>::new([], [], true);
        assert_eq!(empty.numbered(&set("1:*")), Ok(vec![]));
        assert_eq!(empty.numbered(&set("1")), Err(NoSuchNumber));
        assert_eq!(empty.with_uids(&set("1:*")), []);
    }

    #[test]
    fn a_saved_result_follows_its_messages_and_forgets_those_that_are_gone() {
        let mut view = view(&[(10, ""), (20, ""), (30, "")]);
        let set = |text: &str| SequenceSet::parse(text.as_bytes()).unwrap();
        let numbers =
            |found: Vec<(SequenceNumber, Uid)>| found.iter().map(|(n, _)| n.0.get()).collect::<Vec<_>>();
        assert_eq!(view.numbered(&set("$")), Ok(vec![]), "nothing was saved yet");
        view.save(vec![uid(20), uid(30)]);
        assert_eq!(view.numbered(&set("$")).map(numbers), Ok(vec![2, 3]));
        assert_eq!(view.numbered(&set("3,$,1")).map(numbers), Ok(vec![1, 2, 3]));
        assert_eq!(view.numbered(&set("$,4")), Err(NoSuchNumber));
        view.update(mailbox(&[(20, ""), (40, "")]), Reports::Everything);
        assert_eq!(view.numbered(&set("$")).map(numbers), Ok(vec![1]));
        assert_eq!(numbers(view.with_uids(&set("$,40"))), [1, 2]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// A client that follows the responses literally ends with the mailbox as it is.
        #[test]
        fn a_client_that_follows_the_changes_sees_the_mailbox(
            steps in proptest::collection::vec((proptest::collection::btree_map(1_u32..40, 0_u8..3, 0..20), proptest::bool::ANY), 1..8)
        ) {
            let mut highest = 0;
            let mut view = View::new([], [], false);
            let mut client: Vec<Option<(Uid, u8)>> = Vec::new();
            for (messages, everything) in steps {
                // UIDs of one mailbox only rise.
                let known: Vec<u32> = view.iter().map(|(_, u)| u.0.get()).collect();
                let now: Vec<(Uid, u8)> = messages.into_iter()
                    .filter(|(n, _)| known.contains(n) || *n > highest).map(|(n, f)| (uid(n), f)).collect();
                highest = now.iter().map(|(u, _)| u.0.get()).max().unwrap_or(0).max(highest);
                let reports = if everything { Reports::Everything } else { Reports::AllButExpunge };
                for change in view.update(now.clone(), reports) {
                    match change {
                        Change::Expunge(n, _) => { proptest::prop_assert!(everything); client.remove(n.index()); }
                        Change::Exists(count) => { proptest::prop_assert!(count >= client.len()); client.resize(count, None); }
                        Change::Recent(_) => {}
                        Change::Flags { number, uid, flags } => client[number.index()] = Some((uid, flags)),
                    }
                }
                if everything {
                    proptest::prop_assert_eq!(client.len(), now.len());
                    for (place, told) in client.iter().enumerate() {
                        proptest::prop_assert!(told.is_none_or(|told| told == now[place]));
                    }
                }
                proptest::prop_assert_eq!(client.len(), view.len());
            }
        }
    }
}
