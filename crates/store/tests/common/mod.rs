//! A store in a folder of its own, and short ways to use it.
#![allow(clippy::unwrap_used, dead_code, reason = "tests; not every file uses everything")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_store::{
    Account, Appended, Delivery, Flags, Incoming, Keyword, Layout, Mailbox, MailboxLayout, MailboxName,
    Settings, Store, Uid,
};

pub(crate) struct Here {
    temp: Arc<tempfile::TempDir>,
    store: Store,
    mailboxes: MailboxLayout,
    trusts_inotify: bool,
}

impl Here {
    pub(crate) fn new() -> Self {
        Self::with(MailboxLayout::default())
    }

    /// With mailboxes that lie like that.
    pub(crate) fn with(mailboxes: MailboxLayout) -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), (0, true), mailboxes)
    }

    /// Where only the times of folders tell what others do.
    pub(crate) fn without_inotify() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), (0, false), MailboxLayout::default())
    }

    /// A second store on the same folder, as another program would be; where this one believes inotify that one
    /// does not, so that both ways to notice what others do meet.
    pub(crate) fn again(&self, reserve: u64) -> Self {
        Self::open(Arc::clone(&self.temp), (reserve, !self.trusts_inotify), self.mailboxes)
    }

    fn open(
        temp: Arc<tempfile::TempDir>,
        (free_space_reserve, trust_inotify): (u64, bool),
        mailboxes: MailboxLayout,
    ) -> Self {
        let mail_dir = temp.path().join("mail");
        let index_dir = Some(temp.path().join("index"));
        let layout = Layout::default();
        let settings = Settings { mail_dir, index_dir, layout, mailboxes, trust_inotify, free_space_reserve };
        Self { store: Store::open(settings).unwrap(), temp, mailboxes, trusts_inotify: trust_inotify }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn account(&self) -> Account {
        self.store.account(&address()).unwrap()
    }

    pub(crate) fn inbox(&self) -> Mailbox {
        self.account().open(&MailboxName::inbox()).unwrap()
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.temp.path().join("mail/example.org/ann")
    }

    pub(crate) fn file(&self, path: impl AsRef<Path>) -> PathBuf {
        self.maildir().join(path)
    }

    /// The sorted names in a folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.file(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn incoming(&self, text: &str) -> Incoming {
        let mut incoming = self.store.begin().unwrap();
        incoming.write(text.as_bytes()).unwrap();
        incoming
    }

    pub(crate) fn delivery(mailbox: &str) -> Delivery {
        let trace = b"Received: here\r\n".to_vec();
        Delivery { account: address(), mailbox: name(mailbox).into(), trace }
    }

    pub(crate) fn deliver(&self, text: &str) {
        let results = self.store.deliver(&self.incoming(text), &[Self::delivery("INBOX")]);
        results.into_iter().for_each(Result::unwrap);
    }

    pub(crate) fn append(&self, mailbox: &Mailbox, text: &str, flags: &Flags) -> Uid {
        mailbox.append(&[self.appended(text, flags, None)]).unwrap().1[0]
    }

    /// A message for `append`.
    pub(crate) fn appended(&self, text: &str, flags: &Flags, date: Option<DateTime>) -> Appended {
        Appended { content: self.incoming(text), flags: flags.clone(), internal_date: date }
    }

    /// Every message with its content.
    pub(crate) fn texts(mailbox: &Mailbox) -> Vec<(Uid, Vec<u8>)> {
        all(mailbox).into_iter().map(|uid| (uid, mailbox.read(uid).unwrap().as_ref().to_vec())).collect()
    }
}

pub(crate) fn address() -> Address {
    Address::parse("Ann@example.org").unwrap()
}

pub(crate) fn name(text: &str) -> MailboxName {
    MailboxName::parse(text, '.').unwrap()
}

pub(crate) fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub(crate) fn keyword(text: &str) -> Flags {
    let mut flags = Flags::default();
    flags.insert_keyword(Keyword::parse(text).unwrap());
    flags
}

/// Every UID shown.
pub(crate) fn all(mailbox: &Mailbox) -> Vec<Uid> {
    mailbox.snapshot().messages.iter().map(|message| message.uid).collect()
}
