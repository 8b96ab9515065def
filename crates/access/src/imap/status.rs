//! STATUS (RFC 3501 §6.3.10).

use kings_imap::command::StatusItem;
use kings_imap::{Response, Session, Tagged};
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
        let mailbox = self.open(name).await?;
        let looked = mailbox.clone();
        let snapshot = blocking(move || looked.refresh()).await?;
        let items = items.iter().map(|item| (*item, value(*item, &snapshot))).collect();
        let mailbox = mailbox.name().text(self.separator());
        session.respond(&Response::MailboxStatus { mailbox, items });
        Ok(Tagged::DONE)
    }
}

fn value(item: StatusItem, snapshot: &Snapshot) -> u32 {
    let count = |wanted: fn(&&Message) -> bool| {
        u32::try_from(snapshot.messages.iter().filter(wanted).count()).unwrap_or(u32::MAX)
    };
    match item {
        StatusItem::Messages => count(|_| true),
        StatusItem::Recent => count(|message| message.arrived_new),
        StatusItem::UidNext => snapshot.uid_next.get(),
        StatusItem::UidValidity => snapshot.uid_validity.0.get(),
        StatusItem::Unseen => count(|message| !message.flags.contains(SystemFlag::Seen)),
    }
}
