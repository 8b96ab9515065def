//! Aggregate reports: sent once a day to the domains that ask for them (RFC 9990, RFC 8460), and read where others send
//! theirs to us.

mod compose;
mod incoming;
mod schedule;
mod send;

use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::header;
use kings_mail::path::ForwardPath;
use tokio::sync::Semaphore;

pub(crate) use incoming::look;
pub use send::{DayLasts, Order, Reporter, RoundDone, Sent, Way};

/// Most messages with reports that wait to be read: ours; what comes beyond is delivered and not read.
const WAITING: usize = 16;

/// Whether a header is that of a message that carries an aggregate report, by its subject (RFC 9990 §2.5.2, RFC 8460 §5.3).
pub(crate) fn is_report(head: &[u8]) -> bool {
    let subject = header::first(head, "Subject").map(|field| field.text().trim().to_owned());
    subject.is_some_and(|text| text.starts_with("Report Domain: ") && text.contains("Report-ID:"))
}

/// What an operator says of reports (`[reports]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// Reports about mail are made and sent.
    pub dmarc: bool,
    /// Reports about TLS are sent.
    pub tls: bool,
    /// Who sends them.
    pub from: Address,
    /// Who we are, in words.
    pub organisation: String,
    /// How to reach us.
    pub contact: String,
    /// Addresses here that take the reports of others.
    pub receive: Vec<Address>,
}

/// The settings, and how much is read at once. Clones share it; the default makes none and reads none.
#[derive(Clone, Debug, Default)]
pub struct Reports(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    settings: ReportSettings,
    waiting: Arc<Semaphore>,
    /// One at a time: a report may take some ten megabytes while it is read.
    reading: Semaphore,
}

impl Reports {
    /// Makes and reads reports as the settings say.
    pub fn new(settings: ReportSettings) -> Self {
        let (waiting, reading) = (Arc::new(Semaphore::new(WAITING)), Semaphore::new(1));
        Self(Some(Arc::new(Inner { settings, waiting, reading })))
    }

    pub(crate) fn settings(&self) -> Option<&ReportSettings> {
        self.0.as_ref().map(|inner| &inner.settings)
    }

    /// Whether mail to this address is read as a report.
    pub(crate) fn takes(&self, path: &ForwardPath) -> bool {
        let ForwardPath::Address(address) = path else { return false };
        let receive = self.settings().map(|settings| settings.receive.as_slice()).unwrap_or_default();
        let folded = address.folded();
        receive.iter().any(|own| own.folded() == folded)
    }
}
