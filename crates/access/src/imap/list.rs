//! LIST and LSUB (RFC 3501 §6.3.8, RFC 3501 §6.3.9), with STATUS for each mailbox where asked (RFC 5819).

use std::collections::BTreeMap;

use kings_imap::command::{Depth, GetMetadata, List};
use kings_imap::list::{Listed, lines, selected};
use kings_imap::{OTHERS_PREFIX, OTHERS_SEPARATOR, Response, Tagged};
use kings_mail::address::Address;
use kings_mail::rights::Rights;
use kings_store::{Naming, Somebody, Store, StoreError};
use tracing::debug;

use super::convert::use_to_imap;
use super::place::{Home, Opened, shown_of};
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

impl Client {
    pub(super) async fn list<S: Link>(&self, wire: &mut Wire<S>, list: &List) -> Result<Tagged, Trouble> {
        let naming = self.inner.naming;
        let all = all_to_imap(&self.on_account(Home::list).await?, naming);
        let mut answer = lines(list, &all, naming.separator);
        if may_name_others(list) {
            answer.extend(lines(list, &self.listed_of_others().await?, OTHERS_SEPARATOR));
        }
        for line in answer {
            wire.respond(&line.response).await?;
            let Some(name) = line.more_of else { continue };
            if list.my_rights {
                match self.my_rights(&name).await {
                    Ok(rights) => wire.respond(&rights).await?,
                    Err(trouble) => debug!(%trouble, mailbox = name, "no MYRIGHTS of a mailbox in LIST"),
                }
            }
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
    pub(super) async fn list_selected(&self, opened: &Opened) -> Result<Option<Response>, Trouble> {
        let (naming, name) = (self.inner.naming, opened.shown());
        if !opened.is_mine() {
            let all = self.listed_of_others().await?;
            let listed = all.iter().find(|listed| listed.name == name);
            return Ok(listed.map(|listed| selected(listed, OTHERS_SEPARATOR)));
        }
        let all = all_to_imap(&self.on_account(Home::list).await?, naming);
        let listed = all.iter().find(|listed| listed.name == name);
        Ok(listed.map(|listed| selected(listed, naming.separator)))
    }
}

impl Client {
    /// What others let this client look up, the names above it, and what it has subscribed there.
    pub(super) async fn listed_of_others(&self) -> Result<Vec<Listed>, Trouble> {
        let sharers = self.sharers().await?;
        let subscribed = self.on_account(Home::subscriptions_of_others).await?;
        let store = self.inner.door.people.store.clone();
        let me = self.person()?.address.folded().to_string();
        let visible = blocking(move || {
            let mut visible = Vec::new();
            for owner in sharers {
                // What cannot be told of one spoils nothing else.
                if let Err(error) = tell_shared(&store, &owner, &me, &mut visible) {
                    debug!(%owner, %error, "what an account shares cannot be listed");
                }
            }
            Ok(visible)
        });
        Ok(tree(visible.await?, subscribed))
    }
}

/// Adds what an account lets `me` look up. Blocking.
fn tell_shared(
    store: &Store,
    owner: &Address,
    me: &str,
    visible: &mut Vec<String>,
) -> Result<(), StoreError> {
    let Some(account) = store.account_if_there(owner)? else { return Ok(()) };
    for listed in account.list()?.into_iter().filter(|listed| listed.exists) {
        match account.acl(&listed.name) {
            Ok(acl) => {
                let rights = acl.unwrap_or_default().rights(Somebody { name: me, owns: false });
                if rights.contain(Rights::LOOKUP) {
                    visible.push(shown_of(owner, &listed.name));
                }
            }
            Err(error) => debug!(%owner, mailbox = ?listed.name, %error, "rights cannot be read"),
        }
    }
    Ok(())
}

/// Names with their parents, by name.
fn tree(visible: Vec<String>, subscribed: Vec<String>) -> Vec<Listed> {
    let listed = |name: &str| Listed {
        name: name.to_owned(),
        subscribed: false,
        exists: false,
        is_level: false,
        special_uses: Vec::new(),
        has_children: false,
    };
    let mut all: BTreeMap<String, Listed> = BTreeMap::new();
    for name in visible {
        for (end, _) in name.match_indices(OTHERS_SEPARATOR) {
            all.entry(name[..end].to_owned()).or_insert_with_key(|name| listed(name)).has_children = true;
        }
        all.entry(name).or_insert_with_key(|name| listed(name)).exists = true;
    }
    for name in subscribed {
        all.entry(name).or_insert_with_key(|name| listed(name)).subscribed = true;
    }
    all.into_values().collect()
}

/// Whether a pattern can match a name of mailboxes of others: most clients that look for one of their own do not ask.
fn may_name_others(list: &List) -> bool {
    list.patterns.iter().any(|pattern| {
        let whole = [list.reference.as_slice(), pattern].concat();
        let literal =
            whole.iter().position(|octet| b"%*".contains(octet)).map_or(&whole[..], |at| &whole[..at]);
        let prefix = OTHERS_PREFIX.as_bytes();
        !pattern.is_empty() && (literal.starts_with(prefix) || prefix.starts_with(literal))
    })
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
        is_level: listed.is_level,
        special_uses: listed.special_uses.iter().copied().map(use_to_imap).collect(),
        has_children: listed.has_children,
    }
}
