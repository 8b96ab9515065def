//! Zones in memory that can be changed: the fake beside `trait DnsProvider`.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kings_mail::domain::DnsName;

use crate::provider::{Change, DnsProvider, Listing, Opaque, ProviderError, Ticket};
use crate::record::{Kind, RecordSet};

/// Zones and what stands in them.
#[derive(Debug, Default)]
pub struct Shelf {
    zones: Vec<DnsName>,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    listing: Listing,
    /// The next changes end so.
    failures: Vec<ProviderError>,
    changes: usize,
}

impl Shelf {
    /// Empty zones.
    pub fn new(zones: impl IntoIterator<Item = DnsName>) -> Self {
        Self { zones: zones.into_iter().collect(), content: Mutex::default() }
    }

    /// Puts records there.
    #[must_use]
    pub fn with(self, set: RecordSet) -> Self {
        self.content().listing.sets.push(set);
        self
    }

    /// Puts records there that cannot be read.
    #[must_use]
    pub fn with_opaque(self, opaque: Opaque) -> Self {
        self.content().listing.opaque.push(opaque);
        self
    }

    /// Lets the next change fail.
    pub fn fail(&self, error: ProviderError) {
        self.content().failures.push(error);
    }

    /// What stands there now, in order.
    pub fn sets(&self) -> Vec<RecordSet> {
        let mut sets = self.content().listing.sets.clone();
        sets.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
        sets
    }

    /// How many batches were taken.
    pub fn changes(&self) -> usize {
        self.content().changes
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn find(&self, name: &DnsName, kind: Kind) -> Option<&RecordSet> {
        self.listing.get(name, kind)
    }
}

fn is_within(name: &DnsName, zone: &DnsName) -> bool {
    let rest = name.as_str().strip_suffix(zone.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl DnsProvider for Shelf {
    async fn zone_of(&self, name: &DnsName) -> Result<DnsName, ProviderError> {
        let zones = self.zones.iter().filter(|zone| is_within(name, zone));
        let longest = zones.max_by_key(|zone| zone.as_str().len());
        longest.cloned().ok_or_else(|| ProviderError::NotOurs(name.clone()))
    }

    async fn list(&self, _: &DnsName, names: &BTreeSet<DnsName>) -> Result<Listing, ProviderError> {
        let mut listing = self.content().listing.clone();
        listing.sets.retain(|set| names.contains(&set.name));
        listing.opaque.retain(|opaque| names.contains(&opaque.name));
        Ok(listing)
    }

    async fn change(&self, zone: &DnsName, changes: &[Change]) -> Result<Ticket, ProviderError> {
        let mut content = self.content();
        if let Some(error) = content.failures.pop() {
            return Err(error);
        }
        for change in changes {
            let found = content.find(&change.name, change.kind);
            let same = match (found, &change.before) {
                (Some(found), Some(before)) => found.says_the_same(before),
                (found, before) => found.is_none() && before.is_none(),
            };
            if !is_within(&change.name, zone) {
                return Err(ProviderError::NotOurs(change.name.clone()));
            }
            if !same {
                return Err(ProviderError::Changed(change.name.to_string()));
            }
        }
        for change in changes {
            content.listing.sets.retain(|set| (&set.name, set.kind) != (&change.name, change.kind));
            content.listing.sets.extend(change.after.clone());
        }
        content.changes += 1;
        Ok(Ticket(content.changes.to_string()))
    }

    async fn wait(&self, _: &DnsName, _: &Ticket) -> Result<(), ProviderError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::provider::{add_txt, remove_txt, zone_served};
    use crate::record::Data;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a shelf in memory never waits"),
        }
    }

    fn texts(shelf: &Shelf) -> Vec<String> {
        shelf.sets().iter().flat_map(|set| set.data.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn a_name_is_in_a_zone_that_is_served_or_in_none() {
        let shelf = Shelf::new([name("example.org")]);
        assert_eq!(now(zone_served(&shelf, &name("mail.example.org"))), Ok(Some(name("example.org"))));
        assert_eq!(now(zone_served(&shelf, &name("example.net"))), Ok(None));
    }

    #[test]
    fn a_challenge_stands_beside_others_and_goes_alone() {
        let challenge = name("_acme-challenge.example.org");
        let other = RecordSet::one(challenge.clone(), 300, Data::txt("other"));
        let shelf = Shelf::new([name("example.org")]).with(other);
        now(add_txt(&shelf, &challenge, "token")).unwrap();
        now(add_txt(&shelf, &challenge, "token")).unwrap();
        assert_eq!((texts(&shelf), shelf.changes()), (vec!["\"other\"".into(), "\"token\"".into()], 1));
        now(remove_txt(&shelf, &challenge, "token")).unwrap();
        now(remove_txt(&shelf, &challenge, "token")).unwrap();
        assert_eq!((texts(&shelf), shelf.changes()), (vec!["\"other\"".into()], 2));
        now(remove_txt(&shelf, &challenge, "other")).unwrap();
        assert_eq!(shelf.sets(), []);
    }

    #[test]
    fn a_challenge_is_put_again_where_somebody_was_faster_and_nowhere_else() {
        let challenge = name("_acme-challenge.example.org");
        let shelf = Shelf::new([name("example.org")]);
        shelf.fail(ProviderError::Changed("x".to_owned()));
        now(add_txt(&shelf, &challenge, "token")).unwrap();
        for _ in 0..4 {
            shelf.fail(ProviderError::Changed("x".to_owned()));
        }
        assert!(matches!(now(add_txt(&shelf, &challenge, "two")), Err(ProviderError::Changed(_))));
        shelf.fail(ProviderError::Refused("no".to_owned()));
        assert_eq!(now(add_txt(&shelf, &challenge, "two")), Err(ProviderError::Refused("no".to_owned())));
        let foreign = name("_acme-challenge.example.net");
        assert_eq!(now(add_txt(&shelf, &foreign, "token")), Err(ProviderError::NotOurs(foreign)));
        assert_eq!(texts(&shelf), ["\"token\""]);
    }

    #[test]
    fn a_batch_is_taken_whole_or_not_at_all() {
        let (one, two) = (name("a.example.org"), name("b.example.org"));
        let set = |name: &DnsName, text: &str| RecordSet::one(name.clone(), 60, Data::txt(text));
        let shelf = Shelf::new([name("example.org")]).with(set(&two, "there"));
        let change = |name: &DnsName, before: Option<&str>| Change {
            name: name.clone(),
            kind: Kind::Txt,
            before: before.map(|text| set(name, text)),
            after: Some(set(name, "new")),
        };
        for wrong in [None, Some("other")] {
            let result = now(shelf.change(&name("example.org"), &[change(&one, None), change(&two, wrong)]));
            assert!(matches!(result, Err(ProviderError::Changed(_))));
            assert_eq!(texts(&shelf), ["\"there\""]);
        }
        let batch = [change(&one, None), change(&two, Some("there"))];
        now(shelf.change(&name("example.org"), &batch)).unwrap();
        assert_eq!(texts(&shelf), ["\"new\"", "\"new\""]);
        let back = batch.map(Change::undone);
        now(shelf.change(&name("example.org"), &back)).unwrap();
        assert_eq!(texts(&shelf), ["\"there\""]);
    }
}
