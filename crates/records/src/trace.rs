//! The trace: each step of each message, and the answer to "where is my mail?".

use std::time::Duration;

use kings_mail::id::TraceId;
use rusqlite::{Connection, ToSql, params_from_iter};

/// Most messages that one question finds, the latest ones.
const MAX_MESSAGES: usize = 200;
/// Most steps that one question finds.
const MAX_STEPS: usize = 20_000;
/// Most steps that are counted, the newest ones.
const MAX_COUNTED: usize = 100_000;
/// Longest text of one field that is kept, in octets: a reply of a server is bounded, its use here more so.
const MAX_TEXT: usize = 1_000;

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// We took it over: 250 was said.
    Received,
    /// What was thought of it, and why, before it was taken or refused.
    Judged,
    /// We did not take it, and said so.
    Refused,
    /// It is in the queue for this recipient.
    Queued,
    /// It is in the mailbox of this recipient.
    Stored,
    /// It was taken and thrown away, as an alias or a rule wants it; `reply` says why.
    Discarded,
    /// Another server took it over.
    Delivered,
    /// An attempt failed for now.
    Deferred,
    /// An attempt failed for good.
    Failed,
    /// A report of delivery, delay or failure is on its way to this recipient; `reply` holds its id.
    Reported,
    /// This message is such a report, written here; `reply` holds the id of the message that it is about.
    Reports,
    /// No report of it is sent to this recipient; `reply` says why.
    Withheld,
    /// An operator's order to the queue: `remote` says who gave it, `reply` what it was and why.
    Ordered,
}

impl Step {
    const ALL: [Self; 13] = [
        Self::Received,
        Self::Judged,
        Self::Refused,
        Self::Queued,
        Self::Stored,
        Self::Discarded,
        Self::Delivered,
        Self::Deferred,
        Self::Failed,
        Self::Reported,
        Self::Reports,
        Self::Withheld,
        Self::Ordered,
    ];

    /// The word that the file and JSON use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Judged => "judged",
            Self::Refused => "refused",
            Self::Queued => "queued",
            Self::Stored => "stored",
            Self::Discarded => "discarded",
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Reported => "reported",
            Self::Reports => "reports",
            Self::Withheld => "withheld",
            Self::Ordered => "ordered",
        }
    }
}

/// One step of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The message, or which of its entries in the queue; a refusal without one has a name of its own.
    pub id: TraceId,
    /// Time since 1970; set when it is noted.
    pub time: Duration,
    /// What happened.
    pub step: Step,
    /// The reverse-path; empty for `<>`.
    pub sender: Option<String>,
    /// The forward-path that the step is about.
    pub recipient: Option<String>,
    /// The Message-ID field.
    pub message_id: Option<String>,
    /// The client or server at the other side.
    pub remote: Option<String>,
    /// What was said: by us to a client, or by a server to us.
    pub reply: Option<String>,
}

impl Event {
    /// A step without details; fill in what is known.
    pub fn new(id: TraceId, step: Step) -> Self {
        Self {
            id,
            time: Duration::ZERO,
            step,
            sender: None,
            recipient: None,
            message_id: None,
            remote: None,
            reply: None,
        }
    }
}

/// Which messages are asked for: those that fit everything given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The reverse-path.
    pub sender: Option<String>,
    /// One of the forward-paths.
    pub recipient: Option<String>,
    /// The Message-ID field.
    pub message_id: Option<String>,
    /// The id of the final reply, the log and the queue; that of an entry stands for its whole message.
    pub id: Option<String>,
    /// Not before, since 1970.
    pub since: Option<Duration>,
    /// Not after, since 1970.
    pub until: Option<Duration>,
}

pub(crate) fn write(connection: &Connection, at: Duration, event: &Event) -> rusqlite::Result<()> {
    // The place is the time, or the next free number when two steps fall on one microsecond or the clock went back.
    let mut statement = connection.prepare_cached(
        "INSERT INTO trace VALUES (max(?1, (SELECT coalesce(max(place), 0) + 1 FROM trace)), ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX / 2);
    let Event { id, step, sender, recipient, message_id, remote, reply, .. } = event;
    let [sender, recipient, message_id, remote, reply] =
        [sender, recipient, message_id, remote, reply].map(|text| text.as_deref().map(bounded));
    statement.execute((micros, id.to_string(), step.word(), sender, recipient, message_id, remote, reply))?;
    Ok(())
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

pub(crate) fn prune(connection: &Connection, before: Duration) -> rusqlite::Result<()> {
    let micros = i64::try_from(before.as_micros()).unwrap_or(0);
    connection.execute("DELETE FROM trace WHERE place < ?1", [micros])?;
    Ok(())
}

/// The id of the message in the name of one of its entries, `ID-2`. There is an index of this very expression.
const MESSAGE: &str = "substr(id, 1, 15)";

/// The whole story of every message of which any step fits.
pub(crate) fn find(connection: &Connection, query: &Query) -> Result<Vec<Event>, crate::RecordsError> {
    let mut conditions = Vec::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let id = query.id.as_deref().map(|id| id.split_once('-').map_or(id, |(message, _)| message).to_owned());
    let texts = [
        ("sender", &query.sender),
        ("recipient", &query.recipient),
        ("message_id", &query.message_id),
        (MESSAGE, &id),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            values.push(Box::new(value.clone()));
            let place = values.len();
            conditions.push(format!("{MESSAGE} IN (SELECT {MESSAGE} FROM trace WHERE {column} = ?{place})"));
        }
    }
    for (operator, bound) in [(">=", query.since), ("<=", query.until)] {
        if let Some(bound) = bound {
            values.push(Box::new(i64::try_from(bound.as_micros()).unwrap_or(i64::MAX)));
            conditions.push(format!("place {operator} ?{}", values.len()));
        }
    }
    let which = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    let sql = format!(
        "SELECT id, place, step, sender, recipient, message_id, remote, reply FROM trace WHERE {MESSAGE} IN \
         (SELECT {MESSAGE} FROM trace WHERE {which} GROUP BY {MESSAGE} ORDER BY max(place) DESC LIMIT {MAX_MESSAGES}) \
         ORDER BY place LIMIT {MAX_STEPS}"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), event)?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// How many messages each step has happened to since then.
pub(crate) fn steps_since(
    connection: &Connection,
    since: Duration,
) -> Result<Vec<(String, u64)>, crate::RecordsError> {
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT step, count(DISTINCT {MESSAGE}) FROM (SELECT step, id FROM trace WHERE place >= ?1 ORDER BY place DESC LIMIT {MAX_COUNTED}) \
         GROUP BY step ORDER BY step"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([micros], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
}

/// `None` for a row that this version cannot read.
fn event(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Event>> {
    let (id, micros, word): (String, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let step = Step::ALL.into_iter().find(|step| step.word() == word);
    let (Some(id), Some(step)) = (TraceId::parse(&id), step) else { return Ok(None) };
    Ok(Some(Event {
        id,
        time: Duration::from_micros(micros),
        step,
        sender: row.get(3)?,
        recipient: row.get(4)?,
        message_id: row.get(5)?,
        remote: row.get(6)?,
        reply: row.get(7)?,
    }))
}
