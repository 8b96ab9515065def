//! Mailbox names: checked once, so that no name can leave the account's folder.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use kings_mail::net_unicode::{composed, may_stand_in_name};
use kings_mail::utf7;

use crate::error::StoreError;
use crate::mailbox_layout::MailboxLayout;

/// Longest folder name on disk, its leading dot and encoding included, in octets (NAME_MAX of Linux).
pub const MAX_FOLDER_NAME: usize = 255;
/// Longest name in modified UTF-7, in octets, as Dovecot's `MAILBOX_LIST_NAME_MAX_LENGTH`.
const MAX_NAME: usize = 4096;
/// Most levels of hierarchy, as Dovecot's `MAILBOX_MAX_HIERARCHY_LEVELS`.
pub const MAX_LEVELS: usize = 20;

/// A mailbox's place in an account: levels of Unicode text, `INBOX` in any case being the inbox.
///
/// Kept with a slash between its levels, which no level has; clients see their own separator.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(Arc<str>);

const INBOX: &str = "INBOX";

impl MailboxName {
    /// The inbox.
    pub fn inbox() -> Self {
        Self(INBOX.into())
    }

    /// The one that has a use by its name.
    pub(crate) fn of(special_use: SpecialUse) -> Self {
        let (name, _) = SpecialUse::ALL
            .into_iter()
            .find(|(_, known)| *known == special_use)
            .unwrap_or(("Junk", special_use));
        Self(name.into())
    }

    /// Parses a name as clients write it, already decoded from modified UTF-7 where that was used.
    ///
    /// Refused: an empty name or level (so `a..b` and a trailing separator), control characters, `/` inside a level, the
    /// levels `.` and `..`, more than [`MAX_LEVELS`] levels, a level or a name that is too long. What a layout cannot
    /// hold besides says [`MailboxLayout::can_hold`].
    pub fn parse(text: &str, separator: char) -> Result<Self, StoreError> {
        // Cheap and generous: the encoded form, checked below, can be shorter than UTF-8 but not four times.
        if text.len() > 4 * MAX_NAME {
            return Err(StoreError::BadName);
        }
        if text.eq_ignore_ascii_case(INBOX) {
            return Ok(Self::inbox());
        }
        let levels: Vec<&str> = text.split(separator).collect();
        if levels.len() > MAX_LEVELS || !levels.iter().all(|level| is_level(level)) {
            return Err(StoreError::BadName);
        }
        let name = Self(levels.join("/").into());
        let encoded = name.encoded();
        if encoded.len() <= MAX_NAME && encoded.split('/').all(|level| level.len() <= MAX_FOLDER_NAME) {
            Ok(name)
        } else {
            Err(StoreError::BadName)
        }
    }

    /// Whether this is the inbox, which always exists.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == INBOX
    }

    /// The levels from the top.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The name as clients see it.
    pub fn text(&self, separator: char) -> String {
        self.0.replace('/', separator.encode_utf8(&mut [0; 4]))
    }

    /// The name one level up.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').and_then(|(parent, _)| Self::parse(parent, '/').ok())
    }

    /// Whether this name stands somewhere below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether a client may create it: `%` and `*` would make it match its neighbours in LIST (RFC 3501 §5.1), `~` at the
    /// start is a home directory to other programs, and what does not show passes for another name (RFC 9051 §5.1).
    pub(crate) fn may_be_created(&self) -> bool {
        !self.0.contains(['%', '*']) && !self.0.starts_with('~') && self.0.chars().all(may_stand_in_name)
    }

    /// The name in its one spelling (RFC 9051 §5.1, RFC 5198 §3). Only programs that do not care make others: the spelling of a name
    /// that is there already counts.
    pub(crate) fn composed(&self) -> Self {
        match composed(&self.0) {
            Cow::Borrowed(_) => self.clone(),
            // A name that would be too long in another spelling keeps its own.
            Cow::Owned(text) => Self::parse(&text, '/').unwrap_or_else(|_| self.clone()),
        }
    }

    /// The name as those are spelt that are there: like this, or like one that is the same but for the spelling; for a new one
    /// that goes for the names above it, and its own part is [`composed`](Self::composed).
    pub(crate) fn spelt_like(&self, known: &[Self]) -> Self {
        if known.iter().any(|known| known == self || known.is_below(self)) {
            return self.clone();
        }
        let composed = self.composed();
        if let Some(known) = known.iter().find(|known| known.composed() == composed) {
            return known.clone();
        }
        let (Some(parent), Some((_, last))) = (self.parent(), composed.0.rsplit_once('/')) else {
            return composed;
        };
        let parent = parent.spelt_like(known);
        Self::parse(&format!("{}/{last}", parent.0), '/').unwrap_or(composed)
    }

    /// Whether it is in ASCII, where every name has one spelling.
    pub(crate) fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// This name with the level prefix `from` exchanged for `to`; `None` unless it is `from` or below it.
    pub(crate) fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*from.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        Self::parse(&format!("{}{rest}", to.0), '/').ok()
    }

    /// The name with `INBOX` in capitals where that is its first level.
    pub(crate) fn with_inbox_in_capitals(self) -> Self {
        match self.0.split_once('/') {
            Some((first, rest)) if first != INBOX && first.eq_ignore_ascii_case(INBOX) => {
                Self(format!("{INBOX}/{rest}").into())
            }
            _ => self,
        }
    }

    /// The name in modified UTF-7, with slashes between its levels.
    pub(crate) fn encoded(&self) -> String {
        utf7::encode(&self.0)
    }

    /// Reads encoded levels; `None` for what does not come from [`encoded`](Self::encoded).
    ///
    /// Only the one encoded form of a name is taken, so two folders never claim one mailbox.
    pub(crate) fn decode<'a>(levels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let decoded = levels.into_iter().map(|level| utf7::decode(std::str::from_utf8(level).ok()?).ok());
        let text = decoded.collect::<Option<Vec<String>>>()?;
        if text.iter().any(|level| level.contains('/')) {
            return None;
        }
        let text = text.join("/");
        Self::parse(&text, '/').ok().filter(|name| *name.0 == *text)
    }
}

fn is_level(level: &str) -> bool {
    let refused = |c: char| c == '/' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    !matches!(level, "" | "." | "..") && !level.contains(refused)
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// How clients see the names of mailboxes.
///
/// ```
/// use kings_store::{MailboxLayout, Naming};
/// let naming = Naming { separator: '.', below_inbox: true, layout: MailboxLayout::MaildirPlusPlus };
/// let sent = naming.read("INBOX.Sent").unwrap();
/// assert_eq!(naming.text(&sent), "INBOX.Sent");
/// assert!(naming.read("Sent").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Between the levels, whatever parts them on disk. A dot is right only where no level can have one.
    pub separator: char,
    /// All other mailboxes are shown below the inbox, as Courier had them and Dovecot's `prefix = INBOX.` has.
    pub below_inbox: bool,
    /// How they lie on disk, which not every name fits.
    pub layout: MailboxLayout,
}

impl Naming {
    /// The name that a client writes so ([`MailboxName::parse`]).
    pub fn read(self, text: &str) -> Result<MailboxName, StoreError> {
        let name = self.layout.understood(self.parse(text)?);
        if self.layout.can_hold(&name) { Ok(name) } else { Err(StoreError::BadName) }
    }

    fn parse(self, text: &str) -> Result<MailboxName, StoreError> {
        if !self.below_inbox || text.eq_ignore_ascii_case(INBOX) {
            return MailboxName::parse(text, self.separator);
        }
        let (first, rest) = text.split_once(self.separator).ok_or(StoreError::BadName)?;
        // `INBOX.INBOX` would be a second name of the inbox.
        if !first.eq_ignore_ascii_case(INBOX) || rest.eq_ignore_ascii_case(INBOX) {
            return Err(StoreError::BadName);
        }
        MailboxName::parse(rest, self.separator)
    }

    /// What clients see of a name.
    pub fn text(self, name: &MailboxName) -> String {
        let text = name.text(self.separator);
        if self.below_inbox && !name.is_inbox() { format!("{INBOX}{}{text}", self.separator) } else { text }
    }
}

/// What a mailbox is for (RFC 6154 §2): it was made for it, or has the well-known English name at the top level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\Drafts`
    Drafts,
    /// `\Sent`
    Sent,
    /// `\Junk`
    Junk,
    /// `\Trash`
    Trash,
    /// `\Archive`
    Archive,
}

impl SpecialUse {
    /// Every special mailbox with its name, in the order a new account gets them.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("Drafts", Self::Drafts),
        ("Sent", Self::Sent),
        ("Junk", Self::Junk),
        ("Trash", Self::Trash),
        ("Archive", Self::Archive),
    ];

    /// The use that the name of a mailbox tells.
    pub(crate) fn of(name: &MailboxName) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == &*name.0).map(|(_, special)| *special)
    }

    /// Its word in files.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Drafts => "drafts",
            Self::Sent => "sent",
            Self::Junk => "junk",
            Self::Trash => "trash",
            Self::Archive => "archive",
        }
    }

    /// Reads [`as_str`](Self::as_str) back.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(_, special)| special).find(|special| special.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn no_hostile_name_becomes_a_folder_outside_the_account() {
        let long = "x".repeat(10 * 1024);
        let deep = vec!["a"; 1000].join(".");
        let deep_slash = vec!["a"; 1000].join("/");
        let hostile = [
            "",
            ".",
            "..",
            "...",
            "../x",
            "/etc",
            "a/../../b",
            "a/./b",
            "a..b",
            ".a",
            "a.",
            "a/",
            "a\0b",
            "a\u{7f}",
            "a\r\nb",
            "a\u{85}",
            "a\u{2028}b",
            &long,
            &deep,
            &deep_slash,
        ];
        for text in hostile {
            assert!(MailboxName::parse(text, '.').is_err(), "{text:?}");
            // With another separator a dot may be part of a level, and a slash the end of one: never a way up.
            if let Ok(name) = MailboxName::parse(text, '/') {
                assert!(["...", "a..b", ".a", "a."].contains(&text), "{text:?} became {name:?}");
                assert!(!MailboxLayout::MaildirPlusPlus.can_hold(&name), "{text:?}");
                assert_eq!(MailboxLayout::Fs.steps(&name).unwrap(), [text]);
            }
        }
        for text in ["cur", "new", "tmp", "%", "*", "~root", "etc"] {
            let steps =
                MailboxLayout::MaildirPlusPlus.steps(&MailboxName::parse(text, '.').unwrap()).unwrap();
            assert_eq!(steps, [format!(".{text}")]);
        }
    }

    #[test]
    fn inbox_has_one_name_in_every_case() {
        for text in ["INBOX", "inbox", "InBoX"] {
            let name = MailboxName::parse(text, '.').unwrap();
            assert!(name.is_inbox());
            assert_eq!(MailboxLayout::Fs.steps(&name).as_deref(), Some(&[][..]));
        }
        let child = MailboxName::parse("INBOX.Lists", '.').unwrap();
        assert!(child.is_below(&MailboxName::inbox()));
        assert_eq!(child.parent(), Some(MailboxName::inbox()));
        assert_ne!(
            MailboxName::parse("ІNBOX", '.').unwrap(),
            MailboxName::inbox(),
            "a homograph is another name"
        );
    }

    #[test]
    fn with_a_prefix_all_names_stand_below_the_inbox() {
        let naming = Naming { separator: '.', below_inbox: true, layout: MailboxLayout::MaildirPlusPlus };
        for (text, expected) in [
            ("INBOX", Some("INBOX")),
            ("inbox", Some("INBOX")),
            ("INBOX.Sent", Some("Sent")),
            ("Inbox.Sent.2026", Some("Sent.2026")),
            ("INBOX.INBOX.Lists", Some("INBOX.Lists")),
            ("INBOX.INBOX", None),
            ("INBOX.inbox", None),
            ("Sent", None),
            ("INBOX.", None),
            ("INBOXSent", None),
            ("INBOX/Sent", None),
            ("", None),
        ] {
            let name = naming.read(text).ok();
            assert_eq!(name.as_ref().map(|name| name.text('.')).as_deref(), expected, "{text}");
            if let Some(name) = name {
                assert_eq!(naming.text(&name).to_ascii_lowercase(), text.to_ascii_lowercase());
                assert_eq!(naming.read(&naming.text(&name)).unwrap(), name);
            }
        }
        let plain = Naming { separator: '/', below_inbox: false, layout: MailboxLayout::MaildirPlusPlus };
        assert_eq!(plain.text(&plain.read("INBOX/Sent").unwrap()), "INBOX/Sent");
        assert_eq!(plain.text(&plain.read("Sent").unwrap()), "Sent");
        assert!(plain.read("v1.2").is_err(), "on disk the dot would part it");
        let nested = Naming { layout: MailboxLayout::Fs, ..plain };
        for (text, expected) in [("v1.2", "v1.2"), ("inbox/Sent", "INBOX/Sent"), ("Inbox", "INBOX")] {
            assert_eq!(nested.text(&nested.read(text).unwrap()), expected);
        }
        for text in ["tmp", "a/cur", "a/../b", "dovecot-uidlist", "subscriptions"] {
            assert!(nested.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_encoded_level_fits_a_file_name() {
        assert!(MailboxName::parse(&"x".repeat(255), '.').is_ok());
        assert!(MailboxName::parse(&"x".repeat(256), '.').is_err());
        assert!(MailboxName::parse(&"ü".repeat(60), '.').is_ok());
        assert!(MailboxName::parse(&"ü".repeat(120), '.').is_err(), "encoding makes it longer");
        let level = "x".repeat(255);
        assert!(MailboxName::parse(&[&*level; 16].join("."), '.').is_ok());
        assert!(MailboxName::parse(&[&*level; 17].join("."), '.').is_err());
        assert!(MailboxName::parse(&["a"; MAX_LEVELS].join("."), '.').is_ok());
        assert!(MailboxName::parse(&["a"; MAX_LEVELS + 1].join("."), '.').is_err());
    }

    #[test]
    fn a_name_has_one_spelling_and_nothing_hidden_in_new_ones() {
        let name = |text: &str| MailboxName::parse(text, '.').unwrap();
        for (text, expected) in
            [("Cafe\u{301}.x", "Caf\u{e9}.x"), ("\u{212b}", "\u{c5}"), ("a", "a"), ("\u{e9}", "\u{e9}")]
        {
            assert_eq!(name(text).composed(), name(expected));
        }
        for text in ["\u{5d0}\u{5d1}", "\u{645}\u{200c}\u{62d}", "\u{1f469}\u{200d}\u{1f680}", "a b"] {
            assert!(name(text).may_be_created(), "{text:?}");
        }
        for text in ["\u{feff}a", "a\u{202e}b", "a\u{200b}", "a.\u{2066}b", "a\u{378}", "a%", "~a", "a*"] {
            assert!(!name(text).may_be_created(), "{text:?}");
        }
    }

    #[test]
    fn names_are_spelt_like_those_that_are_there() {
        let name = |text: &str| MailboxName::parse(text, '.').unwrap();
        let known = [name("Cafe\u{301}"), name("\u{e9}t\u{e9}.2026"), name("e\u{301}.x")];
        let cases = [
            ("Caf\u{e9}", "Cafe\u{301}"),
            ("Cafe\u{301}", "Cafe\u{301}"),
            ("Caf\u{e9}.a\u{308}", "Cafe\u{301}.\u{e4}"),
            ("e\u{301}te\u{301}.2026", "\u{e9}t\u{e9}.2026"),
            ("\u{e9}t\u{e9}", "\u{e9}t\u{e9}"),
            // A name that only stands above another one.
            ("e\u{301}", "e\u{301}"),
            ("u\u{308}", "\u{fc}"),
        ];
        for (text, expected) in cases {
            assert_eq!(name(text).spelt_like(&known), name(expected), "{text:?}");
        }
    }

    #[test]
    fn children_follow_their_parent() {
        let name = |text: &str| MailboxName::parse(text, '.').unwrap();
        assert_eq!(name("a.b.c").moved(&name("a.b"), &name("x")), Some(name("x.c")));
        assert_eq!(name("a.b").moved(&name("a.b"), &name("x.y")), Some(name("x.y")));
        assert_eq!(name("a.bc").moved(&name("a.b"), &name("x")), None);
    }
}
