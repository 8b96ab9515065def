//! The inbox as a session sees it, from its login to its QUIT.

use std::collections::HashMap;

use kings_mail::surrogate::Surrogate;
use kings_pop3::limits::MAX_UIDL;
use kings_pop3::{Entry, Maildrop, UidlFormat, UidlParts};
use kings_store::{
    Account, Content, FlagChange, Flags, Mailbox, MailboxName, Pop3Facts, Snapshot, StoreError, SystemFlag,
    Uid,
};

/// An open inbox with the messages of one session.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    mailbox: Mailbox,
    /// By the places that the session uses.
    uids: Vec<Uid>,
}

impl Inbox {
    /// Blocking: looks for mail, and fixes order, sizes and unique-ids.
    pub(super) fn open(account: &Account, format: &UidlFormat) -> Result<(Self, Maildrop), StoreError> {
        let mailbox = account.open(&MailboxName::inbox())?;
        let (snapshot, _) = mailbox.select()?;
        let facts = mailbox.pop3_facts(format.wants_guid())?;
        let facts: HashMap<Uid, Pop3Facts> = facts.into_iter().map(|facts| (facts.uid, facts)).collect();
        let mut uids: Vec<Uid> = snapshot.messages.iter().map(|message| message.uid).collect();
        // As Dovecot has it: first those that had a place on an earlier server, then the others by UID.
        let order = |uid: &Uid| facts.get(uid).and_then(|facts| facts.order).unwrap_or(u32::MAX);
        uids.sort_by_key(|uid| (order(uid), *uid));
        let entries = uids.iter().map(|uid| entry(&snapshot, *uid, facts.get(uid), format)).collect();
        Ok((Self { mailbox, uids }, Maildrop::new(entries)))
    }

    /// Blocking: reads the message at a place, and what of it is to be said otherwise to a client that takes ASCII headers alone
    /// (RFC 6856 §4).
    pub(super) fn read(&self, place: usize, takes_utf8: bool) -> Result<(Content, Surrogate), StoreError> {
        let content = self.mailbox.read(*self.uids.get(place).ok_or(StoreError::Expunged)?)?;
        let surrogate = if takes_utf8 { Surrogate::default() } else { Surrogate::of(content.as_ref()) };
        Ok((content, surrogate))
    }

    /// Blocking: removes what is at `removed` and sets `\Seen` on what is at `read`, durably. Messages that somebody
    /// else took away meanwhile are gone as well. Gives how many went. A flag that cannot be set is only logged: it is no
    /// reason to tell a client that its messages are still here.
    pub(super) fn update(&self, removed: &[usize], read: &[usize]) -> Result<usize, StoreError> {
        let uids =
            |places: &[usize]| places.iter().filter_map(|place| self.uids.get(*place).copied()).collect();
        let (removed, read): (Vec<Uid>, Vec<Uid>) = (uids(removed), uids(read));
        let gone = if removed.is_empty() { Vec::new() } else { self.mailbox.remove(&removed)? };
        let snapshot = self.mailbox.snapshot();
        let is_unseen = |uid: &Uid| {
            snapshot.message(*uid).is_some_and(|message| !message.flags.contains(SystemFlag::Seen))
        };
        let unseen: Vec<Uid> = read.into_iter().filter(is_unseen).collect();
        if !unseen.is_empty() {
            let seen = FlagChange::Add(Flags::default().with(SystemFlag::Seen));
            if let Err(error) = self.mailbox.store_flags(&unseen, &seen) {
                tracing::warn!(%error, "messages read by POP3 cannot be marked as seen");
            }
        }
        Ok(gone.len())
    }
}

fn entry(snapshot: &Snapshot, uid: Uid, facts: Option<&Pop3Facts>, format: &UidlFormat) -> Entry {
    let saved = facts.and_then(|facts| facts.uidl.clone()).filter(|uidl| is_uidl(uidl));
    let guid = facts.map_or("", |facts| &*facts.name);
    let made = || {
        let parts = UidlParts { uid: uid.get(), validity: snapshot.uid_validity.0.get(), guid };
        let name = format.write(parts);
        // The name of a file may hold blanks, and what follows one would be lost. Long names are said as Dovecot says them.
        let can_be_said = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic());
        let name = if can_be_said { name } else { UidlFormat::default().write(parts) };
        name.into_boxed_str()
    };
    let octets = snapshot.message(uid).map_or(0, |message| message.size);
    Entry { octets, uidl: saved.unwrap_or_else(made) }
}

/// RFC 1939 §7.
fn is_uidl(text: &str) -> bool {
    (1..=MAX_UIDL).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
}
