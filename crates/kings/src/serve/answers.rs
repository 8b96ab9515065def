//! What the control socket answers from.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kings_acme::Acme;
use kings_directory::Directory;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::{Local, Order, Reporter};
use kings_net::{Resolver, Shutdown};
use kings_ops::score::letter;
use kings_queue::Queue;
use kings_records::Records;
use kings_store::Store;
use kings_tls::Certificates;
use tokio::sync::{mpsc, oneshot};

use super::condition::Life;
use super::tester::Tester;
use crate::control::{self, Answer, Request};

/// A handle for one question.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) reloads: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
    pub(super) queue: Queue,
    pub(super) records: Records,
    pub(super) reporter: Arc<ArcSwap<Reporter<Resolver>>>,
    pub(super) mailroom: Mailroom,
    pub(super) certificates: Certificates,
    pub(super) acme: Acme,
    pub(super) status: serde_json::Value,
    pub(super) life: Life,
    pub(super) tester: Tester,
}

/// What it takes to write to oneself.
#[derive(Clone)]
pub(super) struct Mailroom {
    pub(super) own: Arc<ArcSwap<Local>>,
    pub(super) store: Store,
    pub(super) directory: Arc<ArcSwap<Directory>>,
    pub(super) shutdown: Shutdown,
}

impl Mailroom {
    /// A message that an account has sent to itself, in base64.
    async fn letter(self, account: Option<String>) -> Answer {
        let accounts = self.directory.load_full().accounts();
        let account = match account {
            Some(text) => Address::parse(&text).map_err(|error| error.to_string())?,
            None => {
                let first = accounts.first().map(|(address, _)| address.clone());
                first.ok_or("there is no account yet: kings account add you@DOMAIN")?
            }
        };
        if !accounts.iter().any(|(known, _)| *known == account) {
            return Err(format!("{account} is no account here: kings account list shows them"));
        }
        let own = self.own.load_full();
        let letter = letter::to_itself(&own, &self.store, &account, &self.shutdown).await;
        let letter = letter.map_err(|error| error.to_string())?;
        let content = kings_sasl::encode(&letter);
        Ok(serde_json::json!({ "schema": 1, "account": account.to_string(), "content": content }))
    }
}

impl Answers {
    pub(super) async fn answer(self, request: Request, caller: control::Caller) -> Answer {
        match request {
            Request::Status => Ok(self.status().await),
            Request::Condition => Ok(self.condition().await),
            Request::CertificateList => Ok(self.certificates().await),
            Request::CertificateRenew { names } => {
                let names: Result<Vec<Domain>, _> = names.iter().map(|name| Domain::parse(name)).collect();
                let names = self.acme.renew(&names.map_err(|error| error.to_string())?)?;
                let names: Vec<&str> = names.iter().map(Domain::as_str).collect();
                Ok(serde_json::json!({ "schema": 1, "names": names }))
            }
            Request::SelfTest { account, keep } => self.tester.run(account, keep).await,
            Request::Reload => {
                let (done, told) = oneshot::channel();
                self.reloads.send(done).await.map_err(|_| "the server is stopping".to_owned())?;
                told.await.map_err(|_| "the server is stopping".to_owned())??;
                Ok(serde_json::json!({ "schema": 1 }))
            }
            Request::ScoreLetter { account } => self.mailroom.letter(account).await,
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

    pub(super) async fn certificates(&self) -> serde_json::Value {
        crate::command::certificate_answer(&self.acme.report().await, &self.certificates.shown())
    }
}
