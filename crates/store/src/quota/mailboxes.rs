//! Quotas of single mailboxes: how much an account may hold while mail comes into one of them, and what counts for nothing.
//!
//! The rules are those of Dovecot's `quota_rule`: the quota stays one for the whole account, and a rule says only how far it
//! reaches for mail that comes into a mailbox. So there is room in `Trash` for what somebody removes to get below his quota.

use std::sync::Arc;

use super::QuotaLimits;
use crate::name::{MailboxName, Naming};

/// What an account may hold, and what goes for some of its mailboxes.
#[derive(Clone, Debug, Default)]
pub struct AccountQuota {
    /// What it may hold.
    pub limits: QuotaLimits,
    /// Of these the first that fits a mailbox counts.
    pub mailboxes: Arc<[MailboxQuota]>,
}

/// What goes for the mailboxes of some names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxQuota {
    /// The name as clients see it; `*` is any text and `?` any character, those between levels too.
    pub mask: String,
    /// How clients see names.
    pub naming: Naming,
    /// What goes for them.
    pub allowance: MailboxAllowance,
}

/// What goes for a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxAllowance {
    /// Nothing in it counts, and nothing is too much for it.
    Ignored,
    /// While mail comes into it the account may hold so much more than otherwise, or less.
    Differs {
        /// Octets.
        octets: Difference,
        /// Messages.
        messages: Difference,
    },
}

/// How much more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// So much.
    Number(i64),
    /// A part, in hundredths, of the account's limit.
    Percent(i64),
}

impl Difference {
    /// The limit that this makes of one. As in Dovecot nothing is left where the sum is not above zero, and that is no limit; and
    /// where nothing is limited before, so much is allowed in all.
    fn of(self, limit: Option<u64>) -> Option<u64> {
        let limit = i128::from(limit.unwrap_or_default());
        let more = match self {
            Self::Number(number) => i128::from(number),
            Self::Percent(percent) => limit * i128::from(percent) / 100,
        };
        u64::try_from(limit + more).ok().filter(|sum| *sum > 0)
    }
}

impl From<QuotaLimits> for AccountQuota {
    fn from(limits: QuotaLimits) -> Self {
        Self { limits, mailboxes: Arc::default() }
    }
}

impl AccountQuota {
    /// What the account may hold while mail comes into a mailbox; `None` where that counts for nothing.
    pub fn of(&self, mailbox: &MailboxName) -> Option<QuotaLimits> {
        let limits = self.limits;
        match self.rule(mailbox) {
            Some(MailboxAllowance::Ignored) => None,
            // An account without limits has none anywhere.
            Some(MailboxAllowance::Differs { octets, messages }) if limits.is_limit() => Some(QuotaLimits {
                octets: octets.of(limits.octets),
                messages: messages.of(limits.messages),
                grace: limits.grace,
            }),
            Some(MailboxAllowance::Differs { .. }) | None => Some(limits),
        }
    }

    /// Whether what is in a mailbox counts.
    pub(crate) fn counts(&self, mailbox: &MailboxName) -> bool {
        self.rule(mailbox) != Some(MailboxAllowance::Ignored)
    }

    fn rule(&self, mailbox: &MailboxName) -> Option<MailboxAllowance> {
        let fits = |rule: &&MailboxQuota| fits(&rule.mask, &rule.naming.text(mailbox));
        self.mailboxes.iter().find(fits).map(|rule| rule.allowance)
    }
}

/// Whether a mask fits a name: `*` is any text, `?` any character, and a backslash takes the meaning from what follows it.
fn fits(mask: &str, name: &str) -> bool {
    let (mask, name) = (pieces(mask), name.chars().collect::<Vec<_>>());
    let (mut at, mut done) = (0, 0);
    // Where to go on with one character more for the last `*`.
    let mut again = None;
    while done < name.len() {
        match mask.get(at) {
            Some(Piece::Any) => {
                at += 1;
                again = Some((at, done));
            }
            Some(Piece::One) => (at, done) = (at + 1, done + 1),
            Some(Piece::Exactly(c)) if *c == name[done] => (at, done) = (at + 1, done + 1),
            _ => {
                let Some((behind, from)) = again else { return false };
                again = Some((behind, from + 1));
                (at, done) = (behind, from + 1);
            }
        }
    }
    mask[at..].iter().all(|piece| *piece == Piece::Any)
}

#[derive(PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Exactly(char),
}

fn pieces(mask: &str) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(mask.len());
    let mut rest = mask.chars();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Exactly(rest.next().unwrap_or('\\')),
            other => Piece::Exactly(other),
        });
    }
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::mailbox_layout::MailboxLayout;

    const NAMING: Naming =
        Naming { separator: '.', below_inbox: false, layout: MailboxLayout::MaildirPlusPlus };

    fn more(octets: Difference, messages: Difference) -> MailboxAllowance {
        MailboxAllowance::Differs { octets, messages }
    }

    #[test]
    fn masks_fit_as_dovecots_do() {
        for (mask, fitting, others) in [
            ("Trash", ["Trash", "Trash"], ["trash", "Trash.2024"]),
            ("Trash*", ["Trash", "Trash.2024"], ["INBOX.Trash", "Tras"]),
            ("*Trash", ["Trash", "Old.Trash"], ["Trash.2024", "Trash "]),
            ("*.Trash", ["Old.Trash", "a.b.Trash"], ["Trash", "OldTrash"]),
            ("W?rk", ["Work", "Wörk"], ["Wrk", "Woork"]),
            ("*a*b*", ["ab", "xaxbx"], ["ba", ""]),
            ("a*b*c", ["abc", "abbcbc"], ["abcb", "ac"]),
            ("\\*", ["*", "*"], ["x", "\\*"]),
            ("**", ["", "x"], ["x", "x"]),
        ] {
            for name in fitting {
                assert!(fits(mask, name), "{mask} {name}");
            }
            for name in others.into_iter().filter(|_| mask != "**") {
                assert!(!fits(mask, name), "{mask} {name}");
            }
        }
        // No text takes long.
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
    }

    #[test]
    fn the_first_rule_that_fits_counts_and_differences_are_of_the_accounts_limit() {
        use Difference::{Number, Percent};
        let rule = |mask: &str, allowance| MailboxQuota { mask: mask.into(), naming: NAMING, allowance };
        let rules = [
            rule("Spam*", MailboxAllowance::Ignored),
            rule("Trash", more(Number(100), Percent(10))),
            rule("Tr*", more(Number(7), Number(0))),
            rule("Small", more(Number(-400), Percent(-50))),
            rule("None", more(Number(-1_000), Number(-2_000))),
        ];
        let quota = |octets, messages| AccountQuota {
            limits: QuotaLimits { octets, messages, grace: 5 },
            mailboxes: rules.clone().into(),
        };
        let of = |quota: &AccountQuota, name: &str| {
            let limits = quota.of(&MailboxName::parse(name, '.').unwrap());
            limits.map(|limits| (limits.octets, limits.messages, limits.grace))
        };
        let both = quota(Some(1_000), Some(20));
        for (name, expected) in [
            ("INBOX", Some((Some(1_000), Some(20), 5))),
            ("Trash", Some((Some(1_100), Some(22), 5))),
            ("Trunk", Some((Some(1_007), Some(20), 5))),
            ("Small", Some((Some(600), Some(10), 5))),
            ("None", Some((None, None, 5))),
            ("Spam.old", None),
        ] {
            assert_eq!(of(&both, name), expected, "{name}");
        }
        // What is said of a kind that has no limit makes one, unless nothing has any.
        assert_eq!(of(&quota(None, Some(20)), "Trash"), Some((Some(100), Some(22), 5)));
        assert_eq!(of(&quota(None, None), "Trash"), Some((None, None, 5)));
        assert_eq!(of(&quota(None, None), "Spam"), None);
    }
}
