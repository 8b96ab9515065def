//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §3).

use kings_imap::command::{Acl as Command, RightsChange};
use kings_imap::{Code, Response, Session, Tagged};
use kings_mail::address::Address;
use kings_mail::rights::Rights;
use kings_store::{Acl, GrantChange, Identifier, Somebody, StoreError};

use super::place::{Granted, Sharing};
use super::{Client, Trouble};
use crate::blocking::blocking;

/// Any of these shows that a mailbox is there (RFC 4314 §4).
const SHOWS: &str = "lrikxa";

impl Client {
    pub(super) async fn acl(&mut self, session: &mut Session, command: Command) -> Result<Tagged, Trouble> {
        match command {
            Command::Mine(name) => {
                let response = self.my_rights(&name).await?;
                session.respond(&response);
            }
            Command::Get(name) => {
                let (granted, _) = self.administered(&name).await?;
                let (account, name) = granted.to(Rights::ADMIN)?;
                let (account, name) = (account.clone(), name.clone());
                let acl = blocking(move || account.acl(&name)).await?.unwrap_or_default();
                let mailbox = granted.shown(self.inner.naming);
                session
                    .respond(&Response::Acl { mailbox, entries: entries(&acl, &self.owner_of(&granted)?) });
            }
            Command::List { mailbox, identifier } => {
                let (granted, owner) = self.administered(&mailbox).await?;
                let (_, parsed) = identifier_of(&identifier, &owner)?;
                let is_owner = parsed == Identifier::Owner || parsed == Identifier::User(owner);
                let required = if is_owner { Rights::LOOKUP | Rights::ADMIN } else { Rights::NONE };
                let mailbox = granted.shown(self.inner.naming);
                session.respond(&Response::ListRights { mailbox, identifier, required });
            }
            Command::Set { mailbox, identifier, change } => {
                let (granted, owner) = self.administered(&mailbox).await?;
                let (negative, identifier) = identifier_of(&identifier, &owner)?;
                self.must_be_shareable((negative, &identifier), change, &owner)?;
                let change = to_store(change);
                let is_owner = identifier == Identifier::Owner || identifier == Identifier::User(owner);
                self.change_acl(&granted, move |acl| {
                    if is_owner && !negative {
                        acl.change_of_owner(&identifier, change);
                    } else {
                        acl.change(&identifier, negative, change);
                    }
                })
                .await?;
            }
            Command::Delete { mailbox, identifier } => {
                let (granted, owner) = self.administered(&mailbox).await?;
                let (negative, identifier) = identifier_of(&identifier, &owner)?;
                self.change_acl(&granted, move |acl| acl.remove(&identifier, negative)).await?;
            }
        }
        Ok(Tagged::DONE)
    }

    /// What this client may do with a mailbox (RFC 4314 §3.8), also for LIST (RFC 8440).
    pub(super) async fn my_rights(&self, name: &str) -> Result<Response, Trouble> {
        let granted = self.find_mailbox(name).await?;
        let rights = granted.rights();
        let shows = Rights::parse(SHOWS).is_some_and(|shows| rights.contain_any(shows));
        if !shows || !granted.is_there() {
            return Err(Trouble::Store(StoreError::NoSuchMailbox));
        }
        Ok(Response::MyRights { mailbox: granted.shown(self.inner.naming), rights })
    }

    /// A mailbox that this client may administer, and the name of its owner.
    async fn administered(&self, name: &str) -> Result<(Granted, String), Trouble> {
        let granted = self.find_mailbox(name).await?;
        granted.to(Rights::ADMIN)?;
        if !granted.is_there() {
            return Err(Trouble::Store(StoreError::NoSuchMailbox));
        }
        let owner = self.owner_of(&granted)?;
        Ok((granted, owner))
    }

    fn owner_of(&self, granted: &Granted) -> Result<String, Trouble> {
        let mine = &self.person()?.address;
        Ok(granted.owner().unwrap_or(mine).folded().to_string())
    }

    async fn change_acl(
        &self,
        granted: &Granted,
        change: impl FnOnce(&mut Acl) + Send + 'static,
    ) -> Result<(), Trouble> {
        let (account, name) = granted.to(Rights::ADMIN)?;
        let (account, name) = (account.clone(), name.clone());
        let (me, owns) = (self.person()?.address.folded().to_string(), granted.owner().is_none());
        let changed = blocking(move || {
            account.change_acl(&name, |acl| {
                let may = acl.rights(Somebody { name: &me, owns }).contain(Rights::ADMIN);
                if may {
                    change(acl);
                }
                may
            })
        });
        let may = changed.await.map_err(|failure| match Trouble::from(failure) {
            Trouble::Store(StoreError::TooManyAnnotations) => {
                Trouble::Refused(Tagged::no(Code::Limit, "Too many identifiers"))
            }
            trouble => trouble,
        })?;
        if !may {
            return Err(Trouble::Refused(Tagged::NO_PERMISSION));
        }
        self.shares_anew(granted.owner()).await
    }

    /// Whether the config lets a mailbox be shared with somebody. To take rights away is always allowed.
    fn must_be_shareable(
        &self,
        (negative, identifier): (bool, &Identifier),
        change: RightsChange,
        owner: &str,
    ) -> Result<(), Trouble> {
        let gives = match change {
            RightsChange::Replace(rights) | RightsChange::Add(rights) => !negative && !rights.is_none(),
            RightsChange::Remove(_) => false,
        };
        let domain = |name: &str| name.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let refusal = match identifier {
            Identifier::Anyone | Identifier::Authenticated if !self.inner.shares_with_anyone => {
                Tagged::NOT_FOR_ANYONE
            }
            Identifier::User(name)
                if self.inner.sharing == Sharing::Domain && domain(name) != domain(owner) =>
            {
                Tagged::OTHER_DOMAIN
            }
            _ => return Ok(()),
        };
        if gives { Err(Trouble::Refused(refusal)) } else { Ok(()) }
    }
}

/// Reads an identifier, with Dovecot's signs for groups; a name without a domain is of that of the owner.
fn identifier_of(text: &str, owner: &str) -> Result<(bool, Identifier), Trouble> {
    let (negative, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    let identifier = match name {
        "anyone" => Identifier::Anyone,
        "authenticated" => Identifier::Authenticated,
        "owner" => Identifier::Owner,
        _ => match (name.strip_prefix("!$"), name.strip_prefix('$')) {
            (Some(group), _) => Identifier::GroupOverride(group.to_owned()),
            (_, Some(group)) => Identifier::Group(group.to_owned()),
            (None, None) => {
                let domain = owner.rsplit_once('@').map_or("", |(_, domain)| domain);
                let full = if name.contains('@') { name.to_owned() } else { format!("{name}@{domain}") };
                let address = Address::parse(&full).map_err(|_| Trouble::Refused(Tagged::BAD_IDENTIFIER))?;
                Identifier::User(address.folded().to_string())
            }
        },
    };
    Ok((negative, identifier))
}

fn to_store(change: RightsChange) -> GrantChange {
    match change {
        RightsChange::Replace(rights) => GrantChange::Replace(rights),
        RightsChange::Add(rights) => GrantChange::Add(rights),
        RightsChange::Remove(rights) => GrantChange::Remove(rights),
    }
}

/// Who has which rights, the owner too where no line says so.
fn entries(acl: &Acl, owner: &str) -> Vec<(String, Rights)> {
    let is_owners = |identifier: &Identifier| match identifier {
        Identifier::Owner => true,
        Identifier::User(name) => name == owner,
        _ => false,
    };
    let says = acl.grants().any(|grant| !grant.negative && is_owners(&grant.identifier));
    let own = (!says).then(|| (owner.to_owned(), Rights::ALL));
    let granted = acl.grants().map(|grant| {
        let sign = if grant.negative { "-" } else { "" };
        (format!("{sign}{}", shown(&grant.identifier)), grant.rights)
    });
    own.into_iter().chain(granted).collect()
}

fn shown(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Anyone => "anyone".to_owned(),
        Identifier::Authenticated => "authenticated".to_owned(),
        Identifier::Owner => "owner".to_owned(),
        Identifier::User(name) => name.clone(),
        Identifier::Group(name) => format!("${name}"),
        Identifier::GroupOverride(name) => format!("!${name}"),
    }
}
