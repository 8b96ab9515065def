//! SORT: puts messages in the order that its criteria ask for (RFC 5256 §3, RFC 5957 §3).

use crate::learn::Sorting;
use crate::limits::MAX_SORT_OCTETS;

pub use crate::command::sort::{Criterion, SortKey};

/// What the store knows of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrived, in seconds since 1970.
    pub arrived: i64,
    /// Octets of its CRLF form.
    pub size: u64,
}

/// Takes messages in any order and gives them back sorted.
///
/// All criteria of a message become one row of octets that compares as they do; what is reversed is inverted.
#[derive(Debug)]
pub struct Sorter {
    criteria: Vec<Criterion>,
    octets: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    /// The first octets, so that most comparisons look no further.
    prefix: u64,
    start: usize,
    end: usize,
    place: usize,
}

impl Sorter {
    /// For messages by these criteria.
    pub fn new(criteria: Vec<Criterion>) -> Self {
        Self { criteria, octets: Vec::new(), rows: Vec::new() }
    }

    /// Whether a message says more about its order than the store knows.
    pub fn needs_sheets(&self) -> bool {
        self.criteria.iter().any(|criterion| !matches!(criterion.key, SortKey::Arrival | SortKey::Size))
    }

    /// Takes the message at a place of the mailbox, with its sheet; without one, it sorts as one that says nothing.
    pub fn take(&mut self, place: usize, arrival: Arrival, sheet: &[u8]) {
        let sorting = Sorting::unpack(sheet).unwrap_or(Sorting::NOTHING);
        let start = self.octets.len();
        for criterion in &self.criteria {
            let from = self.octets.len();
            put(&mut self.octets, criterion.key, &sorting, arrival);
            if criterion.reverse {
                self.octets[from..].iter_mut().for_each(|octet| *octet = !*octet);
            }
        }
        let end = self.octets.len();
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(&self.octets[start..end]) {
            *to = *from;
        }
        self.rows.push(Row { prefix: u64::from_be_bytes(prefix), start, end, place });
    }

    /// Whether there is no room for more.
    pub fn is_full(&self) -> bool {
        self.octets.len() > MAX_SORT_OCTETS
    }

    /// The places of all messages in order; equal ones as they stand in the mailbox (RFC 5256 §3).
    pub fn places(mut self) -> Vec<usize> {
        let octets = self.octets;
        self.rows.sort_unstable_by(|a, b| {
            let whole = || octets[a.start..a.end].cmp(&octets[b.start..b.end]);
            a.prefix.cmp(&b.prefix).then_with(whole).then(a.place.cmp(&b.place))
        });
        self.rows.into_iter().map(|row| row.place).collect()
    }
}

/// Appends what compares as the key does, and is the start of no other.
fn put(out: &mut Vec<u8>, key: SortKey, sorting: &Sorting<'_>, arrival: Arrival) {
    let text = match key {
        SortKey::Arrival => return out.extend(rising(arrival.arrived)),
        SortKey::Date => return out.extend(rising(sorting.sent.unwrap_or(arrival.arrived))),
        SortKey::Size => return out.extend(arrival.size.to_be_bytes()),
        SortKey::Cc => sorting.cc,
        SortKey::From => sorting.from,
        SortKey::Subject => sorting.subject,
        SortKey::To => sorting.to,
        SortKey::DisplayFrom => sorting.display_from,
        SortKey::DisplayTo => sorting.display_to,
    };
    // No text has a NUL in it, so a shorter one comes first.
    out.extend(text);
    out.push(0);
}

/// Numbers below zero come first.
fn rising(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Content;
    use crate::learn::learn;

    const MESSAGES: [(&str, i64, u64); 6] = [
        (
            "From: bob@x\r\nSubject: Re: beta\r\nDate: 3 Jan 2027 00:00 +0000\r\nTo: z@x\r\nCc: k@x\r\n",
            10,
            500,
        ),
        ("From: \"Al\" <zoe@x>\r\nSubject: Alpha\r\nDate: 2 Jan 2027 23:00 -0200\r\nTo: a@x\r\n", 30, 100),
        ("From: ANN@x\r\nSubject: [l] BETA\r\nTo: \"Zed\" <a@x>\r\n", 1_798_848_000, 100),
        ("Subject: \r\nDate: nonsense\r\nTo: a@x\r\nCc: j@x\r\n", 20, 300),
        (
            "From: =?utf-8?q?=C3=84l?= <carl@x>\r\nSubject: alphabet\r\nDate: 1 Jan 1969 00:00 +0000\r\nTo: a@x\r\n",
            5,
            50,
        ),
        ("From: ann@x\r\nSubject: beta (fwd)\r\nDate: 3 Jan 2027 00:00 +0000\r\nTo: a@x\r\n", 10, 500),
    ];

    fn sorted(criteria: &[(SortKey, bool)]) -> Vec<usize> {
        let criteria = criteria.iter().map(|(key, reverse)| Criterion { key: *key, reverse: *reverse });
        let mut sorter = Sorter::new(criteria.collect());
        for (place, (header, arrived, size)) in MESSAGES.into_iter().enumerate().rev() {
            let [_, sheet, _] = learn(&Content::new(format!("{header}\r\n").as_bytes()));
            sorter.take(place, Arrival { arrived, size }, &sheet);
        }
        sorter.places().into_iter().map(|place| place + 1).collect()
    }

    #[test]
    fn each_key_sorts_as_its_rfc_has_it() {
        use SortKey::{Arrival, Cc, Date, DisplayFrom, DisplayTo, From, Size, Subject, To};
        type Case<'a> = (&'a [(SortKey, bool)], [usize; 6]);
        let cases: [Case<'_>; 14] = [
            (&[(Arrival, false)], [5, 1, 6, 4, 2, 3]),
            (&[(Arrival, true)], [3, 2, 4, 1, 6, 5]),
            // Without a Date field, or with one that says nothing, the date of arrival.
            (&[(Date, false)], [5, 4, 3, 1, 6, 2]),
            (&[(Size, false)], [5, 2, 3, 4, 1, 6]),
            (&[(Size, true)], [1, 6, 4, 2, 3, 5]),
            (&[(Subject, false)], [4, 2, 5, 1, 3, 6]),
            (&[(Subject, true)], [1, 3, 6, 5, 2, 4]),
            (&[(From, false)], [4, 3, 6, 1, 5, 2]),
            (&[(To, false)], [2, 3, 4, 5, 6, 1]),
            (&[(Cc, false)], [2, 3, 5, 6, 4, 1]),
            (&[(DisplayFrom, false)], [4, 2, 3, 6, 5, 1]),
            (&[(DisplayTo, false)], [2, 4, 5, 6, 1, 3]),
            (&[(Subject, false), (Date, false)], [4, 2, 5, 3, 1, 6]),
            (&[(Size, true), (From, false)], [6, 1, 4, 3, 2, 5]),
        ];
        for (criteria, expected) in cases {
            assert_eq!(sorted(criteria), expected, "{criteria:?}");
        }
    }
}
