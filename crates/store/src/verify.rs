//! Checks whether a Maildir is as it should be, item by item, and mends what can be mended without a choice.
//!
//! Nothing here stops at the first fault, and nothing is given up: mending writes down what is true, and removes only what is
//! no mail. It may run beside the server, whose locks it takes; what comes or goes meanwhile is no fault.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use kings_mail::address::Address;
use rustix::fs::FileType;

use crate::compressed;
use crate::dir::{Dir, found};
use crate::error::StoreError;
use crate::folder;
use crate::keywords::{self, Keywords};
use crate::list_file;
use crate::mailbox_file;
use crate::maildir;
use crate::message::ModSeq;
use crate::name::MailboxName;
use crate::quota::Usage;
use crate::scan::{self, Place, Seen};
use crate::store::Store;
use crate::subscriptions;
use crate::tree::Tree;
use crate::uidlist::{self, Health};

/// How often what `maildirsize` tells is compared with a count before a difference that stays is a fault.
const USAGE_SURE: u32 = 4;
/// How often at most: after that too much comes and goes to tell.
const USAGE_LOOKS: u32 = 30;
/// Between two looks.
const USAGE_PAUSE: Duration = Duration::from_millis(20);

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where; `None` for the account as a whole.
    pub mailbox: Option<MailboxName>,
    /// The file, where it is one.
    pub file: Option<String>,
    /// What is wrong.
    pub fault: Fault,
    /// It was mended.
    pub repaired: bool,
}

/// One kind of fault. Each says what it means for the owner of the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The system refuses to read it.
    Unreadable(String),
    /// One of `cur`, `new` and `tmp` is missing.
    PartMissing(&'static str),
    /// Something in `cur` or `new` that is no message: a folder, a link, a device, a name with a line end. Nobody sees it.
    NoMessage,
    /// Two files of one name: until one of them has another, only one is seen.
    SecondOfAName,
    /// The name or the UID list tells another size than the message has.
    WrongSize {
        /// Octets of the CRLF form that clients hear of.
        told: u64,
        /// Octets it has.
        found: u64,
    },
    /// A compressed message that cannot be expanded.
    DamagedContent,
    /// A letter in a file's name that `dovecot-keywords` has no name for.
    UnknownKeyword(char),
    /// The UID list cannot be believed: the next look gives all messages new UIDs, and clients fetch them again.
    ListDamaged,
    /// There is no UID list although the mailbox was in use: the same.
    ListMissing,
    /// A version of the UID list that came after us.
    ListUnknown(String),
    /// `kings-state` says nothing about numbers of changes although it is there.
    StateDamaged,
    /// `maildirsize` tells something else than a count of all messages.
    WrongUsage {
        /// What the file tells.
        told: Usage,
        /// What is there.
        found: Usage,
    },
    /// A file of the index is damaged: answers come from the messages until it is made anew.
    IndexDamaged(String),
    /// Left in `tmp` by a writer that is long gone.
    Leftover,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::PartMissing(part) => write!(f, "has no folder {part}"),
            Self::NoMessage => f.write_str("is no message, and nobody sees it: look at it and move it away"),
            Self::SecondOfAName => f.write_str("has the name of another message"),
            Self::WrongSize { told, found } => write!(f, "is said to have {told} octets and has {found}"),
            Self::DamagedContent => f.write_str("is compressed and damaged: restore it from a backup"),
            Self::UnknownKeyword(letter) => {
                write!(f, "has the flag {letter}, which dovecot-keywords does not name")
            }
            Self::ListDamaged => f.write_str("has a damaged dovecot-uidlist"),
            Self::ListMissing => f.write_str("was in use and has no dovecot-uidlist"),
            Self::ListUnknown(why) => f.write_str(why),
            Self::StateDamaged => f.write_str("has a damaged kings-state"),
            Self::WrongUsage { told, found } => {
                let (Usage { octets, messages }, Usage { octets: o, messages: m }) = (told, found);
                write!(f, "maildirsize tells of {messages} messages, {octets} octets; there are {m}, {o}")
            }
            Self::IndexDamaged(why) => write!(f, "its index is damaged: {why}"),
            Self::Leftover => f.write_str("was left in tmp by a writer that is gone"),
        }
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Message files that were read.
    pub messages: u64,
    /// Octets of them.
    pub octets: u64,
}

/// How to verify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Mend what can be mended.
    pub repair: bool,
    /// Believe sizes in names where the size on disk agrees, and read no content.
    pub quick: bool,
}

impl Store {
    /// Checks all that an account has, and tells each fault as it is found. An account without a Maildir has no faults.
    ///
    /// # Errors
    /// Only where its folder cannot be opened at all.
    pub fn verify(
        &self,
        account: &Address,
        how: How,
        tell: &mut dyn FnMut(Finding),
    ) -> Result<Verified, StoreError> {
        let Some(tree) = self.find_folder(&account.folded())? else { return Ok(Verified::default()) };
        let mut check = Check { store: self, account, tree, how, tell, done: Verified::default() };
        check.account();
        Ok(check.done)
    }
}

/// Lines of a UID list by the bases of their files.
type Entries = HashMap<Box<[u8]>, uidlist::Entry>;

/// One account under the loupe.
struct Check<'a> {
    store: &'a Store,
    account: &'a Address,
    tree: Tree,
    how: How,
    tell: &'a mut dyn FnMut(Finding),
    done: Verified,
}

/// What one mailbox needs to be as it should be.
#[derive(Debug, Default)]
struct Needs {
    /// A look of the store mends it: it makes folders, gives UIDs and second names anew.
    look: Vec<Finding>,
    /// Sizes to be written down, by the bases of the files.
    sizes: Vec<(Box<[u8]>, scan::Measured, Finding)>,
    /// Leftovers are swept.
    sweep: Vec<Finding>,
}

impl Check<'_> {
    fn found(&mut self, mailbox: Option<&MailboxName>, file: Option<&[u8]>, fault: Fault) {
        (self.tell)(finding(mailbox, file, fault));
    }

    fn account(&mut self) {
        for name in self.mailboxes() {
            match self.tree.folder(&name) {
                Ok(Some(dir)) => self.mailbox(&name, &dir),
                Ok(None) => {}
                Err(error) => self.found(Some(&name), None, Fault::Unreadable(error.to_string())),
            }
        }
        if let Err(error) = subscriptions::read(&self.tree) {
            self.found(None, Some(subscriptions::NAME.as_bytes()), Fault::Unreadable(error.to_string()));
        }
        self.usage();
        self.index();
    }

    fn mailboxes(&mut self) -> Vec<MailboxName> {
        let mut names = self.tree.names().unwrap_or_else(|error| {
            self.found(None, None, Fault::Unreadable(error.to_string()));
            Vec::new()
        });
        names.push(MailboxName::inbox());
        names.sort_by_key(|name| (!name.is_inbox(), name.clone()));
        names
    }

    fn mailbox(&mut self, name: &MailboxName, dir: &Dir) {
        self.done.mailboxes += 1;
        let mut needs = Needs::default();
        self.state(name, dir, &mut needs);
        let entries = self.list(name, dir, &mut needs);
        self.leftovers(name, dir, &mut needs);
        let missing: Vec<&'static str> = ["cur", "new", "tmp"]
            .into_iter()
            .filter(|part| matches!(found(dir.stat_at(part.as_bytes())), Ok(None)))
            .collect();
        needs.look.extend(missing.iter().map(|part| finding(Some(name), None, Fault::PartMissing(part))));
        if missing.is_empty() {
            self.messages(name, dir, (&entries, &mut needs));
        }
        self.mend(name, dir, needs);
    }

    fn state(&mut self, name: &MailboxName, dir: &Dir, needs: &mut Needs) {
        match mailbox_file::is_sound(dir) {
            Ok(true) => {}
            Ok(false) => needs.look.push(finding(Some(name), None, Fault::StateDamaged)),
            Err(error) => {
                self.found(Some(name), Some(b"kings-state"), Fault::Unreadable(error.to_string()));
            }
        }
    }

    /// The lines of the UID list, as far as they can be read.
    fn list(&mut self, name: &MailboxName, dir: &Dir, needs: &mut Needs) -> Entries {
        match list_file::read(dir) {
            Ok(Some((parsed, _))) => {
                if parsed.health == Health::Damaged {
                    needs.look.push(finding(Some(name), None, Fault::ListDamaged));
                }
                return parsed.entries.into_iter().map(|entry| (entry.base.clone(), entry)).collect();
            }
            // Only who has looked at a mailbox writes a ceiling.
            Ok(None) if matches!(mailbox_file::ceiling(dir), Ok(ceiling) if ceiling > ModSeq::ZERO) => {
                needs.look.push(finding(Some(name), None, Fault::ListMissing));
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Other => {
                self.found(Some(name), None, Fault::ListUnknown(error.to_string()));
            }
            Err(error) => {
                let file = uidlist::NAME.as_bytes();
                self.found(Some(name), Some(file), Fault::Unreadable(error.to_string()));
            }
        }
        Entries::new()
    }

    fn leftovers(&mut self, name: &MailboxName, dir: &Dir, needs: &mut Needs) {
        match folder::leftovers(dir, SystemTime::now()) {
            Ok(files) => {
                let left = files.iter().map(|file| finding(Some(name), Some(file), Fault::Leftover));
                needs.sweep.extend(left);
            }
            Err(error) => self.found(Some(name), Some(b"tmp"), Fault::Unreadable(error.to_string())),
        }
    }

    fn messages(&mut self, name: &MailboxName, dir: &Dir, (entries, needs): (&Entries, &mut Needs)) {
        let keywords = self.keywords(name, dir);
        let mut bases: HashMap<Box<[u8]>, Seen> = HashMap::new();
        for (place, part) in [(Place::New, "new"), (Place::Cur, "cur")] {
            let files = match dir.open(part) {
                Ok(files) => files,
                Err(error) => {
                    self.found(Some(name), Some(part.as_bytes()), Fault::Unreadable(error.to_string()));
                    continue;
                }
            };
            for file in self.files(name, &files, part) {
                let seen = Seen { place, name: file.into() };
                if bases.get(seen.base()).is_some_and(|twin| Self::are_two(dir, twin, &seen)) {
                    needs.look.push(finding(Some(name), Some(&seen.name), Fault::SecondOfAName));
                }
                let letters = maildir::letters(maildir::split(&seen.name).1).keywords;
                for letter in keywords.unnamed(letters) {
                    self.found(Some(name), Some(&seen.name), Fault::UnknownKeyword(letter));
                }
                self.message(name, &files, (&seen.name, entries.get(seen.base())), needs);
                bases.insert(seen.base().into(), seen);
            }
        }
    }

    fn keywords(&mut self, name: &MailboxName, dir: &Dir) -> Keywords {
        use std::io::Read;
        let mut text = Vec::new();
        let read = found(dir.open_file(keywords::NAME)).and_then(|file| match file {
            Some(file) => file.take(1 << 16).read_to_end(&mut text).map(drop),
            None => Ok(()),
        });
        if let Err(error) = read {
            let file = keywords::NAME.as_bytes();
            self.found(Some(name), Some(file), Fault::Unreadable(error.to_string()));
        }
        Keywords::parse(&text)
    }

    /// The message files of one folder; all else in it is told.
    fn files(&mut self, name: &MailboxName, dir: &Dir, part: &str) -> Vec<Vec<u8>> {
        let (mut files, mut odd) = (Vec::new(), Vec::new());
        let read = dir.read(|file, _| {
            if !file.starts_with(b".") {
                let plain =
                    !file.contains(&b'\n') && !file.contains(&b'\r') && !maildir::split(file).0.is_empty();
                if plain { files.push(file.to_vec()) } else { odd.push(file.to_vec()) }
            }
        });
        if let Err(error) = read {
            self.found(Some(name), Some(part.as_bytes()), Fault::Unreadable(error.to_string()));
        }
        files.retain(|file| match found(dir.stat_at(file)) {
            Ok(Some(stat)) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                odd.push(file.clone());
                false
            }
            // Gone in between is no fault; what cannot be looked at is told when it is read.
            Ok(None) => false,
            _ => true,
        });
        for file in odd {
            self.found(Some(name), Some(&file), Fault::NoMessage);
        }
        files
    }

    /// Whether both are there, and not two names of one file, which a rename leaves for a moment.
    fn are_two(dir: &Dir, a: &Seen, b: &Seen) -> bool {
        let stat = |seen: &Seen| {
            let part = if seen.place == Place::New { "new" } else { "cur" };
            dir.open(part).and_then(|dir| dir.stat_at(&seen.name)).ok()
        };
        matches!((stat(a), stat(b)), (Some(a), Some(b)) if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino))
    }

    fn message(
        &mut self,
        name: &MailboxName,
        dir: &Dir,
        (file, entry): (&[u8], Option<&uidlist::Entry>),
        needs: &mut Needs,
    ) {
        let told = match scan::measure(dir, file, entry) {
            Ok(Some(told)) => told,
            // Gone, or taken for no message any more.
            Ok(None) => return,
            Err(error) => return self.found(Some(name), Some(file), Fault::Unreadable(error.to_string())),
        };
        self.done.messages += 1;
        self.done.octets += told.disk;
        if told.counted || self.how.quick {
            return;
        }
        let opened = match found(dir.open_file(file)) {
            Ok(Some(opened)) => opened,
            Ok(None) => return,
            Err(error) => return self.found(Some(name), Some(file), Fault::Unreadable(error.to_string())),
        };
        match compressed::examine(opened) {
            Ok((sizes, true)) => {
                let (disk, crlf) = sizes;
                if crlf != told.crlf {
                    let fault = Fault::WrongSize { told: told.crlf, found: crlf };
                    let measured = scan::Measured { disk, crlf, counted: true, ..told };
                    let base = maildir::split(file).0.into();
                    needs.sizes.push((base, measured, finding(Some(name), Some(file), fault)));
                }
            }
            Ok((_, false)) => self.found(Some(name), Some(file), Fault::DamagedContent),
            Err(error) => self.found(Some(name), Some(file), Fault::Unreadable(error.to_string())),
        }
    }

    /// Mends a mailbox, and tells what was found with it.
    fn mend(&mut self, name: &MailboxName, dir: &Dir, needs: Needs) {
        let Needs { look, sizes, sweep } = needs;
        if !self.how.repair {
            let found = look.into_iter().chain(sizes.into_iter().map(|(.., finding)| finding)).chain(sweep);
            return found.for_each(|finding| (self.tell)(finding));
        }
        let looked = look.is_empty() && sizes.is_empty() || self.look(name, &sizes);
        let told = look.into_iter().chain(sizes.into_iter().map(|(.., finding)| finding));
        for finding in told {
            (self.tell)(Finding { repaired: looked, ..finding });
        }
        let swept = sweep.is_empty() || folder::sweep(dir, SystemTime::now()).is_ok();
        for finding in sweep {
            (self.tell)(Finding { repaired: swept, ..finding });
        }
    }

    fn look(&mut self, name: &MailboxName, sizes: &[(Box<[u8]>, scan::Measured, Finding)]) -> bool {
        let mended =
            self.store.account(self.account).and_then(|account| account.open(name)).and_then(|mailbox| {
                mailbox.refresh()?;
                mailbox.0.note_measured(sizes.iter().map(|(base, measured, _)| (base.clone(), *measured)))
            });
        match mended {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(mailbox = ?name, %error, "cannot be mended");
                false
            }
        }
    }

    /// Where mail comes and goes meanwhile the figures differ for moments, and not always by the same: only what stays is a
    /// fault.
    fn usage(&mut self) {
        let mut last = None;
        let mut same = 0;
        for _ in 0..USAGE_LOOKS {
            let (told, found) = match self.store.usage_told_and_found(self.account) {
                Ok(Some((told, found))) if told != found => (told, found),
                Ok(_) => return,
                Err(error) => {
                    return self.found(None, Some(b"maildirsize"), Fault::Unreadable(error.to_string()));
                }
            };
            let less = |a: u64, b: u64| i128::from(a) - i128::from(b);
            let difference = (less(told.octets, found.octets), less(told.messages, found.messages));
            same = if last.replace(difference) == Some(difference) { same + 1 } else { 0 };
            if same == USAGE_SURE {
                let repaired = self.how.repair && self.store.recalculate_quota(self.account).is_ok();
                let fault = Fault::WrongUsage { told, found };
                return (self.tell)(Finding { repaired, ..finding(None, None, fault) });
            }
            std::thread::sleep(USAGE_PAUSE);
        }
    }

    fn index(&mut self) {
        let Some(index) = self.store.index_of(self.account) else { return };
        for (file, why) in index.damage() {
            if self.how.repair {
                index.remove(file);
            }
            let fault = Fault::IndexDamaged(why);
            (self.tell)(Finding { repaired: self.how.repair, ..finding(None, Some(file.as_bytes()), fault) });
        }
    }
}

fn finding(mailbox: Option<&MailboxName>, file: Option<&[u8]>, fault: Fault) -> Finding {
    let file = file.map(|file| String::from_utf8_lossy(file).into_owned());
    Finding { mailbox: mailbox.cloned(), file, fault, repaired: false }
}
