//! The one name a message has here, from its first log line to its last.

use std::fmt;

/// Digits that cannot be read as each other, in rising ASCII order so that ids sort by time.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjklmnpqrstvwxyz";
const LENGTH: usize = 15;

/// Names a message in logs, queue, trace fields and in the final `250 2.0.0 ID`.
///
/// Fifteen lower-case letters and digits without vowels: eleven for the microsecond of arrival, four for chance. Ids sort by arrival.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; LENGTH]);

impl TraceId {
    /// Makes an id from the wall clock in microseconds since 1970 (55 bits used) and 20 random bits.
    pub fn new(unix_microseconds: u64, random: u32) -> Self {
        let bits = (u128::from(unix_microseconds) << 20) | u128::from(random & 0xf_ffff);
        let mut text = [0; LENGTH];
        for (place, digit) in text.iter_mut().rev().enumerate() {
            *digit = DIGITS[((bits >> (5 * place)) & 31) as usize];
        }
        Self(text)
    }

    /// Reads an id back from its text form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|byte| DIGITS.contains(byte)).then_some(Self(bytes))
    }

    /// The fifteen characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("every digit is ASCII")
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
        assert_eq!(TraceId::parse(late.as_str()), Some(late));
        assert_eq!(TraceId::parse("../../../../etc"), None);
        assert_eq!(late.as_str().len(), 15);
    }
}
