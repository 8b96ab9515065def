//! `dovecot-acl`: who may do what with a mailbox, in Dovecot's format and by Dovecot's rules.
//!
//! Each line is an identifier, letters, and perhaps a colon and names that other programs understand: `user=joe@example.org lrs`.
//! A minus before the identifier takes rights away. Lines that nobody here knows are kept as they are.

use std::io::{self, Read};

use kings_mail::rights::Rights;

use crate::account::Account;
use crate::dir::{Dir, found};
use crate::dotlock::{ACL, DotLock};
use crate::error::StoreError;
use crate::name::MailboxName;
use crate::store::Store;
use crate::tree::Tree;

pub(crate) const NAME: &str = "dovecot-acl";
/// Where Dovecot remembers which mailboxes of the account others may look up. It makes it anew where it is missing.
const DOVECOTS_LIST: &str = "dovecot-acl-list";
/// Far beyond what any client may write.
const MAX_OCTETS: u64 = 1 << 20;
/// Most lines that changes may leave.
const MAX_LINES: usize = 1_000;

/// Whom a line is about, from everybody to one. Whatever stands further down the list overrules what stands above it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// Everybody, also those who are not logged in.
    Anyone,
    /// Everybody who is logged in.
    Authenticated,
    /// Those of a group.
    Group(String),
    /// Whose mailbox it is.
    Owner,
    /// One account, by its address.
    User(String),
    /// Those of a group, whatever else is said of one of them.
    GroupOverride(String),
}

/// What is granted to somebody, or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub identifier: Identifier,
    /// These rights are taken away.
    pub negative: bool,
    /// Which ones.
    pub rights: Rights,
}

/// How a change treats the rights that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantChange {
    /// These and no others.
    Replace(Rights),
    /// These as well.
    Add(Rights),
    /// All but these.
    Remove(Rights),
}

/// Somebody who wants something of a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Somebody<'a> {
    /// The address, folded.
    pub name: &'a str,
    /// It is a mailbox of theirs.
    pub owns: bool,
}

/// The lines of one mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Grant {
        grant: Grant,
        /// Names of rights that are not in RFC 4314.
        further: String,
        /// The line as it was read; none once it was changed.
        read: Option<String>,
    },
    Other(String),
}

impl Identifier {
    /// Reads the word of a line.
    fn parse(word: &str) -> Option<Self> {
        let name = |prefix| word.strip_prefix(prefix).map(str::to_owned);
        Some(match word {
            "anyone" | "anonymous" => Self::Anyone,
            "authenticated" => Self::Authenticated,
            "owner" => Self::Owner,
            _ => name("user=")
                .map(Self::User)
                .or_else(|| name("group=").map(Self::Group))
                .or_else(|| name("group-override=").map(Self::GroupOverride))?,
        })
    }

    fn word(&self) -> String {
        match self {
            Self::Anyone => "anyone".to_owned(),
            Self::Authenticated => "authenticated".to_owned(),
            Self::Owner => "owner".to_owned(),
            Self::User(name) => format!("user={name}"),
            Self::Group(name) => format!("group={name}"),
            Self::GroupOverride(name) => format!("group-override={name}"),
        }
    }

    /// Nobody is in a group here: accounts have none.
    fn is(&self, who: Somebody<'_>) -> bool {
        match self {
            Self::Anyone | Self::Authenticated => true,
            Self::Owner => who.owns,
            Self::User(name) => name == who.name,
            Self::Group(_) | Self::GroupOverride(_) => false,
        }
    }

    /// How far down the list it stands.
    fn rank(&self) -> u8 {
        match self {
            Self::Anyone => 0,
            Self::Authenticated => 1,
            Self::Group(_) => 2,
            Self::Owner => 3,
            Self::User(_) => 4,
            Self::GroupOverride(_) => 5,
        }
    }
}

impl GrantChange {
    fn apply(self, before: Rights) -> Rights {
        match self {
            Self::Replace(rights) => rights,
            Self::Add(rights) => before | rights,
            Self::Remove(rights) => before.without(rights),
        }
    }
}

impl Acl {
    /// Reads a file. Damage is kept and grants nothing.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        // Lines may end in CRLF, and the last one in nothing.
        Self { lines: text.lines().map(|line| Line::parse(line.trim_end_matches('\r'))).collect() }
    }

    /// The file.
    pub fn to_text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.to_text(), "\n".to_owned()]).collect()
    }

    /// What is granted and taken away, line by line.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.lines.iter().filter_map(|line| match line {
            Line::Grant { grant, .. } => Some(grant),
            Line::Other(_) => None,
        })
    }

    /// What somebody may do (Dovecot's `acl_object_rebuild_cache`).
    ///
    /// Of the kinds of identifiers that somebody is, the last one that says anything decides what is granted, and the last one
    /// that takes anything away decides that. Owners have all rights unless a line says otherwise of them as such; seeing the
    /// mailbox and changing who may what stays theirs in any case.
    pub fn rights(&self, who: Somebody<'_>) -> Rights {
        let mut granted = if who.owns { Rights::ALL } else { Rights::NONE };
        let mut taken = Rights::NONE;
        let first = if who.owns { Identifier::Owner.rank() } else { 0 };
        for rank in first..=Identifier::GroupOverride(String::new()).rank() {
            let of_rank = |negative| {
                let about = |grant: &&Grant| grant.identifier.rank() == rank && grant.identifier.is(who);
                let rights = self.grants().filter(about).filter(|grant| grant.negative == negative);
                rights.map(|grant| grant.rights).reduce(|all, more| all | more)
            };
            granted = of_rank(false).unwrap_or(granted);
            taken = of_rank(true).unwrap_or(taken);
        }
        let keeps = if who.owns { Rights::LOOKUP | Rights::ADMIN } else { Rights::NONE };
        granted.without(taken) | keeps
    }

    /// Changes what is granted to an identifier, or taken from it.
    pub fn change(&mut self, identifier: &Identifier, negative: bool, change: GrantChange) {
        let found = self.lines.iter_mut().find_map(|line| match line {
            Line::Grant { grant, read, .. }
                if grant.identifier == *identifier && grant.negative == negative =>
            {
                Some((grant, read))
            }
            _ => None,
        });
        match (found, change) {
            (Some((grant, read)), change) => {
                (grant.rights, *read) = (change.apply(grant.rights), None);
            }
            (None, GrantChange::Remove(_)) => {}
            (None, change) => {
                let rights = change.apply(Rights::NONE);
                let grant = Grant { identifier: identifier.clone(), negative, rights };
                self.lines.push(Line::Grant { grant, further: String::new(), read: None });
            }
        }
    }

    /// The same of an owner, who has all rights where nothing is said, and cannot lock themselves out.
    pub fn change_of_owner(&mut self, identifier: &Identifier, change: GrantChange) {
        let said = self.grants().find(|grant| grant.identifier == *identifier && !grant.negative);
        let before = said.map_or(Rights::ALL, |grant| grant.rights);
        let rights = change.apply(before) | Rights::LOOKUP | Rights::ADMIN;
        self.change(identifier, false, GrantChange::Replace(rights));
    }

    /// Forgets an identifier.
    pub fn remove(&mut self, identifier: &Identifier, negative: bool) {
        self.lines.retain(|line| match line {
            Line::Grant { grant, .. } => grant.identifier != *identifier || grant.negative != negative,
            Line::Other(_) => true,
        });
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        Self::parse_grant(line).unwrap_or_else(|| Self::Other(line.to_owned()))
    }

    fn parse_grant(line: &str) -> Option<Self> {
        let (word, rest) = first_word(line)?;
        let (negative, word) = word.strip_prefix('-').map_or((false, word.as_str()), |word| (true, word));
        let identifier = Identifier::parse(word)?;
        let rest = rest.trim_matches([' ', '\t']);
        let (letters, further) = rest.split_at(rest.find([' ', '\t', ':']).unwrap_or(rest.len()));
        // A letter of a later time is nothing here; what a name says of a right that has a letter counts.
        let known: String = letters.chars().filter(|letter| is_right(*letter)).collect();
        let further = further.trim_matches([' ', '\t']);
        let named = further.trim_start_matches(':').split([',', ' ', '\t']).map(named_right);
        let rights = named.fold(Rights::parse(&known)?, |rights, named| rights | named);
        let grant = Grant { identifier, negative, rights };
        Some(Self::Grant { grant, further: unknown_names(further), read: Some(line.to_owned()) })
    }

    fn to_text(&self) -> String {
        let (grant, further) = match self {
            Self::Other(line) | Self::Grant { read: Some(line), .. } => return line.clone(),
            Self::Grant { grant, further, .. } => (grant, further),
        };
        let sign = if grant.negative { "-" } else { "" };
        let mut word = format!("{sign}{}", grant.identifier.word());
        if word.contains([' ', '"']) {
            word = format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "\\'"));
        }
        let space = if further.is_empty() { "" } else { " " };
        format!("{word} {}{space}{further}", grant.rights)
    }
}

fn is_right(letter: char) -> bool {
    Rights::LETTERS.iter().any(|(known, _)| *known == letter)
}

/// Dovecot's long names of the rights, in the order of [`Rights::LETTERS`].
const LONG_NAMES: [&str; 11] = [
    "lookup",
    "read",
    "write",
    "write-seen",
    "write-deleted",
    "insert",
    "post",
    "expunge",
    "create",
    "delete",
    "admin",
];

fn named_right(name: &str) -> Rights {
    let place = LONG_NAMES.iter().position(|known| *known == name);
    place.map_or(Rights::NONE, |place| Rights::LETTERS[place].1)
}

fn unknown_names(further: &str) -> String {
    let names = further.trim_start_matches(':').split([',', ' ', '\t']);
    let names: Vec<&str> = names.filter(|name| !name.is_empty() && !LONG_NAMES.contains(name)).collect();
    if names.is_empty() { String::new() } else { format!(":{}", names.join(" ")) }
}

/// The identifier of a line, quoted where it holds a space, and what follows; `None` for a comment.
fn first_word(line: &str) -> Option<(String, &str)> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let Some(quoted) = line.strip_prefix('"') else {
        let end = line.find(' ').unwrap_or(line.len());
        return Some((line[..end].to_owned(), &line[end..]));
    };
    let mut word = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((word, &quoted[at + 1..])),
            '\\' => word.push(letters.next()?.1),
            letter => word.push(letter),
        }
    }
    None
}

pub(crate) fn read(folder: &Dir) -> io::Result<Acl> {
    Ok(Acl::parse(&read_text(folder)?))
}

/// The file that a new mailbox gets: that of the next one above it that exists.
pub(crate) fn inherited(tree: &Tree, name: &MailboxName) -> Result<Vec<u8>, StoreError> {
    let mut above = name.parent();
    while let Some(parent) = above {
        if let Some(folder) = tree.folder(&parent)? {
            return Ok(read_text(&folder)?);
        }
        above = parent.parent();
    }
    Ok(Vec::new())
}

fn read_text(folder: &Dir) -> io::Result<Vec<u8>> {
    let Some(file) = found(folder.open_file(NAME))? else { return Ok(Vec::new()) };
    let mut text = Vec::new();
    file.take(MAX_OCTETS).read_to_end(&mut text)?;
    Ok(text)
}

impl Account {
    /// The lines of a mailbox; none where there is no file, `None` where there is no mailbox.
    pub fn acl(&self, name: &MailboxName) -> Result<Option<Acl>, StoreError> {
        Ok(self.folder_of(name)?.map(|folder| read(&folder)).transpose()?)
    }

    /// The lines of the next mailbox above a name that exists: what one made there inherits. `None` where there is none.
    pub fn acl_above(&self, name: &MailboxName) -> Result<Option<Acl>, StoreError> {
        let mut above = name.parent();
        while let Some(parent) = above {
            if let Some(acl) = self.acl(&parent)? {
                return Ok(Some(acl));
            }
            above = parent.parent();
        }
        Ok(None)
    }

    /// Changes the lines of a mailbox, durably, under Dovecot's lock; `false` where `change` says that it may not, for what
    /// was true before the lock need not be true any more.
    pub fn change_acl(
        &self,
        name: &MailboxName,
        change: impl FnOnce(&mut Acl) -> bool,
    ) -> Result<bool, StoreError> {
        let folder = self.folder_of(name)?.ok_or(StoreError::NoSuchMailbox)?;
        let lock = DotLock::acquire_empty(&folder, NAME, ACL)?;
        let before = read(&folder)?;
        let mut after = before.clone();
        if !change(&mut after) {
            return Ok(false);
        }
        if after == before {
            return Ok(true);
        }
        if after.lines.len() > MAX_LINES {
            return Err(StoreError::TooManyAnnotations);
        }
        lock.replace(after.to_text().as_bytes())?;
        self.0.tree.dir().unlink(DOVECOTS_LIST)?;
        Ok(true)
    }

    fn folder_of(&self, name: &MailboxName) -> Result<Option<Dir>, StoreError> {
        Ok(self.0.tree.folder(name)?)
    }
}

impl Store {
    /// Opens an account that has a Maildir; `None` for one that has none yet, which gets none.
    pub fn account_if_there(
        &self,
        account: &kings_mail::address::Address,
    ) -> Result<Option<Account>, StoreError> {
        let is_there =
            self.find_folder(&account.folded())?.is_some_and(|tree| tree.dir().stat_at(b"cur").is_ok());
        is_there.then(|| self.account(account)).transpose()
    }

    /// To whom an account grants that they may look up any mailbox of its own. Reads every `dovecot-acl` there.
    pub fn shares_of(&self, account: &kings_mail::address::Address) -> Result<Vec<Identifier>, StoreError> {
        let Some(tree) = self.find_folder(&account.folded())? else { return Ok(Vec::new()) };
        let mut identifiers = Vec::new();
        for name in tree.names()?.into_iter().chain([MailboxName::inbox()]) {
            let Some(folder) = tree.folder(&name)? else { continue };
            let acl = read(&folder)?;
            let granted =
                acl.grants().filter(|grant| !grant.negative && grant.rights.contain(Rights::LOOKUP));
            identifiers.extend(granted.map(|grant| grant.identifier.clone()));
        }
        identifiers.sort();
        identifiers.dedup();
        identifiers.retain(|identifier| *identifier != Identifier::Owner);
        Ok(identifiers)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rights(text: &str, name: &str, owns: bool) -> String {
        Acl::parse(text.as_bytes()).rights(Somebody { name, owns }).to_string()
    }

    #[test]
    fn the_nearest_identifier_decides() {
        let all = "lrwstipekxa";
        let cases = [
            ("", "ann", true, all),
            ("", "joe", false, ""),
            ("user=joe lrs\n", "joe", false, "lrs"),
            ("user=joe lrs\n", "kim", false, ""),
            ("user=joe lrs\n", "ann", true, all),
            ("anyone lr\n", "joe", false, "lr"),
            ("anonymous lr\n", "joe", false, "lr"),
            ("anyone lr\nauthenticated lrw\n", "joe", false, "lrw"),
            ("user=joe l\nanyone lrw\n", "joe", false, "l"),
            ("user=joe\nanyone lrw\n", "joe", false, ""),
            ("anyone lr\n", "ann", true, all),
            ("-anyone r\n", "ann", true, all),
            ("anyone lrw\n-user=joe rw\n", "joe", false, "l"),
            ("-anyone r\nuser=joe lrw\n", "joe", false, "lw"),
            ("-anyone r\n-user=joe w\nuser=joe lrw\n", "joe", false, "lr"),
            ("owner lr\n", "ann", true, "lra"),
            ("owner lr\n", "joe", false, ""),
            ("owner lr\nuser=ann lrw\n", "ann", true, "lrwa"),
            ("-owner lrwa\n", "ann", true, "lstipekxa"),
            ("user=ann \n", "ann", true, "la"),
            ("group=staff lr\nuser=joe l\n", "joe", false, "l"),
            ("group-override=staff lr\n", "joe", false, ""),
            ("user=joe lr\nuser=joe w\n", "joe", false, "lrw"),
        ];
        for (text, name, owns, expected) in cases {
            assert_eq!(rights(text, name, owns), expected, "{text:?} for {name}");
        }
    }

    #[test]
    fn every_form_of_a_line_is_read_and_the_rest_is_kept() {
        let cases = [
            ("user=joe lr :lookup write-seen\n", "lrs"),
            ("user=joe :lookup,read\n", "lr"),
            ("user=joe lr:odd\n", "lr"),
            ("\"user=joe\" lr\n", "lr"),
            ("user=joe   lr  \n", "lr"),
            ("user=joe lrz\n", "lr"),
            ("user=joe c\n", ""),
            ("# user=joe lr\n", ""),
            ("joe lr\n", ""),
            ("user=joe2 lr\n", ""),
            ("\"user=joe lr\n", ""),
            ("user=joe lr", "lr"),
            ("\u{fffd}\n\n=\n-\n\"\\", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(rights(text, "joe", false), expected, "{text:?}");
            let read = Acl::parse(text.as_bytes());
            assert_eq!(read.to_text().trim_end_matches('\n'), text.trim_end_matches('\n'), "kept");
            assert_eq!(Acl::parse(read.to_text().as_bytes()), read);
        }
    }

    #[test]
    fn changes_leave_the_other_lines_alone() {
        let mut acl = Acl::parse(b"# who\nuser=joe lr :odd\nlater=kim x\n-user=joe w\n");
        let joe = Identifier::User("joe".to_owned());
        let parsed = |letters| Rights::parse(letters).unwrap();
        acl.change(&joe, false, GrantChange::Add(parsed("s")));
        acl.change(&joe, true, GrantChange::Remove(parsed("w")));
        acl.change(&Identifier::Anyone, false, GrantChange::Replace(parsed("l")));
        acl.change(&Identifier::Group("a b".to_owned()), false, GrantChange::Add(parsed("lr")));
        acl.change(&Identifier::Owner, false, GrantChange::Remove(parsed("w")));
        assert_eq!(
            acl.to_text(),
            "# who\nuser=joe lrs :odd\nlater=kim x\n-user=joe \nanyone l\n\"group=a b\" lr\n"
        );
        assert_eq!(Acl::parse(acl.to_text().as_bytes()).to_text(), acl.to_text());
        acl.remove(&joe, true);
        acl.remove(&Identifier::Anyone, true);
        acl.change(&joe, false, GrantChange::Replace(Rights::NONE));
        acl.remove(&Identifier::Group("a b".to_owned()), false);
        assert_eq!(acl.to_text(), "# who\nuser=joe  :odd\nlater=kim x\nanyone l\n");
    }
}
