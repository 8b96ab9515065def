//! Flags and keywords of a message, and how a change applies to them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kings_mail::rights::Rights;

use crate::error::StoreError;

/// Longest keyword, in octets; Dovecot refuses more than 50 from its clients, other servers allow more.
pub const MAX_KEYWORD: usize = 100;

/// A flag every mailbox knows (RFC 9051 §2.3.2). `\Recent` is not one: it belongs to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemFlag {
    /// `\Draft`
    Draft = 1,
    /// `\Flagged`
    Flagged = 2,
    /// `\Answered`
    Answered = 4,
    /// `\Seen`
    Seen = 8,
    /// `\Deleted`
    Deleted = 16,
}

impl SystemFlag {
    /// All of them, in the order of their Maildir letters.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Flagged, Self::Answered, Self::Seen, Self::Deleted];

    fn bit(self) -> u8 {
        self as u8
    }
}

/// A keyword: an atom, compared without regard to case (RFC 9051 §2.3.2), kept as first written.
#[derive(Clone)]
pub struct Keyword(Arc<str>);

impl Keyword {
    /// Accepts an `atom` (RFC 9051 §9) of up to [`MAX_KEYWORD`] octets that does not start with a backslash.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let is_atom_char = |byte: u8| byte.is_ascii_graphic() && !br#"(){%*"\]"#.contains(&byte);
        let ok = !text.is_empty() && text.len() <= MAX_KEYWORD && text.bytes().all(is_atom_char);
        ok.then(|| Self(text.into())).ok_or(StoreError::BadKeyword)
    }

    /// The keyword as first written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let lower = |keyword: &'_ Self| keyword.0.to_ascii_lowercase();
        lower(self).cmp(&lower(other))
    }
}

impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The flags and keywords of one message. Messages with the same keywords share one set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Flags {
    system: u8,
    /// Sorted, each once; `None` when empty, so that most messages allocate nothing.
    keywords: Option<Arc<[Keyword]>>,
}

/// How STORE changes flags (RFC 9051 §6.4.6).
#[derive(Clone, Debug)]
pub enum FlagChange {
    /// `FLAGS`: these and no others.
    Replace(Flags),
    /// `+FLAGS`
    Add(Flags),
    /// `-FLAGS`
    Remove(Flags),
    /// `FLAGS`, by somebody who may change some kinds only: these and no others of those kinds.
    ReplaceSome(Flags, FlagKinds),
}

/// Kinds of flags that somebody may change (RFC 4314 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagKinds {
    /// `\Seen`
    pub seen: bool,
    /// `\Deleted`
    pub deleted: bool,
    /// All other flags, and keywords.
    pub others: bool,
}

impl FlagKinds {
    /// All flags.
    pub const ALL: Self = Self { seen: true, deleted: true, others: true };

    /// What these rights allow.
    pub fn of(rights: Rights) -> Self {
        let may = |right| rights.contain(right);
        Self { seen: may(Rights::SEEN), deleted: may(Rights::DELETED), others: may(Rights::WRITE) }
    }

    /// The system flags as bits.
    pub(crate) fn system_bits(self) -> u8 {
        let is_among = |flag: &SystemFlag| match flag {
            SystemFlag::Seen => self.seen,
            SystemFlag::Deleted => self.deleted,
            SystemFlag::Draft | SystemFlag::Flagged | SystemFlag::Answered => self.others,
        };
        SystemFlag::ALL.into_iter().filter(is_among).fold(0, |bits, flag| bits | flag.bit())
    }
}

impl Flags {
    /// Puts parts together that are already checked; keywords in any order.
    pub(crate) fn from_parts(system: u8, keywords: impl IntoIterator<Item = Keyword>) -> Self {
        let mut sorted: Vec<Keyword> = keywords.into_iter().collect();
        sorted.sort();
        sorted.dedup();
        Self { system, keywords: (!sorted.is_empty()).then(|| sorted.into()) }
    }

    /// The system flags as bits of [`SystemFlag`].
    pub(crate) fn system_bits(&self) -> u8 {
        self.system
    }

    /// This set with `flag` in it.
    #[must_use]
    pub fn with(mut self, flag: SystemFlag) -> Self {
        self.insert(flag);
        self
    }

    /// Adds a system flag.
    pub fn insert(&mut self, flag: SystemFlag) {
        self.system |= flag.bit();
    }

    /// Takes a system flag away.
    pub fn remove(&mut self, flag: SystemFlag) {
        self.system &= !flag.bit();
    }

    /// Whether the system flag is set.
    pub fn contains(&self, flag: SystemFlag) -> bool {
        self.system & flag.bit() != 0
    }

    /// The system flags that are set.
    pub fn system(&self) -> impl Iterator<Item = SystemFlag> + '_ {
        SystemFlag::ALL.into_iter().filter(|flag| self.contains(*flag))
    }

    /// Adds a keyword; one that differs only in case is there already.
    pub fn insert_keyword(&mut self, keyword: Keyword) {
        if !self.keywords().contains(&keyword) {
            *self = Self::from_parts(self.system, self.keywords().iter().cloned().chain([keyword]));
        }
    }

    /// The keywords, sorted.
    pub fn keywords(&self) -> &[Keyword] {
        self.keywords.as_deref().unwrap_or_default()
    }

    /// Whether neither a flag nor a keyword is set.
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.is_none()
    }

    /// Those of some kinds.
    #[must_use]
    pub fn only(&self, kinds: FlagKinds) -> Self {
        let keywords = if kinds.others { self.keywords.clone() } else { None };
        Self { system: self.system & kinds.system_bits(), keywords }
    }

    /// This set after `change`.
    #[must_use]
    pub fn changed(&self, change: &FlagChange) -> Self {
        match change {
            FlagChange::Replace(flags) => flags.clone(),
            FlagChange::ReplaceSome(flags, kinds) => {
                let (kept, new) = (self.system & !kinds.system_bits(), flags.only(*kinds));
                let keywords = if kinds.others { new.keywords } else { self.keywords.clone() };
                Self { system: kept | new.system, keywords }
            }
            FlagChange::Add(flags) => {
                let keywords = self.keywords().iter().chain(flags.keywords()).cloned();
                Self::from_parts(self.system | flags.system, keywords)
            }
            FlagChange::Remove(flags) => {
                let keep = |keyword: &&Keyword| !flags.keywords().contains(keyword);
                Self::from_parts(self.system & !flags.system, self.keywords().iter().filter(keep).cloned())
            }
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        set.entries(self.system());
        set.entries(self.keywords()).finish()
    }
}

impl FlagChange {
    /// The flags named in the change.
    pub fn flags(&self) -> &Flags {
        match self {
            Self::Replace(flags) | Self::Add(flags) | Self::Remove(flags) | Self::ReplaceSome(flags, _) => {
                flags
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn keyword(text: &str) -> Keyword {
        Keyword::parse(text).unwrap()
    }

    #[test]
    fn keywords_are_atoms() {
        let long = "k".repeat(MAX_KEYWORD + 1);
        for good in ["$Forwarded", "work", "NonJunk", "$label1", "a+b"] {
            assert!(Keyword::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "\\Seen", "a b", "a(b", "a]b", "a\"b", "ü", "a\r\n", "a%", &long] {
            assert!(Keyword::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn changes_apply_to_flags_and_keywords() {
        let seen = Flags::default().with(SystemFlag::Seen);
        let mut both = seen.clone();
        both.insert_keyword(keyword("Work"));
        both.insert_keyword(keyword("WORK"));
        assert_eq!(both.keywords().len(), 1);
        let flagged = Flags::default().with(SystemFlag::Flagged);
        assert_eq!(both.changed(&FlagChange::Replace(flagged.clone())), flagged);
        assert!(both.changed(&FlagChange::Add(flagged)).contains(SystemFlag::Flagged));
        let mut work = Flags::default();
        work.insert_keyword(keyword("work"));
        assert_eq!(both.changed(&FlagChange::Remove(work)), seen);
        assert!(seen.changed(&FlagChange::Remove(seen.clone())).is_empty());
    }

    #[test]
    fn flags_of_other_kinds_stay_as_they_are() {
        let kinds = |letters| FlagKinds::of(Rights::parse(letters).unwrap());
        let mut old =
            Flags::default().with(SystemFlag::Seen).with(SystemFlag::Deleted).with(SystemFlag::Draft);
        old.insert_keyword(keyword("work"));
        let mut new = Flags::default().with(SystemFlag::Flagged);
        new.insert_keyword(keyword("home"));
        let cases = [("", "{Draft, Seen, Deleted, work}"), ("s", "{Draft, Deleted, work}")];
        let more = [("t", "{Draft, Seen, work}"), ("w", "{Flagged, Seen, Deleted, home}")];
        for (letters, expected) in cases.into_iter().chain(more).chain([("wst", "{Flagged, home}")]) {
            let change = FlagChange::ReplaceSome(new.clone(), kinds(letters));
            assert_eq!(format!("{:?}", old.changed(&change)), expected, "{letters}");
        }
        assert_eq!(format!("{:?}", old.only(kinds("s"))), "{Seen}");
        assert_eq!(old.only(FlagKinds::ALL), old);
    }
}
