//! ENABLE (RFC 5161 §3.1): what a client has said that it understands, or has shown by using it.

use super::{Command, Own};
use crate::cursor::{Cursor, SyntaxError};

/// What changes how the two sides speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one word that a client has said or has not")]
pub struct Enabled {
    /// It wants to know when each message changed (RFC 7162 §3.1).
    pub condstore: bool,
    /// It hears of removals as UIDs (RFC 7162 §3.2.3).
    pub qresync: bool,
    /// Names of mailboxes are UTF-8, and there is one character set (RFC 6855 §3).
    pub utf8: bool,
    /// It speaks IMAP4rev2, in which names are UTF-8 as well (RFC 9051 Appendix E).
    pub rev2: bool,
    /// There are no message numbers, only UIDs (RFC 9586 §3).
    pub uid_only: bool,
    /// It hears of entries that others change (RFC 5464 §4.1).
    pub metadata: bool,
}

impl Enabled {
    /// Both together. QRESYNC is nothing without CONDSTORE (RFC 7162 §3.2.3).
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        let qresync = self.qresync || more.qresync;
        Self {
            condstore: self.condstore || more.condstore || qresync,
            qresync,
            utf8: self.utf8 || more.utf8,
            rev2: self.rev2 || more.rev2,
            uid_only: self.uid_only || more.uid_only,
            metadata: self.metadata || more.metadata,
        }
    }

    /// Whether it hears of removals as VANISHED (RFC 7162 §3.2.10, RFC 9586 §3.3).
    pub fn hears_vanished(self) -> bool {
        self.qresync || self.uid_only
    }

    /// Whether names are UTF-8, both ways; modified UTF-7 otherwise.
    pub fn has_utf8_names(self) -> bool {
        self.utf8 || self.rev2
    }

    /// The words, as ENABLED lists them.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        let words = [
            (self.condstore, "CONDSTORE"),
            (self.qresync, "QRESYNC"),
            (self.utf8, "UTF8=ACCEPT"),
            (self.rev2, "IMAP4rev2"),
            (self.uid_only, "UIDONLY"),
            (self.metadata, "METADATA"),
        ];
        words.into_iter().filter(|(is_enabled, _)| *is_enabled).map(|(_, word)| word)
    }
}

/// Words that nobody knows are passed over (RFC 5161 §3.1).
pub(super) fn enable(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    let mut enabled = Enabled::default();
    cursor.space()?;
    loop {
        match cursor.word()?.as_str() {
            "CONDSTORE" => enabled.condstore = true,
            "QRESYNC" => enabled.qresync = true,
            "UTF8=ACCEPT" => enabled.utf8 = true,
            "IMAP4REV2" => enabled.rev2 = true,
            "UIDONLY" => enabled.uid_only = true,
            "METADATA" => enabled.metadata = true,
            _ => {}
        }
        if !cursor.eat(b' ') {
            return Ok(Command::Own(Own::Enable(enabled)));
        }
    }
}
