//! What somebody may do with a mailbox, letter by letter (RFC 4314 §2.1).

use std::fmt;
use std::ops::BitOr;

/// A set of rights.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// `l`: it shows in lists, and may be subscribed.
    pub const LOOKUP: Self = Self(1);
    /// `r`: it can be selected, and what is in it read.
    pub const READ: Self = Self(1 << 1);
    /// `w`: flags other than `\Seen` and `\Deleted`, and keywords.
    pub const WRITE: Self = Self(1 << 2);
    /// `s`: the flag `\Seen`.
    pub const SEEN: Self = Self(1 << 3);
    /// `t`: the flag `\Deleted`.
    pub const DELETED: Self = Self(1 << 4);
    /// `i`: messages may be put into it.
    pub const INSERT: Self = Self(1 << 5);
    /// `p`: mail may be sent to it.
    pub const POST: Self = Self(1 << 6);
    /// `e`: messages may be removed.
    pub const EXPUNGE: Self = Self(1 << 7);
    /// `k`: mailboxes may be made below it.
    pub const CREATE: Self = Self(1 << 8);
    /// `x`: it may be removed or renamed.
    pub const DELETE: Self = Self(1 << 9);
    /// `a`: these rights may be changed.
    pub const ADMIN: Self = Self(1 << 10);
    /// All of them.
    pub const ALL: Self = Self((1 << 11) - 1);
    /// Any of these lets a client change something in the mailbox; without, it is open for reading only.
    pub const CHANGES: Self =
        Self(Self::WRITE.0 | Self::SEEN.0 | Self::DELETED.0 | Self::INSERT.0 | Self::EXPUNGE.0);

    /// What it takes to move messages away: they are read, marked and expunged (RFC 6851 §3.3, RFC 8508 §3).
    pub const REMOVES: Self = Self(Self::READ.0 | Self::DELETED.0 | Self::EXPUNGE.0);

    /// What it takes to read what is noted about a mailbox (RFC 5464 §3.3).
    pub const LOOKS: Self = Self(Self::LOOKUP.0 | Self::READ.0);
    /// What it takes to note something about it.
    pub const NOTES: Self = Self(Self::LOOKUP.0 | Self::WRITE.0);

    /// Each right with its letter, in the order in which Dovecot writes them.
    pub const LETTERS: [(char, Self); 11] = [
        ('l', Self::LOOKUP),
        ('r', Self::READ),
        ('w', Self::WRITE),
        ('s', Self::SEEN),
        ('t', Self::DELETED),
        ('i', Self::INSERT),
        ('p', Self::POST),
        ('e', Self::EXPUNGE),
        ('k', Self::CREATE),
        ('x', Self::DELETE),
        ('a', Self::ADMIN),
    ];

    /// What the letters of the time before RFC 4314 stand for, as Dovecot has it (RFC 4314 §2.1.1).
    pub const OBSOLETE: [(char, Self); 2] =
        [('c', Self(Self::CREATE.0 | Self::DELETE.0)), ('d', Self(Self::DELETED.0 | Self::EXPUNGE.0))];

    /// Reads letters, obsolete ones too; a letter that is no right is an error.
    pub fn parse(letters: &str) -> Option<Self> {
        let known = || Self::LETTERS.into_iter().chain(Self::OBSOLETE);
        let right = |letter| known().find(|(known, _)| *known == letter).map(|(_, right)| right);
        letters.chars().try_fold(Self::NONE, |rights, letter| Some(rights | right(letter)?))
    }

    /// Whether all of `others` are among them.
    pub fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether any of `others` is among them.
    pub fn contain_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// These without `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The letters as IMAP tells them, with the obsolete ones: any right that one of them stands for brings it along
    /// (RFC 4314 §2.1.1).
    pub fn with_obsolete(self) -> String {
        let obsolete = Self::OBSOLETE.into_iter().filter(|(_, rights)| self.contain_any(*rights));
        self.to_string().chars().chain(obsolete.map(|(letter, _)| letter)).collect()
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The letters.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::LETTERS
            .into_iter()
            .filter(|(_, right)| self.contain(*right))
            .try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn letters_are_rights_and_come_back() {
        let cases = [
            ("", Some(""), ""),
            ("lr", Some("lr"), "lr"),
            ("rrl", Some("lr"), "lr"),
            ("lrwstipekxa", Some("lrwstipekxa"), "lrwstipekxacd"),
            ("axkepitswrl", Some("lrwstipekxa"), "lrwstipekxacd"),
            ("k", Some("k"), "kc"),
            ("t", Some("t"), "td"),
            ("c", Some("kx"), "kxc"),
            ("lrd", Some("lrte"), "lrted"),
            ("L", None, ""),
            ("lz", None, ""),
            ("0", None, ""),
            ("l r", None, ""),
            ("+l", None, ""),
        ];
        for (letters, expected, told) in cases {
            let rights = Rights::parse(letters);
            assert_eq!(rights.map(|rights| rights.to_string()).as_deref(), expected, "{letters}");
            assert_eq!(rights.unwrap_or_default().with_obsolete(), told, "{letters}");
        }
        assert_eq!(Rights::parse("lrwstipekxa"), Some(Rights::ALL));
    }

    #[test]
    fn sets_know_what_is_in_them() {
        let both = Rights::LOOKUP | Rights::READ;
        assert!(both.contain(Rights::READ) && both.contain(both) && both.contain(Rights::NONE));
        assert!(
            !both.contain(Rights::READ | Rights::WRITE) && both.contain_any(Rights::READ | Rights::WRITE)
        );
        assert!(!both.contain_any(Rights::CHANGES) && !both.contain_any(Rights::NONE));
        assert!(both.without(both).is_none() && both.without(Rights::READ) == Rights::LOOKUP);
    }
}
