//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 and on).

use kings_imap::command::Create;
use kings_imap::{Code, Condition, Session, Tagged};
use kings_store::StoreError;

use super::convert::use_to_store;
use super::{Client, Trouble};

impl Client {
    /// A separator at the end only says that names below will follow (RFC 3501 §6.3.3).
    pub(super) async fn create(&self, create: &Create) -> Result<Tagged, Trouble> {
        let (separator, name) = (self.inner.naming.separator, create.mailbox.as_str());
        let name = self.mailbox_name(name.strip_suffix(separator).unwrap_or(name))?;
        let uses: Vec<_> = create.uses.iter().copied().filter_map(use_to_store).collect();
        let id = self.on_account(move |account| account.create_for(&name, &uses)).await?;
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
        if selected == Some(deleted.await?) {
            self.selected = None;
            session.deselect();
        }
        Ok(Tagged::DONE)
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<Tagged, Trouble> {
        let (from, to) = (self.mailbox_name(from)?, self.mailbox_name(to)?);
        self.on_account(move |account| account.rename(&from, &to)).await?;
        Ok(Tagged::DONE)
    }

    /// Any name that could exist may be subscribed (RFC 3501 §6.3.6).
    pub(super) async fn subscribe(&self, name: &str) -> Result<Tagged, Trouble> {
        let name = self.mailbox_name(name)?;
        self.on_account(move |account| account.subscribe(&name)).await?;
        Ok(Tagged::DONE)
    }

    pub(super) async fn unsubscribe(&self, name: &str) -> Result<Tagged, Trouble> {
        let name = self.mailbox_name(name)?;
        let unsubscribe = self.on_account(move |account| account.unsubscribe(&name)).await;
        match unsubscribe {
            // Nothing was subscribed: that is what the client wanted.
            Err(Trouble::Store(StoreError::NoSuchMailbox)) | Ok(()) => Ok(Tagged::DONE),
            Err(trouble) => Err(trouble),
        }
    }
}
