//! One errand from host to host: which recipients are still open, and whether another host may be asked.

use std::io;
use std::time::Duration;

use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::Body;
use kings_queue::{Attempt, Contact, Finished, Outcome, Report};
use kings_smtp::client::{self, StartTls, Transaction};
use kings_smtp::reply::Reply;
use tracing::{debug, info};

use super::Level;
use super::cargo::Cargo;
use super::conversation::{Conversation, Done, Way};
use super::convert::{Converted, Converter};
use super::login::Habits;
use super::outcome::{at_host, deferred};
use super::pool::{Key, Pool};
use super::route::{Address, NextHop, NoRoute};
use super::secured::HostTls;

/// How often a host may hang up at a recipient until the others wait as well: then it is the host that has a fault.
const MAX_HANG_UPS: usize = 3;

/// What every errand of this server uses.
#[derive(Clone, Copy)]
pub(crate) struct Outfit<'a> {
    pub(crate) hostname: &'a Domain,
    pub(crate) pool: &'a Pool,
    pub(crate) converter: &'a Converter,
    pub(crate) habits: &'a Habits,
}

/// One attempt on its way from host to host, and what has become of each recipient.
pub(crate) struct Errand<'a> {
    outfit: Outfit<'a>,
    attempt: &'a Attempt,
    cargo: Cargo,
    seven_bit: Option<SevenBit>,
    outcomes: Vec<Option<Outcome>>,
    contact: Contact,
}

/// The content for hosts that take no other.
enum SevenBit {
    Cargo(Converted),
    /// It has to stay as it is.
    Impossible,
}

/// What a visit has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Every recipient is settled, or it would be wrong to go on.
    Over,
    /// The host did not take the message for some: another host may.
    GoOn,
    /// Nobody answered at this address: the host may have another one.
    Silent,
}

/// Why a visit came to nothing before any recipient was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    Connect(io::Error),
    Handshake(io::Error),
    /// The host took the connection and then said nothing, or stopped halfway.
    Mute,
    /// The session broke or made no sense.
    Session(String),
    /// Greeting, EHLO, STARTTLS or login was refused.
    Refused(Reply),
    /// It does not offer what we need to come to a transaction; in our words.
    Unfit(Reply),
    /// It is no host to ask, as its own words show.
    NoRoute(NoRoute),
}

impl Failure {
    fn contact(&self) -> Contact {
        match self {
            Self::Connect(_) | Self::Mute => Contact::Silent,
            Self::Handshake(_) | Self::NoRoute(_) | Self::Unfit(_) => Contact::Answered,
            // Cutting the line is how some servers say that they have too many of us.
            Self::Session(_) => Contact::Crowded,
            Self::Refused(reply) => contact_of(reply),
        }
    }

    /// The only place where a failed visit becomes an outcome. A host that does not want us now may want us
    /// later, even if it says 5xx before it has heard of any recipient (Postfix's `smtp_skip_5xx_greeting`).
    fn outcome(&self, host: &str) -> Outcome {
        match self {
            Self::Connect(error) => {
                deferred(Status(4, 4, 1), format!("cannot connect to {host}: {}", plain(error)))
            }
            Self::Handshake(error) => {
                deferred(Status(4, 7, 5), format!("TLS handshake with {host} failed: {}", plain(error)))
            }
            Self::Mute => deferred(Status(4, 4, 2), format!("{host} takes connections and does not answer")),
            Self::Session(text) => deferred(Status(4, 4, 2), format!("session with {host} broke: {text}")),
            Self::NoRoute(no_route) => no_route.outcome(),
            Self::Unfit(reply) => {
                let status = reply.status.unwrap_or(Status::LOCAL_TROUBLE);
                deferred(status, format!("nothing can be given to {host}: {}", reply.text))
            }
            Self::Refused(reply) => {
                let refused = client::Outcome::Refused { reply: reply.clone(), permanent: false };
                at_host(refused, host, Outcome::Relayed)
            }
        }
    }
}

/// Of a connection that is there.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Mute,
            _ => Self::Session(plain(&error)),
        }
    }
}

/// The words of the system for people, who have no use for its numbers.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// A server that says 421 is going away, or has too many of us (RFC 5321 §3.8, Postfix's concurrency feedback).
pub(super) fn contact_of(reply: &Reply) -> Contact {
    if reply.code == 421 { Contact::Crowded } else { Contact::Answered }
}

impl<'a> Errand<'a> {
    pub(crate) fn new(outfit: Outfit<'a>, attempt: &'a Attempt, cargo: Cargo) -> Self {
        let outcomes = vec![None; attempt.recipients.len()];
        Self { outfit, attempt, cargo, seven_bit: None, outcomes, contact: Contact::Silent }
    }

    /// What has become of each recipient; one whom nobody was asked about is deferred.
    pub(crate) fn finished(self) -> Finished {
        let unasked = || deferred(Status(4, 4, 1), "no host could be asked");
        let outcomes = self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unasked)).collect();
        Finished { outcomes, contact: self.contact }
    }

    /// Remembers an outcome for all recipients that are not settled.
    pub(crate) fn note(&mut self, outcome: &Outcome) {
        for place in self.open() {
            self.learn(place, outcome.clone());
        }
    }

    /// A host that may do better later outweighs one that never will: the next attempt asks it again.
    fn learn(&mut self, place: usize, outcome: Outcome) {
        let known = &mut self.outcomes[place];
        let is_hope = matches!(known, Some(Outcome::Deferred(_)));
        if !is_hope || is_settled(Some(&outcome)) || matches!(outcome, Outcome::Deferred(_)) {
            *known = Some(outcome);
        }
    }

    /// Visits one address of a host, waiting up to `patience` for the connection. A handshake that fails where TLS
    /// is optional is followed by a second visit in clear. An error when the host is this server.
    pub(crate) async fn visit(
        &mut self,
        hop: &NextHop,
        tls: &HostTls,
        address: &Address,
        patience: Duration,
    ) -> Result<Visit, NoRoute> {
        let (host, place) = (hop.described(address), hop.place(address));
        let way = |start_tls| Way { hop, tls, start_tls, address, patience };
        let (mut start_tls, mut places) = (self.start_tls(hop, tls), self.open());
        let mut result = Box::pin(self.converse(way(start_tls), &places)).await;
        if matches!(result, Err(Failure::Handshake(_))) && tls.protection.allows_clear_text() {
            debug!(host, "TLS does not work, trying without");
            start_tls = StartTls::Never;
            result = Box::pin(self.converse(way(start_tls), &places)).await;
        }
        // Each round settles somebody, or leaves out the one at whom the host hung up.
        let mut hang_ups = 0;
        while let Ok(done) = &result
            && let (too_many, cut_off) = (done.too_many(), done.cut_off())
            && let rest = if too_many.is_empty() && hang_ups < MAX_HANG_UPS { cut_off } else { too_many }
            && !rest.is_empty()
        {
            hang_ups += usize::from(done.hung_up_at.is_some());
            let rest: Vec<usize> = rest.into_iter().map(|place| places[place]).collect();
            debug!(host, recipients = rest.len(), "it took not all at once, so the others follow");
            if let Ok(done) = result {
                self.take_in(&places, done, &host);
            }
            places = rest;
            result = Box::pin(self.converse(way(start_tls), &places)).await;
        }
        Ok(match result {
            Ok(done) => {
                let doubtful = done.doubtful;
                self.take_in(&places, done, &host);
                if doubtful || self.open().is_empty() { Visit::Over } else { Visit::GoOn }
            }
            Err(Failure::NoRoute(no_route)) => return Err(no_route),
            Err(failure) => {
                self.contact = self.contact.max(failure.contact());
                let nobody = matches!(failure, Failure::Connect(_) | Failure::Mute);
                self.note(&failure.outcome(if nobody { &place } else { &host }));
                if matches!(failure, Failure::Connect(_)) { Visit::Silent } else { Visit::GoOn }
            }
        })
    }

    /// The next host is this server, so no other is asked. Where it is the `best` one mail for the domain has nowhere to
    /// go; as one of the others it waits for those before us, even if they have no address now.
    pub(crate) fn met_ourselves(&mut self, ourselves: &NoRoute, best: bool) {
        if best {
            self.contact = self.contact.max(Contact::Answered);
            return self.note(&ourselves.outcome());
        }
        let said_nothing = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Failed(report)) => report.remote.is_none() && !lacks_something(report),
            outcome => outcome.is_none(),
        };
        let places = self.open().into_iter().filter(|&place| said_nothing(&self.outcomes[place]));
        for place in places.collect::<Vec<_>>() {
            self.learn(place, NoRoute::NobodyBeforeUs.outcome());
        }
    }

    /// The places of recipients that another host may still take.
    fn open(&self) -> Vec<usize> {
        let places = self.outcomes.iter().enumerate();
        places.filter(|(_, outcome)| !is_settled(outcome.as_ref())).map(|(place, _)| place).collect()
    }

    /// What has become of the recipients at these places.
    fn take_in(&mut self, places: &[usize], done: Done, host: &str) {
        self.contact = self.contact.max(done.contact());
        for (&place, outcome) in places.iter().zip(done.outcomes) {
            self.learn(place, at_host(outcome, host, done.taken));
        }
    }

    /// Over a connection that was kept, if one is there and still works, else over a fresh one; for the recipients at these
    /// places.
    async fn converse(&mut self, way: Way<'_>, places: &[usize]) -> Result<Done, Failure> {
        let key = Key::of(way);
        if let Some(kept) = self.outfit.pool.take(&key) {
            let done = self.hand_over(kept, places).await;
            if !done.unheard {
                return Ok(self.keep(key, done));
            }
            debug!(host = way.hop.described(way.address), "a kept connection was closed, opening another");
        }
        let fresh = Box::pin(Conversation::open(way, self.outfit)).await?;
        let done = self.hand_over(fresh, places).await;
        Ok(self.keep(key, done))
    }

    /// The message for all whom the host can be asked about; the others do not keep it from these.
    async fn hand_over(&mut self, conversation: Conversation, places: &[usize]) -> Done {
        let mut transaction = self.transaction(places);
        let aside = conversation.set_aside(&mut transaction);
        self.hand_over_rest(conversation, transaction).await.with(aside)
    }

    /// The message as it is; converted, where the host can take it in no other way.
    async fn hand_over_rest(&mut self, conversation: Conversation, mut transaction: Transaction) -> Done {
        if conversation.wants_seven_bit(&transaction)
            && let Some(cargo) = self.seven_bit().await
        {
            transaction.content = cargo.facts();
            transaction.parameters.body = Body::SevenBit;
            return conversation.hand_over(transaction, cargo).await;
        }
        conversation.hand_over(transaction, &self.cargo).await
    }

    /// The converted content, once for all hosts.
    async fn seven_bit(&mut self) -> Option<&Cargo> {
        if self.seven_bit.is_none() {
            let converted = self.outfit.converter.convert(self.cargo.content()).await;
            self.seven_bit = Some(match converted {
                Ok(converted) => SevenBit::Cargo(converted),
                Err(error) => {
                    info!(id = %self.attempt.id, %error, "cannot be converted to 7 bit");
                    SevenBit::Impossible
                }
            });
        }
        match &self.seven_bit {
            Some(SevenBit::Cargo(converted)) => Some(&converted.cargo),
            Some(SevenBit::Impossible) | None => None,
        }
    }

    fn keep(&self, key: Key, mut done: Done) -> Done {
        if let Some(conversation) = done.conversation.take() {
            self.outfit.pool.keep(key, conversation);
        }
        done
    }

    /// A host without TLS lacks what REQUIRETLS asks for, and the sender is told so, by the session, which gives such
    /// a message to nobody in clear (RFC 8689 §4.2.1).
    fn start_tls(&self, hop: &NextHop, tls: &HostTls) -> StartTls {
        if self.attempt.parameters.require_tls && hop.tls <= Level::May {
            return StartTls::IfOffered;
        }
        tls.protection.start_tls()
    }

    fn transaction(&self, places: &[usize]) -> Transaction {
        let recipients = places.iter().map(|&place| self.attempt.recipients[place].clone());
        Transaction {
            reverse_path: self.attempt.reverse_path.clone(),
            recipients: recipients.collect(),
            parameters: self.attempt.parameters.clone(),
            content: self.cargo.facts(),
        }
    }
}

/// Taken over, or refused by the last word of a server. That a server lacks something is not a last word, nor is
/// what we ourselves find wrong with one host of several: it has no address, or a private one.
fn is_settled(outcome: Option<&Outcome>) -> bool {
    match outcome {
        Some(Outcome::Delivered(_) | Outcome::Relayed(_) | Outcome::PassedOn(_)) => true,
        // Some say themselves what they lack.
        Some(Outcome::Failed(report)) => {
            report.remote.is_some() && !matches!(report.status, Status(5, 6, 3 | 7) | Status(5, 7, 30))
        }
        Some(Outcome::Deferred(_)) | None => false,
    }
}

/// Whether it failed for what a host offers (`Session::lacks`): such a host is there.
fn lacks_something(report: &Report) -> bool {
    let by_offer = matches!(report.status, Status(5, 6, 3 | 7) | Status(5, 7, 30) | Status(5, 3, 4));
    by_offer && report.remote.is_none()
}
