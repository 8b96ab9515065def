//! FETCH (RFC 3501 §6.4.5): reads messages in batches and sends large parts from where they lie.

mod listed;

use std::sync::Arc;

use kings_imap::command::fetch::{Item, Needs};
use kings_imap::fetch::{Content, Facts, Fetch, Identity, Segment, Source, is_decodable, render};
use kings_imap::{Response, SequenceSet, Tagged, vanished};
use kings_mail::date::DateTime;
use kings_store::{FlagChange, Flags, Mailbox, ModSeq, Snapshot, StoreError, SystemFlag};

use super::convert::{flag_names, modseq_to_imap, modseq_to_store, to_imap, to_store};
use super::selected::{Selected, Wanted};
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;
use listed::Lister;

/// Most messages handled between two looks at the socket.
const BATCH: usize = 200;
/// Octets of messages read ahead; the message that passes it is the last of its batch.
const BATCH_OCTETS: usize = 1024 * 1024;

/// One message, rendered.
struct Rendered {
    content: kings_store::Content,
    segments: Vec<Segment>,
}

/// A batch that has been read.
struct Batch {
    rendered: Vec<Rendered>,
    /// How many of the messages asked for were dealt with, found or not.
    done: usize,
    /// Why the last of them could not be read; `Expunged` for one that is gone.
    failure: Option<StoreError>,
    /// Some had an encoding that nobody knows.
    undecodable: bool,
}

impl Client {
    pub(super) async fn fetch<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        fetch: &Fetch,
    ) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        let mailbox = selected.to_read()?.clone();
        let mut wanted = selected.resolve(&fetch.set, fetch.uid)?;
        let items: Arc<[Item]> = fetch.items.clone().into();
        let snapshot = mailbox.snapshot();
        if let Some(since) = fetch.changed_since.map(modseq_to_store) {
            if fetch.vanished {
                selected.tell_vanished(wire, &fetch.set, since).await?;
            }
            let has_changed = |uid| snapshot.message(uid).is_none_or(|message| message.modseq > since);
            wanted.retain(|(_, uid)| has_changed(to_store(*uid)));
        }
        if let Some(partial) = fetch.partial {
            wanted = partial.of(&wanted).to_vec();
        }
        if fetch.sets_seen() && selected.kinds().seen {
            let shown =
                if fetch.decodes() { selected.decodable(&wanted, &items).await? } else { wanted.clone() };
            selected.mark_seen(&shown).await?;
        }
        self.send_messages(wire, &wanted, fetch).await
    }

    /// Tells what is asked of these messages.
    pub(super) async fn send_messages<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        wanted: &[Wanted],
        fetch: &Fetch,
    ) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        let mailbox = selected.to_read()?.clone();
        let items: Arc<[Item]> = fetch.items.clone().into();
        let snapshot = mailbox.snapshot();
        let mut result = Tagged::DONE;
        let needs = fetch.needs();
        let size = |(_, uid): &Wanted| snapshot.message(to_store(*uid)).map_or(0, |message| message.size);
        let octets = if needs == Needs::Listing { wanted.iter().map(size).sum() } else { 0 };
        let mut lister = Lister::new(&mailbox, &items, (octets, fetch.is_lazy()));
        for wanted in wanted.chunks(BATCH) {
            let mut facts: Vec<Facts> =
                wanted.iter().filter_map(|wanted| selected.facts(&snapshot, *wanted)).collect();
            let enabled = wire.session.enabled();
            for facts in &mut facts {
                facts.recent &= !enabled.rev2;
                facts.uid_only = enabled.uid_only;
            }
            if fetch.needs_identity() {
                selected.identify(&mut facts).await?;
            }
            if facts.len() < wanted.len() {
                result = Tagged::SOME_EXPUNGED;
            }
            let failed = match needs {
                Needs::Nothing => send_facts(wire, &items, &facts).await?,
                Needs::Listing => lister.send(wire, facts).await?,
                Needs::Content => send_contents(wire, &mailbox, &items, facts).await?,
            };
            result = failed.unwrap_or(result);
        }
        Ok(result)
    }
}

impl Selected {
    /// Tells which messages of a set were removed after `since`, as far as the client is not to hear of it otherwise
    /// (RFC 7162 §3.2.6).
    async fn tell_vanished<S: Link>(
        &self,
        wire: &mut Wire<S>,
        set: &SequenceSet,
        since: ModSeq,
    ) -> Result<(), Trouble> {
        let removed = self.removed_since(since).await?;
        let uid_next = to_imap(self.compared.uid_next);
        if let Some(uids) = vanished(&self.view, uid_next, (Some(set), None), removed) {
            wire.respond(&Response::Vanished { earlier: true, uids }).await?;
        }
        Ok(())
    }

    /// Those of the messages that can be shown without their encodings, as far as they are unseen; the others are refused
    /// (RFC 3516 §4.3) and stay as they are.
    async fn decodable(&self, wanted: &[Wanted], items: &Arc<[Item]>) -> Result<Vec<Wanted>, Trouble> {
        let (mailbox, items) = (self.to_read()?.clone(), Arc::clone(items));
        let mut wanted: Vec<Wanted> = wanted
            .iter()
            .filter(|(_, uid)| is_unseen(&mailbox.snapshot(), to_store(*uid)))
            .copied()
            .collect();
        Ok(blocking(move || {
            wanted.retain(|(_, uid)| {
                let content = mailbox.read(to_store(*uid));
                content.is_ok_and(|content| is_decodable(&items, &Content::new(content.as_ref())))
            });
            Ok(wanted)
        })
        .await?)
    }

    /// Sets `\Seen` where it is missing. The client hears of it after the command.
    async fn mark_seen(&mut self, wanted: &[Wanted]) -> Result<(), Trouble> {
        let snapshot = self.to_read()?.snapshot();
        let unseen: Vec<_> =
            wanted.iter().map(|(_, uid)| to_store(*uid)).filter(|uid| is_unseen(&snapshot, *uid)).collect();
        if !unseen.is_empty() {
            self.change_flags(unseen, FlagChange::Add(Flags::default().with(SystemFlag::Seen))).await?;
        }
        Ok(())
    }

    /// `None` for a message that is gone.
    fn facts(&self, snapshot: &Snapshot, (number, uid): Wanted) -> Option<Facts> {
        let message = snapshot.message(to_store(uid))?;
        Some(Facts {
            number,
            uid,
            flags: flag_names(&message.flags),
            recent: self.view.is_recent(uid),
            internal_date: DateTime::from_unix(message.internal_date),
            size: message.size,
            modseq: modseq_to_imap(message.modseq),
            uid_only: false,
            identity: None,
        })
    }
}

impl Selected {
    /// Adds what each message keeps as long as it is here. One that is gone meanwhile has nothing.
    async fn identify(&self, facts: &mut [Facts]) -> Result<(), Trouble> {
        let uids: Vec<_> = facts.iter().map(|facts| to_store(facts.uid)).collect();
        let mailbox = self.to_read()?.clone();
        let identities = blocking(move || mailbox.identities(&uids)).await?;
        for (facts, identity) in facts.iter_mut().zip(identities) {
            facts.identity = identity.map(|kings_store::Identity { email_id, saved }| Identity {
                email_id,
                saved: saved.map(DateTime::from_unix),
            });
        }
        Ok(())
    }
}

fn is_unseen(snapshot: &Snapshot, uid: kings_store::Uid) -> bool {
    snapshot.message(uid).is_some_and(|message| !message.flags.contains(SystemFlag::Seen))
}

/// Sends what is known without reading.
async fn send_facts<S: Link>(
    wire: &mut Wire<S>,
    items: &[Item],
    facts: &[Facts],
) -> Result<Option<Tagged>, Trouble> {
    for facts in facts {
        for segment in render(items, facts, Source::Nothing) {
            if let Segment::Text(text) = segment {
                wire.session.write_rendered(&text);
            }
        }
    }
    wire.relieve().await?;
    Ok(None)
}

/// Reads and sends; one message that fails does not stop the others.
async fn send_contents<S: Link>(
    wire: &mut Wire<S>,
    mailbox: &Mailbox,
    items: &Arc<[Item]>,
    mut facts: Vec<Facts>,
) -> Result<Option<Tagged>, Trouble> {
    let mut result = None;
    while !facts.is_empty() {
        let (mailbox, items) = (mailbox.clone(), Arc::clone(items));
        let (batch, left) = blocking(move || {
            let batch = read(&mailbox, &items, &facts);
            let left = facts.split_off(batch.done);
            Ok((batch, left))
        })
        .await?;
        facts = left;
        for rendered in batch.rendered {
            send(wire, rendered).await?;
        }
        if batch.undecodable {
            result = Some(Tagged::UNKNOWN_CTE);
        }
        if let Some(error) = batch.failure {
            result = Some(failed(error)?);
        }
    }
    Ok(result)
}

fn failed(error: StoreError) -> Result<Tagged, Trouble> {
    match error {
        StoreError::Expunged => Ok(Tagged::SOME_EXPUNGED),
        error => Ok(Trouble::Store(error).into_result()?),
    }
}

/// Blocking: reads and renders until the batch is large enough or a message fails.
fn read(mailbox: &Mailbox, items: &[Item], facts: &[Facts]) -> Batch {
    let mut batch = Batch { rendered: Vec::new(), done: 0, failure: None, undecodable: false };
    let mut octets = 0;
    for facts in facts {
        batch.done += 1;
        match mailbox.read(to_store(facts.uid)) {
            Ok(content) => {
                octets += content.as_ref().len();
                let message = Content::new(content.as_ref());
                if !is_decodable(items, &message) {
                    batch.undecodable = true;
                    continue;
                }
                let segments = render(items, facts, Source::Content(&message));
                batch.rendered.push(Rendered { content, segments });
            }
            Err(error) => {
                batch.failure = Some(error);
                break;
            }
        }
        if octets >= BATCH_OCTETS {
            break;
        }
    }
    batch
}

async fn send<S: Link>(wire: &mut Wire<S>, rendered: Rendered) -> Result<(), Trouble> {
    for segment in rendered.segments {
        match segment {
            Segment::Text(text) => wire.session.write_rendered(&text),
            Segment::Content(range) => wire.send_content(rendered.content.as_ref(), range).await?,
        }
    }
    Ok(wire.relieve().await?)
}
