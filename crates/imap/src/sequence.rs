//! Message numbers, UIDs, and the sets in which commands name them (RFC 3501 §2.3.1).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// A message's place in the view of one session, from 1; it shifts after EXPUNGE (RFC 3501 §2.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceNumber(pub NonZeroU32);

/// A message's name for good, within one UIDVALIDITY (RFC 3501 §2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub NonZeroU32);

impl SequenceNumber {
    /// The number of the message at `index` (from 0) of a list. `None` beyond 2^32 - 2.
    pub fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    /// Where the message stands in a list that starts at 0.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A modification sequence: when something changed last, counted by the changes of its mailbox (RFC 7162 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModSeq(pub u64);

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `2,4:7,9,12:*` (RFC 3501 §9 `sequence-set`): numbers or UIDs, as the command says; or `$`, what the last search with
/// SAVE found (RFC 5182 §2.2), alone or beside the others. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Span(Span),
    /// `$`
    Saved,
}

/// Two ends in either order (RFC 3501 §9: `4:2` means `2:4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(End, End);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Number(NonZeroU32),
    /// `*`, the largest one there is.
    Last,
}

impl SequenceSet {
    /// Parses the whole of `text`; `None` where it is not a set.
    pub fn parse(text: &[u8]) -> Option<Self> {
        text.split(|byte| *byte == b',').map(Part::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    /// A set of single numbers, ranges joined where they touch: how COPYUID lists UIDs (RFC 4315 §4).
    /// Keeps the given order, which COPYUID relies on. `None` for no numbers at all.
    pub fn of(uids: &[Uid]) -> Option<Self> {
        Self::of_numbers(uids.iter().map(|uid| uid.0))
    }

    /// The same for whatever is numbered.
    pub fn of_numbers(numbers: impl IntoIterator<Item = NonZeroU32>) -> Option<Self> {
        let mut spans: Vec<(NonZeroU32, NonZeroU32)> = Vec::new();
        for number in numbers {
            match spans.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
                _ => spans.push((number, number)),
            }
        }
        let part = |(from, to)| Part::Span(Span(End::Number(from), End::Number(to)));
        let parts: Vec<Part> = spans.into_iter().map(part).collect();
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// One number, or `*`.
    pub fn one(number: Option<NonZeroU32>) -> Self {
        let end = number.map_or(End::Last, End::Number);
        Self(vec![Part::Span(Span(end, end))])
    }

    /// A set of rising ranges; `None` where there is none.
    pub fn of_ranges(ranges: impl IntoIterator<Item = RangeInclusive<u32>>) -> Option<Self> {
        let part = |range: RangeInclusive<u32>| {
            let (from, to) = (NonZeroU32::new(*range.start())?, NonZeroU32::new(*range.end())?);
            Some(Part::Span(Span(End::Number(from), End::Number(to))))
        };
        let parts: Vec<Part> = ranges.into_iter().filter_map(part).collect();
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// Whether it names numbers alone, neither `*` nor `$`.
    pub(crate) fn is_definite(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Span(Span(End::Number(_), End::Number(_)))))
    }

    /// Whether it is `$` and nothing else.
    pub(crate) fn is_saved(&self) -> bool {
        self.0 == [Part::Saved]
    }

    /// Whether `$` is part of it.
    pub fn has_saved(&self) -> bool {
        self.0.contains(&Part::Saved)
    }

    /// The ranges it means where `last` is the largest number or UID: rising, merged, none twice.
    ///
    /// Without any message `*` names nothing, and neither does a range that ends in it. `$` is left to who has it: the
    /// [`View`](crate::View).
    pub fn ranges(&self, last: Option<NonZeroU32>) -> Vec<RangeInclusive<u32>> {
        merged(self.resolved(last).collect())
    }

    fn resolved(&self, last: Option<NonZeroU32>) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().filter_map(move |part| match part {
            Part::Span(span) => span.resolve(last),
            Part::Saved => None,
        })
    }
}

fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joined = next.0 <= kept.1.saturating_add(1);
        if joined {
            kept.1 = kept.1.max(next.1);
        }
        joined
    });
    ranges.into_iter().map(|(from, to)| from..=to).collect()
}

/// The numbers of a set, resolved once: rising ranges, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges(Vec<RangeInclusive<u32>>);

impl Ranges {
    /// See [`SequenceSet::ranges`]; `saved` are the numbers that `$` means.
    pub fn new(set: &SequenceSet, last: Option<NonZeroU32>, saved: impl IntoIterator<Item = u32>) -> Self {
        let mut ranges: Vec<_> = set.resolved(last).collect();
        if set.has_saved() {
            ranges.extend(saved.into_iter().map(|number| (number, number)));
        }
        Self(merged(ranges))
    }

    /// Whether the number is in one of them; a binary search.
    pub fn contains(&self, number: u32) -> bool {
        let place = self.0.partition_point(|range| *range.end() < number);
        self.0.get(place).is_some_and(|range| range.contains(&number))
    }
}

impl Part {
    fn parse(text: &[u8]) -> Option<Self> {
        if text == b"$" { Some(Self::Saved) } else { Span::parse(text).map(Self::Span) }
    }
}

impl Span {
    fn parse(text: &[u8]) -> Option<Self> {
        match text.iter().position(|byte| *byte == b':') {
            Some(colon) => Some(Self(End::parse(&text[..colon])?, End::parse(&text[colon + 1..])?)),
            None => End::parse(text).map(|end| Self(end, end)),
        }
    }

    fn resolve(self, last: Option<NonZeroU32>) -> Option<(u32, u32)> {
        let (a, b) = (self.0.resolve(last)?, self.1.resolve(last)?);
        Some((a.min(b), a.max(b)))
    }
}

impl End {
    /// `nz-number` has no leading zero (RFC 3501 §9).
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"*" => Some(Self::Last),
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(text).ok()?.parse().ok().map(Self::Number)
            }
            _ => None,
        }
    }

    fn resolve(self, last: Option<NonZeroU32>) -> Option<u32> {
        match self {
            Self::Number(number) => Some(number.get()),
            Self::Last => last.map(NonZeroU32::get),
        }
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            f.write_str(if place > 0 { "," } else { "" })?;
            match part {
                Part::Saved => f.write_str("$")?,
                Part::Span(Span(from, to)) if from == to => write!(f, "{from}")?,
                Part::Span(Span(from, to)) => write!(f, "{from}:{to}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Last => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sets_are_merged_and_rise_whatever_order_they_were_written_in() {
        type Case<'a> = (&'a str, Option<u32>, &'a [RangeInclusive<u32>]);
        let cases: [Case<'_>; 11] = [
            ("1", Some(9), &[1..=1]),
            ("2,4:7,9,12:*", Some(15), &[2..=2, 4..=7, 9..=9, 12..=15]),
            ("7:4,5:8", Some(9), &[4..=8]),
            ("3,2,1", Some(9), &[1..=3]),
            ("*", Some(9), &[9..=9]),
            ("559:*", Some(500), &[500..=559]),
            ("*,1:*", None, &[]),
            ("1:4294967295,*:1", Some(7), &[1..=4_294_967_295]),
            ("4294967295,1", Some(7), &[1..=1, 4_294_967_295..=4_294_967_295]),
            ("$", Some(7), &[]),
            ("2,$,3", Some(7), &[2..=3]),
        ];
        for (text, last, expected) in cases {
            let set = SequenceSet::parse(text.as_bytes()).unwrap();
            assert_eq!(set.ranges(last.and_then(NonZeroU32::new)), expected, "{text}");
            assert_eq!(set.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "",
            "0",
            "01",
            "1,",
            ",1",
            "1:",
            ":1",
            "1:2:3",
            "a",
            "-1",
            "4294967296",
            "1 2",
            "**",
            "+1",
            "$1",
            "$:2",
            "$$",
        ] {
            assert_eq!(SequenceSet::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn copied_uids_are_listed_as_ranges_in_their_order() {
        let uids =
            |numbers: &[u32]| numbers.iter().map(|n| Uid(NonZeroU32::new(*n).unwrap())).collect::<Vec<_>>();
        assert_eq!(SequenceSet::of(&uids(&[3, 4, 5, 9, 7])).unwrap().to_string(), "3:5,9,7");
        assert_eq!(SequenceSet::of(&[]), None);
    }
}
