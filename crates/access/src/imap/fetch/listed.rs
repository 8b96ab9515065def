//! FETCH of what lists of messages show: ENVELOPE, BODYSTRUCTURE, BODY and PREVIEW, from what was learnt of messages before.

use std::sync::Arc;

use kings_imap::Tagged;
use kings_imap::command::fetch::Item;
use kings_imap::fetch::{Facts, Segment, Source, render};
use kings_imap::learn::Listing;
use kings_store::{Mailbox, Sheet, StoreError};

use super::super::convert::to_store;
use super::super::learn::Learner;
use super::super::{Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

/// Messages with fewer octets in all are read: that is quicker than to open the index.
const FEW_OCTETS: u64 = 64 * 1024;
/// Octets of responses made ahead.
const AHEAD: usize = 1024 * 1024;

/// Sends what lists show of the messages of one mailbox, for one command.
pub(super) struct Lister {
    mailbox: Mailbox,
    items: Arc<[Item]>,
    is_small: bool,
    /// What is not known may stay so: it is only for previews that need not come.
    is_lazy: bool,
    learner: Option<Learner>,
}

/// Responses that are ready.
struct Batch {
    learner: Learner,
    text: Vec<u8>,
    /// How many of the messages asked for were dealt with, found or not.
    done: usize,
    /// Why the last of them could not be read; `Expunged` for one that is gone.
    failure: Option<StoreError>,
}

impl Lister {
    /// For messages of so many octets in all; lazy, where none of them is to be read unless that is quick.
    pub(super) fn new(mailbox: &Mailbox, items: &Arc<[Item]>, (octets, is_lazy): (u64, bool)) -> Self {
        let (mailbox, items) = (mailbox.clone(), Arc::clone(items));
        Self { mailbox, items, is_small: octets < FEW_OCTETS, is_lazy, learner: None }
    }

    /// One message that fails does not stop the others.
    pub(super) async fn send<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        mut facts: Vec<Facts>,
    ) -> Result<Option<Tagged>, Trouble> {
        let mut result = None;
        while !facts.is_empty() {
            let (mailbox, items, learner) =
                (self.mailbox.clone(), Arc::clone(&self.items), self.learner.take());
            let (is_small, is_lazy) = (self.is_small, self.is_lazy && !self.is_small);
            let (batch, left) = blocking(move || {
                let learner = learner.unwrap_or_else(|| {
                    if is_small { Learner::without_memory(&mailbox) } else { Learner::new(&mailbox) }
                });
                let batch = list(learner, (&items, is_lazy), &facts);
                let left = facts.split_off(batch.done);
                Ok((batch, left))
            })
            .await?;
            facts = left;
            self.learner = Some(batch.learner);
            wire.session.write_rendered(&batch.text);
            wire.relieve().await?;
            if let Some(error) = batch.failure {
                result = Some(super::failed(error)?);
            }
        }
        Ok(result)
    }
}

/// Blocking: renders until there is enough or a message fails.
fn list(mut learner: Learner, (items, is_lazy): (&[Item], bool), facts: &[Facts]) -> Batch {
    let uids: Vec<_> = facts.iter().map(|facts| to_store(facts.uid)).collect();
    let mut sheets: Vec<Option<Vec<u8>>> = vec![None; uids.len()];
    learner.recall(Sheet::Listing, &uids, |place, sheet| sheets[place] = Some(sheet.to_vec()));
    let (mut text, mut done, mut failure) = (Vec::new(), 0, None);
    for ((facts, uid), known) in facts.iter().zip(uids).zip(sheets) {
        done += 1;
        let sheet = match known.filter(|sheet| Listing::unpack(sheet).is_some()) {
            Some(sheet) => Ok(sheet),
            None if is_lazy => Ok(Vec::new()),
            None => learner.read(Sheet::Listing, uid),
        };
        let sheet = match sheet {
            Ok(sheet) => sheet,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        let source = match Listing::unpack(&sheet) {
            Some(listing) => Source::Listing(listing),
            None if is_lazy => Source::Nothing,
            None => continue,
        };
        for segment in render(items, facts, source) {
            if let Segment::Text(piece) = segment {
                text.extend(piece);
            }
        }
        if text.len() >= AHEAD {
            break;
        }
    }
    Batch { learner, text, done, failure }
}
