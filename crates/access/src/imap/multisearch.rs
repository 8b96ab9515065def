//! ESEARCH over several mailboxes (RFC 7377).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use kings_imap::command::{Candidate, Mailboxes, MultiSearch};
use kings_imap::search::{Key, Search, answer};
use kings_imap::{ModSeq, Tagged, View};
use kings_mail::rights::Rights;
use kings_store::{Listed, MailboxName, Naming, Snapshot, StoreError};
use tracing::debug;

use super::convert::{modseq_to_imap, to_imap, to_store};
use super::notify::{is_inbox, resolve};
use super::place::Opened;
use super::search::{PATIENCE, Work};
use super::selected::{AsTold, Wanted};
use super::trouble::Unread;
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

/// Where is searched.
enum Place {
    /// In the selected mailbox, which may be somebody else's.
    Selected,
    /// In another one of the account.
    Other(MailboxName),
}

impl Client {
    /// A mailbox with nothing to tell is not told of, and one that cannot be opened is passed over (RFC 7377 §2.1).
    pub(super) async fn multi_search<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        multi: MultiSearch,
    ) -> Result<Tagged, Trouble> {
        if self.selected.is_none() && multi.needs_selected() {
            return Err(Trouble::Refused(Tagged::NOTHING_SELECTED));
        }
        let uses_saved = multi.uses_saved();
        let MultiSearch { mailboxes, search: Search { returns, modseq, key, .. } } = multi;
        let Some(key) = key else { return Err(Trouble::Refused(Tagged::BAD_CHARSET)) };
        let places = self.chosen(mailboxes).await?;
        // Only there `$` means something, before and after (RFC 7377 §2.2).
        let is_elsewhere = |place: &Place| matches!(place, Place::Other(_));
        if uses_saved && (self.selected.is_none() || places.iter().any(is_elsewhere)) {
            return Err(Trouble::Refused(Tagged::SAVED_ELSEWHERE));
        }
        if returns.is_some_and(|returns| returns.save) {
            self.selected()?.view.save(Vec::new());
        }
        let (mut unread, began) = (Unread::default(), Instant::now());
        for place in places {
            // All of them together have the time of one.
            if began.elapsed() > PATIENCE {
                return Err(Trouble::Refused(Tagged::SEARCH_LIMIT));
            }
            let searched = match &place {
                Place::Selected => {
                    let mailbox = self.selected()?.to_read()?.clone();
                    let found = self.find_until(key.clone(), began).await?;
                    Some((mailbox.snapshot(), found))
                }
                Place::Other(name) => self.find_elsewhere(name, key.clone(), began).await?,
            };
            let Some((snapshot, (found, missed))) = searched else { continue };
            unread = unread.and(missed);
            let last_change = |uid| {
                let message = snapshot.message(to_store(uid));
                message.map_or(ModSeq::default(), |message| modseq_to_imap(message.modseq))
            };
            let last_change = modseq.then_some(&last_change as &dyn Fn(_) -> _);
            let answer = answer(wire.session.tag(), (true, returns), &found, last_change);
            if let Some(response) = answer.response.filter(|_| !found.is_empty()) {
                let validity = snapshot.uid_validity.0.get();
                let name = match &place {
                    Place::Selected => self.selected()?.mailbox.shown(),
                    Place::Other(name) => self.inner.naming.text(name),
                };
                wire.respond(&response.of_mailbox(name, validity)).await?;
            }
            if let Some(saved) = answer.saved.filter(|_| unread.is_empty()) {
                self.selected()?.view.save(saved);
            }
        }
        Ok(unread.into_result())
    }

    /// The mailboxes that are there, each once, the inbox first.
    async fn chosen(&self, choices: Vec<Mailboxes>) -> Result<Vec<Place>, Trouble> {
        if choices == [Mailboxes::Selected] {
            return Ok(vec![Place::Selected]);
        }
        let selected = self.selected.as_ref().map(|selected| &selected.mailbox);
        let others =
            selected.filter(|selected| !selected.is_mine() && choices.contains(&Mailboxes::Selected));
        let selected = selected.filter(|selected| selected.is_mine()).map(Opened::name);
        let naming = self.inner.naming;
        let listed = self.on_account(move |account| {
            let mut choices = choices;
            resolve(account, naming, choices.iter_mut().flat_map(Mailboxes::names_mut))?;
            Ok((choices, account.list()?))
        });
        let (choices, listed) = listed.await?;
        let is_chosen = |listed: &&Listed| {
            let is_selected =
                choices.contains(&Mailboxes::Selected) && Some(&listed.name) == selected.as_ref();
            listed.exists && (is_selected || has_any(&choices, listed, naming))
        };
        let mut known = BTreeSet::new();
        let chosen = listed.iter().filter(is_chosen).map(|listed| listed.name.clone());
        let chosen = chosen.filter(|name| known.insert(name.clone()));
        let place =
            |name| if Some(&name) == selected.as_ref() { Place::Selected } else { Place::Other(name) };
        Ok(others.map(|_| Place::Selected).into_iter().chain(chosen.map(place)).collect())
    }

    /// What is found in a mailbox that is not selected; `None` where it cannot be opened.
    async fn find_elsewhere(
        &self,
        name: &MailboxName,
        key: Key,
        began: Instant,
    ) -> Result<Option<(Arc<Snapshot>, (Vec<Wanted>, Unread))>, Trouble> {
        let opened = async {
            let mailbox = self.open_mine(name.clone(), Rights::READ).await?.to(Rights::READ)?.clone();
            let looked = mailbox.clone();
            Ok((mailbox, blocking(move || looked.refresh()).await?))
        };
        let (mailbox, snapshot) = match opened.await {
            Ok(opened) => opened,
            Err(Trouble::Store(StoreError::NoSuchMailbox) | Trouble::Refused(_)) => return Ok(None),
            Err(Trouble::Store(error)) => {
                debug!(%error, mailbox = ?name, "a mailbox cannot be searched");
                return Ok(None);
            }
            Err(trouble) => return Err(trouble),
        };
        let recent = snapshot
            .messages
            .iter()
            .filter(|message| message.arrived_new)
            .map(|message| to_imap(message.uid));
        let view = View::of(AsTold::of(&snapshot, false), recent, true);
        let work = Work::over(mailbox, Arc::clone(&snapshot), &view, key);
        Ok(Some((snapshot, work.finish(began).await?)))
    }
}

fn has_any(choices: &[Mailboxes], listed: &Listed, naming: Naming) -> bool {
    let (name, subscribed) = (naming.text(&listed.name), listed.subscribed);
    let candidate = Candidate { name: &name, subscribed, is_inbox: is_inbox(listed) };
    choices.iter().any(|choice| choice.have(candidate, naming.separator))
}
