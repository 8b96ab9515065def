//! LIST and LSUB (RFC 3501 §6.3.8, RFC 3501 §6.3.9), with STATUS for each mailbox where asked (RFC 5819).

use kings_imap::command::{Depth, GetMetadata, List};
use kings_imap::list::{Listed, lines, selected};
use kings_imap::{Response, Tagged};
use kings_store::{MailboxName, Naming};
use tracing::debug;

use super::convert::use_to_imap;
use super::{Client, Trouble, Wire};
use crate::socket::Link;

impl Client {
    pub(super) async fn list<S: Link>(&self, wire: &mut Wire<S>, list: &List) -> Result<Tagged, Trouble> {
        let naming = self.inner.naming;
        let all = all_to_imap(&self.on_account(kings_store::Account::list).await?, naming);
        for line in lines(list, &all, naming.separator) {
            wire.respond(&line.response).await?;
            let Some(name) = line.more_of else { continue };
            // RFC 5819 §2: a mailbox that cannot tell does not spoil the others.
            if !list.status.is_empty() {
                match self.status_of(&name, &list.status).await {
                    Ok(status) => wire.respond(&status).await?,
                    Err(trouble) => debug!(%trouble, mailbox = name, "no STATUS of a mailbox in LIST"),
                }
            }
            if !list.metadata.is_empty() {
                let (entries, depth) = (list.metadata.clone(), Depth::Zero);
                let get = GetMetadata { mailbox: Some(name.clone()), entries, depth, max_size: None };
                match self.metadata_of(&get).await {
                    Ok((Some(metadata), _)) => wire.respond(&metadata).await?,
                    Ok((None, _)) => {}
                    Err(trouble) => debug!(%trouble, mailbox = name, "no METADATA of a mailbox in LIST"),
                }
            }
        }
        Ok(Tagged::DONE)
    }
}

impl Client {
    /// The line of LIST that SELECT answers with in IMAP4rev2; `None` when the mailbox is gone.
    pub(super) async fn list_selected(&self, name: &MailboxName) -> Result<Option<Response>, Trouble> {
        let naming = self.inner.naming;
        let all = all_to_imap(&self.on_account(kings_store::Account::list).await?, naming);
        let name = naming.text(name);
        let listed = all.iter().find(|listed| listed.name == name);
        Ok(listed.map(|listed| selected(listed, naming.separator)))
    }
}

/// All mailboxes as clients see them, the inbox first.
pub(super) fn all_to_imap(all: &[kings_store::Listed], naming: Naming) -> Vec<Listed> {
    let mut shown: Vec<Listed> = all.iter().map(|listed| to_imap(listed, naming)).collect();
    let has_others = shown.iter().skip(1).any(|listed| listed.exists);
    if let Some(inbox) = shown.first_mut().filter(|_| naming.below_inbox) {
        inbox.has_children = has_others;
    }
    shown
}

pub(super) fn to_imap(listed: &kings_store::Listed, naming: Naming) -> Listed {
    Listed {
        name: naming.text(&listed.name),
        subscribed: listed.subscribed,
        exists: listed.exists,
        special_uses: listed.special_uses.iter().copied().map(use_to_imap).collect(),
        has_children: listed.has_children,
    }
}
