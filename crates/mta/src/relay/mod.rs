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
mod parts;
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
use std::ops::Range;
use std::time::{Duration, Instant};

use kings_directory::Answers;
use kings_dns::Dns;
use kings_fetch::Fetch;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::MailParameters;
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
use crate::relay::parts::filtered;
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
pub use crate::relay::transport::{MAX_IN_TURN, RelayHost, Transport};
pub use crate::relay::ways::Ways;
pub(crate) use crate::relay::ways::in_session;

/// Longest wait for the connections of one host, all its addresses together: one that is up answers within a round
/// trip, and a broken IPv6 must not hide a working IPv4 for longer.
const CONNECT: Duration = Duration::from_secs(30);

/// What the way out depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything goes, instead of to MX hosts: to the first of these that takes it.
    pub smart_hosts: Vec<SmartHost>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Gather the hosts, then visit them in their order until every recipient is settled. All of them go to one next hop.
    async fn send(&self, way: Option<Way<'_>>, attempt: &Attempt) -> Finished {
        let source = way.as_ref().map(Way::source).unwrap_or_default();
        let action = self.action(way);
        if let Some(outcome) = action.as_deref().and_then(rules::settled) {
            return vec![outcome; attempt.recipients.len()].into();
        }
        let first = attempt.recipients.first();
        let destination = first.map_or(Destination::Here, |first| Destination::from(&first.path));
        let course = self.course(action.as_deref(), &destination);
        let mut hops = match self.next_hops(course).await {
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
            if let Some(Action::Mx(Some(level))) = action.as_deref() {
                hop.tls = *level;
            }
        }
        let domain = course.domain();
        let mut known = self.tls.begin(&self.dns, attempt, domain).await;
        let outfit = Outfit {
            hostname: &self.core.hostname,
            pool: &self.pool,
            converter: &self.converter,
            habits: &self.habits,
        };
        let mut errand = Errand::new(outfit, attempt, cargo);
        self.visit_all(&mut errand, &mut known, self.search(&hops, domain)).await;
        errand.finished()
    }

    /// Looks up these hosts, of which one may be this server where it takes mail for their domain to pass it on.
    fn search<'a>(&'a self, hops: &'a [NextHop], domain: Option<&Domain>) -> Search<'a> {
        let may_be_us = domain.is_some_and(|domain| self.core.directory.relays(domain));
        Search::new(hops, may_be_us, |hop| {
            addresses::addresses(&self.dns, &self.settings, &self.core.hostname, hop)
        })
    }

    /// Those of the best preference first, and the others only for what these do not take.
    async fn visit_all(&self, errand: &mut Errand<'_>, known: &mut AttemptTls<'_>, mut search: Search<'_>) {
        let hops = search.hops();
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

    async fn next_hops(&self, course: Course<'_>) -> Result<Vec<NextHop>, NoRoute> {
        match course {
            Course::Socket(path) => Ok(vec![route::socket_hop(path.to_owned())]),
            Course::Lmtp(host) => {
                let hop = route::smart_hop(host)?;
                Ok(vec![NextHop { protocol: Protocol::Lmtp, ..hop }])
            }
            Course::Smtp(hosts) => route::in_turn(hosts),
            Course::Mx(destination) => route::next_hops(&self.dns, &self.settings, destination).await,
            Course::MxOf(domain, port) => {
                let destination = Destination::Domain(domain.clone());
                let hops = route::next_hops(&self.dns, &self.settings, &destination).await?;
                let port = port.unwrap_or(self.settings.port);
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
                    settings.smart_hosts.iter().chain(settings.routes.rules.iter().filter_map(for_all));
                transport.action(known, settings.tls).map(Cow::Owned)
            }
        }
    }

    fn course<'a>(&'a self, action: Option<&'a Action>, destination: &'a Destination) -> Course<'a> {
        Course::of(action, &self.settings.smart_hosts, destination)
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
    fn lane(&self, reverse_path: &ReversePath, parameters: &MailParameters, recipient: &ForwardPath) -> Lane {
        let destination = Destination::from(recipient);
        let way = match (&parameters.filter, recipient) {
            (Some(filter), _) => match filtered(filter) {
                Ok(way) => way,
                Err(_) => return Lane::Destination(destination),
            },
            (None, ForwardPath::Address(address)) if !self.is_here(&destination) => {
                // What a program said at RCPT, or at the last attempt. Where it has said nothing each destination has a lane of
                // its own, and where it says something else by now the recipients part all the same.
                let way = self.settings.routes.look(reverse_path, address, &Answers::of_late());
                way.unwrap_or_default()
            }
            (None, _) => return Lane::Destination(destination),
        };
        let action = self.action(way);
        self.course(action.as_deref(), &destination).lane()
    }

    async fn deliver(&self, attempt: Attempt) -> Finished {
        let began = Instant::now();
        let finished = self.deliver_parts(&attempt).await;
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
