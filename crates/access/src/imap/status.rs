//! STATUS (RFC 3501 §6.3.10).

use kings_imap::command::StatusItem;
use kings_imap::{Response, Session, StatusValue, Tagged};
use kings_mail::rights::Rights;
use kings_store::{Message, Snapshot, SystemFlag};

use super::{Client, Trouble};
use crate::blocking::blocking;

impl Client {
    pub(super) async fn status(
        &self,
        session: &mut Session,
        name: &str,
        items: &[StatusItem],
    ) -> Result<Tagged, Trouble> {
        let status = self.status_of(name, items).await?;
        session.respond(&status);
        Ok(Tagged::DONE)
    }

    pub(super) async fn status_of(&self, name: &str, items: &[StatusItem]) -> Result<Response, Trouble> {
        let opened = self.open(name, Rights::READ).await?;
        let mailbox = opened.to(Rights::READ)?;
        let looked = mailbox.clone();
        let snapshot = blocking(move || looked.refresh()).await?;
        let limit = self.inner.append_octets;
        let asked = mailbox.clone();
        let id = if items.contains(&StatusItem::MailboxId) {
            blocking(move || asked.id()).await?
        } else {
            String::new()
        };
        let told = |item: &StatusItem| match value(*item, &snapshot, limit) {
            Some(number) => (*item, StatusValue::Number(number)),
            None => (*item, StatusValue::Id(id.clone())),
        };
        let items = items.iter().map(told).collect();
        let mailbox = opened.shown();
        Ok(Response::MailboxStatus { mailbox, items })
    }
}

/// An item with its number; `None` for what is no number.
pub(super) fn told_by(
    item: StatusItem,
    snapshot: &Snapshot,
    append_limit: u64,
) -> Option<(StatusItem, StatusValue)> {
    value(item, snapshot, append_limit).map(|number| (item, StatusValue::Number(number)))
}

/// `None` for what is no number.
fn value(item: StatusItem, snapshot: &Snapshot, append_limit: u64) -> Option<u64> {
    let count = |wanted: fn(&&Message) -> bool| snapshot.messages.iter().filter(wanted).count() as u64;
    let deleted = || snapshot.messages.iter().filter(|message| message.flags.contains(SystemFlag::Deleted));
    Some(match item {
        StatusItem::MailboxId => return None,
        StatusItem::Messages => count(|_| true),
        StatusItem::Recent => count(|message| message.arrived_new),
        StatusItem::UidNext => u64::from(snapshot.uid_next.get()),
        StatusItem::UidValidity => u64::from(snapshot.uid_validity.0.get()),
        StatusItem::Unseen => count(|message| !message.flags.contains(SystemFlag::Seen)),
        StatusItem::Size => snapshot.messages.iter().map(|message| message.size).sum(),
        StatusItem::AppendLimit => append_limit,
        StatusItem::HighestModSeq => snapshot.highest_modseq.get(),
        StatusItem::Deleted => deleted().count() as u64,
        StatusItem::DeletedStorage => deleted().map(|message| message.size).sum(),
    })
}
