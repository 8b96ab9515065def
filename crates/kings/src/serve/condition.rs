//! How the server is, counted when somebody asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use kings_mail::path::ForwardPath;
use kings_queue::{Filter, ListedEntry, Queue, RecipientState};
use kings_store::Quota;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::answers::{Answers, Mailroom};

/// Most pages of the queue that are looked at, the oldest ones: each entry is a file that is opened.
const MAX_PAGES: usize = 4;
/// Most destinations that are told of.
const MAX_DESTINATIONS: usize = 20;
/// How long mailboxes may be counted; those without a limit have no file that says how large they are.
const COUNTING: Duration = Duration::from_millis(1_500);
/// The span of the figures about messages.
const A_DAY: Duration = Duration::from_hours(24);

/// What is known of this run besides what it serves.
#[derive(Clone)]
pub(super) struct Life {
    began: Instant,
    /// Why the config was refused when it was read last.
    pub(super) refused: Arc<ArcSwapOption<String>>,
    /// One count of the mailboxes at a time.
    counting: Arc<Mutex<()>>,
}

impl Life {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), refused: Arc::default(), counting: Arc::default() }
    }
}

impl Answers {
    /// What runs and where, and what costs nothing to tell.
    pub(super) async fn status(&self) -> Value {
        let mut status = self.status.clone();
        status["queued"] = self.queue.len().into();
        status["damaged"] = self.queue.count_damaged().await.unwrap_or_default().into();
        status["certificates"] = self.certificates().await["items"].take();
        status["up"] = self.life.began.elapsed().as_secs().into();
        status["memory"] = resident().into();
        status["refused_config"] = self.life.refused.load_full().map(|why| why.to_string()).into();
        status
    }

    /// All of that, and what has to be counted.
    pub(super) async fn condition(self) -> Value {
        let mut status = self.status().await;
        status["queue"] = waiting(&self.queue).await;
        let guesses = self.mailroom.directory.load().guesses();
        status["logins"] =
            json!({ "failed": guesses.failures, "networks_shut_out": guesses.networks_shut_out });
        let records = self.records;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(A_DAY);
        let steps = tokio::task::spawn_blocking(move || records.steps_since(since)).await;
        let steps = steps.ok().and_then(Result::ok).unwrap_or_default();
        status["day"] = steps.into_iter().map(|(step, count)| (step, Value::from(count))).collect();
        status["mailboxes"] = mailboxes(self.mailroom, &self.life.counting).await;
        status
    }
}

/// The oldest entries, in sum.
async fn waiting(queue: &Queue) -> Value {
    let (mut looked_at, mut deferred, mut held) = (0, 0, 0);
    let mut oldest = None;
    let mut waits: HashMap<String, (u64, String)> = HashMap::new();
    let mut after = None;
    for _ in 0..MAX_PAGES {
        let page = queue.page(Filter::default(), after).await;
        for entry in &page.entries {
            looked_at += 1;
            oldest = oldest.or(Some(entry.arrived.unix()));
            let is = |state| entry.recipients.iter().any(|recipient| recipient.state == state);
            deferred += u64::from(is(RecipientState::Deferred));
            held += u64::from(is(RecipientState::Held));
            note(&mut waits, entry);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut waits: Vec<_> = waits.into_iter().collect();
    waits.sort_by(|(a, (few, _)), (b, (many, _))| many.cmp(few).then(a.cmp(b)));
    let destination = |(destination, (count, reply)): (String, (u64, String))| json!({ "destination": destination, "count": count, "reply": reply });
    let destinations: Vec<Value> = waits.into_iter().take(MAX_DESTINATIONS).map(destination).collect();
    json!({ "looked_at": looked_at, "deferred": deferred, "held": held, "oldest": oldest, "destinations": destinations })
}

/// Counts whom an entry waits for, with what was said last.
fn note(waits: &mut HashMap<String, (u64, String)>, entry: &ListedEntry) {
    for recipient in entry.recipients.iter().filter(|one| one.state == RecipientState::Deferred) {
        let destination = match &recipient.forward_path {
            ForwardPath::Address(address) => address.domain().map(ToString::to_string),
            ForwardPath::Postmaster => None,
        };
        let destination = destination.unwrap_or_else(|| recipient.forward_path.to_string());
        let (count, reply) = waits.entry(destination).or_default();
        *count += 1;
        if let Some(said) = &recipient.last_reply {
            reply.clone_from(said);
        }
    }
}

/// What accounts hold, as far as it can be told in the time there is; `null` where nobody can tell.
async fn mailboxes(room: Mailroom, counting: &Arc<Mutex<()>>) -> Value {
    let Ok(alone) = counting.clone().try_lock_owned() else { return Value::Null };
    let accounts = room.directory.load().accounts();
    let until = Instant::now() + COUNTING;
    let count = move || {
        let _alone = alone;
        let (mut counted, mut octets, mut full) = (0_u64, 0_u64, Vec::new());
        for (account, _) in &accounts {
            let Ok(quota) = room.store.quota(account) else { continue };
            counted += 1;
            octets = octets.saturating_add(quota.used.octets);
            if is_full(quota) {
                full.push(account.to_string());
            }
            if Instant::now() >= until {
                break;
            }
        }
        json!({ "accounts": accounts.len(), "counted": counted, "octets": octets, "full": full })
    };
    let counted = timeout(COUNTING * 2, tokio::task::spawn_blocking(count)).await;
    counted.ok().and_then(Result::ok).unwrap_or_default()
}

fn is_full(Quota { used, limits }: Quota) -> bool {
    limits.octets.is_some_and(|most| used.octets >= most)
        || limits.messages.is_some_and(|most| used.messages >= most)
}

/// Octets of memory that this process holds; 0 where the kernel does not say.
fn resident() -> u64 {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = told.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default();
    pages.saturating_mul(rustix::param::page_size() as u64)
}
