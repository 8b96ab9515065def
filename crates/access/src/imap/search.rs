//! SEARCH (RFC 3501 §6.4.4): what is known of the messages first, then those that must be read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kings_imap::search::{Facts, Program, Search};
use kings_imap::{Response, Tagged};
use kings_mail::date::DateTime;
use kings_store::{Mailbox, Snapshot, StoreError};

use super::convert::{flag_names, to_store};
use super::selected::Wanted;
use super::{Client, Trouble};
use crate::blocking::blocking;
use crate::connection::Wire;
use crate::socket::Link;

/// Longest a search may work in all; a mailbox that needs more wants an index.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time after which a search lets others have its thread.
const SLICE: Duration = Duration::from_millis(200);

/// A search under way; it moves to a blocking thread and back.
struct Work {
    mailbox: Mailbox,
    snapshot: Arc<Snapshot>,
    program: Program,
    /// Every message of the view, and which are `\Recent`.
    messages: Vec<(Wanted, bool)>,
    next: usize,
    found: Vec<Wanted>,
}

impl Client {
    pub(super) async fn search<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        search: Search,
    ) -> Result<Tagged, Trouble> {
        let Some(key) = search.key else { return Err(Trouble::Refused(Tagged::BAD_CHARSET)) };
        let selected = self.selected()?;
        let view = &selected.view;
        let messages: Vec<_> = view.iter().map(|wanted| (wanted, view.is_recent(wanted.1))).collect();
        let last = messages.last().map(|(wanted, _)| *wanted);
        let program = Program::new(key, last.map(|(number, _)| number.0), last.map(|(_, uid)| uid.0));
        let (mailbox, snapshot) = (selected.mailbox.clone(), selected.mailbox.snapshot());
        let mut work = Work { mailbox, snapshot, program, messages, next: 0, found: Vec::new() };
        let began = Instant::now();
        while work.next < work.messages.len() {
            if began.elapsed() > PATIENCE {
                return Err(Trouble::Refused(Tagged::SEARCH_LIMIT));
            }
            work = blocking(move || work.slice()).await?;
        }
        let numbers = work.found.into_iter().map(|(number, uid)| if search.uid { uid.0 } else { number.0 });
        wire.respond(&Response::Search(numbers.map(std::num::NonZeroU32::get).collect())).await?;
        Ok(Tagged::DONE)
    }
}

impl Work {
    /// Goes on for a while.
    fn slice(mut self) -> Result<Self, StoreError> {
        let began = Instant::now();
        while let Some((wanted, recent)) = self.messages.get(self.next).copied()
            && began.elapsed() < SLICE
        {
            if self.matches(wanted, recent)? {
                self.found.push(wanted);
            }
            self.next += 1;
        }
        Ok(self)
    }

    /// A message that is gone matches nothing.
    fn matches(&self, (number, uid): Wanted, recent: bool) -> Result<bool, StoreError> {
        let Some(message) = self.snapshot.message(to_store(uid)) else { return Ok(false) };
        let flags = flag_names(&message.flags);
        let arrived = DateTime::from_unix(message.internal_date).day();
        let facts = Facts { number, uid, flags: &flags, recent, arrived, size: message.size };
        if let Some(verdict) = self.program.quick(&facts) {
            return Ok(verdict);
        }
        match self.mailbox.read(message.uid) {
            Ok(content) => Ok(self.program.full(&facts, content.as_ref())),
            Err(StoreError::Expunged | StoreError::TooLarge) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
