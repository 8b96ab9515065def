//! The one name a message has here, from its first log line to its last, and those of its entries in the queue.

use std::fmt;

/// Digits that cannot be read as each other, in rising ASCII order so that ids sort by time.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjklmnpqrstvwxyz";
const LENGTH: usize = 15;

/// Names a message in logs, queue, trace fields and in the final `250 2.0.0 ID`.
///
/// Fifteen lower-case letters and digits without vowels: eleven for the microsecond of arrival, four for chance. Ids sort
/// by arrival. Where a message takes several entries of the queue, those behind the first have its id with a number:
/// `ID-2`, `ID-3`. So whoever looks for the id finds all of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId {
    digits: [u8; LENGTH],
    /// Which of the entries; 1 stands for the message as well.
    entry: u32,
}

impl TraceId {
    /// Makes an id from the wall clock in microseconds since 1970 (55 bits used) and 20 random bits.
    pub fn new(unix_microseconds: u64, random: u32) -> Self {
        let bits = (u128::from(unix_microseconds) << 20) | u128::from(random & 0xf_ffff);
        let mut text = [0; LENGTH];
        for (place, digit) in text.iter_mut().rev().enumerate() {
            *digit = DIGITS[((bits >> (5 * place)) & 31) as usize];
        }
        Self { digits: text, entry: 1 }
    }

    /// Reads an id back from its text form, of which there is one only.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, entry) = match text.split_once('-') {
            Some((digits, number)) => (digits, number.parse().ok().filter(|&entry| entry > 1)?),
            None => (text, 1),
        };
        let digits: [u8; LENGTH] = digits.as_bytes().try_into().ok()?;
        let id = Self { digits, entry };
        (digits.iter().all(|byte| DIGITS.contains(byte)) && id.to_string() == text).then_some(id)
    }

    /// When the message arrived, in seconds since 1970.
    pub fn unix_seconds(self) -> u64 {
        let value = |digit: u8| DIGITS.iter().position(|other| *other == digit).unwrap_or_default() as u128;
        let bits = self.digits.iter().fold(0, |bits, digit| (bits << 5) | value(*digit));
        u64::try_from((bits >> 20) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// The id of the whole message: of its first entry, of its final reply, and of nothing but it.
    #[must_use]
    pub fn message(self) -> Self {
        Self { entry: 1, ..self }
    }

    /// The entry that comes so many places behind this one.
    #[must_use]
    pub fn behind(self, places: u32) -> Self {
        Self { entry: self.entry.saturating_add(places), ..self }
    }

    /// Whether this names a further entry, and not the first or the whole message.
    pub fn is_further(self) -> bool {
        self.entry > 1
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits).expect("every digit is ASCII"))?;
        if self.is_further() { write!(f, "-{}", self.entry) } else { Ok(()) }
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_arrival_and_read_back() {
        let early = TraceId::new(1_795_000_000_000_000, u32::MAX);
        let late = TraceId::new(1_795_000_000_000_001, 0);
        assert!(early < late);
        assert_eq!(TraceId::parse(&late.to_string()), Some(late));
        assert_eq!((early.unix_seconds(), late.unix_seconds()), (1_795_000_000, 1_795_000_000));
        assert_eq!(TraceId::new(u64::MAX >> 9, 0).unix_seconds(), (u64::MAX >> 9) / 1_000_000);
        assert_eq!(TraceId::parse("../../../../etc"), None);
        assert_eq!(late.to_string().len(), 15);
    }

    #[test]
    fn further_entries_have_the_name_of_their_message_and_a_number() {
        let (message, next) = (TraceId::new(7, 1), TraceId::new(8, 0));
        let further = message.behind(1);
        assert_eq!(further.to_string(), format!("{message}-2"));
        assert_eq!(TraceId::parse(&further.to_string()), Some(further));
        assert_eq!(further.behind(9).message(), message);
        assert!(message < further && further < message.behind(9) && message.behind(9) < next);
        assert!(further.is_further() && !message.is_further());
        assert_eq!(further.behind(u32::MAX).behind(1).to_string(), format!("{message}-{}", u32::MAX));
    }

    #[test]
    fn an_entry_has_one_name_only() {
        let message = TraceId::new(7, 1);
        for wrong in ["-1", "-0", "-02", "-+2", "-", "--2", "-2-2", "-2 ", "-4294967296", "-x"] {
            assert_eq!(TraceId::parse(&format!("{message}{wrong}")), None, "{wrong}");
        }
    }
}
