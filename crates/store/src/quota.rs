//! Quotas: how much an account holds, how much it may hold, and who is told no.
//!
//! The figure stands in `maildirsize`, shared with Dovecot by the rules of Maildir++ quota: a line for each change, counted
//! anew from the names of the message files whenever the file is damaged, long, or says that the account is full. Within
//! this process room is promised before a message is written, so that deliveries at the same time do not run past a limit.

mod count;
mod mailboxes;
mod maildirsize;

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use kings_mail::address::Address;

use self::maildirsize::Told;
use crate::clock::unix_now;
use crate::dir::{Dir, Stamp, found};
use crate::dotlock::{DotLock, QUOTA};
use crate::error::StoreError;
use crate::name::MailboxName;
use crate::rules::Rules;
use crate::sync::locked;
use crate::tree::Tree;

pub(crate) use self::count::{file as count_file, mailbox as count_mailbox};
pub use self::mailboxes::{AccountQuota, Difference, MailboxAllowance, MailboxQuota};
pub(crate) use self::maildirsize::try_file;

/// Octets as they stand on disk, and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Octets of all message files.
    pub octets: u64,
    /// How many there are.
    pub messages: u64,
}

impl Usage {
    /// One message of this size.
    pub(crate) fn message(octets: u64) -> Self {
        Self { octets, messages: 1 }
    }

    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            octets: self.octets.saturating_add(other.octets),
            messages: self.messages.saturating_add(other.messages),
        }
    }

    #[must_use]
    fn minus(self, other: Self) -> Self {
        Self {
            octets: self.octets.saturating_sub(other.octets),
            messages: self.messages.saturating_sub(other.messages),
        }
    }
}

/// How much an account may hold; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Octets of all message files.
    pub octets: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
    /// Octets by which the last message that is delivered may go past the limit (Dovecot's `quota_grace`).
    pub grace: u64,
}

impl QuotaLimits {
    pub(crate) fn is_limit(self) -> bool {
        self.octets.is_some() || self.messages.is_some()
    }

    /// Whether more than the limit is there.
    fn is_passed_by(self, used: Usage) -> bool {
        self.octets.is_some_and(|limit| used.octets > limit)
            || self.messages.is_some_and(|limit| used.messages > limit)
    }

    /// Whether an account that holds nothing yet could get a message of `octets`.
    pub(crate) fn admits_first(self, octets: u64) -> bool {
        self.admits(Usage::default(), Usage::message(octets), Claim::Delivered)
    }

    /// Whether `more` fits beside what is `used`.
    fn admits(self, used: Usage, more: Usage, who: Claim) -> bool {
        let total = used.plus(more);
        let grace = match who {
            Claim::Moved => return true,
            Claim::Saved => 0,
            Claim::Delivered => self.grace,
        };
        // The last one may go past the limit, and no other after it.
        let octets = self.octets.is_none_or(|limit| {
            total.octets <= limit || used.octets < limit && total.octets <= limit.saturating_add(grace)
        });
        octets && self.messages.is_none_or(|limit| total.messages <= limit)
    }
}

/// What an account holds, and may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What it holds.
    pub used: Usage,
    /// What it may hold.
    pub limits: QuotaLimits,
}

/// How a message comes into an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// By mail.
    Delivered,
    /// By its owner.
    Saved,
    /// From another mailbox of the account, which it leaves: it is there already.
    Moved,
}

/// What this process knows of one account's use. It stays when the account is closed.
#[derive(Debug)]
pub(crate) struct Ledger {
    account: Address,
    rules: Arc<Rules<AccountQuota>>,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// Promised to messages that are being written.
    promised: Usage,
    /// How often all was counted anew. What was on its way meanwhile may have been counted or not.
    counts: u64,
}

/// Where the books stood when a change began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

/// Room that is kept for messages on their way; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Room {
    ledger: Arc<Ledger>,
    size: Usage,
    mark: Mark,
}

impl Ledger {
    pub(crate) fn new(account: Address, rules: Arc<Rules<AccountQuota>>) -> Self {
        Self { account, rules, books: Mutex::default() }
    }

    /// What the account may hold.
    pub(crate) fn limits(&self) -> QuotaLimits {
        self.rules.of(&self.account).limits
    }

    /// Whether what is in a mailbox counts.
    pub(crate) fn counts(&self, mailbox: &MailboxName) -> bool {
        self.rules.of(&self.account).counts(mailbox)
    }

    /// What the account holds.
    pub(crate) fn quota(&self, tree: &Tree) -> Result<Quota, StoreError> {
        let rules = self.rules.of(&self.account);
        self.look(&mut locked(&self.books), tree, &rules)
    }

    /// Counts all messages, and writes that down.
    pub(crate) fn recalculate(&self, tree: &Tree) -> Result<Quota, StoreError> {
        let rules = self.rules.of(&self.account);
        self.count(&mut locked(&self.books), tree, &rules)
    }

    /// What the file tells, and what a count finds; `None` without a file. One that is damaged tells of nothing.
    pub(crate) fn told_and_found(&self, tree: &Tree) -> std::io::Result<Option<(Usage, Usage)>> {
        if found(tree.dir().stat_at(maildirsize::NAME.as_bytes()))?.is_none() {
            return Ok(None);
        }
        let told = read(tree.dir()).and_then(|(octets, _)| maildirsize::parse(&octets));
        let told = told.map(|told| told.used).unwrap_or_default();
        let rules = self.rules.of(&self.account);
        Ok(Some((told, tree.count(&|mailbox| rules.counts(mailbox))?)))
    }

    /// Whether a message of `octets` would be delivered to the inbox now.
    pub(crate) fn check(&self, tree: &Tree, octets: u64) -> Result<(), StoreError> {
        let rules = self.rules.of(&self.account);
        if !rules.limits.is_limit() {
            return Ok(());
        }
        let mut books = locked(&self.books);
        let Quota { used, limits } = self.look(&mut books, tree, &rules)?;
        let used = used.plus(books.promised);
        let limits = AccountQuota { limits, ..rules }.of(&MailboxName::inbox());
        if limits.is_none_or(|limits| limits.admits(used, Usage::message(octets), Claim::Delivered)) {
            Ok(())
        } else {
            Err(StoreError::OverQuota)
        }
    }

    /// Keeps room for messages that are about to be written into a mailbox. Where nothing counts, none is needed.
    pub(crate) fn claim(
        self: &Arc<Self>,
        tree: &Tree,
        mailbox: &MailboxName,
        (size, who): (Usage, Claim),
    ) -> Result<Room, StoreError> {
        let rules = self.rules.of(&self.account);
        let mut books = locked(&self.books);
        if !rules.counts(mailbox) {
            let mark = Mark(books.counts);
            return Ok(Room { ledger: Arc::clone(self), size: Usage::default(), mark });
        }
        // Without a limit of ours a file that is there may have one, from Dovecot or whoever made it.
        if rules.limits.is_limit() || found(tree.dir().stat_at(maildirsize::NAME.as_bytes()))?.is_some() {
            let Quota { used, limits } = self.look(&mut books, tree, &rules)?;
            let limits = AccountQuota { limits, ..rules }.of(mailbox);
            if limits.is_some_and(|limits| !limits.admits(used.plus(books.promised), size, who)) {
                return Err(StoreError::OverQuota);
            }
        }
        books.promised = books.promised.plus(size);
        let mark = Mark(books.counts);
        Ok(Room { ledger: Arc::clone(self), size, mark })
    }

    /// Has all counted anew at the next look: mail came to count, or counts no more, and has not moved.
    pub(crate) fn forget(&self, dir: &Dir) {
        locked(&self.books).counts += 1;
        let _ = dir.unlink(maildirsize::NAME);
    }

    /// To be taken before files are changed, and given to [`note`](Self::note) afterwards.
    pub(crate) fn mark(&self) -> Mark {
        Mark(locked(&self.books).counts)
    }

    /// Writes down that files came or went since `mark`.
    pub(crate) fn note(&self, dir: &Dir, mark: Mark, (added, removed): (Usage, Usage)) {
        if added != removed {
            self.append(&locked(&self.books), dir, mark, (added, removed));
        }
    }

    /// What the file says, or a count where it does not say it well.
    fn look(&self, books: &mut Books, tree: &Tree, rules: &AccountQuota) -> Result<Quota, StoreError> {
        let limits = rules.limits;
        let told =
            read(tree.dir()).and_then(|(octets, age)| maildirsize::parse(&octets).map(|told| (told, age)));
        if let Some((Told { used, limits: header, lines }, age)) = told {
            let in_force = if limits.is_limit() { limits } else { header };
            let same = (header.octets, header.messages) == (in_force.octets, in_force.messages);
            let doubtful = in_force.is_passed_by(used) && (lines > 1 || age > maildirsize::STALE);
            if same && !doubtful {
                return Ok(Quota { used, limits: in_force });
            }
            return self.count(books, tree, &AccountQuota { limits: in_force, ..rules.clone() });
        }
        if limits.is_limit() {
            return self.count(books, tree, rules);
        }
        Ok(Quota { used: tree.count(&|mailbox| rules.counts(mailbox))?, limits })
    }

    /// Counts, and writes it down as well as it goes: a file that cannot be written now is written another time.
    fn count(&self, books: &mut Books, tree: &Tree, rules: &AccountQuota) -> Result<Quota, StoreError> {
        books.counts += 1;
        let limits = rules.limits;
        let used = tree.count(&|mailbox| rules.counts(mailbox))?;
        let written = DotLock::acquire_empty(tree.dir(), maildirsize::NAME, QUOTA)
            .and_then(|lock| lock.replace(maildirsize::text(limits, used).as_bytes()));
        if let Err(error) = written {
            tracing::debug!(account = %self.account, %error, "cannot write down what an account holds");
        }
        Ok(Quota { used, limits })
    }

    /// Appends one line, as every program does that shares the file. One that is not there is made when it is wanted.
    fn append(&self, books: &MutexGuard<'_, Books>, dir: &Dir, mark: Mark, change: (Usage, Usage)) {
        let result = if books.counts == mark.0 {
            match found(dir.open_file_to_append(maildirsize::NAME)) {
                Ok(Some(mut file)) => file.write_all(maildirsize::line(change).as_bytes()),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            }
        } else {
            // All was counted while this was under way, and nobody can tell whether with it or without.
            dir.unlink(maildirsize::NAME).map(drop)
        };
        if let Err(error) = result {
            tracing::debug!(account = %self.account, %error, "a change of what an account holds is not noted");
            let _ = dir.unlink(maildirsize::NAME);
        }
    }
}

impl Room {
    /// The messages are there.
    pub(crate) fn fill(self, dir: &Dir) {
        self.ledger.note(dir, self.mark, (self.size, Usage::default()));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut books = locked(&self.ledger.books);
        books.promised = books.promised.minus(self.size);
    }
}

/// The file and its age in seconds; `None` where it is missing, too long to be trusted, or no file.
fn read(dir: &Dir) -> Option<(Vec<u8>, i64)> {
    use std::io::Read;
    let file = dir.open_file(maildirsize::NAME).ok()?;
    let changed = Stamp::of(&rustix::fs::fstat(&file).ok()?).seconds();
    let mut octets = Vec::new();
    file.take(maildirsize::LONGEST + 1).read_to_end(&mut octets).ok()?;
    (octets.len() as u64 <= maildirsize::LONGEST).then_some((octets, unix_now() - changed))
}
