//! What the machine's other users hear about the queue: what Postfix's `mailq` shows, and that it is tried now.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use kings_queue::Queue;
use kings_records::Records;
use serde_json::{Value, json};

use crate::control::{self, Answer, Caller, Order, Request, Selection};
use crate::local::{Crowd, QUEUE_SOCKET, QueueRights};

/// A handle for one question.
#[derive(Clone)]
pub(super) struct Neighbours {
    pub(super) queue: Queue,
    pub(super) records: Records,
    pub(super) rights: Arc<ArcSwap<QueueRights>>,
}

/// What an entry shows, and a recipient that waits: the columns of Postfix's `mailq`.
const ENTRY: [&str; 7] = ["id", "reverse_path", "bytes", "arrived", "held_until", "filter", "active"];
const RECIPIENT: [&str; 3] = ["forward_path", "state", "last_reply"];

impl Neighbours {
    /// Opens the socket in the folder for local mail, and answers there.
    pub(super) fn serve(self, folder: &Path) -> anyhow::Result<()> {
        let listener = control::listen_at(&folder.join(QUEUE_SOCKET), 0o666);
        let listener = listener.context("cannot open the socket for questions about the queue")?;
        let answer = move |request, caller| self.clone().answer(request, caller);
        tokio::spawn(control::serve(listener, Some(Crowd::default()), answer));
        Ok(())
    }

    async fn answer(self, request: Request, caller: Caller) -> Answer {
        let rights = self.rights.load_full();
        let request = match request {
            Request::QueueList { after, .. } if rights.list.include(caller).await => {
                Request::QueueList { selection: Selection::default(), after }
            }
            // A choice by anything but the domain would tell what is not for everybody.
            Request::QueueOrder { order: Order::Retry, id, selection, after, .. }
                if is_by_recipient(&selection) && rights.flush.include(caller).await =>
            {
                Request::QueueOrder { order: Order::Retry, id, selection, after, why: None }
            }
            Request::QueueList { .. } => return Ok(denied("look at the queue (may_list_queue)")),
            _ => return Ok(denied("do that (may_flush_queue lets users of [local] try the queue)")),
        };
        let desk = crate::command::QueueDesk { queue: &self.queue, records: &self.records, caller };
        crate::command::queue_answer(desk, request).await.map(|answer| as_in_mailq(&answer))
    }
}

fn is_by_recipient(selection: &Selection) -> bool {
    *selection == Selection { recipient: selection.recipient.clone(), ..Selection::default() }
}

fn denied(what: &str) -> Value {
    json!({ "denied": format!("only root and the user that runs the server may {what}") })
}

/// No more of an answer than Postfix's `mailq` shows, and of an order that it was carried out.
fn as_in_mailq(answer: &Value) -> Value {
    let waits = |recipient: &&Value| !matches!(recipient["state"].as_str(), Some("delivered" | "failed"));
    let some = |of: &Value, keys: &[&str]| -> Value {
        keys.iter().map(|&key| (key.to_owned(), of[key].clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let item = |item: &Value| {
        let mut shown = some(item, &ENTRY);
        let recipients = all(&item["recipients"]);
        let recipients = recipients.iter().filter(waits).map(|recipient| some(recipient, &RECIPIENT));
        shown["recipients"] = recipients.collect();
        shown
    };
    let items: Value = all(&answer["items"]).iter().map(item).collect();
    json!({ "schema": 1, "items": items, "next": answer["next"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_hear_no_more_than_postfixs_mailq_shows() {
        let answer = json!({
            "schema": 1, "next": null, "complete": true, "damaged": [{"name": "secret"}],
            "items": [{
                "id": "a", "reverse_path": "<ann@a.example>", "bytes": 7, "arrived": "then", "held_until": null,
                "active": false, "header": "Subject: secret",
                "recipients": [
                    {"forward_path": "<joe@b.example>", "state": "deferred", "last_reply": "450 x", "attempts": 3, "next_attempt": "soon"},
                    {"forward_path": "<secret@b.example>", "state": "delivered", "last_reply": "250 ok"},
                ],
            }],
        });
        let shown = as_in_mailq(&answer);
        let recipient = &shown["items"][0]["recipients"][0];
        assert_eq!(
            recipient,
            &json!({"forward_path": "<joe@b.example>", "state": "deferred", "last_reply": "450 x"})
        );
        let text = shown.to_string();
        assert!(!text.contains("secret") && !text.contains("soon"), "{text}");
        assert_eq!(
            as_in_mailq(&json!({"done": 7, "refused": [{"id": "x"}], "next": "b"})),
            json!({"schema": 1, "items": [], "next": "b"})
        );
    }

    #[test]
    fn a_choice_by_sender_or_reply_is_not_for_others() {
        let text = || Some("x".to_owned());
        assert!(is_by_recipient(&Selection::default()));
        assert!(is_by_recipient(&Selection { recipient: text(), ..Selection::default() }));
        for selection in [
            Selection { sender: text(), ..Selection::default() },
            Selection { reason: text(), ..Selection::default() },
            Selection { recipient: text(), state: text(), ..Selection::default() },
        ] {
            assert!(!is_by_recipient(&selection), "{selection:?}");
        }
    }
}
