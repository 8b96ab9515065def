//! NOTIFY (RFC 5465): what a client has asked to hear of, and news of mailboxes that are not selected.

mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use kings_imap::command::{Candidate, Enabled, Events, Notify, SelectedNews, Shown, StatusItem, Wanted};
use kings_imap::list::changed;
use kings_imap::view::Reports;
use kings_imap::{Response, Tagged};
use kings_mail::rights::Rights;
use kings_store::{
    AccountEvent, Listed, Mailbox, MailboxName, ModSeq, Naming, Notices, Snapshot, SpecialUse, StoreError,
    Uid, UidValidity,
};
use tracing::{debug, warn};

use super::list::to_imap;
use super::place::{Home, Opened};
use super::status::told_by;
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;
use shared::Shared;

/// Most mailboxes that one client watches: each was looked at once when it began, and takes two watches of the kernel.
const MAX_WATCHED: usize = 1_000;

/// Most of its own doings that are kept for a client, so that it is not told of them.
const MAX_OWN: usize = 256;

/// What a client wants to hear since its last NOTIFY.
#[derive(Debug, Default)]
pub(super) struct Watching {
    wanted: Wanted,
    /// `None` where nothing but the selected mailbox is of interest.
    notices: Option<Notices>,
    /// Every name, as the client knows of it.
    listed: BTreeMap<MailboxName, Listed>,
    /// What the client was told of the mailboxes that it watches, or could ask for.
    told: HashMap<MailboxName, Told>,
    /// What the client has done itself, and is not told.
    own: Vec<AccountEvent>,
    /// `None` where nothing is wanted of what others share.
    shared: Option<Shared>,
}

/// What a client hears of entries of METADATA without NOTIFY (RFC 5464 §4.4.2).
#[derive(Debug)]
pub(super) struct Notes {
    notices: Notices,
    /// What the client has noted itself, and is not told.
    own: Vec<AccountEvent>,
}

impl Notes {
    /// Waits until there may be some.
    pub(super) async fn wait(&mut self) {
        self.notices.wait().await;
    }
}

/// What STATUS tells of a mailbox and changes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    validity: UidValidity,
    next: Uid,
    count: usize,
    last_change: ModSeq,
}

impl Told {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            validity: snapshot.uid_validity,
            next: snapshot.uid_next,
            count: snapshot.messages.len(),
            last_change: snapshot.highest_modseq,
        }
    }

    /// Whether it is news for who wants these.
    fn is_news(&self, before: Option<&Self>, events: Events) -> bool {
        let Some(before) = before else { return true };
        let same_messages = Self { last_change: before.last_change, ..*self } == *before;
        events.messages && !same_messages || events.flags && self != before
    }
}

impl Watching {
    /// What is wanted of the mailbox that is selected.
    pub(super) fn selected(&self) -> Option<&SelectedNews> {
        self.wanted.selected.as_ref().filter(|news| !news.events.is_none())
    }

    /// Waits until there is news of others.
    pub(super) async fn wait(&mut self) {
        match (&mut self.notices, &mut self.shared) {
            (Some(notices), None) => notices.wait().await,
            (Some(notices), Some(shared)) => tokio::select! {
                () = notices.wait() => {}
                () = shared.wait() => {}
            },
            (None, _) => std::future::pending().await,
        }
    }

    fn events_of(&self, listed: &Listed, naming: Naming) -> Events {
        let (name, subscribed) = (naming.text(&listed.name), listed.subscribed);
        self.wanted.of(Candidate { name: &name, subscribed, is_inbox: is_inbox(listed) }, naming.separator)
    }

    /// The mailboxes of whose messages something is wanted.
    fn watched(&self, naming: Naming) -> BTreeSet<MailboxName> {
        let wanted = |listed: &&Listed| {
            let events = self.events_of(listed, naming);
            listed.exists && (events.messages || events.flags)
        };
        self.listed.values().filter(wanted).map(|listed| listed.name.clone()).collect()
    }

    /// Whether the client has done this itself; it is asked once for each event.
    fn is_own(&mut self, event: &AccountEvent) -> bool {
        let is_part = |own: &AccountEvent| match (own, event) {
            (AccountEvent::Renamed { from, to }, AccountEvent::Renamed { from: part, to: becomes }) => {
                (part == from || part.is_below(from)) && (becomes == to || becomes.is_below(to))
            }
            (own, event) => own == event,
        };
        let Some(place) = self.own.iter().position(is_part) else { return false };
        // A rename of many mailboxes is many events.
        if matches!(event, AccountEvent::Noted { .. }) {
            self.own.remove(place);
        }
        true
    }
}

/// Whether mail is delivered there (RFC 5465 §6.3).
pub(super) fn is_inbox(listed: &Listed) -> bool {
    listed.name.is_inbox() || listed.special_uses.contains(&SpecialUse::Junk)
}

/// Spells names of mailboxes as the mailboxes are spelt. What can be none stays as it is. Blocking.
pub(super) fn resolve<'a>(
    account: &Home,
    naming: Naming,
    names: impl Iterator<Item = &'a mut String>,
) -> Result<(), StoreError> {
    for name in names {
        if let Ok(read) = naming.read(name.strip_suffix(naming.separator).unwrap_or(name)) {
            *name = naming.text(&account.meant(&read)?);
        }
    }
    Ok(())
}

/// What is known of a name when nothing is.
fn unknown(name: &MailboxName) -> Listed {
    Listed {
        name: name.clone(),
        subscribed: false,
        exists: false,
        is_level: false,
        special_uses: Vec::new(),
        has_children: false,
    }
}

/// What STATUS tells of news of these kinds (RFC 5465 §5.1, RFC 5465 §5.2).
fn status_items(events: Events, enabled: Enabled) -> Vec<StatusItem> {
    let mut items = vec![StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity];
    items.extend(events.flags.then_some(StatusItem::Unseen));
    items.extend((events.flags || enabled.condstore).then_some(StatusItem::HighestModSeq));
    items
}

impl Client {
    pub(super) async fn notify<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        notify: Notify,
    ) -> Result<Tagged, Trouble> {
        let wanted = match notify {
            Notify::BadEvent => return Err(Trouble::Refused(Tagged::BAD_EVENT)),
            Notify::None => Wanted::default(),
            Notify::Set(wanted) => {
                // What has gathered is told first, as by NOOP (RFC 5465 §3.1).
                self.watching = None;
                self.report(wire, Reports::Everything, Shown::default()).await?;
                wanted
            }
        };
        let watching = self.begin_to_watch(wire, wanted).await?;
        wire.session.notify(watching.notices.is_some() || watching.selected().is_some());
        self.watching = Some(Box::new(watching));
        Ok(Tagged::DONE)
    }

    async fn begin_to_watch<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        wanted: Wanted,
    ) -> Result<Watching, Trouble> {
        if wanted.of_any().is_none() {
            return Ok(Watching { wanted, ..Watching::default() });
        }
        let naming = self.inner.naming;
        let begun = self.on_account(move |account| {
            let mut wanted = wanted;
            resolve(account, naming, wanted.groups.iter_mut().flat_map(|group| group.mailboxes.names_mut()))?;
            // Before the first look, so that nothing is missed in between.
            let notices = account.notices();
            let listed = account.list()?.into_iter().map(|listed| (listed.name.clone(), listed)).collect();
            Ok(Watching { wanted, notices: Some(notices), listed, ..Watching::default() })
        });
        let mut watching = begun.await?;
        self.watch(&mut watching).await?;
        for name in watching.watched(naming) {
            let Some((mailbox, snapshot)) = self.look_at(&name).await? else { continue };
            watching.told.insert(name.clone(), Told::of(&snapshot));
            if watching.wanted.status && !self.has_selected(&name) {
                let told = self.events_told(&watching, &mailbox.name());
                self.tell_status(wire, told, &snapshot).await?;
            }
        }
        self.begin_to_watch_shared(wire, &mut watching).await?;
        Ok(watching)
    }

    /// Watches the mailboxes that are wanted, as they are called now.
    async fn watch(&self, watching: &mut Watching) -> Result<(), Trouble> {
        let names = watching.watched(self.inner.naming);
        watching.told.retain(|name, _| names.contains(name));
        let Some(mut notices) = watching.notices.take() else { return Ok(()) };
        let is_few = names.len() <= MAX_WATCHED;
        let (notices, all) = blocking(move || {
            let all = is_few && notices.watch(&names);
            Ok((notices, all))
        })
        .await?;
        watching.notices = Some(notices);
        if all { Ok(()) } else { Err(Trouble::Refused(Tagged::TOO_MUCH_NEWS)) }
    }

    /// A mailbox now; `None` where it cannot be opened, which is no fault of the others.
    async fn look_at(&self, name: &MailboxName) -> Result<Option<(Mailbox, Arc<Snapshot>)>, Trouble> {
        let looked = async {
            let mailbox = self.open_mine(name.clone(), Rights::READ).await?.to(Rights::READ)?.clone();
            let looked = mailbox.clone();
            Ok((mailbox, blocking(move || looked.refresh()).await?))
        };
        match looked.await {
            Ok(looked) => Ok(Some(looked)),
            Err(trouble @ (Trouble::Store(_) | Trouble::Refused(_))) => {
                debug!(%trouble, mailbox = ?name, "no news of a mailbox");
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// What the client calls a mailbox of its own, and what it wants to hear of it.
    fn events_told(&self, watching: &Watching, name: &MailboxName) -> (String, Events) {
        let naming = self.inner.naming;
        let events = watching.listed.get(name).map(|listed| watching.events_of(listed, naming));
        (naming.text(name), events.unwrap_or_default())
    }

    async fn tell_status<S: Link>(
        &self,
        wire: &mut Wire<S>,
        (mailbox, events): (String, Events),
        snapshot: &Snapshot,
    ) -> io::Result<()> {
        let items = status_items(events, wire.session.enabled());
        let values =
            items.into_iter().filter_map(|item| told_by(item, snapshot, self.inner.append_octets)).collect();
        wire.respond(&Response::MailboxStatus { mailbox, items: values }).await
    }

    fn has_selected(&self, name: &MailboxName) -> bool {
        self.selected.as_ref().is_some_and(|selected| selected.mailbox.is_mine_called(name))
    }

    /// Tells what has happened but for the messages of the selected mailbox.
    pub(super) async fn tell_of_others<S: Link>(&mut self, wire: &mut Wire<S>) -> io::Result<()> {
        let Some(mut watching) = self.watching.take() else { return Ok(()) };
        match self.tell_all(wire, &mut watching).await {
            Ok(()) => {}
            // As after NOTIFY NONE (RFC 5465 §5.8).
            Err(Trouble::Refused(_)) => {
                wire.session.respond(&Response::Status(Tagged::NEWS_LOST));
                wire.session.notify(false);
                *watching = Watching::default();
            }
            Err(Trouble::Stream(error)) => return Err(error),
            Err(trouble) => warn!(%trouble, "cannot look for news of an account"),
        }
        self.watching = Some(watching);
        wire.relieve().await
    }

    async fn tell_all<S: Link>(&self, wire: &mut Wire<S>, watching: &mut Watching) -> Result<(), Trouble> {
        let Some(news) = watching.notices.as_mut().map(Notices::take) else { return Ok(()) };
        if news.overflow {
            return Err(Trouble::Refused(Tagged::TOO_MUCH_NEWS));
        }
        let renames = news.events.iter().any(|event| matches!(event, AccountEvent::Renamed { .. }));
        if news.names || renames {
            let now = self.on_account(Home::list).await?;
            let now = now.into_iter().map(|listed| (listed.name.clone(), listed)).collect();
            self.tell_events(wire, watching, news.events, &now).await?;
            self.tell_names(wire, watching, now).await?;
            self.watch(watching).await?;
        } else {
            let now = watching.listed.clone();
            self.tell_events(wire, watching, news.events, &now).await?;
        }
        let watched = watching.watched(self.inner.naming);
        // One that is new, or has a new name, was not looked at yet.
        let unknown = watched.iter().filter(|name| !watching.told.contains_key(*name)).cloned();
        let mut mailboxes: BTreeSet<MailboxName> = unknown.collect();
        mailboxes.extend(news.mailboxes.into_iter().filter(|name| watched.contains(name)));
        for name in mailboxes {
            self.tell_messages(wire, watching, &name).await?;
        }
        self.tell_shared(wire, watching, news.names).await
    }

    /// Renames and notes. What is told of a name that it has now is true now.
    async fn tell_events<S: Link>(
        &self,
        wire: &mut Wire<S>,
        watching: &mut Watching,
        events: Vec<AccountEvent>,
        now: &BTreeMap<MailboxName, Listed>,
    ) -> Result<(), Trouble> {
        let naming = self.inner.naming;
        for event in events {
            let is_own = watching.is_own(&event);
            match event {
                AccountEvent::Renamed { from, to } => {
                    let known = watching.listed.remove(&from).unwrap_or_else(|| unknown(&from));
                    watching.listed.entry(from.clone()).or_insert_with(|| unknown(&from)).subscribed =
                        known.subscribed;
                    let renamed = now.get(&to).cloned().unwrap_or_else(|| unknown(&to));
                    let wants = watching.events_of(&renamed, naming).names
                        || watching.events_of(&known, naming).names;
                    if let Some(told) = watching.told.remove(&from) {
                        watching.told.insert(to.clone(), told);
                    }
                    if wants && !is_own && renamed.exists {
                        let (listed, old) = (to_imap(&renamed, naming), naming.text(&from));
                        wire.respond(&changed(&listed, naming.separator, Some(old))).await?;
                    }
                    watching.listed.insert(to, renamed);
                }
                AccountEvent::Noted { mailbox, entries } => {
                    let wants = match &mailbox {
                        None => watching.wanted.of_any().server_metadata,
                        Some(name) => watching
                            .listed
                            .get(name)
                            .is_some_and(|known| watching.events_of(known, naming).metadata),
                    };
                    if wants && !is_own {
                        let mailbox = mailbox.map(|name| naming.text(&name));
                        wire.respond(&Response::MetadataChanged { mailbox, entries }).await?;
                    }
                }
            }
        }
        watching.own.clear();
        Ok(())
    }

    /// Names that are new, gone, subscribed or not.
    async fn tell_names<S: Link>(
        &self,
        wire: &mut Wire<S>,
        watching: &mut Watching,
        now: BTreeMap<MailboxName, Listed>,
    ) -> Result<(), Trouble> {
        let naming = self.inner.naming;
        let names: BTreeSet<&MailboxName> = watching.listed.keys().chain(now.keys()).collect();
        for name in names {
            let nothing = unknown(name);
            let (before, after) =
                (watching.listed.get(name).unwrap_or(&nothing), now.get(name).unwrap_or(&nothing));
            let wants = watching.events_of(after, naming).or(watching.events_of(before, naming));
            let is_news = wants.names && before.exists != after.exists
                || wants.subscriptions && before.subscribed != after.subscribed;
            if is_news {
                wire.respond(&changed(&to_imap(after, naming), naming.separator, None)).await?;
            }
        }
        watching.listed = now;
        Ok(())
    }

    async fn tell_messages<S: Link>(
        &self,
        wire: &mut Wire<S>,
        watching: &mut Watching,
        name: &MailboxName,
    ) -> Result<(), Trouble> {
        let Some((mailbox, snapshot)) = self.look_at(name).await? else { return Ok(()) };
        let now = Told::of(&snapshot);
        let before = watching.told.insert(name.clone(), now);
        let events = watching.listed.get(name).map(|listed| watching.events_of(listed, self.inner.naming));
        // A mailbox that is empty was told of by its name.
        let is_news =
            now.is_news(before.as_ref(), events.unwrap_or_default()) && (before.is_some() || now.count > 0);
        if is_news && !self.has_selected(name) {
            let told = self.events_told(watching, &mailbox.name());
            self.tell_status(wire, told, &snapshot).await?;
        }
        Ok(())
    }

    /// The client has put messages there itself, and needs not be told (RFC 5465 §5).
    pub(super) fn has_brought(&mut self, target: &Opened, uids: &[kings_imap::Uid]) {
        if self.watching.is_none() {
            return;
        }
        if let Some(selected) = self.selected.as_mut().filter(|selected| selected.mailbox.is_same(target)) {
            selected.own_arrivals.extend(uids);
        }
        let (Ok(mailbox), Some(watching)) = (target.to(Rights::INSERT), &mut self.watching) else { return };
        if !target.is_mine() {
            watching.has_put(&target.shown(), &mailbox.snapshot());
        } else if let Some(told) = watching.told.get_mut(&mailbox.name()) {
            *told = Told::of(&mailbox.snapshot());
        }
    }

    /// The client has changed what is listed of a name itself.
    pub(super) fn has_changed(&mut self, name: &MailboxName, change: impl FnOnce(&mut Listed)) {
        if let Some(watching) = self.watching.as_mut().filter(|watching| watching.notices.is_some()) {
            change(watching.listed.entry(name.clone()).or_insert_with(|| unknown(name)));
        }
    }

    /// Tells which entries others have changed, to a client that has enabled METADATA.
    pub(super) async fn tell_notes<S: Link>(&mut self, wire: &mut Wire<S>) -> io::Result<()> {
        if !wire.session.enabled().metadata || self.watching.is_some() {
            self.notes = None;
            return Ok(());
        }
        let Ok(home) = self.home() else { return Ok(()) };
        let begin = || Box::new(Notes { notices: home.notices(), own: Vec::new() });
        let notes = self.notes.get_or_insert_with(begin);
        let (events, own) = (notes.notices.take().events, std::mem::take(&mut notes.own));
        for event in events.into_iter().filter(|event| !own.contains(event)) {
            if let AccountEvent::Noted { mailbox, entries } = event {
                let mailbox = mailbox.map(|name| self.inner.naming.text(&name));
                wire.respond(&Response::MetadataChanged { mailbox, entries }).await?;
            }
        }
        Ok(())
    }

    /// The client has done this itself.
    pub(super) fn has_done(&mut self, event: AccountEvent) {
        if let Some(notes) = &mut self.notes {
            keep_own(&mut notes.own, event.clone());
        }
        // Where no names are watched nothing of it comes back.
        if let Some(watching) = self.watching.as_mut().filter(|watching| watching.notices.is_some()) {
            keep_own(&mut watching.own, event);
        }
    }
}

/// Keeps what the client has done until it would be told of it. Of too much that waits the oldest goes, which the client is
/// told of then.
fn keep_own(own: &mut Vec<AccountEvent>, event: AccountEvent) {
    if own.len() >= MAX_OWN {
        own.remove(0);
    }
    own.push(event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_done_is_kept_in_bounds() {
        let mut own = Vec::new();
        let noted = |number: usize| AccountEvent::Noted { mailbox: None, entries: vec![number.to_string()] };
        for number in 0..3 * MAX_OWN {
            keep_own(&mut own, noted(number));
        }
        assert_eq!(own.len(), MAX_OWN);
        assert_eq!((own.first(), own.last()), (Some(&noted(2 * MAX_OWN)), Some(&noted(3 * MAX_OWN - 1))));
    }
}
