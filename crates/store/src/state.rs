//! What is known of an open mailbox: its uidlist, its files, its keywords.

use std::collections::HashMap;
use std::io;

use crate::dir::Stamp;
use crate::folder::Folder;
use crate::heard::Own;
use crate::history::History;
use crate::keywords::Keywords;
use crate::list_file::OnDisk;
use crate::maildir;
use crate::message::Uid;
use crate::roster::{Infos, Member};
use crate::scan::{Measured, Pass, Place, Stamps};
use crate::uidlist::{Entry, Header, MAX_UID, Parsed};

/// What is known of a mailbox beside its snapshot.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The first line of the list; UIDVALIDITY 0 before the first look.
    pub(crate) header: Header,
    /// By rising UID.
    pub(crate) members: Vec<Member>,
    /// Extensions of lines whose UIDs were lost, by base, for when their files get new ones.
    pub(crate) orphaned: HashMap<Box<[u8]>, Box<[u8]>>,
    /// The list as last read or written; `None` when it must be written whole.
    pub(crate) on_disk: Option<OnDisk>,
    /// The list on disk lacks something known here.
    pub(crate) rewrite: bool,
    pub(crate) keywords: Keywords,
    pub(crate) keywords_stamp: Option<Stamp>,
    /// The folders' stamps at a look that proved to be complete.
    looked: Option<Stamps>,
    /// What was done here since then.
    pub(crate) own: Own,
    pub(crate) ignored: usize,
    pub(crate) history: History,
}

/// Sizes and dates by base.
pub(crate) type Measurements = HashMap<Box<[u8]>, Measured>;

impl State {
    /// Of a mailbox that nobody has looked at yet.
    pub(crate) fn new(own: Own) -> Self {
        Self { own, ..Self::default() }
    }

    /// The message of this UID.
    pub(crate) fn member(&self, uid: Uid) -> Option<&Member> {
        let place = self.members.binary_search_by_key(&uid.get(), |member| member.entry.uid).ok()?;
        self.members.get(place)
    }

    /// As [`member`](Self::member), to be changed.
    pub(crate) fn member_mut(&mut self, uid: Uid) -> Option<&mut Member> {
        let place = self.members.binary_search_by_key(&uid.get(), |member| member.entry.uid).ok()?;
        self.members.get_mut(place)
    }

    /// The UIDs of messages whose files stand in `place`.
    pub(crate) fn uids_in(&self, place: Place) -> Vec<Uid> {
        self.uids_where(|member| member.file.as_ref().is_some_and(|file| file.place == place))
    }

    /// The UIDs of members that `wanted` picks.
    pub(crate) fn uids_where(&self, wanted: impl Fn(&Member) -> bool) -> Vec<Uid> {
        self.members.iter().filter(|member| wanted(member)).filter_map(|m| Uid::new(m.entry.uid)).collect()
    }

    /// Letters without regard to which keyword they stand for.
    pub(crate) fn letters_in_use(&self) -> u32 {
        let files = self.members.iter().filter_map(|member| member.file.as_ref());
        files.fold(0, |letters, file| letters | maildir::letters(&file.info).keywords)
    }

    /// Whether that many UIDs are left.
    pub(crate) fn has_uids_for(&self, count: usize) -> bool {
        let end = u32::try_from(count).ok().and_then(|count| self.header.next.checked_add(count));
        end.is_some_and(|end| end <= MAX_UID)
    }

    /// Notes where each member's file is after a reading of the folders.
    pub(crate) fn place(&mut self, pass: &Pass, files: &[Option<usize>]) {
        let mut infos = Infos::default();
        for (member, file) in self.members.iter_mut().zip(files) {
            match file {
                Some(number) => infos.note(&mut member.file, &pass.seen[*number]),
                None => member.file = None,
            }
        }
        if pass.ignored > self.ignored {
            tracing::warn!(entries = pass.ignored, "entries in a mailbox folder that are no messages");
        }
        self.ignored = pass.ignored;
        self.looked = pass.lasting.then_some(pass.stamps);
        self.own.has_read();
    }

    /// Whether the folders were read, and their stamps prove that nothing has happened since.
    pub(crate) fn has_looked_at(&self, folder: &Folder) -> io::Result<bool> {
        Ok(self.looked.is_some() && self.looked == Some(Stamps::of(folder)?))
    }

    /// The folders must be read before they are known again.
    pub(crate) fn must_look(&mut self) {
        self.looked = None;
        self.own.is_lost();
    }

    /// What an earlier list told of a file, as a line without a UID.
    pub(crate) fn orphan(&self, base: &[u8]) -> Option<Entry> {
        let extensions = self.orphaned.get(base)?.clone();
        Some(Entry { uid: 0, extensions: Some(extensions), base: base.into() })
    }

    /// Keeps what a line tells beside its UID.
    pub(crate) fn remember(&mut self, entry: Entry) {
        if let Some(extensions) = entry.extensions {
            self.orphaned.insert(entry.base, extensions);
        }
    }

    /// Keeps what a damaged list still tells beside UIDs: the mailbox's GUID, unknown fields, extensions.
    pub(crate) fn inherit(&mut self, parsed: Parsed) {
        self.header.guid = self.header.guid.take().or(parsed.header.guid);
        if self.header.further.is_empty() {
            self.header.further = parsed.header.further;
        }
        for entry in parsed.entries {
            self.remember(entry);
        }
    }
}
