//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 and on).

use kings_imap::command::Create;
use kings_imap::{Code, Condition, Session, Tagged};
use kings_store::{AccountEvent, StoreError};

use super::convert::use_to_store;
use super::{Client, Trouble};

impl Client {
    /// A separator at the end only says that names below will follow (RFC 3501 §6.3.3).
    pub(super) async fn create(&mut self, create: &Create) -> Result<Tagged, Trouble> {
        let (separator, name) = (self.inner.naming.separator, create.mailbox.as_str());
        let name = self.mailbox_name(name.strip_suffix(separator).unwrap_or(name))?;
        let uses: Vec<_> = create.uses.iter().copied().filter_map(use_to_store).collect();
        let made = self.on_account(move |account| {
            let id = account.create_for(&name, &uses)?;
            Ok((id, account.meant(&name)?))
        });
        let (id, name) = made.await?;
        self.has_changed(&name, |listed| listed.exists = true);
        Ok(Tagged::with(Condition::Ok, Code::MailboxId(id), "Made"))
    }

    /// A session that deletes the mailbox it has selected has none selected afterwards.
    pub(super) async fn delete(&mut self, session: &mut Session, name: &str) -> Result<Tagged, Trouble> {
        let name = self.mailbox_name(name)?;
        let selected = self.selected.as_ref().map(|selected| selected.mailbox.name());
        let deleted = self.on_account(move |account| {
            let name = account.meant(&name)?;
            account.delete(&name).map(|()| name)
        });
        let deleted = deleted.await?;
        self.has_changed(&deleted, |listed| listed.exists = false);
        if selected == Some(deleted) {
            self.selected = None;
            session.deselect();
        }
        Ok(Tagged::DONE)
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<Tagged, Trouble> {
        let (from, to) = (self.mailbox_name(from)?, self.mailbox_name(to)?);
        let renamed = self.on_account(move |account| {
            let from_name = account.meant(&from)?;
            account.rename(&from, &to)?;
            Ok(AccountEvent::Renamed { from: from_name, to: account.meant(&to)? })
        });
        let renamed = renamed.await?;
        self.has_done(renamed);
        Ok(Tagged::DONE)
    }

    /// Any name that could exist may be subscribed (RFC 3501 §6.3.6).
    pub(super) async fn subscribe(&mut self, name: &str) -> Result<Tagged, Trouble> {
        let name = self.mailbox_name(name)?;
        let subscribed =
            self.on_account(move |account| account.subscribe(&name).and_then(|()| account.meant(&name)));
        let name = subscribed.await?;
        self.has_changed(&name, |listed| listed.subscribed = true);
        Ok(Tagged::DONE)
    }

    pub(super) async fn unsubscribe(&mut self, name: &str) -> Result<Tagged, Trouble> {
        let name = self.mailbox_name(name)?;
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
