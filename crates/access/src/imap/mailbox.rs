//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 and on).

use kings_imap::command::Create;
use kings_imap::{Code, Condition, OTHERS_SEPARATOR, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::{AccountEvent, StoreError};

use super::convert::use_to_store;
use super::place::shown_of;
use super::{Client, Trouble};
use crate::blocking::blocking;

impl Client {
    /// A separator at the end only says that names below will follow (RFC 3501 §6.3.3).
    pub(super) async fn create(&mut self, create: &Create) -> Result<Tagged, Trouble> {
        let name = create.mailbox.as_str();
        let is_of_others = self.is_of_others(name);
        let separator = if is_of_others { OTHERS_SEPARATOR } else { self.inner.naming.separator };
        let without = name.strip_suffix(separator).filter(|name| self.is_of_others(name) == is_of_others);
        let (account, name, owner) = self.may_create(without.unwrap_or(name)).await?;
        let uses: Vec<_> = create.uses.iter().copied().filter_map(use_to_store).collect();
        if owner.is_some() && !uses.is_empty() {
            return Err(Trouble::Refused(Tagged::NO_SUCH_USE));
        }
        let shown = owner.as_ref().map(|owner| shown_of(owner, &name));
        let made = blocking(move || {
            let id = account.create_for(&name, &uses)?;
            Ok((id, account.meant(&name)?))
        });
        let (id, name) = made.await?;
        match shown {
            None => self.has_changed(&name, |listed| listed.exists = true),
            Some(shown) => self.has_changed_shared(&shown, |listed| listed.exists = true),
        }
        self.shares_anew(owner.as_ref()).await?;
        Ok(Tagged::with(Condition::Ok, Code::MailboxId(id), "Made"))
    }

    /// A session that deletes the mailbox it has selected has none selected afterwards.
    pub(super) async fn delete(&mut self, session: &mut Session, name: &str) -> Result<Tagged, Trouble> {
        let granted = self.find_mailbox(name).await?;
        let (account, name) = granted.to(Rights::DELETE)?;
        let (account, name) = (account.clone(), name.clone());
        let is_selected = self.selected.as_ref().is_some_and(|selected| selected.mailbox.is(&granted));
        let deleted = blocking(move || account.delete(&name).map(|()| name)).await?;
        match granted.owner() {
            None => self.has_changed(&deleted, |listed| listed.exists = false),
            Some(owner) => {
                self.has_changed_shared(&shown_of(owner, &deleted), |listed| listed.exists = false);
            }
        }
        self.shares_anew(granted.owner()).await?;
        if is_selected {
            self.selected = None;
            session.deselect();
        }
        Ok(Tagged::DONE)
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<Tagged, Trouble> {
        let granted = self.find_mailbox(from).await?;
        let (_, from) = granted.to(Rights::DELETE)?;
        // The inbox stays, and what is in it moves.
        let needs = if from.is_inbox() { Rights::REMOVES } else { Rights::DELETE };
        let from = granted.to(needs)?.1.clone();
        let (account, to, owner) = self.may_create(to).await?;
        if owner.as_ref() != granted.owner() {
            return Err(Trouble::Refused(Tagged::OTHER_ACCOUNT));
        }
        let renamed = blocking(move || {
            account.rename(&from, &to)?;
            Ok(AccountEvent::Renamed { from, to: account.meant(&to)? })
        });
        let renamed = renamed.await?;
        if owner.is_none() {
            self.has_done(renamed);
        }
        self.shares_anew(owner.as_ref()).await?;
        Ok(Tagged::DONE)
    }

    /// Any name that could exist may be subscribed (RFC 3501 §6.3.6), and those of others that may be looked up (RFC 4314 §4).
    pub(super) async fn subscribe(&mut self, name: &str) -> Result<Tagged, Trouble> {
        let granted = self.find_mailbox(name).await?;
        let name = granted.to(Rights::LOOKUP)?.1.clone();
        if granted.owner().is_some() {
            let shown = granted.shown(self.inner.naming);
            let name = shown.clone();
            self.on_account(move |account| account.subscribe_other(&name, true)).await?;
            self.has_changed_shared(&shown, |listed| listed.subscribed = true);
            return Ok(Tagged::DONE);
        }
        let subscribed =
            self.on_account(move |account| account.subscribe(&name).and_then(|()| account.meant(&name)));
        let name = subscribed.await?;
        self.has_changed(&name, |listed| listed.subscribed = true);
        Ok(Tagged::DONE)
    }

    pub(super) async fn unsubscribe(&mut self, name: &str) -> Result<Tagged, Trouble> {
        if self.is_of_others(name) {
            let subscribed = name.to_owned();
            self.on_account(move |account| account.subscribe_other(&subscribed, false)).await?;
            self.has_changed_shared(name, |listed| listed.subscribed = false);
            return Ok(Tagged::DONE);
        }
        let name = self.find_mailbox(name).await?.to(Rights::NONE)?.1.clone();
        let unsubscribed =
            self.on_account(move |account| account.unsubscribe(&name).and_then(|()| account.meant(&name)));
        match unsubscribed.await {
            Ok(name) => self.has_changed(&name, |listed| listed.subscribed = false),
            // Nothing was subscribed: that is what the client wanted.
            Err(Trouble::Store(StoreError::NoSuchMailbox)) => {}
            Err(trouble) => return Err(trouble),
        }
        Ok(Tagged::DONE)
    }
}
