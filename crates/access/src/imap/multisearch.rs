//! ESEARCH over several mailboxes (RFC 7377).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use kings_imap::command::{Candidate, Mailboxes, MultiSearch};
use kings_imap::search::{Key, Search, answer};
use kings_imap::{ModSeq, OTHERS_SEPARATOR, Tagged, View};
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
#[derive(Debug)]
enum Place {
    /// In the selected mailbox, which may be somebody else's.
    Selected,
    /// In another one of the account.
    Mine(MailboxName),
    /// In another one that somebody else shares, by what the client calls it.
    Shared(String),
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
        let is_elsewhere = |place: &Place| !matches!(place, Place::Selected);
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
                Place::Mine(_) | Place::Shared(_) => self.find_elsewhere(&place, key.clone(), began).await?,
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
                    Place::Mine(name) => self.inner.naming.text(name),
                    Place::Shared(name) => name.clone(),
                };
                wire.respond(&response.of_mailbox(name, validity)).await?;
            }
            if let Some(saved) = answer.saved.filter(|_| unread.is_empty()) {
                self.selected()?.view.save(saved);
            }
        }
        Ok(unread.into_result())
    }

    /// The mailboxes that are there, each once: the inbox first, those of others last.
    async fn chosen(&self, choices: Vec<Mailboxes>) -> Result<Vec<Place>, Trouble> {
        if choices == [Mailboxes::Selected] {
            return Ok(vec![Place::Selected]);
        }
        let wants_selected = choices.contains(&Mailboxes::Selected);
        let selected = self.selected.as_ref().map(|selected| &selected.mailbox);
        let (shown, is_mine) = (selected.map(Opened::shown), selected.is_some_and(Opened::is_mine));
        let selected = selected.filter(|_| is_mine).map(Opened::name);
        let mut shared = self.chosen_of_others(&choices).await?;
        if wants_selected && !is_mine {
            shared.extend(shown.clone().filter(|shown| !shared.contains(shown)));
        }
        let naming = self.inner.naming;
        let listed = self.on_account(move |account| {
            let mut choices = choices;
            resolve(account, naming, choices.iter_mut().flat_map(Mailboxes::names_mut))?;
            Ok((choices, account.list()?))
        });
        let (choices, listed) = listed.await?;
        let is_chosen = |listed: &&Listed| {
            let is_selected = wants_selected && Some(&listed.name) == selected.as_ref();
            listed.exists && (is_selected || has_any(&choices, listed, naming))
        };
        let mut known = BTreeSet::new();
        let chosen = listed.iter().filter(is_chosen).map(|listed| listed.name.clone());
        let chosen = chosen.filter(|name| known.insert(name.clone()));
        let mine = |name| if Some(&name) == selected.as_ref() { Place::Selected } else { Place::Mine(name) };
        let is_selected = |name: &String| !is_mine && Some(name) == shown.as_ref();
        let of_others = |name| if is_selected(&name) { Place::Selected } else { Place::Shared(name) };
        Ok(chosen.map(mine).chain(shared.into_iter().map(of_others)).collect())
    }

    /// Those that others share and that are chosen by name, by one above it, or as subscribed: *personal* and *inboxes* are one's
    /// own (RFC 5465 §6).
    async fn chosen_of_others(&self, choices: &[Mailboxes]) -> Result<Vec<String>, Trouble> {
        let mut choices: Vec<Mailboxes> =
            choices.iter().filter(|choice| choice.may_be_of_others()).cloned().collect();
        if choices.is_empty() {
            return Ok(Vec::new());
        }
        for name in choices.iter_mut().flat_map(Mailboxes::names_mut) {
            self.spell_shared(name).await;
        }
        let listed = self.listed_of_others().await?;
        let is_chosen = |name: &str, subscribed: bool| {
            let candidate = Candidate { name, subscribed, is_inbox: false };
            choices.iter().any(|choice| choice.have(candidate, OTHERS_SEPARATOR))
        };
        let chosen =
            listed.into_iter().filter(|listed| listed.exists && is_chosen(&listed.name, listed.subscribed));
        Ok(chosen.map(|listed| listed.name).collect())
    }

    /// What is found in a mailbox that is not selected; `None` where it cannot be opened.
    async fn find_elsewhere(
        &self,
        place: &Place,
        key: Key,
        began: Instant,
    ) -> Result<Option<(Arc<Snapshot>, (Vec<Wanted>, Unread))>, Trouble> {
        let opened = async {
            let opened = match place {
                Place::Mine(name) => self.open_mine(name.clone(), Rights::READ).await?,
                Place::Shared(name) => self.open(name, Rights::READ).await?,
                Place::Selected => return Err(Trouble::Refused(Tagged::SERVER_BUG)),
            };
            let mailbox = opened.to(Rights::READ)?.clone();
            let looked = mailbox.clone();
            Ok((mailbox, blocking(move || looked.refresh()).await?))
        };
        let (mailbox, snapshot) = match opened.await {
            Ok(opened) => opened,
            Err(Trouble::Store(StoreError::NoSuchMailbox) | Trouble::Refused(_)) => return Ok(None),
            Err(Trouble::Store(error)) => {
                debug!(%error, ?place, "a mailbox cannot be searched");
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
