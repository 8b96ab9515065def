//! What name servers have said, kept by its TTL: equal questions that come together are asked once.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{RData, RecordType};
use kings_dns::DnsError;
use kings_mail::domain::DnsName;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use quick_cache::{OptionsBuilder, Weighter, sync::DefaultLifecycle};

/// Answers kept at once.
const MAX_ENTRIES: u64 = 16_384;
/// Octets of them all; answers are at most 64 KB, and those that mail asks for are small.
const MAX_OCTETS: u64 = 16 * 1024 * 1024;
/// Parts of the cache with a lock each. An answer that is larger than such a part is not kept.
const PARTS: usize = 8;
/// Longest time any answer is kept: a TTL of 2^31 is no reason to believe it for 68 years.
const LONGEST: Duration = Duration::from_hours(24);
/// Longest time that "there is none" is kept (RFC 2308 §5 finds one to three hours sensible).
const LONGEST_NO: Duration = Duration::from_hours(1);
/// How long a failure is kept: at least a second (RFC 9520 §3.2), and hardly more, since who retries is to find out.
const FAILURE: Duration = Duration::from_secs(2);
/// What an entry costs beside its names and data.
const OVERHEAD: u64 = 96;

/// What name servers are asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// The records of one kind; names are in lower case already.
    Records(DnsName, RecordType),
    /// The name of an address.
    Reverse(IpAddr),
}

/// What they say.
#[derive(Debug)]
pub(super) struct Told {
    /// Records of the kind that was asked for, or why there are none.
    pub(super) outcome: Result<Vec<RData>, DnsError>,
    /// How long that holds; `None` where nothing is said about it.
    pub(super) ttl: Option<Duration>,
    /// The AD bit.
    pub(super) authentic_data: bool,
}

/// The same, with the time it came.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) told: Arc<Told>,
    came: Instant,
    until: Instant,
}

impl Kept {
    fn new(told: Told, now: Instant) -> Self {
        let until = now + lifetime(&told);
        Self { told: Arc::new(told), came: now, until }
    }

    /// How long it may be kept from now on.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// Whether it answers a question of `asked`: it still holds, or it came after that.
    fn answers(&self, asked: Instant) -> bool {
        self.until > asked || self.came > asked
    }
}

/// A "no" without an SOA record says nothing about its time and is not kept (RFC 2308 §5).
fn lifetime(told: &Told) -> Duration {
    let ttl = told.ttl.unwrap_or_default();
    match told.outcome {
        Ok(_) => ttl.min(LONGEST),
        Err(DnsError::NoDomain | DnsError::NoRecord) => ttl.min(LONGEST_NO),
        Err(DnsError::Temporary(_)) => FAILURE,
    }
}

/// The answers of all who ask. The least used ones give way.
#[derive(Debug)]
pub(super) struct Answers(Cache<Question, Kept, Octets>);

impl Default for Answers {
    fn default() -> Self {
        Self::with(MAX_ENTRIES, MAX_OCTETS, PARTS)
    }
}

impl Answers {
    fn with(entries: u64, octets: u64, parts: usize) -> Self {
        let options = OptionsBuilder::new()
            .shards(parts)
            .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
            .weight_capacity(octets)
            .build()
            .expect("both capacities are given");
        let weighter = Octets { least: octets / entries };
        Self(Cache::with_options(options, weighter, RandomState::default(), DefaultLifecycle::default()))
    }

    /// The answer to a question of `now`: the one that is kept, the one somebody else waits for, or what `ask` brings.
    /// When the one who asks goes away meanwhile, the next one in the line asks.
    pub(super) async fn get(
        &self,
        question: Question,
        now: Instant,
        ask: impl Future<Output = Told>,
    ) -> Kept {
        if let Some(kept) = self.0.get(&question).filter(|kept| kept.answers(now)) {
            return kept;
        }
        let look = |_: &Question, kept: &mut Kept| {
            if kept.answers(now) { EntryAction::Retain(kept.clone()) } else { EntryAction::ReplaceWithGuard }
        };
        let place = match self.0.entry_async(&question, look).await {
            EntryResult::Retained(kept) => return kept,
            EntryResult::Replaced(place, _) | EntryResult::Vacant(place) => Some(place),
            EntryResult::Removed(..) | EntryResult::Timeout => None,
        };
        let kept = Kept::new(ask.await, Instant::now());
        if let Some(place) = place {
            // Fails where a new answer was put there meanwhile, which is as good.
            let _ = place.insert(kept.clone());
        }
        kept
    }
}

/// Weighs entries so that neither their number nor their size passes its limit.
#[derive(Clone, Debug)]
struct Octets {
    least: u64,
}

impl Weighter<Question, Kept> for Octets {
    fn weight(&self, question: &Question, kept: &Kept) -> u64 {
        let name = match question {
            Question::Records(name, _) => name.as_str().len(),
            Question::Reverse(_) => 0,
        };
        let records = match &kept.told.outcome {
            Ok(records) => records.iter().map(octets).sum(),
            Err(_) => 0,
        };
        (name as u64 + records + OVERHEAD).max(self.least)
    }
}

/// Strings and names lie apart from the record itself.
fn octets(record: &RData) -> u64 {
    let apart = match record {
        RData::TXT(text) => text.txt_data.iter().map(|string| string.len() + size_of_val(string)).sum(),
        RData::TLSA(tlsa) => tlsa.cert_data.len(),
        _ => 0,
    };
    (size_of::<RData>() + apart) as u64
}

#[cfg(test)]
mod tests;
