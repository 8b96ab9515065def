//! Flags as clients name them (RFC 3501 §2.3.2).

use std::fmt;

use crate::cursor::SyntaxError;
use crate::limits::MAX_KEYWORD;

/// A flag that a client may set. `\Recent` is none of them: only the server gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `\Seen`: read.
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`: marked for attention.
    Flagged,
    /// `\Deleted`: EXPUNGE removes it.
    Deleted,
    /// `\Draft`
    Draft,
    /// A keyword such as `$Forwarded`: an atom of up to [`MAX_KEYWORD`] octets.
    Keyword(String),
}

impl Flag {
    /// Those that begin with a backslash.
    pub const SYSTEM: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// Reads one flag: an atom, or a backslash and one of the five names, in any case.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        let text = std::str::from_utf8(text).map_err(|_| SyntaxError::Flag)?;
        if !text.starts_with('\\') {
            let fits = !text.is_empty() && text.len() <= MAX_KEYWORD;
            return fits.then(|| Self::Keyword(text.to_owned())).ok_or(SyntaxError::Flag);
        }
        Self::SYSTEM
            .into_iter()
            .find(|flag| flag.as_str().eq_ignore_ascii_case(text))
            .ok_or(SyntaxError::Flag)
    }

    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
            Self::Keyword(keyword) => keyword,
        }
    }

    /// Whether both mean the same: keywords have no case (RFC 3501 §9, note 1).
    pub fn is(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
