//! What the control socket answers from.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kings_mail::domain::Domain;
use kings_mta::{Order, Reporter};
use kings_net::Resolver;
use kings_queue::Queue;
use kings_records::Records;
use tokio::sync::{mpsc, oneshot};

use crate::control::{self, Answer, Request};

/// A handle for one question.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) reloads: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
    pub(super) queue: Queue,
    pub(super) records: Records,
    pub(super) reporter: Arc<ArcSwap<Reporter<Resolver>>>,
    pub(super) status: serde_json::Value,
}

impl Answers {
    pub(super) async fn answer(self, request: Request, caller: control::Caller) -> Answer {
        match request {
            Request::Status => {
                let mut status = self.status;
                status["queued"] = self.queue.len().into();
                status["damaged"] = self.queue.count_damaged().await.unwrap_or_default().into();
                Ok(status)
            }
            Request::Reload => {
                let (done, told) = oneshot::channel();
                self.reloads.send(done).await.map_err(|_| "the server is stopping".to_owned())?;
                told.await.map_err(|_| "the server is stopping".to_owned())??;
                Ok(serde_json::json!({ "schema": 1 }))
            }
            Request::ReportSend { dry_run, domain, day } => {
                let domain = domain.map(|text| Domain::parse(&text)).transpose();
                let domain = domain.map_err(|error| error.to_string())?;
                let order = Order { day, domain, dry_run };
                let sent = self.reporter.load_full().send(&order).await.map_err(|lasts| lasts.to_string())?;
                Ok(crate::command::report_answer(&sent))
            }
            request
            @ (Request::QueueList { .. } | Request::QueueShow { .. } | Request::QueueOrder { .. }) => {
                let desk = crate::command::QueueDesk { queue: &self.queue, records: &self.records, caller };
                crate::command::queue_answer(desk, request).await
            }
        }
    }
}
