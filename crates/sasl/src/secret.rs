//! A password that code can use and nothing can print.

use std::fmt;

/// A password or key: it can be used, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same password as SASLprep spells it (RFC 4013 §2), where that is another text: keyboards differ in how they write
    /// an accented letter.
    pub fn prepared(&self) -> Option<Self> {
        crate::scram::normalize(&self.0).filter(|prepared| *prepared != self.0).map(Self)
    }

    /// The text, for the one place that checks or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }

    #[test]
    fn another_spelling_is_there_only_where_there_is_one() {
        let cases = [
            ("hunter2", None),
            ("p\u{e4}ss", None),
            ("pa\u{308}ss", Some("p\u{e4}ss")),
            ("a\u{a0}b", Some("a b")),
            ("a\u{7}a\u{308}", None),
        ];
        for (password, expected) in cases {
            assert_eq!(Secret::new(password).prepared(), expected.map(Secret::new), "{password:?}");
        }
    }
}
