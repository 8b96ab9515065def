//! Answers about the queue: given by the server, or by the command itself while no server runs.

use std::time::Duration;

use kings_mail::id::TraceId;
use kings_mail::report::{EnvelopeId, OriginalRecipient};
use kings_queue::{DamagedEntry, Details, Filter, ListedEntry, OrderError, Queue, RecipientState};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::control::{Answer, Order, Request, Selection};

/// An entry is in the runner's hands for the blink of a write, or for as long as a server takes: only the first is
/// waited for.
const MOMENT: Duration = Duration::from_millis(100);
const MOMENTS: usize = 20;

/// One page, one entry, or what came of one step of an order. The forms stand in docs/cli.md.
pub(crate) async fn answer(queue: &Queue, request: Request) -> Answer {
    match request {
        Request::Status | Request::ReportSend { .. } => Err("not a question about the queue".to_owned()),
        Request::QueueList { selection, after } => list(queue, selection, cursor(after)?).await,
        Request::QueueShow { id } => {
            let details = match TraceId::parse(&id) {
                Some(id) => queue.details(id).await,
                None => None,
            };
            details.map(|details| details_json(&details)).ok_or_else(|| unknown(&id))
        }
        Request::QueueOrder { order, id: Some(id), .. } => one(queue, order, &id).await,
        Request::QueueOrder { order: Order::Retry, id: None, selection, after: None }
            if selection == Selection::default() && queue.is_scanned() =>
        {
            Ok(json!({ "schema": 1, "done": queue.retry_all(), "refused": [], "next": null }))
        }
        Request::QueueOrder { order, id: None, selection, after } => {
            some(queue, order, selection, cursor(after)?).await
        }
    }
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

async fn one(queue: &Queue, order: Order, id: &str) -> Answer {
    let parsed = TraceId::parse(id).ok_or_else(|| unknown(id))?;
    let mut result = queue.order(parsed, order.into()).await;
    for _ in 0..MOMENTS {
        if !matches!(result, Err(OrderError::Busy)) {
            break;
        }
        sleep(MOMENT).await;
        result = queue.order(parsed, order.into()).await;
    }
    let refused = match result {
        Ok(()) => Vec::new(),
        Err(OrderError::Unknown) => return Err(unknown(id)),
        Err(error @ (OrderError::Held | OrderError::Failed(_))) => return Err(format!("{id}: {error}")),
        Err(error @ OrderError::Busy) => vec![json!({ "id": id, "reason": error.to_string() })],
    };
    Ok(json!({ "schema": 1, "done": 1 - refused.len(), "refused": refused, "next": null }))
}

/// The order for one page of what the selection lets through.
async fn some(queue: &Queue, order: Order, selection: Selection, after: Option<TraceId>) -> Answer {
    let page = queue.page(filter(selection), after).await;
    let ids: Vec<TraceId> = page.entries.iter().map(|entry| entry.id).collect();
    let (mut done, busy) = each(queue, order, ids).await;
    let mut refused = Vec::new();
    if !busy.is_empty() {
        sleep(MOMENT).await;
        let again = each(queue, order, busy.into_iter().map(|(id, _)| id).collect()).await;
        done += again.0;
        let reason =
            |(id, error): (TraceId, OrderError)| json!({ "id": id.to_string(), "reason": error.to_string() });
        refused = again.1.into_iter().map(reason).collect();
    }
    let next = page.next.map(|id| id.to_string());
    Ok(json!({ "schema": 1, "done": done, "refused": refused, "next": next }))
}

/// How many of these the order was carried out for, and why for the others it was not.
async fn each(queue: &Queue, order: Order, ids: Vec<TraceId>) -> (usize, Vec<(TraceId, OrderError)>) {
    let (mut done, mut refused) = (0, Vec::new());
    for id in ids {
        match queue.order(id, order.into()).await {
            Ok(()) => done += 1,
            // It has left since the page was read, or waits for its release as somebody wants.
            Err(OrderError::Unknown | OrderError::Held) => {}
            Err(error @ (OrderError::Busy | OrderError::Failed(_))) => refused.push((id, error)),
        }
    }
    (done, refused)
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
        "recipients": entry.recipients.iter().map(recipient).collect::<Vec<_>>(),
    })
}

fn damaged_json(entry: &DamagedEntry) -> Value {
    let DamagedEntry { name, reason, set_aside } = entry;
    let advice = if *set_aside {
        format!(
            "look at queue/damaged/{name} in data_dir; delete it, or move it to queue/entries once it is mended"
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
