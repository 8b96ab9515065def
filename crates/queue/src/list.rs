//! The queue as an operator sees it: pages of entries, and all there is to know of one.

use std::io;
use std::time::{Duration, Instant};

use kings_mail::date::DateTime;
use kings_mail::envelope::{self, MailParameters};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};

use crate::clock::Moment;
use crate::deliver::Report;
use crate::entry::Entry;
use crate::notification::{MAX_RETURNED_HEADER, date};
use crate::queue::Queue;
use crate::recipient::{Recipient, RecipientState};
use crate::record::{Fact, Record};
use crate::spool::{LoadError, Name};

/// Most entries looked at for one page: each is a file that is opened, and nobody waits long for a page.
const PAGE: usize = 500;

/// How long apart an entry is looked for whose file just got another name, and until when, counted from the beginning
/// of the page: on a busy machine whoever renames may be interrupted between the file and the timetable.
const LOOK: Duration = Duration::from_millis(1);
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Which entries are meant; nothing said means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the reverse-path in any case; `<>` for messages without a sender.
    pub sender: Option<String>,
    /// Part of a forward-path in any case.
    pub recipient: Option<String>,
    /// The beginning of the id; a whole one finds all entries of its message.
    pub id: Option<String>,
    /// Part of the last reply for a recipient, in any case.
    pub reason: Option<String>,
    /// How a recipient stands.
    pub state: Option<RecipientState>,
    /// Taken in longer ago than this.
    pub older: Option<Duration>,
}

/// Some of the entries, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Those that the filter lets through.
    pub entries: Vec<ListedEntry>,
    /// What cannot be read, whatever the filter says. None of it is tried.
    pub damaged: Vec<DamagedEntry>,
    /// From where to ask on; `None` at the end.
    pub next: Option<TraceId>,
}

/// An entry as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// The name of the message here.
    pub id: TraceId,
    /// Where its failures are reported.
    pub reverse_path: ReversePath,
    /// Length of the content in octets.
    pub bytes: u64,
    /// When it was taken in.
    pub arrived: DateTime,
    /// Until when its sender wants it to wait (RFC 4865), while it does.
    pub wanted_until: Option<DateTime>,
    /// The filter that it has to go through before its recipients.
    pub filter: Option<String>,
    /// It is being tried, or stands in line for it.
    pub is_active: bool,
    /// All its recipients, settled ones too.
    pub recipients: Vec<ListedRecipient>,
}

/// A recipient as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRecipient {
    /// Who it is for.
    pub forward_path: ForwardPath,
    /// How far it is.
    pub state: RecipientState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; `None` while it is held and once it is settled.
    pub next_attempt: Option<DateTime>,
    /// What was said last.
    pub last_reply: Option<String>,
}

/// A file that is no readable entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedEntry {
    /// What it is called: the id it had, and more.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
    /// Whether it lies apart, so that nothing looks at it any more.
    pub set_aside: bool,
}

/// All there is to know of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What lists show.
    pub entry: ListedEntry,
    /// What MAIL said.
    pub parameters: MailParameters,
    /// What each RCPT said, in the order of the listed recipients.
    pub recipients: Vec<envelope::Recipient>,
    /// What happened, oldest first.
    pub history: Vec<Happening>,
    /// The beginning of the content, up to the end of its header, at most 32 KB.
    pub header: Vec<u8>,
}

/// Something that happened to a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: DateTime,
    /// To whom.
    pub forward_path: ForwardPath,
    /// What: the word that stands in the file.
    pub event: &'static str,
    /// What was said, and by whom.
    pub report: Option<Report>,
    /// When it was to be tried next.
    pub next_attempt: Option<DateTime>,
}

impl Filter {
    /// Whether every entry passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn admits(&self, entry: &ListedEntry, now: u64) -> bool {
        let older = |limit: Duration| {
            let arrived = u64::try_from(entry.arrived.unix()).unwrap_or(0);
            now.saturating_sub(arrived) > limit.as_secs()
        };
        let recipient = |r: &ListedRecipient| {
            contains(self.recipient.as_deref(), &r.forward_path.to_string())
                && contains(self.reason.as_deref(), r.last_reply.as_deref().unwrap_or_default())
                && self.state.is_none_or(|state| r.state == state)
        };
        self.id.as_ref().is_none_or(|id| entry.id.to_string().starts_with(id.as_str()))
            && contains(self.sender.as_deref(), &entry.reverse_path.to_string())
            && self.older.is_none_or(older)
            && entry.recipients.iter().any(recipient)
    }
}

fn contains(wanted: Option<&str>, text: &str) -> bool {
    wanted.is_none_or(|wanted| text.to_lowercase().contains(&wanted.to_lowercase()))
}

impl Queue {
    /// The next page behind `after`. Each entry is opened, so a page looks at 500 of them at most: it may
    /// be empty and yet not the last.
    pub async fn page(&self, filter: Filter, after: Option<TraceId>) -> Page {
        self.on_disk(move |queue| queue.read_page(&filter, after)).await
    }

    fn read_page(&self, filter: &Filter, after: Option<TraceId>) -> Page {
        let names = self.timetable().names_after(after, PAGE);
        let (now, until) = (self.clock().now(), Instant::now() + PATIENCE);
        let mut page = Page {
            next: names.last().filter(|_| names.len() == PAGE).map(|name| name.id),
            ..Page::default()
        };
        for name in names {
            match self.load_renamed(name, until, |name| self.spool().load(name)) {
                Ok(entry) => page
                    .entries
                    .extend(Some(self.listed(&entry, now)).filter(|entry| filter.admits(entry, now.wall))),
                Err(LoadError::Gone) => {}
                Err(error) => page.damaged.push(DamagedEntry {
                    name: name.to_string(),
                    reason: error.to_string(),
                    set_aside: false,
                }),
            }
        }
        page
    }

    /// The entries that an id means: the one that has it, or all of the message where it is that of the message.
    pub fn entries_of(&self, id: TraceId) -> Vec<TraceId> {
        let entries = self.timetable().entries_of(id);
        entries.into_iter().filter(|&entry| !id.is_further() || entry == id).collect()
    }

    /// Whether so many entries came before the page behind `after`.
    pub fn has_before(&self, after: Option<TraceId>, count: usize) -> bool {
        after.is_some_and(|id| self.timetable().has_up_to(id, count))
    }

    /// What was set aside because it cannot be read, and why.
    pub async fn damaged(&self) -> io::Result<Vec<DamagedEntry>> {
        let aside = |(name, reason): (String, LoadError)| DamagedEntry {
            name,
            reason: reason.to_string(),
            set_aside: true,
        };
        self.on_disk(move |queue| Ok(queue.spool().damaged()?.into_iter().map(aside).collect())).await
    }

    /// How many entries were set aside because they cannot be read.
    pub async fn count_damaged(&self) -> io::Result<usize> {
        self.on_disk(|queue| queue.spool().count_damaged()).await
    }

    /// All there is to know of an entry; `None` if there is none of this id, or it cannot be read.
    pub async fn details(&self, id: TraceId) -> Option<Details> {
        self.on_disk(move |queue| {
            let name = queue.timetable().name(id)?;
            let until = Instant::now() + PATIENCE;
            let load = |name| queue.spool().load_history(name);
            let (entry, records) = queue.load_renamed(name, until, load).ok()?;
            let name = queue.timetable().name(id)?;
            let beginning =
                queue.spool().beginning(name, entry.content, MAX_RETURNED_HEADER).unwrap_or_default();
            let end = beginning
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .map_or(beginning.len(), |end| end + 2);
            Some(Details {
                entry: queue.listed(&entry, queue.clock().now()),
                parameters: entry.parameters.clone(),
                recipients: entry.recipients.iter().map(|recipient| recipient.addressed.clone()).collect(),
                history: records.iter().filter_map(|record| Happening::new(&entry, record)).collect(),
                header: beginning[..end].to_vec(),
            })
        })
        .await
    }

    /// Loads an entry that may get another name just now; it is gone when the timetable says so too.
    pub(crate) fn load_renamed<T>(
        &self,
        name: Name,
        until: Instant,
        load: impl Fn(Name) -> Result<T, LoadError>,
    ) -> Result<T, LoadError> {
        let mut result = load(name);
        while matches!(result, Err(LoadError::Gone)) && Instant::now() < until {
            std::thread::sleep(LOOK);
            result = load(self.timetable().name(name.id).ok_or(LoadError::Gone)?);
        }
        result
    }
}

impl Queue {
    fn listed(&self, entry: &Entry, now: Moment) -> ListedEntry {
        let recipient = |recipient: &Recipient| ListedRecipient {
            forward_path: recipient.path().clone(),
            state: recipient.state(),
            attempts: recipient.attempts,
            next_attempt: recipient.next().map(date),
            last_reply: recipient.last.as_ref().map(|(_, report)| report.reply.clone()),
        };
        ListedEntry {
            id: entry.id,
            reverse_path: entry.reverse_path.clone(),
            bytes: entry.content.length,
            arrived: date(entry.arrived),
            wanted_until: (!entry.is_released(now)).then(|| date(entry.appointed())),
            filter: entry.parameters.filter.as_deref().map(str::to_owned),
            is_active: self.timetable().is_active(entry.id),
            recipients: entry.recipients.iter().map(recipient).collect(),
        }
    }
}

impl Happening {
    fn new(entry: &Entry, record: &Record) -> Option<Self> {
        let (report, next) = match &record.fact {
            Fact::Delivered(_, report) | Fact::Failed(report) => (Some(report), None),
            Fact::Deferred { report, next } => (Some(report), Some(*next)),
            Fact::Released { next } => (None, Some(*next)),
            Fact::Held(why) => (why.as_ref(), None),
            Fact::Reported | Fact::Warned => (None, None),
        };
        Some(Self {
            at: date(record.at),
            forward_path: entry.recipients.get(record.recipient)?.path().clone(),
            event: record.fact.word(),
            report: report.cloned(),
            next_attempt: next.map(date),
        })
    }
}
