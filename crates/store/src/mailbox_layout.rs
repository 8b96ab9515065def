//! How the mailboxes of an account lie in its folder, in words alone: which names can be there, and what their folders are called.

use crate::name::{MAX_FOLDER_NAME, MailboxName};

/// How the mailboxes of an account lie in its folder, which is the inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailboxLayout {
    /// All beside each other, their levels joined by dots: `.Work.2024`.
    #[default]
    MaildirPlusPlus,
    /// Folders in folders, `Work/2024`: Dovecot's `LAYOUT=fs`.
    Fs,
}

/// Files that may stand in the folder of a mailbox, Dovecot's and ours. With a dot or a dash and more behind it each is reserved
/// too: for locks, and for what is being written.
const SIDE_FILES: [&str; 12] = [
    "dovecot-uidlist",
    "dovecot-uidvalidity",
    "dovecot-keywords",
    "dovecot-acl",
    "dovecot.index",
    "dovecot.list.index",
    "dovecot.mailbox.log",
    "kings-state",
    "kings-metadata",
    "kings-expunged",
    "maildirfolder",
    "maildirsize",
];
/// The folder for expunged mail that is kept.
const KEPT: &str = "kings-expunged";
/// One more, which stands only in the folder of an account.
const SUBSCRIPTIONS: &str = "subscriptions";

impl MailboxLayout {
    /// Whether a mailbox of this name can lie like that.
    ///
    /// ```
    /// use kings_store::{MailboxLayout, MailboxName};
    /// let version = MailboxName::parse("Lists/v1.2", '/').unwrap();
    /// assert!(MailboxLayout::Fs.can_hold(&version));
    /// assert!(!MailboxLayout::MaildirPlusPlus.can_hold(&version));
    /// ```
    pub fn can_hold(self, name: &MailboxName) -> bool {
        name.is_inbox() || self.steps(name).is_some()
    }

    /// The name that a client means: where `INBOX` is a folder, names below it are below that one, as with Dovecot.
    pub(crate) fn understood(self, name: MailboxName) -> MailboxName {
        match self {
            Self::MaildirPlusPlus => name,
            Self::Fs => name.with_inbox_in_capitals(),
        }
    }

    /// The folders from the account's to that of the mailbox: none for the inbox, `None` where it cannot be there.
    pub(crate) fn steps(self, name: &MailboxName) -> Option<Vec<String>> {
        if name.is_inbox() {
            return Some(Vec::new());
        }
        match self {
            Self::MaildirPlusPlus => {
                let folder = format!(".{}", self.joined(name));
                let fits = folder.len() <= MAX_FOLDER_NAME && !name.levels().any(|level| level.contains('.'));
                fits.then(|| vec![folder])
            }
            Self::Fs => {
                let steps: Vec<String> = name.encoded().split('/').map(str::to_owned).collect();
                let free = |(at, step): (usize, &String)| !is_reserved(step, at == 0);
                steps.iter().enumerate().all(free).then_some(steps)
            }
        }
    }

    /// The way to what is kept of expunged mail. Nobody looks for folders in a `tmp`.
    pub(crate) fn shelf(self) -> Vec<String> {
        let steps: &[&str] = match self {
            Self::MaildirPlusPlus => &[KEPT],
            Self::Fs => &[KEPT, "tmp"],
        };
        steps.iter().map(|step| (*step).to_owned()).collect()
    }

    /// The way to what is kept of one mailbox.
    pub(crate) fn bin(self, mailbox: &MailboxName) -> Vec<String> {
        let mut steps = self.shelf();
        match self {
            Self::MaildirPlusPlus => steps.push(self.joined(mailbox)),
            Self::Fs => steps.extend(mailbox.encoded().split('/').map(str::to_owned)),
        }
        steps
    }

    /// The mailbox to whose bin this is the way.
    pub(crate) fn of_bin(self, way: &[String]) -> Option<MailboxName> {
        let name = way.get(self.shelf().len()..)?.join("/");
        self.parted(name.as_bytes())
    }

    /// Whether a change of this entry, in a folder whose entries are names, may change which names there are.
    pub(crate) fn names_change_with(self, entry: &[u8]) -> bool {
        match self {
            Self::MaildirPlusPlus => entry.starts_with(b"."),
            // With `cur` in it a folder becomes a mailbox.
            Self::Fs => {
                entry == b"cur" || std::str::from_utf8(entry).is_ok_and(|step| !is_reserved(step, true))
            }
        }
    }

    /// What parts the levels of a name in text files.
    pub(crate) fn joint(self) -> char {
        match self {
            Self::MaildirPlusPlus => '.',
            Self::Fs => '/',
        }
    }

    /// The name in modified UTF-7, as it stands in text files.
    pub(crate) fn joined(self, name: &MailboxName) -> String {
        name.encoded().replace('/', self.joint().encode_utf8(&mut [0; 4]))
    }

    /// Reads [`joined`](Self::joined) back; `None` for a name that cannot be there.
    pub(crate) fn parted(self, joined: &[u8]) -> Option<MailboxName> {
        let joint = |octet: &u8| char::from(*octet) == self.joint();
        MailboxName::decode(joined.split(joint)).filter(|name| self.can_hold(name))
    }
}

/// Whether a folder of this name is no level of a mailbox's name where levels are folders. The inbox has its own beside them.
pub(crate) fn is_reserved(step: &str, at_top: bool) -> bool {
    let is_of = |file: &str| {
        step.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    };
    matches!(step, "cur" | "new" | "tmp")
        || SIDE_FILES.iter().any(|file| is_of(file))
        || at_top && (step == SUBSCRIPTIONS || step == "subscriptions.lock")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn folder(layout: MailboxLayout, text: &str, separator: char) -> Option<String> {
        let name = MailboxName::parse(text, separator).ok()?;
        layout.steps(&name).map(|steps| steps.join("/"))
    }

    #[test]
    fn names_lie_in_modified_utf_7_beside_or_in_each_other() {
        let cases = [
            ("Sent", '.', Some(".Sent"), Some("Sent")),
            ("A.B", '.', Some(".A.B"), Some("A/B")),
            ("A/B", '/', Some(".A.B"), Some("A/B")),
            ("Grüße", '.', Some(".Gr&APwA3w-e"), Some("Gr&APwA3w-e")),
            ("Ä/Ö", '/', Some(".&AMQ-.&ANY-"), Some("&AMQ-/&ANY-")),
            ("A&B", '.', Some(".A&-B"), Some("A&-B")),
            ("INBOX", '.', Some(""), Some("")),
            ("INBOX.Lists", '.', Some(".INBOX.Lists"), Some("INBOX/Lists")),
            ("A.B", '/', None, Some("A.B")),
            (".x", '/', None, Some(".x")),
            ("A/B", '.', None, None),
        ];
        for (text, separator, flat, nested) in cases {
            assert_eq!(folder(MailboxLayout::MaildirPlusPlus, text, separator).as_deref(), flat, "{text}");
            assert_eq!(folder(MailboxLayout::Fs, text, separator).as_deref(), nested, "{text}");
        }
        let long = "x".repeat(255);
        assert_eq!(folder(MailboxLayout::MaildirPlusPlus, &long[1..], '.').unwrap().len(), 255);
        assert_eq!(folder(MailboxLayout::MaildirPlusPlus, &long, '.'), None);
        assert_eq!(folder(MailboxLayout::Fs, &long, '.'), Some(long));
    }

    #[test]
    fn a_level_is_never_a_folder_or_a_file_of_the_mailbox_above() {
        for refused in [
            "cur",
            "new",
            "tmp",
            "dovecot-uidlist",
            "dovecot-uidlist.lock",
            "dovecot-uidvalidity.5f0c0d0e",
            "dovecot-acl-list",
            "dovecot.index.cache",
            "kings-state",
            "kings-state.tmp",
            "kings-metadata-account",
            "kings-expunged",
            "maildirsize",
            "maildirfolder",
        ] {
            for text in [refused.to_owned(), format!("A/{refused}"), format!("{refused}/A")] {
                assert_eq!(folder(MailboxLayout::Fs, &text, '/'), None, "{text}");
                let dotted = text.replace('/', ".");
                let flat = folder(MailboxLayout::MaildirPlusPlus, &text, '/');
                assert_eq!(flat, (!refused.contains('.')).then(|| format!(".{dotted}")), "{text}");
            }
        }
        assert_eq!(folder(MailboxLayout::Fs, "subscriptions", '/'), None);
        for taken in ["Cur", "curfew", "Lists/subscriptions", "dovecot", "dovecots", "kings", "maildir"] {
            assert_eq!(folder(MailboxLayout::Fs, taken, '/').as_deref(), Some(taken));
        }
    }

    #[test]
    fn names_in_text_files_have_one_spelling() {
        let cases: [(&[u8], Option<&str>, Option<&str>); 11] = [
            (b"Gr&APwA3w-e", Some("Grüße"), Some("Grüße")),
            (b"&AEEAQg-", None, None),
            (b"a&b", None, None),
            (b"inbox", None, None),
            (b"INBOX", Some("INBOX"), Some("INBOX")),
            (b"Gr\xc3\xbc", None, None),
            (b"a..b", None, Some("a..b")),
            (b"a.b", Some("a|b"), Some("a.b")),
            (b"a/b", None, Some("a|b")),
            (b"../a", None, None),
            (b"a/cur", None, None),
        ];
        for (joined, flat, nested) in cases {
            for (layout, expected) in [(MailboxLayout::MaildirPlusPlus, flat), (MailboxLayout::Fs, nested)] {
                let name = layout.parted(joined);
                assert_eq!(name.as_ref().map(|name| name.text('|')).as_deref(), expected);
                if let Some(name) = name {
                    assert_eq!(layout.joined(&name).as_bytes(), joined);
                }
            }
        }
    }
}
