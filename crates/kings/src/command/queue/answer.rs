//! Answers about the queue: given by the server, or by the command itself while no server runs.

use std::collections::BTreeSet;
use std::time::Duration;

use kings_mail::id::TraceId;
use kings_mail::report::{EnvelopeId, OriginalRecipient};
use kings_queue::{DamagedEntry, Details, Filter, ListedEntry, OrderError, Queue, RecipientState};
use kings_records::{Event, Records, Step};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::control::{Answer, Caller, Order, Request, Selection};

/// An entry is in the runner's hands for the blink of a write, or for as long as a server takes: only the first is
/// waited for.
const MOMENT: Duration = Duration::from_millis(100);
const MOMENTS: usize = 20;

/// How many entries are changed at the same time: they share the syncs of the disk.
const AT_ONCE: usize = 64;

/// Most entries of one order for everything that get a line in the trace; a million of them would bury the rest.
const MOST_TOLD: usize = 10_000;

/// What questions and orders are about, and who has them.
pub(crate) struct Desk<'a> {
    pub(crate) queue: &'a Queue,
    /// Where it is noted who ordered what.
    pub(crate) records: &'a Records,
    pub(crate) caller: Caller,
}

/// What came of an order for several entries.
#[derive(Default)]
struct Outcome {
    done: usize,
    /// Those that their senders want to wait.
    wanted: usize,
    refused: Vec<(TraceId, OrderError)>,
}

/// What is to be done, and why, where somebody says so.
struct Wish {
    order: Order,
    why: Option<String>,
}

/// One page, one entry, or what came of one step of an order. The forms stand in docs/cli.md.
pub(crate) async fn answer(desk: Desk<'_>, request: Request) -> Answer {
    let queue = desk.queue;
    match request {
        Request::Status
        | Request::Condition
        | Request::ScoreLetter { .. }
        | Request::SelfTest { .. }
        | Request::Reload
        | Request::ReportSend { .. }
        | Request::CertificateList
        | Request::CertificateRenew { .. } => Err("not a question about the queue".to_owned()),
        Request::QueueList { selection, after } => list(queue, selection, cursor(after)?).await,
        Request::QueueShow { id } => {
            let mut entries = entries_of(queue, &id).into_iter();
            let details = match entries.next() {
                Some(first) => queue.details(first).await,
                None => None,
            };
            let mut entry = details.map(|details| details_json(&details)).ok_or_else(|| unknown(&id))?;
            entry["further_entries"] = entries.map(|entry| entry.to_string()).collect();
            Ok(entry)
        }
        Request::QueueOrder { order, id: Some(id), why, .. } => desk.one(Wish { order, why }, &id).await,
        Request::QueueOrder { order: order @ Order::Retry, id: None, selection, after: None, why }
            if selection == Selection::default() && queue.is_scanned() && queue.is_running() =>
        {
            desk.everything(Wish { order, why }).await
        }
        Request::QueueOrder { order, id: None, selection, after, why } => {
            desk.some(Wish { order, why }, selection, cursor(after)?).await
        }
    }
}

/// The entries that an id means: that of a message means all of them.
fn entries_of(queue: &Queue, id: &str) -> Vec<TraceId> {
    TraceId::parse(id).map(|id| queue.entries_of(id)).unwrap_or_default()
}

fn cursor(after: Option<String>) -> Result<Option<TraceId>, String> {
    after.map(|id| TraceId::parse(&id).ok_or_else(|| unknown(&id))).transpose()
}

fn unknown(id: &str) -> String {
    format!("the queue holds no entry {id}; the list of all: kings queue list")
}

fn filter(selection: Selection) -> Filter {
    let Selection { sender, recipient, id, reason, state, older } = selection;
    let state = state.as_deref().and_then(RecipientState::parse);
    Filter { sender, recipient, id, reason, state, older: older.map(Duration::from_secs) }
}

async fn list(queue: &Queue, selection: Selection, after: Option<TraceId>) -> Answer {
    let page = queue.page(filter(selection), after).await;
    let mut damaged = page.damaged;
    if page.next.is_none() {
        damaged.extend(queue.damaged().await.map_err(|error| error.to_string())?);
    }
    let items: Vec<Value> = page.entries.iter().map(entry_json).collect();
    let damaged: Vec<Value> = damaged.iter().map(damaged_json).collect();
    let next = page.next.map(|id| id.to_string());
    Ok(
        json!({ "schema": 1, "items": items, "damaged": damaged, "next": next, "complete": queue.is_scanned() }),
    )
}

impl Desk<'_> {
    /// The order for what one id means.
    async fn one(&self, wish: Wish, id: &str) -> Answer {
        let entries = entries_of(self.queue, id);
        if entries.is_empty() {
            return Err(unknown(id));
        }
        let (mut done, mut refused) = (0, Vec::new());
        for entry in entries {
            match self.patiently(entry, &wish).await {
                Ok(()) => done += 1,
                Err(OrderError::Unknown) => {}
                Err(error @ (OrderError::Held | OrderError::Wanted { .. } | OrderError::Failed(_))) => {
                    return Err(format!("{entry}: {error}"));
                }
                Err(error @ OrderError::Busy) => refused.push(refusal((entry, error))),
            }
        }
        if done == 0 && refused.is_empty() {
            return Err(unknown(id));
        }
        Ok(json!({ "schema": 1, "done": done, "refused": refused, "next": null }))
    }

    async fn patiently(&self, entry: TraceId, wish: &Wish) -> Result<(), OrderError> {
        for _ in 0..MOMENTS {
            match self.carry_out(entry, wish).await {
                Err(OrderError::Busy) => sleep(MOMENT).await,
                result => return result,
            }
        }
        self.carry_out(entry, wish).await
    }

    /// The order for one page of what the selection lets through.
    async fn some(&self, wish: Wish, selection: Selection, after: Option<TraceId>) -> Answer {
        // Those behind the first of very many get no line: as for a server that runs.
        let is_for_all = wish.order == Order::Retry && selection == Selection::default();
        let told = !(is_for_all && self.queue.has_before(after, MOST_TOLD));
        let page = self.queue.page(filter(selection), after).await;
        let ids: Vec<TraceId> = page.entries.iter().map(|entry| entry.id).collect();
        let found = ids.len();
        let mut step = self.each((&wish, told), ids).await;
        if !step.refused.is_empty() {
            sleep(MOMENT).await;
            let again = self.each((&wish, told), step.refused.into_iter().map(|(id, _)| id).collect()).await;
            step = Outcome {
                done: step.done + again.done,
                wanted: step.wanted + again.wanted,
                refused: again.refused,
            };
        }
        let Outcome { done, wanted, refused } = step;
        let refused: Vec<Value> = refused.into_iter().map(refusal).collect();
        let next = page.next.map(|id| id.to_string());
        Ok(json!({
            "schema": 1, "found": found, "done": done, "held_by_sender": wanted, "refused": refused, "next": next
        }))
    }

    /// For how many of these the order was carried out, and why for the others it was not.
    async fn each(&self, (wish, told): (&Wish, bool), ids: Vec<TraceId>) -> Outcome {
        let mut outcome = Outcome::default();
        for some in ids.chunks(AT_ONCE) {
            let mut orders = JoinSet::new();
            for &id in some {
                let (queue, order) = (self.queue.clone(), wish.order.into());
                orders.spawn(async move { (id, queue.order(id, order).await) });
            }
            let mut results = orders.join_all().await;
            results.sort_unstable_by_key(|&(id, _)| id);
            for (id, result) in results {
                match result {
                    Ok(()) => {
                        outcome.done += 1;
                        if told {
                            self.note(id, wish);
                        }
                    }
                    // It has left since the page was read, or waits for its release as somebody wants.
                    Err(OrderError::Unknown | OrderError::Held) => {}
                    Err(OrderError::Wanted { .. }) => outcome.wanted += 1,
                    Err(error @ (OrderError::Busy | OrderError::Failed(_))) => {
                        outcome.refused.push((id, error));
                    }
                }
            }
        }
        outcome
    }

    /// All that waits is tried, however much that is: very many are not opened for it.
    async fn everything(&self, wish: Wish) -> Answer {
        // A damaged entry that somebody has mended is back.
        self.queue.look_again().await.map_err(|error| format!("cannot read the queue: {error}"))?;
        // Which of very many their senders want to wait is seen when each is tried.
        let wanted = if self.queue.len() > MOST_TOLD { None } else { Some(self.queue.wanted().await) };
        let Some(forced) = self.queue.retry_all(wanted.as_ref().unwrap_or(&BTreeSet::new())) else {
            // It has just been stopped.
            return self.some(wish, Selection::default(), None).await;
        };
        for entry in forced.iter().take(MOST_TOLD) {
            self.note(*entry, &wish);
        }
        let wanted = wanted.map(|wanted| wanted.len());
        Ok(
            json!({ "schema": 1, "done": forced.len(), "held_by_sender": wanted, "refused": [], "next": null }),
        )
    }

    /// The order for one entry, and a line about it in the trace.
    async fn carry_out(&self, entry: TraceId, wish: &Wish) -> Result<(), OrderError> {
        self.queue.order(entry, wish.order.into()).await?;
        self.note(entry, wish);
        Ok(())
    }

    fn note(&self, entry: TraceId, Wish { order, why }: &Wish) {
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        self.records.trace(Event {
            remote: Some(self.caller.to_string()),
            reply: Some(format!("{}{why}", order.word())),
            ..Event::new(entry, Step::Ordered)
        });
    }
}

fn refusal((id, error): (TraceId, OrderError)) -> Value {
    json!({ "id": id.to_string(), "reason": error.to_string() })
}

impl From<Order> for kings_queue::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::Retry => Self::Retry,
            Order::Hold => Self::Hold,
            Order::Release => Self::Release,
            Order::Drop => Self::Drop,
            Order::Bounce => Self::Bounce,
        }
    }
}

fn entry_json(entry: &ListedEntry) -> Value {
    let recipient = |recipient: &kings_queue::ListedRecipient| {
        json!({
            "forward_path": recipient.forward_path.to_string(),
            "state": recipient.state.as_str(),
            "attempts": recipient.attempts,
            "next_attempt": recipient.next_attempt.map(|date| date.to_string()),
            "last_reply": recipient.last_reply,
        })
    };
    json!({
        "id": entry.id.to_string(),
        "reverse_path": entry.reverse_path.to_string(),
        "bytes": entry.bytes,
        "arrived": entry.arrived.to_string(),
        "held_until": entry.wanted_until.map(|date| date.to_string()),
        "filter": entry.filter,
        "active": entry.is_active,
        "recipients": entry.recipients.iter().map(recipient).collect::<Vec<_>>(),
    })
}

fn damaged_json(entry: &DamagedEntry) -> Value {
    let DamagedEntry { name, reason, set_aside } = entry;
    let advice = if *set_aside {
        format!(
            "look at queue/damaged/{name} in data_dir; delete it, or move it to queue/entries once it is mended, and have it tried \
             with  kings queue flush"
        )
    } else {
        "it stays where it is and is not tried".to_owned()
    };
    json!({ "name": name, "reason": reason, "advice": advice })
}

fn details_json(details: &Details) -> Value {
    let mut entry = entry_json(&details.entry);
    entry["schema"] = 1.into();
    let parameters = &details.parameters;
    entry["envelope_id"] = parameters.envelope_id.as_ref().map(EnvelopeId::decoded).into();
    entry["ret"] = parameters.ret.map(|ret| ret.to_string()).into();
    entry["require_tls"] = parameters.require_tls.into();
    entry["smtputf8"] = parameters.smtputf8.into();
    for (place, recipient) in details.recipients.iter().enumerate() {
        entry["recipients"][place]["notify"] =
            Some(recipient.notify.to_string()).filter(|notify| !notify.is_empty()).into();
        entry["recipients"][place]["original"] =
            recipient.original.as_ref().map(OriginalRecipient::decoded).into();
    }
    let happening = |happening: &kings_queue::Happening| {
        let report = happening.report.as_ref();
        json!({
            "at": happening.at.to_string(),
            "forward_path": happening.forward_path.to_string(),
            "event": happening.event,
            "status": report.map(|report| report.status.to_string()),
            "remote": report.and_then(|report| report.remote.clone()),
            "reply": report.map(|report| report.reply.clone()),
            "next_attempt": happening.next_attempt.map(|date| date.to_string()),
        })
    };
    entry["history"] = details.history.iter().map(happening).collect::<Vec<_>>().into();
    entry["header"] = String::from_utf8_lossy(&details.header).into();
    entry
}
