//! Which UIDs a client is told to forget that comes back after a while (RFC 7162 §3.2.5, RFC 7162 §3.2.6).

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use crate::command::Resync;
use crate::sequence::{SequenceNumber, SequenceSet, Uid};
use crate::view::View;

/// What is known of removals.
#[derive(Clone, Debug)]
pub enum Removed {
    /// These, in any order, since the client was here last.
    These(Vec<Uid>),
    /// Not all of them: every UID below UIDNEXT that is not there may be one.
    Unknown,
}

/// The UIDs among `known`, and above `above`, of messages that were removed. Without `known`, all below `uid_next`.
pub fn vanished<F: Clone + PartialEq>(
    view: &View<F>,
    uid_next: Uid,
    (known, above): (Option<&SequenceSet>, Option<Uid>),
    removed: Removed,
) -> Option<SequenceSet> {
    let last = NonZeroU32::new(uid_next.0.get() - 1)?;
    let first = above.map_or(1, |uid| uid.0.get().saturating_add(1));
    let wanted = known.map_or_else(|| vec![1..=last.get()], |set| set.ranges(Some(last)));
    let clip = |range: RangeInclusive<u32>| (*range.start()).max(first)..=(*range.end()).min(last.get());
    let wanted = wanted.into_iter().map(clip).filter(|range| !range.is_empty());
    match removed {
        Removed::Unknown => SequenceSet::of_ranges(wanted.flat_map(|range| gaps(view, range))),
        Removed::These(mut uids) => {
            let wanted: Vec<_> = wanted.collect();
            let is_wanted = |uid: &Uid| {
                let place = wanted.partition_point(|range| *range.end() < uid.0.get());
                wanted.get(place).is_some_and(|range| range.contains(&uid.0.get()))
            };
            uids.retain(|uid| is_wanted(uid) && view.number(*uid).is_none());
            uids.sort_unstable();
            uids.dedup();
            SequenceSet::of(&uids)
        }
    }
}

/// The parts of a range that no message of the view has.
fn gaps<F: Clone + PartialEq>(view: &View<F>, range: RangeInclusive<u32>) -> Vec<RangeInclusive<u32>> {
    let (mut next, end) = (*range.start(), *range.end());
    let mut gaps = Vec::new();
    for uid in view.uids_in(range) {
        if next < uid.0.get() {
            gaps.push(next..=uid.0.get() - 1);
        }
        next = uid.0.get().saturating_add(1);
    }
    // After the last UID that there can be, nothing follows.
    if next <= end && view.number(Uid(NonZeroU32::MAX)).is_none() {
        gaps.push(next..=end);
    }
    gaps
}

impl Resync {
    /// The highest UID up to which the client's message numbers are still right: it misses no removal below
    /// (RFC 7162 §3.2.5.2). Sets of different lengths prove as much as the shorter one.
    pub fn proven<F: Clone + PartialEq>(&self, view: &View<F>) -> Option<Uid> {
        let (numbers, uids) = self.matches.as_ref()?;
        let flat = |set: &SequenceSet| set.ranges(None).into_iter().flatten();
        let pairs = flat(numbers).zip(flat(uids));
        // Numbers rise: what the view does not have ends the walk, so that its length bounds the time.
        let known = pairs.map_while(|(number, uid)| {
            let number = NonZeroU32::new(number).map(SequenceNumber)?;
            Some((view.uid(number)?, uid))
        });
        known.filter(|(there, told)| there.0.get() == *told).map(|(there, _)| there).last()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sequence::ModSeq;

    fn uid(number: u32) -> Uid {
        Uid(NonZeroU32::new(number).unwrap())
    }

    fn view(uids: &[u32]) -> View<()> {
        View::new(uids.iter().map(|number| (uid(*number), ())), [], false)
    }

    fn set(text: &str) -> SequenceSet {
        SequenceSet::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_gone_is_told_and_what_is_there_is_not() {
        let view = view(&[3, 4, 9]);
        // Known UIDs, the UID up to which nothing is missing, removals; expected.
        let cases = [
            (None, None, Some(vec![7, 5, 5, 3]), Some("5,7")),
            (Some("1:6"), None, Some(vec![7, 5]), Some("5")),
            (Some("6"), None, Some(vec![7, 5]), None),
            (None, Some(5), Some(vec![7, 5]), Some("7")),
            (None, None, Some(vec![]), None),
            (None, None, None, Some("1:2,5:8,10:11")),
            (Some("2:6,9,11:4000000000"), None, None, Some("2,5:6,11")),
            (Some("3:4"), None, None, None),
            (None, Some(8), None, Some("10:11")),
            (None, Some(u32::MAX), None, None),
        ];
        for (known, above, removed, expected) in cases {
            let known = known.map(set);
            let told = removed
                .clone()
                .map_or(Removed::Unknown, |uids| Removed::These(uids.into_iter().map(uid).collect()));
            let found = vanished(&view, uid(12), (known.as_ref(), above.map(uid)), told);
            assert_eq!(
                found.map(|set| set.to_string()).as_deref(),
                expected,
                "{known:?} {above:?} {removed:?}"
            );
        }
        assert_eq!(vanished(&view, uid(1), (None, None), Removed::Unknown), None, "nothing was ever there");
    }

    #[test]
    fn numbers_that_still_fit_prove_that_nothing_below_is_missing() {
        let view = view(&[3, 4, 9, 12]);
        let proven = |numbers: &str, uids: &str| {
            let matches = Some((set(numbers), set(uids)));
            let resync = Resync { validity: NonZeroU32::MIN, modseq: ModSeq(1), known: None, matches };
            resync.proven(&view).map(|uid| uid.0.get())
        };
        assert_eq!(proven("1:4", "3:4,9,12"), Some(12));
        assert_eq!(proven("1:4", "3:4,8,13"), Some(4));
        assert_eq!(proven("2,4", "5,12"), Some(12), "a number that fits again says that all before it fit");
        assert_eq!(proven("1", "9"), None);
        assert_eq!(proven("1:4294967295", "3:4294967295"), Some(4), "ends with the view");
        assert_eq!(proven("5:9", "13:17"), None);
        assert_eq!(proven("1:3", "3"), Some(3));
    }
}
