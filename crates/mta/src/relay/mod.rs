//! Mail that leaves: one attempt of the queue, from its route to the outcome of each recipient.

mod addresses;
mod backscatter;
mod cargo;
mod conversation;
mod convert;
mod course;
mod dane;
mod filter;
pub(crate) mod here;
mod host;
mod login;
mod ourselves;
mod outcome;
mod pool;
mod route;
mod rules;
mod search;
mod secured;
mod source;
mod sts;
mod tls_policy;
mod together;
mod transport;
mod ways;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use kings_directory::{Answers, Unavailable};
use kings_dns::Dns;
use kings_fetch::Fetch;
use kings_mail::dsn::Status;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_net::IpNet;
use kings_queue::{Attempt, Contact, Deliver, Destination, Finished, Lane, Notification, Outcome, PostError};
use kings_smtp::client::Protocol;
use kings_tls::ClientTls;
use tracing::debug;

use crate::core::Core;
use crate::relay::cargo::Cargo;
use crate::relay::convert::Converter;
use crate::relay::course::Course;
use crate::relay::host::{Errand, Outfit, Visit};
use crate::relay::login::Habits;
use crate::relay::outcome::deferred;
use crate::relay::pool::Pool;
use crate::relay::route::{Address, NextHop, NoRoute};
use crate::relay::rules::Way;
use crate::relay::search::Search;
use crate::relay::secured::HostTls;
use crate::relay::sts::Sts;
use crate::relay::tls_policy::{AttemptTls, TlsPolicies};
use crate::traced;

pub use crate::relay::filter::Filter;
pub use crate::relay::login::Credentials;
pub use crate::relay::ourselves::Ourselves;
pub use crate::relay::rules::{Action, Match, Recipients, Routes, Rule, Senders};
pub use crate::relay::source::{Source, Sources};
pub use crate::relay::tls_policy::Level;
pub use crate::relay::transport::{RelayHost, Transport};
pub use crate::relay::ways::Ways;
pub(crate) use crate::relay::ways::in_session;

/// Longest wait for the connections of one host, all its addresses together: one that is up answers within a round
/// trip, and a broken IPv6 must not hide a working IPv4 for longer.
const CONNECT: Duration = Duration::from_secs(30);

/// What the way out depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything goes, instead of to MX hosts.
    pub smart_host: Option<SmartHost>,
    /// The port of MX hosts.
    pub port: u16,
    /// Networks that MX hosts may be in though they are not public.
    pub allow_private: Vec<IpNet>,
    /// What MX hosts must offer.
    pub tls: Level,
    /// The port of the servers of MTA-STS policies.
    pub mta_sts_port: u16,
    /// What comes before smart host and MX hosts.
    pub routes: Routes,
    /// Which addresses of hosts are used, in this order; at least one.
    pub families: Vec<Family>,
    /// Which of our own addresses are used.
    pub sources: Sources,
    /// Where mail is not sent, since it would come back.
    pub ourselves: Ourselves,
}

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

/// A server that takes all our outgoing mail.
#[derive(Clone, Debug)]
pub struct SmartHost {
    /// Its name or address.
    pub host: String,
    /// Its port; on 465 TLS begins with the first byte (RFC 8314 §3.3).
    pub port: u16,
    /// Name and password, if it asks for them.
    pub login: Option<Credentials>,
    /// What it must offer.
    pub tls: Level,
}

/// Delivers what the queue holds.
pub struct Relay<D> {
    core: Core,
    dns: D,
    tls: TlsPolicies,
    settings: Settings,
    pool: Pool,
    converter: Converter,
    habits: Habits,
}

impl<D: Dns> Relay<D> {
    /// Uses hostname, directory, store and queue of `core`.
    ///
    /// Policies of MTA-STS are fetched with `fetch`; without it those that are on record count.
    pub fn new(core: &Core, dns: D, tls: ClientTls, fetch: Option<Fetch>, settings: Settings) -> Self {
        let records = core.records.clone();
        let sts = Sts::new(records.clone(), fetch, settings.mta_sts_port);
        let tls = TlsPolicies { tls, sts, records };
        let converter = Converter::new(&core.signing);
        Self {
            core: core.clone(),
            dns,
            tls,
            settings,
            pool: Pool::default(),
            converter,
            habits: Habits::default(),
        }
    }

    /// Fetches policies of MTA-STS again that would expire soon; to be called every hour or so.
    pub async fn refresh_policies(&self) {
        self.tls.sts.refresh(&self.dns).await;
    }

    /// Sends the recipients that share a route together, and the others after them.
    async fn send_away(&self, attempt: &Attempt) -> Finished {
        let mut ways = self.settings.routes.ways(attempt).await;
        if ways.len() == 1
            && let Some((way, _)) = ways.pop()
        {
            return self.send_by(way, attempt).await;
        }
        let mut finished = Finished { outcomes: Vec::new(), contact: Contact::Silent };
        let mut placed = BTreeMap::new();
        for (way, places) in ways {
            let recipients = places.iter().map(|&place| attempt.recipients[place].clone()).collect();
            let Finished { outcomes, contact } =
                self.send_by(way, &Attempt { recipients, ..attempt.clone() }).await;
            finished.contact = finished.contact.max(contact);
            placed.extend(places.into_iter().zip(outcomes));
        }
        finished.outcomes = placed.into_values().collect();
        finished
    }

    /// Takes the way that was found, or waits where the tables cannot tell.
    async fn send_by(&self, way: Result<Option<Way<'_>>, Unavailable>, attempt: &Attempt) -> Finished {
        let Ok(way) = way else {
            let outcome =
                deferred(Status::LOCAL_TROUBLE, "a table of routes cannot tell now where this goes");
            return Finished { outcomes: vec![outcome; attempt.recipients.len()], contact: Contact::Silent };
        };
        let source = match &way {
            Some(Way::Rule(rule)) => rule.source,
            Some(Way::Table(_)) | None => Source::default(),
        };
        let action = self.action(way);
        match action.as_deref() {
            // From here on it is mail of that domain: its MX hosts, its policies, its reports.
            Some(Action::MxOf(domain, _)) => {
                let destination = Destination::Domain(domain.clone());
                let attempt = Attempt { destination, ..attempt.clone() };
                self.send(action.as_deref(), source, &attempt).await
            }
            action => self.send(action, source, attempt).await,
        }
    }

    /// Gather the hosts, then visit them in their order until every recipient is settled.
    async fn send(&self, action: Option<&Action>, source: Source, attempt: &Attempt) -> Finished {
        if let Some(outcome) = action.and_then(rules::settled) {
            return vec![outcome; attempt.recipients.len()].into();
        }
        let mut hops = match self.next_hops(action, &attempt.destination).await {
            Ok(hops) => hops,
            Err(no_route) => {
                let outcome = no_route.outcome();
                let silent = matches!(outcome, Outcome::Deferred(_));
                let contact = if silent { Contact::Silent } else { Contact::Answered };
                return Finished { outcomes: vec![outcome; attempt.recipients.len()], contact };
            }
        };
        let cargo = match Cargo::gather(attempt.content.clone()).await {
            Ok(cargo) => cargo,
            Err(error) => {
                let outcome = deferred(Status::LOCAL_TROUBLE, error.to_string());
                return vec![outcome; attempt.recipients.len()].into();
            }
        };
        let source = source.or(self.settings.sources.of(&attempt.reverse_path));
        for hop in &mut hops {
            hop.source = source;
        }
        let by_mx = hops.iter().all(|hop| !hop.configured);
        let mut known = self.tls.begin(&self.dns, attempt, by_mx).await;
        let outfit = Outfit {
            hostname: &self.core.hostname,
            pool: &self.pool,
            converter: &self.converter,
            habits: &self.habits,
        };
        let mut errand = Errand::new(outfit, attempt, cargo);
        self.visit_all(&mut errand, &mut known, &hops).await;
        errand.finished()
    }

    /// Those of the best preference first, and the others only for what these do not take.
    async fn visit_all(&self, errand: &mut Errand<'_>, known: &mut AttemptTls<'_>, hops: &[NextHop]) {
        let may_be_us = match &errand.destination() {
            Destination::Domain(domain) => self.core.directory.relays(domain),
            Destination::Literal(_) | Destination::Here => false,
        };
        let mut search = Search::new(hops, may_be_us, |hop| {
            addresses::addresses(&self.dns, &self.settings, &self.core.hostname, hop)
        });
        let mut end = 0;
        for equals in hops.chunk_by(|one, other| one.preference == other.preference) {
            let places = end..end + equals.len();
            end = places.end;
            match self.visit_equals(errand, known, &mut search, places.clone()).await {
                Ok(Visit::Over) => return,
                Ok(Visit::Silent | Visit::GoOn) => {}
                // Those behind us would only send it back (RFC 5321 §5.1).
                Err(ourselves) => return errand.met_ourselves(&ourselves, places.start == 0),
            }
            if search.leaves_doubt(places).await {
                return;
            }
        }
    }

    /// One host after the other as they are found; an error when one of them is this server.
    async fn visit_equals(
        &self,
        errand: &mut Errand<'_>,
        known: &mut AttemptTls<'_>,
        search: &mut Search<'_>,
        places: Range<usize>,
    ) -> Result<Visit, NoRoute> {
        let mut found = search.first(places.clone()).await?;
        while !found.is_empty() {
            for (hop, addresses) in found {
                let addresses = match addresses {
                    Ok(addresses) => addresses,
                    Err(no_route) => {
                        errand.note(&no_route.outcome());
                        continue;
                    }
                };
                let tls = match self.tls.for_host(&self.dns, known, hop).await {
                    Ok(tls) => tls,
                    Err(refusal) => {
                        errand.note(&refusal.outcome());
                        continue;
                    }
                };
                if self.visit(errand, hop, &tls, &addresses).await? == Visit::Over {
                    return Ok(Visit::Over);
                }
            }
            found = search.more(places.clone()).await?;
        }
        Ok(Visit::GoOn)
    }

    async fn next_hops(
        &self,
        action: Option<&Action>,
        destination: &Destination,
    ) -> Result<Vec<NextHop>, NoRoute> {
        match self.course(action) {
            Course::Socket(path) => Ok(vec![route::socket_hop(path.to_owned())]),
            Course::Lmtp(host) => {
                let hop = route::smart_hop(host)?;
                Ok(vec![NextHop { protocol: Protocol::Lmtp, ..hop }])
            }
            Course::Smtp(host) => route::smart_hop(host).map(|hop| vec![hop]),
            Course::Mx | Course::MxOf(_, None) => {
                route::next_hops(&self.dns, &self.settings, destination).await
            }
            Course::MxOf(_, Some(port)) => {
                let hops = route::next_hops(&self.dns, &self.settings, destination).await?;
                Ok(hops.into_iter().map(|hop| NextHop { port, ..hop }).collect())
            }
        }
    }

    /// What a way comes to. Hosts of tables have the login and level of TLS that the config has for them, but not those of a
    /// sender's own route: nobody else writes in that name.
    fn action<'a>(&'a self, way: Option<Way<'a>>) -> Option<Cow<'a, Action>> {
        let for_all = |rule: &'a Rule| match &rule.action {
            Action::Host(host) if rule.matches.senders.is_none() => Some(host),
            _ => None,
        };
        match way? {
            Way::Rule(rule) => Some(Cow::Borrowed(&rule.action)),
            Way::Table(transport) => {
                let settings = &self.settings;
                let known =
                    settings.smart_host.iter().chain(settings.routes.rules.iter().filter_map(for_all));
                transport.action(known, settings.tls).map(Cow::Owned)
            }
        }
    }

    fn course<'a>(&'a self, action: Option<&'a Action>) -> Course<'a> {
        Course::of(action, self.settings.smart_host.as_ref())
    }

    /// One host under all its addresses: a second address is tried only when the first did not answer.
    async fn visit(
        &self,
        errand: &mut Errand<'_>,
        hop: &NextHop,
        tls: &HostTls,
        addresses: &[Address],
    ) -> Result<Visit, NoRoute> {
        let patience = CONNECT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        for address in addresses {
            match errand.visit(hop, tls, address, patience).await? {
                Visit::Silent => {}
                visit => return Ok(visit),
            }
        }
        Ok(Visit::GoOn)
    }

    fn is_here(&self, destination: &Destination) -> bool {
        match destination {
            Destination::Here => true,
            Destination::Domain(domain) => self.core.directory.ends_here(domain),
            Destination::Literal(address) => self.settings.ourselves.have(*address),
        }
    }
}

impl<D: Dns + 'static> Deliver for Relay<D> {
    fn lane(&self, reverse_path: &ReversePath, recipient: &ForwardPath) -> Lane {
        let destination = Destination::from(recipient);
        match recipient {
            ForwardPath::Address(address) if !self.is_here(&destination) => {
                // Where another program would have to be asked, each destination has a lane of its own.
                let way = self.settings.routes.look(reverse_path, address, &Answers::default());
                let action = self.action(way.unwrap_or_default());
                self.course(action.as_deref()).lane(destination)
            }
            _ => Lane::Destination(destination),
        }
    }

    async fn deliver(&self, attempt: Attempt) -> Finished {
        let began = Instant::now();
        let finished = if let Some(filter) = &attempt.parameters.filter {
            self.send_by(filtered(filter), &attempt).await
        } else if self.is_here(&attempt.destination) {
            Box::pin(here::deliver(&self.core, &attempt)).await.into()
        } else {
            self.send_away(&attempt).await
        };
        for (recipient, outcome) in attempt.recipients.iter().zip(&finished.outcomes) {
            traced::attempted(&self.core, &attempt, &recipient.path, outcome);
        }
        // The queue logs what came of each recipient, since it alone knows what follows from it.
        debug!(id = %attempt.id, attempt = attempt.number, took_ms = began.elapsed().as_millis(), "attempt ended");
        finished
    }

    async fn notify(&self, notification: Notification) -> Result<(), PostError> {
        here::post(&self.core, notification).await
    }
}

/// The way to a filter; one that an older version wrote and this one cannot read is waited for.
fn filtered(filter: &str) -> Result<Option<Way<'static>>, Unavailable> {
    let filter = filter.parse::<Filter>().map_err(|_| Unavailable)?;
    Ok(Some(Way::Table(filter.into_transport())))
}
