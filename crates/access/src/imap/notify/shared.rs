//! News of mailboxes that others share: as of one's own, for as long as they may be looked up and read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use kings_imap::command::{Candidate, Events, Wanted};
use kings_imap::list::{Listed, changed};
use kings_imap::{OTHERS_SEPARATOR, Response, Tagged};
use kings_mail::address::Address;
use kings_mail::rights::Rights;
use kings_store::{AccountEvent, Mailbox, MailboxName, Notices, Snapshot};
use tokio::sync::watch::Receiver;
use tracing::debug;

use super::super::place::shown_of;
use super::super::{Client, Trouble, Wire};
use super::{MAX_WATCHED, Told, Watching};
use crate::blocking::blocking;
use crate::socket::Link;

/// What is shared with the client, as it knows of it, by the names that it uses.
#[derive(Debug)]
pub(super) struct Shared {
    /// Counts whenever somebody shares something anew, or does no more.
    changes: Receiver<u64>,
    counted: u64,
    /// Of the accounts with a mailbox of which something is wanted.
    accounts: BTreeMap<Address, Notices>,
    listed: BTreeMap<String, Listed>,
    told: HashMap<String, Told>,
}

/// What has happened since it was asked last.
#[derive(Default)]
struct News {
    names: bool,
    mailboxes: BTreeSet<String>,
    notes: Vec<(String, Vec<String>)>,
}

impl Shared {
    /// Waits until there is news.
    pub(super) async fn wait(&mut self) {
        let Self { changes, counted, accounts, .. } = self;
        let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        for notices in accounts.values_mut() {
            waits.push(Box::pin(notices.wait()));
        }
        // The sender lives as long as the server.
        waits.push(Box::pin(async { drop(changes.wait_for(|count| count != counted).await) }));
        let mut is_ready = |context: &mut std::task::Context<'_>| {
            waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready())
        };
        poll_fn(|context| if is_ready(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn take(&mut self) -> Result<News, Trouble> {
        let count = *self.changes.borrow();
        let mut all = News { names: count != self.counted, ..News::default() };
        self.counted = count;
        for (owner, notices) in &mut self.accounts {
            let news = notices.take();
            if news.overflow {
                return Err(Trouble::Refused(Tagged::TOO_MUCH_NEWS));
            }
            all.names |= news.names;
            all.mailboxes.extend(news.mailboxes.iter().map(|name| shown_of(owner, name)));
            for event in news.events {
                match event {
                    // One name that is gone, and one that is new: the old one may have been hidden.
                    AccountEvent::Renamed { .. } => all.names = true,
                    // What is private is the owner's.
                    AccountEvent::Noted { mailbox: Some(name), mut entries } => {
                        entries.retain(|entry| entry.starts_with("/shared/"));
                        all.notes.push((shown_of(owner, &name), entries));
                    }
                    AccountEvent::Noted { mailbox: None, .. } => {}
                }
            }
        }
        Ok(all)
    }

    fn events_of(&self, wanted: &Wanted, name: &str) -> Events {
        let subscribed = self.listed.get(name).is_some_and(|listed| listed.subscribed);
        events_of(wanted, name, subscribed)
    }

    /// The mailboxes of whose messages something is wanted.
    fn watched(&self, wanted: &Wanted) -> BTreeSet<String> {
        let is_watched = |listed: &&Listed| {
            let events = events_of(wanted, &listed.name, listed.subscribed);
            listed.exists && (events.messages || events.flags)
        };
        self.listed.values().filter(is_watched).map(|listed| listed.name.clone()).collect()
    }
}

fn events_of(wanted: &Wanted, name: &str, subscribed: bool) -> Events {
    wanted.of_shared(Candidate { name, subscribed, is_inbox: false }, OTHERS_SEPARATOR)
}

/// What is known of a name when nothing is.
fn unknown(name: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        subscribed: false,
        exists: false,
        special_uses: Vec::new(),
        has_children: false,
        is_level: false,
    }
}

impl Client {
    /// Begins to hear of what others share, if the client has asked for anything that may be there.
    pub(super) async fn begin_to_watch_shared<S: Link>(
        &self,
        wire: &mut Wire<S>,
        watching: &mut Watching,
    ) -> Result<(), Trouble> {
        if !watching.wanted.may_be_of_others() {
            return Ok(());
        }
        let names = watching.wanted.groups.iter_mut().flat_map(|group| group.mailboxes.names_mut());
        for name in names {
            self.spell_shared(name).await;
        }
        // Before the first look, so that nothing is missed in between.
        let changes = self.inner.neighbours.changes();
        let counted = *changes.borrow();
        let listed = self.see_shared().await?;
        let (accounts, told) = (BTreeMap::new(), HashMap::new());
        let mut shared = Shared { changes, counted, accounts, listed, told };
        self.watch_shared(&mut shared, watching).await?;
        for name in shared.watched(&watching.wanted) {
            let Some((_, snapshot)) = self.look_at_shared(&name).await? else { continue };
            shared.told.insert(name.clone(), Told::of(&snapshot));
            if watching.wanted.status && !self.has_selected_shared(&name) {
                let events = shared.events_of(&watching.wanted, &name);
                self.tell_status(wire, (name, events), &snapshot).await?;
            }
        }
        watching.shared = Some(shared);
        Ok(())
    }

    async fn see_shared(&self) -> Result<BTreeMap<String, Listed>, Trouble> {
        let listed = self.listed_of_others().await?;
        Ok(listed.into_iter().map(|listed| (listed.name.clone(), listed)).collect())
    }

    /// Watches the accounts of which anything is wanted, and in them the mailboxes of whose messages something is.
    async fn watch_shared(&self, shared: &mut Shared, watching: &Watching) -> Result<(), Trouble> {
        let watched = shared.watched(&watching.wanted);
        shared.told.retain(|name, _| watched.contains(name));
        if watched.len() + watching.told.len() > MAX_WATCHED {
            return Err(Trouble::Refused(Tagged::TOO_MUCH_NEWS));
        }
        let mut wanted: BTreeMap<Address, BTreeSet<MailboxName>> = BTreeMap::new();
        for listed in shared.listed.values().filter(|listed| listed.exists) {
            let Some((owner, name)) = self.of_somebody(&listed.name) else { continue };
            if events_of(&watching.wanted, &listed.name, listed.subscribed).is_none() {
                continue;
            }
            let names = wanted.entry(owner).or_default();
            if watched.contains(&listed.name) {
                names.insert(name);
            }
        }
        shared.accounts.retain(|owner, _| wanted.contains_key(owner));
        for (owner, names) in wanted {
            let notices = match shared.accounts.remove(&owner) {
                Some(notices) => Some(notices),
                None => self.notices_of(&owner).await?,
            };
            let Some(mut notices) = notices else { continue };
            let (notices, all) = blocking(move || {
                let all = notices.watch(&names);
                Ok((notices, all))
            })
            .await?;
            shared.accounts.insert(owner, notices);
            if !all {
                return Err(Trouble::Refused(Tagged::TOO_MUCH_NEWS));
            }
        }
        Ok(())
    }

    /// A mailbox now; `None` where it cannot be opened, or not any more.
    async fn look_at_shared(
        &self,
        name: &str,
    ) -> Result<Option<(Mailbox, std::sync::Arc<Snapshot>)>, Trouble> {
        let looked = async {
            let mailbox = self.open(name, Rights::READ).await?.to(Rights::READ)?.clone();
            let looked = mailbox.clone();
            Ok((mailbox, blocking(move || looked.refresh()).await?))
        };
        match looked.await {
            Ok(looked) => Ok(Some(looked)),
            Err(trouble @ (Trouble::Store(_) | Trouble::Refused(_))) => {
                debug!(%trouble, mailbox = name, "no news of a shared mailbox");
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn has_selected_shared(&self, name: &str) -> bool {
        let selected = self.selected.as_ref().map(|selected| &selected.mailbox);
        selected.is_some_and(|selected| !selected.is_mine() && selected.shown() == name)
    }

    /// Tells what has happened to what others share; `names`: what the client has subscribed may have changed.
    pub(super) async fn tell_shared<S: Link>(
        &self,
        wire: &mut Wire<S>,
        watching: &mut Watching,
        names: bool,
    ) -> Result<(), Trouble> {
        let Some(mut shared) = watching.shared.take() else { return Ok(()) };
        let mut news = shared.take()?;
        if news.names || names {
            let now = self.see_shared().await?;
            tell_names(wire, &watching.wanted, (&shared.listed, &now)).await?;
            shared.listed = now;
            self.watch_shared(&mut shared, watching).await?;
        }
        for (name, entries) in std::mem::take(&mut news.notes) {
            let wants = shared.events_of(&watching.wanted, &name).metadata;
            if wants && !entries.is_empty() && self.open(&name, Rights::LOOKS).await.is_ok() {
                wire.respond(&Response::MetadataChanged { mailbox: Some(name), entries }).await?;
            }
        }
        let watched = shared.watched(&watching.wanted);
        let unknown = watched.iter().filter(|name| !shared.told.contains_key(*name)).cloned();
        let mut mailboxes: BTreeSet<String> = unknown.collect();
        mailboxes.extend(news.mailboxes.into_iter().filter(|name| watched.contains(name)));
        for name in mailboxes {
            let Some((_, snapshot)) = self.look_at_shared(&name).await? else { continue };
            let now = Told::of(&snapshot);
            let before = shared.told.insert(name.clone(), now);
            let events = shared.events_of(&watching.wanted, &name);
            // A mailbox that is empty was told of by its name.
            let is_news = now.is_news(before.as_ref(), events) && (before.is_some() || now.count > 0);
            if is_news && !self.has_selected_shared(&name) {
                self.tell_status(wire, (name, events), &snapshot).await?;
            }
        }
        watching.shared = Some(shared);
        Ok(())
    }

    /// The client has changed what is listed of a name itself.
    pub(in crate::imap) fn has_changed_shared(&mut self, name: &str, change: impl FnOnce(&mut Listed)) {
        if let Some(shared) = self.watching.as_mut().and_then(|watching| watching.shared.as_mut()) {
            change(shared.listed.entry(name.to_owned()).or_insert_with(|| unknown(name)));
        }
    }
}

impl Watching {
    /// The client knows what is in a shared mailbox: it has put something there itself.
    pub(super) fn has_put(&mut self, name: &str, snapshot: &Snapshot) {
        if let Some(told) = self.shared.as_mut().and_then(|shared| shared.told.get_mut(name)) {
            *told = Told::of(snapshot);
        }
    }
}

/// Names that are new, gone, subscribed or not. What may not be looked up any more is gone.
async fn tell_names<S: Link>(
    wire: &mut Wire<S>,
    wanted: &Wanted,
    (before, now): (&BTreeMap<String, Listed>, &BTreeMap<String, Listed>),
) -> Result<(), Trouble> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let nothing = unknown(name);
        let (before, after) = (before.get(name).unwrap_or(&nothing), now.get(name).unwrap_or(&nothing));
        let wants = events_of(wanted, name, after.subscribed).or(events_of(wanted, name, before.subscribed));
        let is_news = wants.names && before.exists != after.exists
            || wants.subscriptions && before.subscribed != after.subscribed;
        if is_news {
            wire.respond(&changed(after, OTHERS_SEPARATOR, None)).await?;
        }
    }
    Ok(())
}
