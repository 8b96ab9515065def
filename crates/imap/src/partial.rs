//! PARTIAL: so many of what is found, from the beginning or from the end (RFC 9394 §3).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use crate::cursor::{Cursor, SyntaxError};

/// `1:500`, or `-1:-100` counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// As the client says them: the answer repeats it. `500:1` means the same as `1:500`.
    ends: (NonZeroU32, NonZeroU32),
    from_end: bool,
}

impl Partial {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, SyntaxError> {
        let from_end = cursor.eat(b'-');
        let first = cursor.nz_number()?;
        cursor.expect(b':', SyntaxError::Partial)?;
        if cursor.eat(b'-') != from_end {
            return Err(SyntaxError::Partial);
        }
        Ok(Self { ends: (first, cursor.nz_number()?), from_end })
    }

    /// The places that it means among so many; empty where it begins beyond them.
    pub fn places(self, count: usize) -> Range<usize> {
        let (a, b) = (self.ends.0.get() as usize, self.ends.1.get() as usize);
        let (first, last) = ((a.min(b) - 1).min(count), a.max(b).min(count));
        if self.from_end { count - last..count - first } else { first..last }
    }

    /// What it means of `found`.
    pub fn of<T>(self, found: &[T]) -> &[T] {
        &found[self.places(found.len())]
    }
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.ends.0, self.ends.1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ranges_count_from_either_end() {
        let cases: [(&str, Option<&[u8]>); 16] = [
            ("1:3", Some(b"abc")),
            ("3:1", Some(b"abc")),
            ("2:2", Some(b"b")),
            ("4:9", Some(b"de")),
            ("6:9", Some(b"")),
            ("1:4294967295", Some(b"abcde")),
            ("-1:-2", Some(b"de")),
            ("-2:-1", Some(b"de")),
            ("-4:-9", Some(b"ab")),
            ("-6:-9", Some(b"")),
            ("0:1", None),
            ("-0:-1", None),
            ("1:-1", None),
            ("-1:1", None),
            ("1", None),
            ("1:*", None),
        ];
        for (text, expected) in cases {
            let mut cursor = Cursor::new(text.as_bytes());
            let partial = Partial::read(&mut cursor).and_then(|partial| cursor.end().map(|()| partial));
            assert_eq!(partial.as_ref().ok().map(|partial| partial.of(b"abcde")), expected, "{text}");
            assert!(partial.is_err() || partial.unwrap().to_string() == text);
        }
    }
}
