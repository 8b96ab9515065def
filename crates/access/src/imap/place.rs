//! The one place where a mailbox is found by its name, and where it is decided what a client may do with it (RFC 4314 §4).
//!
//! Nothing else opens a mailbox: whoever wants one says what for, and has it only with the right for that.

use kings_imap::{OTHERS_PREFIX, OTHERS_SEPARATOR, Tagged};
use kings_mail::address::Address;
use kings_mail::rights::Rights;
use kings_store::{
    Account, Acl, Annotations, Listed, Mailbox, MailboxName, Naming, Notices, Quota, Somebody, Store,
    StoreError,
};

use super::{Client, Trouble};
use crate::blocking::blocking;

/// With whom accounts share mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// With nobody.
    Off,
    /// With accounts of the same domain.
    Domain,
    /// With all accounts of this server.
    Server,
}

/// What a name of the client can stand for. Whether anything is there is not known yet.
#[derive(Clone, Debug)]
enum Named {
    Mine(MailboxName),
    /// In the account of somebody else, who may share with this client.
    Others(Address, MailboxName),
    /// Nothing that this client could ever see.
    Nothing,
}

/// Who asks, and for what: all that is needed to find it.
#[derive(Clone, Debug)]
struct Search {
    named: Named,
    me: String,
    mine: Account,
    store: Store,
}

/// Where a mailbox is, or could be.
#[derive(Clone, Debug)]
struct Place {
    account: Account,
    /// `None` for one's own.
    owner: Option<Address>,
    name: MailboxName,
}

/// A mailbox by its name, and what this client may do with it.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    place: Place,
    rights: Rights,
    is_there: bool,
}

/// An open mailbox. The mailbox itself is had with the right for what is to be done with it.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    granted: Granted,
    mailbox: Mailbox,
    me: String,
    naming: Naming,
}

/// Whether `rights` are enough. One that may not be looked up is not there (RFC 4314 §4).
fn check(rights: Rights, needs: Rights) -> Result<(), Trouble> {
    if rights.contain(needs) {
        return Ok(());
    }
    Err(if rights.contain(Rights::LOOKUP) {
        Trouble::Refused(Tagged::NO_PERMISSION)
    } else {
        Trouble::Store(StoreError::NoSuchMailbox)
    })
}

impl Search {
    /// Blocking.
    fn place(self) -> Result<Place, StoreError> {
        match self.named {
            Named::Mine(name) => Ok(Place { name: self.mine.meant(&name)?, account: self.mine, owner: None }),
            Named::Others(owner, name) => {
                let account = self.store.account_if_there(&owner)?.ok_or(StoreError::NoSuchMailbox)?;
                Ok(Place { name: account.meant(&name)?, account, owner: Some(owner) })
            }
            Named::Nothing => Err(StoreError::NoSuchMailbox),
        }
    }
}

impl Place {
    fn rights_by(&self, acl: Option<&Acl>, me: &str) -> Rights {
        let owns = self.owner.is_none();
        match acl {
            Some(acl) => acl.rights(Somebody { name: me, owns }),
            // One's own that is not there is told by whoever looks for it.
            None if owns => Rights::ALL,
            None => Rights::NONE,
        }
    }

    /// Blocking.
    fn granted(self, me: &str) -> Result<Granted, StoreError> {
        let acl = match self.account.acl(&self.name) {
            // Whatever became of the file, nobody takes what is his own from its owner.
            Err(StoreError::Io(error)) if self.owner.is_none() => {
                tracing::warn!(mailbox = ?self.name, %error, "whom a mailbox is shared with cannot be read");
                Some(Acl::default())
            }
            acl => acl?,
        };
        let (rights, is_there) = (self.rights_by(acl.as_ref(), me), acl.is_some());
        Ok(Granted { place: self, rights, is_there })
    }

    fn shown(&self, name: &MailboxName, naming: Naming) -> String {
        match &self.owner {
            None => naming.text(name),
            Some(owner) => shown_of(owner, name),
        }
    }
}

/// What others call a mailbox of `owner`.
pub(super) fn shown_of(owner: &Address, name: &MailboxName) -> String {
    format!("{OTHERS_PREFIX}{owner}{OTHERS_SEPARATOR}{}", name.text(OTHERS_SEPARATOR))
}

impl Granted {
    /// The account and the name in it, for something that needs these rights.
    pub(super) fn to(&self, needs: Rights) -> Result<(&Account, &MailboxName), Trouble> {
        check(self.rights, needs)?;
        Ok((&self.place.account, &self.place.name))
    }

    /// What this client may do.
    pub(super) fn rights(&self) -> Rights {
        self.rights
    }

    /// Whether there is such a mailbox.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Whose mailbox it is; `None` for one's own.
    pub(super) fn owner(&self) -> Option<&Address> {
        self.place.owner.as_ref()
    }

    /// What the client calls it.
    pub(super) fn shown(&self, naming: Naming) -> String {
        self.place.shown(&self.place.name, naming)
    }
}

impl Opened {
    /// The mailbox, for something that needs these rights.
    pub(super) fn to(&self, needs: Rights) -> Result<&Mailbox, Trouble> {
        check(self.granted.rights, needs)?;
        Ok(&self.mailbox)
    }

    /// What this client may do.
    pub(super) fn rights(&self) -> Rights {
        self.granted.rights
    }

    /// Whether it is the client's own.
    pub(super) fn is_mine(&self) -> bool {
        self.granted.place.owner.is_none()
    }

    /// What the client calls it; it may have been renamed meanwhile.
    pub(super) fn shown(&self) -> String {
        self.granted.place.shown(&self.mailbox.name(), self.naming)
    }

    /// Whether both are of one account.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.granted.place.owner == other.granted.place.owner
    }

    /// Whether both are the same mailbox.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_beside(other) && self.mailbox.name() == other.mailbox.name()
    }

    /// Its name in its account.
    pub(super) fn name(&self) -> MailboxName {
        self.mailbox.name()
    }

    /// Whether it is the client's own mailbox of this name.
    pub(super) fn is_mine_called(&self, name: &MailboxName) -> bool {
        self.is_mine() && self.mailbox.name() == *name
    }

    /// Whether it is the mailbox that `other` names.
    pub(super) fn is(&self, other: &Granted) -> bool {
        self.granted.place.owner == other.place.owner && self.mailbox.name() == other.place.name
    }

    /// Looks again what this client may do with somebody else's mailbox. Doubt takes all rights away.
    pub(super) async fn renew(&mut self) {
        if self.is_mine() {
            return;
        }
        let (account, name) = (self.granted.place.account.clone(), self.mailbox.name());
        let acl = blocking(move || account.acl(&name)).await;
        self.granted.rights = match acl {
            Ok(acl) => self.granted.place.rights_by(acl.as_ref(), &self.me),
            Err(error) => {
                tracing::warn!(%error, mailbox = self.shown(), "cannot tell who may use a mailbox");
                Rights::NONE
            }
        };
    }
}

/// The account itself, for what is about no mailbox in it.
#[derive(Clone, Debug)]
pub(super) struct Home(Account);

impl Home {
    pub(super) fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.0.list()
    }

    pub(super) fn quota(&self) -> Result<Quota, StoreError> {
        self.0.quota()
    }

    pub(super) fn annotations(&self) -> Result<Annotations, StoreError> {
        self.0.annotations()
    }

    pub(super) fn annotate(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        self.0.annotate(changes)
    }

    pub(super) fn meant(&self, name: &MailboxName) -> Result<MailboxName, StoreError> {
        self.0.meant(name)
    }

    pub(super) fn notices(&self) -> Notices {
        self.0.notices()
    }

    pub(super) fn subscribe(&self, name: &MailboxName) -> Result<(), StoreError> {
        self.0.subscribe(name)
    }

    pub(super) fn unsubscribe(&self, name: &MailboxName) -> Result<(), StoreError> {
        self.0.unsubscribe(name)
    }

    pub(super) fn subscriptions_of_others(&self) -> Result<Vec<String>, StoreError> {
        self.0.subscriptions_of_others()
    }

    pub(super) fn subscribe_other(&self, name: &str, subscribes: bool) -> Result<(), StoreError> {
        self.0.subscribe_other(name, subscribes)
    }
}

impl Client {
    /// Runs a call on the account itself; what is about a mailbox is had by its name alone.
    pub(super) async fn on_account<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Home) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let home = self.home()?;
        Ok(blocking(move || call(&home)).await?)
    }

    pub(super) fn home(&self) -> Result<Home, Trouble> {
        self.person().map(|person| Home(person.account.clone()))
    }

    /// Finds a mailbox by the name the client uses, with what it may do there. It need not exist.
    pub(super) async fn find_mailbox(&self, name: &str) -> Result<Granted, Trouble> {
        let search = self.looking_for(name)?;
        let me = search.me.clone();
        Ok(blocking(move || search.place()?.granted(&me)).await?)
    }

    /// Spells the name of a mailbox of somebody else as the mailbox is spelt. What is none stays as it is.
    pub(super) async fn spell_shared(&self, name: &mut String) {
        if !self.is_of_others(name) {
            return;
        }
        if let Ok(granted) = self.find_mailbox(name).await {
            *name = granted.shown(self.inner.naming);
        }
    }

    /// Opens a mailbox by the name the client uses, for something that needs these rights.
    pub(super) async fn open(&self, name: &str, needs: Rights) -> Result<Opened, Trouble> {
        self.open_found(self.looking_for(name)?, needs).await
    }

    /// The same of one's own, by the name that it has in the account.
    pub(super) async fn open_mine(&self, name: MailboxName, needs: Rights) -> Result<Opened, Trouble> {
        self.open_found(self.search_for(Named::Mine(name))?, needs).await
    }

    async fn open_found(&self, search: Search, needs: Rights) -> Result<Opened, Trouble> {
        let naming = self.inner.naming;
        let me = search.me.clone();
        let found = blocking(move || {
            let granted = search.place()?.granted(&me)?;
            // What may not be opened is not opened, whether it is there or not.
            if check(granted.rights, needs).is_err() {
                return Ok((granted, None, me));
            }
            let mailbox = granted.place.account.open(&granted.place.name)?;
            Ok((granted, Some(mailbox), me))
        });
        let (granted, mailbox, me) = found.await?;
        check(granted.rights, needs)?;
        let mailbox = mailbox.ok_or(Trouble::Store(StoreError::NoSuchMailbox))?;
        Ok(Opened { granted, mailbox, me, naming })
    }

    /// The account in which a mailbox of this name may be made, and the name there: who may make it is said by the next one
    /// above it that exists (RFC 4314 §4). That the name is taken is told to those alone.
    pub(super) async fn may_create(
        &self,
        name: &str,
    ) -> Result<(Account, MailboxName, Option<Address>), Trouble> {
        let search = self.looking_for(name)?;
        let me = search.me.clone();
        let found = blocking(move || {
            let place = match search.place() {
                Err(StoreError::NoSuchMailbox) => return Ok(None),
                place => place?,
            };
            let rights = match place.account.acl_above(&place.name)? {
                Some(acl) => place.rights_by(Some(&acl), &me),
                None => place.rights_by(None, &me),
            };
            Ok(rights.contain(Rights::CREATE).then_some(place))
        });
        let place = found.await?.ok_or(Trouble::Refused(Tagged::NO_PERMISSION))?;
        Ok((place.account, place.name, place.owner))
    }

    fn looking_for(&self, name: &str) -> Result<Search, Trouble> {
        let named = match name.strip_prefix(OTHERS_PREFIX).filter(|_| self.is_of_others(name)) {
            Some(rest) => self.named_by_others(rest),
            None => {
                Named::Mine(self.inner.naming.read(name).map_err(|_| Trouble::Refused(Tagged::BAD_NAME))?)
            }
        };
        self.search_for(named)
    }

    fn search_for(&self, named: Named) -> Result<Search, Trouble> {
        let person = self.person()?;
        let (me, mine) = (person.address.folded().to_string(), person.account.clone());
        Ok(Search { named, me, mine, store: self.inner.door.people.store.clone() })
    }

    /// Whether a name is one of mailboxes of others.
    pub(super) fn is_of_others(&self, name: &str) -> bool {
        // People may have folders of their own below such a name; an account has a domain.
        let owner = name.strip_prefix(OTHERS_PREFIX).and_then(|rest| rest.split(OTHERS_SEPARATOR).next());
        self.inner.sharing != Sharing::Off && owner.is_some_and(|owner| owner.contains('@'))
    }

    /// `joe@example.org/Lists/2026`
    fn named_by_others(&self, rest: &str) -> Named {
        let named = || {
            let (owner, name) = rest.split_once(OTHERS_SEPARATOR)?;
            let owner = Address::parse(owner).ok()?.folded();
            let naming = Naming { separator: OTHERS_SEPARATOR, below_inbox: false, ..self.inner.naming };
            let name = naming.read(name).ok()?;
            self.may_share(&owner).then_some(Named::Others(owner, name))
        };
        named().unwrap_or(Named::Nothing)
    }

    /// Whose mailbox a name means, and what it is called there; nothing for one's own.
    pub(super) fn of_somebody(&self, name: &str) -> Option<(Address, MailboxName)> {
        match self.named_by_others(name.strip_prefix(OTHERS_PREFIX)?) {
            Named::Others(owner, name) => Some((owner, name)),
            Named::Mine(_) | Named::Nothing => None,
        }
    }

    /// News of the account of somebody else, of whose mailboxes the caller tells what may be looked up alone.
    pub(super) async fn notices_of(&self, owner: &Address) -> Result<Option<Notices>, Trouble> {
        let (store, owner) = (self.inner.door.people.store.clone(), owner.clone());
        let account = blocking(move || store.account_if_there(&owner)).await?;
        Ok(account.map(|account| account.notices()))
    }

    /// Whether an account could share with this client at all.
    pub(super) fn may_share(&self, owner: &Address) -> bool {
        let Ok(person) = self.person() else { return false };
        let is_near = match self.inner.sharing {
            Sharing::Off => false,
            Sharing::Domain => owner.domain().is_some() && owner.domain() == person.address.folded().domain(),
            Sharing::Server => true,
        };
        is_near && *owner != person.address.folded() && self.inner.door.people.directory.has_account(owner)
    }
}
