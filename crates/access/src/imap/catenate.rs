//! CATENATE (RFC 4469): messages are put together from octets that come and from messages that are here.

use kings_imap::fetch::Content;
use kings_imap::{PartUrl, Tagged, Uid};
use kings_mail::mime::Part;
use kings_mail::rights::Rights;
use kings_store::{Appended, Mailbox, StoreError, UidValidity};

use super::convert::to_store;
use super::{Client, Trouble};
use crate::blocking::blocking;

/// A message that parts are taken from: as many as there are in one command cost one look at it.
#[derive(Debug)]
pub(super) struct Source {
    key: Key,
    content: kings_store::Content,
    tree: Option<Part>,
}

/// Which message it is: what the client calls its mailbox, with its UIDVALIDITY, and the UID.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(String, UidValidity, Uid);

/// A part that was looked for.
enum Found {
    /// It is in the message now.
    Added(Appended, Box<Source>),
    /// There is no such message, or no such part of it.
    Nothing,
    /// With it the message cannot be kept.
    Refused(Tagged),
}

impl Client {
    /// Whether so many octets may come next in the message.
    pub(super) async fn append_text(&mut self, octets: u64) -> Result<(), Trouble> {
        if let Some(failure) = self.intake.failure.take() {
            return Err(failure);
        }
        let before = self.intake.messages.last().map_or(0, |message| message.content.len());
        if before + octets > self.inner.append_octets {
            return Err(Trouble::Refused(Tagged::TOO_BIG));
        }
        self.has_room(octets).await
    }

    /// Puts a part of another message into the one that is being made. Its flags stay as they are: nobody has read it.
    pub(super) async fn append_url(&mut self, url: &PartUrl) -> Result<(), Trouble> {
        if let Some(failure) = self.intake.failure.take() {
            return Err(failure);
        }
        let missing = || Trouble::Refused(Tagged::bad_url(url.text.as_bytes()));
        let (name, source) = self.source(url).await.map_err(|trouble| match trouble {
            Trouble::Refused(_) | Trouble::Store(StoreError::NoSuchMailbox | StoreError::BadName) => {
                missing()
            }
            other => other,
        })?;
        let known = self.intake.source.take();
        let message = self.intake.messages.pop().ok_or(Trouble::Refused(Tagged::SERVER_BUG))?;
        let (wanted, most) = (url.clone(), self.inner.append_octets);
        match blocking(move || add((name, &source), &wanted, known, (message, most))).await? {
            Found::Added(message, source) => {
                self.intake.messages.push(message);
                self.intake.source = Some(source);
            }
            Found::Nothing => return Err(missing()),
            Found::Refused(refusal) => return Err(Trouble::Refused(refusal)),
        }
        self.has_room(0).await
    }

    async fn has_room(&self, more: u64) -> Result<(), Trouble> {
        let (octets, count) = self.intake.size_with(more);
        let target = self.intake.target()?.clone();
        Ok(blocking(move || target.has_room(octets, count)).await?)
    }

    /// The mailbox that the part is in, and what the client calls it.
    async fn source(&mut self, url: &PartUrl) -> Result<(String, Mailbox), Trouble> {
        match &url.mailbox {
            Some(name) => {
                let opened = self.open(name, Rights::READ).await?;
                Ok((opened.shown(), opened.to(Rights::READ)?.clone()))
            }
            None => {
                let selected = self.selected()?;
                Ok((selected.mailbox.shown(), selected.to_read()?.clone()))
            }
        }
    }
}

/// Blocking: reads the message that has the part, unless it is the one that is `known`. One that is gone by now has none
/// (RFC 4469 §3).
fn add(
    (name, mailbox): (String, &Mailbox),
    url: &PartUrl,
    known: Option<Box<Source>>,
    (mut message, most): (Appended, u64),
) -> Result<Found, StoreError> {
    let snapshot = mailbox.snapshot();
    let UidValidity(validity) = snapshot.uid_validity;
    if url.validity.is_some_and(|wanted| wanted != validity) {
        return Ok(Found::Nothing);
    }
    let key = Key(name, snapshot.uid_validity, url.uid);
    let is_there = || snapshot.message(to_store(url.uid)).is_some();
    let Source { key, content, tree } = match known.filter(|known| known.key == key && is_there()) {
        Some(known) => *known,
        None => match mailbox.read(to_store(url.uid)) {
            Ok(content) => Source { key, content, tree: None },
            Err(StoreError::Expunged | StoreError::NoSuchMailbox) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        },
    };
    let parts = Content::with_tree(content.as_ref(), tree);
    let Some(octets) = url.octets(&parts) else { return Ok(Found::Nothing) };
    if message.content.len() + octets.len() as u64 > most {
        return Ok(Found::Refused(Tagged::TOO_BIG));
    }
    if octets.contains(&0) {
        return Ok(Found::Refused(Tagged::HAS_NUL));
    }
    message.content.write(&octets)?;
    let tree = parts.into_tree();
    Ok(Found::Added(message, Box::new(Source { key, content, tree })))
}
