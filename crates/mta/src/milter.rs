//! Filters with a say in every step of a message (milters), as `smtpd_milters` does: asked one after the other,
//! each sees what those before it have changed.

mod edit;
mod link;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;
use kings_smtp::reply::Reply;
use kings_store::{Incoming, Store};

use self::link::{Link, Said, Words};
use crate::delegation::Place;

/// One filter, as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub place: Place,
    /// What happens to mail that it cannot be asked about.
    pub default_action: DefaultAction,
    /// Longest wait for a connection (Postfix's `milter_connect_timeout`).
    pub connect: Duration,
    /// Longest wait for an answer before the end of a message (`milter_command_timeout`).
    pub command: Duration,
    /// Longest wait for the answer to a whole message (`milter_content_timeout`).
    pub content: Duration,
}

impl Settings {
    /// A filter with Postfix's time limits; mail waits until it is there.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            default_action: DefaultAction::TempFail,
            connect: Duration::from_secs(30),
            command: Duration::from_secs(30),
            content: Duration::from_mins(5),
        }
    }
}

/// What happens to mail when a filter is gone, silent, or breaks the protocol (`milter_default_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// As if there were no such filter.
    Accept,
    /// The client may try again later.
    TempFail,
    /// The client gets it back.
    Reject,
}

/// The filters of each way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Milters {
    /// Of port 25.
    pub inbound: Vec<Settings>,
    /// Of submission.
    pub submission: Vec<Settings>,
}

/// What filters are told about who sends.
#[derive(Clone, Debug)]
pub(crate) struct Caller<'a> {
    /// The way in: "smtp" or "submission".
    pub(crate) daemon: &'static str,
    pub(crate) hostname: &'a Domain,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Its name by DNS, where that leads back to it.
    pub(crate) reverse_name: Option<&'a str>,
    /// Its name by its own word.
    pub(crate) helo: &'a str,
    /// TLS version and cipher suite.
    pub(crate) tls: Option<&'a str>,
    /// Who is logged in.
    pub(crate) account: Option<&'a Address>,
    /// The mechanism of that login; empty where there was none.
    pub(crate) mechanism: &'static str,
}

/// The filters of one session. They are spoken to from the first MAIL on: a client that brings none costs them nothing.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    links: Vec<Link>,
    words: Words,
    /// A filter wants the message at hand thrown away.
    discard: bool,
}

impl Chain {
    pub(crate) fn new(filters: &[Settings], message_bytes: u64) -> Self {
        let links = filters.iter().map(|settings| Link::new(settings.clone(), message_bytes)).collect();
        Self { links, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// MAIL, and before the first one who the client is.
    pub(crate) async fn mail(
        &mut self,
        caller: &Caller<'_>,
        path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(), Reply> {
        self.discard = false;
        if self.is_empty() {
            return Ok(());
        }
        self.words.introduce(caller);
        let mail = self.words.mail(path, parameters);
        for link in &mut self.links {
            self.discard |= link.mail(&self.words, &mail).await? == Said::Discard;
        }
        Ok(())
    }

    /// RCPT, for recipients that nothing else speaks against.
    pub(crate) async fn rcpt(&mut self, recipient: &Recipient) -> Result<(), Reply> {
        if self.is_empty() {
            return Ok(());
        }
        let rcpt = self.words.rcpt(recipient);
        for link in &mut self.links {
            self.discard |= link.step(&self.words, &rcpt).await? == Said::Discard;
        }
        Ok(())
    }

    /// DATA or the first BDAT.
    pub(crate) async fn data(&mut self) -> Result<(), Reply> {
        for link in &mut self.links {
            self.discard |= link.step(&self.words, &kings_milter::Command::Data).await? == Said::Discard;
        }
        Ok(())
    }

    /// The whole message, which the filters may change.
    pub(crate) async fn message(&mut self, store: &Store, message: Filtered) -> Result<Filtered, Reply> {
        let mut message = Filtered { discard: message.discard || self.discard, ..message };
        self.words.id(message.id);
        for link in &mut self.links {
            if message.discard {
                link.drop_message();
                continue;
            }
            let (said, changes) = link.message(&self.words, &message.content).await?;
            message = message.changed(store, changes).await?;
            message.discard |= said == Said::Discard;
        }
        Ok(message)
    }
}

/// A message on its way through the filters.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub(crate) id: TraceId,
    pub(crate) envelope: Envelope,
    pub(crate) content: Arc<Incoming>,
    /// It is to be thrown away, though it counts as taken.
    pub(crate) discard: bool,
    /// Why a filter wants it held back.
    pub(crate) quarantine: Option<String>,
}

impl Filtered {
    pub(crate) fn new(id: TraceId, envelope: Envelope, content: Incoming) -> Self {
        Self { id, envelope, content: Arc::new(content), discard: false, quarantine: None }
    }
}
