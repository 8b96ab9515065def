//! Parts an attempt where the ways of its recipients part, and puts their outcomes together again.

use std::collections::BTreeMap;

use kings_directory::Unavailable;
use kings_dns::Dns;
use kings_mail::dsn::Status;
use kings_queue::{Attempt, Contact, Destination, Finished, Lane};

use super::filter::Filter;
use super::outcome::deferred;
use super::rules::Way;
use super::{Relay, here};

/// Where some recipients of an attempt go together.
enum Part<'a> {
    /// To mailboxes of this server.
    Here,
    /// To one next hop.
    Away(Option<Way<'a>>),
    /// Nobody can tell now.
    Unknown,
}

impl<D: Dns> Relay<D> {
    /// One part of the recipients after the other. The queue has brought together those whose lane was the same, so that
    /// there is one part unless routes or domains have changed since, or other programs had to be asked.
    pub(super) async fn deliver_parts(&self, attempt: &Attempt) -> Finished {
        let mut contact = Contact::Silent;
        let mut placed = BTreeMap::new();
        for (part, places) in self.parts(attempt).await {
            let recipients = places.iter().map(|&place| attempt.recipients[place].clone()).collect();
            let attempt = Attempt { recipients, ..attempt.clone() };
            let finished = match part {
                Part::Here => Box::pin(here::deliver(&self.core, &attempt)).await.into(),
                Part::Away(way) => self.send(way, &attempt).await,
                Part::Unknown => unknown(&attempt),
            };
            contact = contact.max(finished.contact);
            placed.extend(places.into_iter().zip(finished.outcomes));
        }
        Finished { outcomes: placed.into_values().collect(), contact }
    }

    /// Which recipients go together, by their places: as far as each has its way for itself, or shares a next hop with
    /// others.
    async fn parts(&self, attempt: &Attempt) -> Vec<(Part<'_>, Vec<usize>)> {
        let places = 0..attempt.recipients.len();
        if let Some(filter) = &attempt.parameters.filter {
            let part = filtered(filter).map_or(Part::Unknown, Part::Away);
            return vec![(part, places.collect())];
        }
        let destination = |place: usize| Destination::from(&attempt.recipients[place].path);
        let (here, away): (Vec<_>, Vec<_>) = places.partition(|&place| self.is_here(&destination(place)));
        let mut parts = Vec::new();
        if !here.is_empty() {
            parts.push((Part::Here, here));
        }
        for (way, places) in self.settings.routes.ways(attempt, &away).await {
            let Ok(way) = way else {
                parts.push((Part::Unknown, places));
                continue;
            };
            let action = self.action(way.clone());
            let mut by_lane: BTreeMap<Lane, Vec<usize>> = BTreeMap::new();
            for place in places {
                let lane = self.course(action.as_deref(), &destination(place)).lane();
                by_lane.entry(lane).or_default().push(place);
            }
            for places in by_lane.into_values() {
                self.join(&mut parts, way.clone(), places);
            }
        }
        parts
    }

    /// Several routes may lead to one next hop, with one login and from one address.
    fn join<'a>(&self, parts: &mut Vec<(Part<'a>, Vec<usize>)>, way: Option<Way<'a>>, places: Vec<usize>) {
        let same = parts.iter_mut().find_map(|(part, places)| match part {
            Part::Away(other) => self.is_one_hop(way.as_ref(), other.as_ref()).then_some(places),
            Part::Here | Part::Unknown => None,
        });
        match same {
            Some(known) => known.extend(places),
            None => parts.push((Part::Away(way), places)),
        }
    }

    fn is_one_hop(&self, one: Option<&Way<'_>>, other: Option<&Way<'_>>) -> bool {
        let [first, second] = [one, other].map(|way| self.action(way.cloned()));
        // Whose it is makes no difference to a hop that many share.
        let course = self.course(first.as_deref(), &Destination::Here);
        let source = |way: Option<&Way<'_>>| way.map(Way::source).unwrap_or_default();
        course.is_shared()
            && course == self.course(second.as_deref(), &Destination::Here)
            && source(one) == source(other)
    }
}

/// The way to a filter; one that an older version wrote and this one cannot read is waited for.
pub(super) fn filtered(filter: &str) -> Result<Option<Way<'static>>, Unavailable> {
    let filter = filter.parse::<Filter>().map_err(|_| Unavailable)?;
    Ok(Some(Way::Table(filter.into_transport())))
}

fn unknown(attempt: &Attempt) -> Finished {
    let outcome = deferred(Status::LOCAL_TROUBLE, "a table of routes cannot tell now where this goes");
    Finished { outcomes: vec![outcome; attempt.recipients.len()], contact: Contact::Silent }
}
