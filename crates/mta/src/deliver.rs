//! Act: put a message where its recipients' mail lives, and what leaves into the queue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::trace;
use kings_mutants::planted;
use kings_queue::{Beginning, Handover, Report, Staged, Submission, SubmitError};
use kings_smtp::reply::Reply;
use kings_store::{Delivery, Destination, Incoming, MailboxName, StoreError};
use tracing::warn;

use crate::authenticate::Reporter;
use crate::core::{Core, blocking, for_each_piece};
use crate::intake;
use crate::passes::Returned;
use crate::policy::ours::Leaving;
use crate::relay::here;
use crate::signing::Seal;
use crate::{reporting, reports, scoring, traced};

mod departure;
mod plan;
mod visited;

use self::departure::{Departure, Guise, depart};
use self::plan::{LocalCopy, Plan};
pub(crate) use self::visited::Visited;

/// Held by a rule of this server (RFC 3463 §3.8).
const HELD: Status = Status(4, 7, 0);

/// A message that nothing speaks against. Clones share the content.
#[derive(Clone)]
pub(crate) struct Message {
    /// Its name, and that of its first entry in the queue; those behind it are numbered on from here.
    pub(crate) id: TraceId,
    pub(crate) reverse_path: ReversePath,
    pub(crate) parameters: MailParameters,
    pub(crate) recipients: Vec<Recipient>,
    /// Our Received field and whatever else goes in front of the content.
    pub(crate) prefix: String,
    /// The field of what we thought of it, empty for what nobody judged; behind it the passes to its filter.
    pub(crate) verdict: String,
    /// Why it waits in the queue, for all its recipients, until an operator releases it.
    pub(crate) hold: Option<String>,
    /// It belongs into the junk mailboxes of its recipients here.
    pub(crate) junk: bool,
    /// The sender is one of ours. What strangers bring is refused rather than reported to whomever they name.
    pub(crate) vouched: bool,
    /// How it leaves where an alias sends it on.
    pub(crate) leaving: Leaving,
    /// Who has written it, if it is a report.
    pub(crate) reporter: Reporter,
    /// What we found of its authentication, for copies that go on to other servers; nothing for what begins here.
    pub(crate) seal: Option<Arc<Seal>>,
    pub(crate) content: Arc<Incoming>,
}

impl Message {
    /// One that begins here, or whose authors others have judged.
    pub(crate) fn of_ours(id: TraceId, envelope: Envelope, prefix: String, content: Arc<Incoming>) -> Self {
        let Envelope { reverse_path, recipients, parameters } = envelope;
        Self {
            id,
            reverse_path,
            parameters,
            recipients,
            prefix,
            verdict: String::new(),
            hold: None,
            junk: false,
            vouched: true,
            leaving: Leaving::Suited,
            reporter: Reporter::default(),
            seal: None,
            content,
        }
    }

    /// With our notes: what was thought of it when it came, where a filter hands back what is from elsewhere, and the `pass`
    /// to the next filter.
    #[must_use]
    pub(crate) fn noted(mut self, core: &Core, returned: &Returned, pass: &str) -> Self {
        if let Some(verdict) = returned.verdict() {
            self.leaving = here::leaving(core, self.content.head(), &self.reverse_path, verdict);
            self.junk = returned.is_junk();
            verdict.clone_into(&mut self.verdict);
        }
        self.verdict.push_str(pass);
        self
    }

    /// Whether it waits, for a while or until an operator releases it.
    fn is_held(&self) -> bool {
        self.parameters.hold.is_some() || self.hold.is_some()
    }
}

/// Why nothing of a message was taken: the client keeps it.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// Every copy failed in the store.
    Store(StoreError),
    /// The only recipient has no room left, and what it hears.
    Full(Reply),
    /// What has to leave could not be queued.
    Queue(SubmitError),
    /// Every recipient, or one of what a stranger brings, is an alias that has sent on this very message before.
    Loop,
    /// A table of aliases does not answer, and the message would leave without them.
    Unavailable,
    /// An alias would send it on, it must not leave, and nobody here gets it.
    InOurName,
    /// The same, and DNS does not tell whether it is ours.
    Unsure,
}

impl DeliveryError {
    /// The only place where a failed delivery becomes a reply.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            Self::Store(error) => intake::refusal(error),
            Self::Full(reply) => reply.clone(),
            Self::Queue(error) => {
                tracing::error!(%error, "cannot queue a message");
                queue_refusal(error)
            }
            Self::Loop => Reply::FORWARDING_LOOP,
            Self::Unavailable => Reply::TRY_LATER,
            Self::InOurName => Reply::IN_OUR_NAME,
            Self::Unsure => Reply::OURS_UNSURE,
        }
    }
}

fn queue_refusal(error: &SubmitError) -> Reply {
    match error {
        SubmitError::NoSpace => Reply::NO_SPACE,
        SubmitError::DuplicateId(_) | SubmitError::BadEnvelope | SubmitError::Io(_) => Reply::TRY_LATER,
    }
}

/// Stores every local copy and queues the rest. On `Ok` all of it is on disk: the 250 may be said.
///
/// Once one copy is stored the message is accepted: copies that failed for now go to the queue, which tries
/// them again. Only when nothing at all could be stored does the client keep the message.
///
/// The order is what keeps a failure from leaving something double. The copies are written and synced first, where no
/// mail program sees them; then the queue's part, with the copies that failed so far, where it does not count yet; then
/// the copies get their places; then the queue's part is made to count. Placing and counting are renames and take no
/// space. So a full disk, a broken queue or a mailbox that cannot be written is found out while the client can still
/// keep everything. What remains: hardware that fails between the last two steps; and a copy whose rename fails while
/// others have got theirs (or, behind the fiftieth recipient, one that cannot be written) when the queue, asked a second
/// time, refuses as well. The client then comes again, and doubles are better than loss.
pub(crate) async fn deliver(core: &Core, message: Message) -> Result<(), DeliveryError> {
    let visited = Visited::told_by(message.content.head());
    let mut plan = match message.parameters.filter {
        None => Plan::make(core, &message, &message.recipients, &visited).await?,
        Some(_) => Plan::whole(&message),
    };
    plan.settle_loops(message.vouched)?;
    if message.is_held() {
        plan.wait();
    }
    if plan.local.is_empty() {
        let (departures, looping) = (std::mem::take(&mut plan.departures), std::mem::take(&mut plan.looping));
        enqueue(core, &message, departures, looping).await?;
        traced::left_out(core, &message, plan.left_out());
        let expanded = plan.expanded.into_iter().map(|recipient| (recipient, Handover::Expanded));
        reports::success(core, &message, expanded.collect()).await;
        return Ok(());
    }
    let (mut staged, results) = stage_and_store(core, &message, &plan).await?;
    let Copies { stored, failed } = match sort_copies(core, &message, &plan, results) {
        Ok(copies) => copies,
        Err(error) => {
            give_up(staged).await;
            return Err(error);
        }
    };
    // Those that failed before anything was in its place are staged already.
    if failed.iter().any(|(guise, recipient)| !is_staged(&staged, guise, recipient)) {
        give_up(staged).await;
        for (guise, recipient) in failed {
            plan.depart(guise, recipient);
        }
        staged = blocking_stage(core, &message, plan.departures.clone(), plan.looping.clone()).await?;
    }
    commit(core, &message, staged).await?;
    traced::left_out(core, &message, plan.left_out());
    if !stored.is_empty() {
        reporting::look(core, &message);
        scoring::look(core, &message);
    }
    let stored = stored.into_iter().map(|recipient| (recipient, Handover::Mailbox));
    let expanded = plan.expanded.into_iter().map(|recipient| (recipient, Handover::Expanded));
    reports::success(core, &message, stored.chain(expanded).collect()).await;
    Ok(())
}

/// What became of the local copies.
#[derive(Default)]
struct Copies {
    stored: Vec<Recipient>,
    /// Those that failed while others succeeded.
    failed: Vec<(Guise, Recipient)>,
}

/// What the queue has to keep, and what became of each local copy.
type StagedAndStored = (Vec<Entry>, Vec<Result<(), StoreError>>);

/// Writes the local copies, stages what the queue has to keep, and gives the copies their places.
async fn stage_and_store(
    core: &Core,
    message: &Message,
    plan: &Plan,
) -> Result<StagedAndStored, DeliveryError> {
    let deliveries: Vec<Delivery> = plan.local.iter().map(|copy| delivery(message, copy)).collect();
    let waiting: Vec<(Guise, Recipient)> = plan.local.iter().map(LocalCopy::waiting).collect();
    let (mut departures, looping) = (plan.departures.clone(), plan.looping.clone());
    let (core, message) = (core.clone(), message.clone());
    blocking(move || {
        let mut staged = Vec::new();
        let content = message.content.clone();
        let results = core.store.deliver_when(&content, &deliveries, |results| {
            // Where nothing can be stored the client keeps the message, and the queue gets nothing of it.
            if results.len() == deliveries.len() && nothing_taken(results, &departures) {
                return Ok(());
            }
            for ((guise, recipient), result) in waiting.into_iter().zip(results) {
                if result.is_err() {
                    depart(&mut departures, guise, recipient);
                }
            }
            staged = stage(&core, &message, departures, &looping)?;
            Ok(())
        });
        results.map(|results| (staged, results))
    })
    .await
    .map_err(DeliveryError::Queue)
}

fn is_staged(staged: &[Entry], guise: &Guise, recipient: &Recipient) -> bool {
    let holds = |departure: &Departure| departure.guise == *guise && departure.recipients.contains(recipient);
    staged.iter().any(|entry| holds(&entry.departure))
}

/// Whether the client keeps the message: no copy could be stored. Accounts that are full keep nothing back that leaves for
/// others.
fn nothing_taken(results: &[Result<(), StoreError>], departures: &[Departure]) -> bool {
    let full = |result: &Result<(), StoreError>| matches!(result, Err(StoreError::OverQuota));
    results.iter().all(Result::is_err) && (departures.is_empty() || !results.iter().all(full))
}

/// Tells the copies that were stored from those that were not.
fn sort_copies(
    core: &Core,
    message: &Message,
    plan: &Plan,
    results: Vec<Result<(), StoreError>>,
) -> Result<Copies, DeliveryError> {
    let nothing_taken = nothing_taken(&results, &plan.departures);
    let mut copies = Copies::default();
    for (copy, result) in plan.local.iter().zip(results) {
        let account = &copy.account;
        match result {
            Ok(()) => {
                traced::stored(core, message, account);
                copies.stored.push(copy.recipient.clone());
            }
            Err(StoreError::OverQuota)
                if nothing_taken && message.recipients.len() == 1 && plan.local.len() == 1 =>
            {
                return Err(DeliveryError::Full(core.rules.full_mailbox.reply()));
            }
            Err(error) if nothing_taken => return Err(DeliveryError::Store(error)),
            Err(error) => {
                warn!(id = %message.id, %account, %error, "one copy could not be stored, will be tried again");
                copies.failed.push(copy.waiting());
            }
        }
    }
    Ok(copies)
}

/// The same with an outcome for each recipient, in their order (RFC 2033 §4.2): a copy that failed is the client's
/// to try again, unless another one of the same recipient was stored.
///
/// The order is that of [`deliver`]. A queue that refuses is found out before any copy has its place: recipients that
/// need it are refused without having got anything, and the others are served. A crash before the replies leaves copies
/// in mailboxes at most; the client then comes again with all of it, as RFC 2033 §4.2 has it for replies that are lost.
pub(crate) async fn deliver_each(core: &Core, message: &Message) -> Vec<Result<(), Reply>> {
    let mut plans = each_plan(core, message).await;
    let mut placed = place_each(core, message, &plans).await;
    if let Err(error) = &placed {
        let reply = error.reply();
        for plan in plans.iter_mut().filter(|plan| plan.as_ref().is_ok_and(Plan::needs_queue)) {
            *plan = Err(reply.clone());
        }
        placed = place_each(core, message, &plans).await;
    }
    let (failures, outcomes) = match placed {
        Ok(each) => settle_each(core, message, &plans, each).await,
        Err(error) => {
            let reply = error.reply();
            return plans.into_iter().map(|plan| plan.and(Err(reply.clone()))).collect();
        }
    };
    let accepted = plans.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
    for plan in accepted.clone().filter_map(|(plan, _)| plan.as_ref().ok()) {
        traced::left_out(core, message, plan.left_out());
    }
    let reached =
        accepted.filter_map(|(plan, _)| plan.as_ref().ok()).flat_map(|plan| plan.reached(&failures));
    reports::success(core, message, reached.collect()).await;
    outcomes
}

async fn each_plan(core: &Core, message: &Message) -> Vec<Result<Plan, Reply>> {
    let visited = Visited::told_by(message.content.head());
    let mut plans: Vec<Result<Plan, Reply>> = Vec::with_capacity(message.recipients.len());
    for recipient in &message.recipients {
        let recipients = std::slice::from_ref(recipient);
        let plan = Plan::make(core, message, recipients, &visited).await;
        let plan = plan.and_then(|mut plan| plan.settle_loops(message.vouched).map(|()| plan));
        plans.push(plan.map_err(|error| error.reply()));
    }
    plans
}

/// The copies of all recipients once they have their places, and the queue's part, which does not count yet.
struct Placed {
    /// Accounts whose copies failed.
    failures: HashMap<Address, Reply>,
    /// How many of them had failed when the queue's part was staged.
    foreseen: usize,
    staged: Vec<Entry>,
}

/// Writes the copies, stages what the queue has to keep, and gives the copies their places; or does nothing.
async fn place_each(
    core: &Core,
    message: &Message,
    plans: &[Result<Plan, Reply>],
) -> Result<Placed, DeliveryError> {
    let (core, message, plans) = (core.clone(), message.clone(), plans.to_vec());
    blocking(move || {
        let mut seen = HashSet::new();
        let copies = plans.iter().flatten().flat_map(|plan| &plan.local);
        let copies: Vec<&LocalCopy> = copies.filter(|copy| seen.insert(&copy.account)).collect();
        let deliveries: Vec<Delivery> = copies.iter().map(|copy| delivery(&message, copy)).collect();
        let (mut staged, mut foreseen) = (Vec::new(), 0);
        let results = core.store.deliver_when(&message.content, &deliveries, |results| {
            let failed = copies.iter().zip(results).filter(|(_, result)| result.is_err());
            // Which reply they get does not matter yet.
            let failed: HashMap<Address, Reply> =
                failed.map(|(copy, _)| (copy.account.clone(), Reply::TRY_LATER)).collect();
            foreseen = failed.len();
            let (departures, looping) = Waiting::of(&plans, &failed).for_queue();
            staged = stage(&core, &message, departures, &looping)?;
            Ok::<(), SubmitError>(())
        })?;
        let mut failures = HashMap::new();
        for (LocalCopy { account, .. }, result) in copies.into_iter().zip(results) {
            match result {
                Ok(()) => traced::stored(&core, &message, account),
                Err(StoreError::OverQuota) => {
                    drop(failures.insert(account.clone(), core.rules.full_mailbox.reply()));
                }
                Err(error) => drop(failures.insert(account.clone(), intake::refusal(&error))),
            }
        }
        Ok(Placed { failures, foreseen, staged })
    })
    .await
    .map_err(DeliveryError::Queue)
}

/// Makes the queue's part count; gives which copies failed, and the outcome of each recipient.
async fn settle_each(
    core: &Core,
    message: &Message,
    plans: &[Result<Plan, Reply>],
    Placed { failures, foreseen, mut staged }: Placed,
) -> (HashMap<Address, Reply>, Vec<Result<(), Reply>>) {
    let waiting = Waiting::of(plans, &failures);
    let mut queued = Ok(());
    if failures.len() != foreseen {
        give_up(std::mem::take(&mut staged)).await;
        let (departures, looping) = waiting.for_queue();
        queued = blocking_stage(core, message, departures, looping).await.map(|anew| staged = anew);
    }
    if queued.is_ok() && !planted("lmtp-reply-without-the-commit") {
        queued = commit(core, message, staged).await;
    }
    let refusal = queued.err().map(|error| error.reply());
    let outcomes = waiting.each.into_iter().map(|outcome| match (outcome, &refusal) {
        (Ok(entries), Some(refusal)) if !entries.is_empty() => Err(refusal.clone()),
        (outcome, _) => outcome.map(drop),
    });
    (failures, outcomes.collect())
}

/// What of each recipient the queue has to keep, or why the client keeps the recipient.
struct Waiting {
    each: Vec<Result<Kept, Reply>>,
}

/// Of one recipient.
struct Kept {
    departing: Vec<(Guise, Recipient)>,
    looping: Vec<Recipient>,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.departing.is_empty() && self.looping.is_empty()
    }
}

impl Waiting {
    fn of(plans: &[Result<Plan, Reply>], failures: &HashMap<Address, Reply>) -> Self {
        let kept = |plan: &Result<Plan, Reply>| {
            let plan = plan.as_ref().map_err(Reply::clone)?;
            let mut departing = settle(plan, failures)?;
            departing.extend(plan.departures.iter().flat_map(Departure::each));
            Ok(Kept { departing, looping: plan.looping.clone() })
        };
        Self { each: plans.iter().map(kept).collect() }
    }

    /// Each target once, however many recipients lead to it: what leaves is one message, as it is where all recipients
    /// share a reply.
    fn for_queue(&self) -> (Vec<Departure>, Vec<Recipient>) {
        let (mut departures, mut looping) = (Vec::new(), Vec::new());
        for kept in self.each.iter().flatten() {
            looping.extend_from_slice(&kept.looping);
            for (guise, recipient) in &kept.departing {
                departure::merge(&mut departures, guise.clone(), recipient.clone());
            }
        }
        (departures, looping)
    }
}

/// Gives the queue what leaves, at once: for where nothing else has to be stored meanwhile.
async fn enqueue(
    core: &Core,
    message: &Message,
    departures: Vec<Departure>,
    looping: Vec<Recipient>,
) -> Result<(), DeliveryError> {
    if departures.is_empty() && looping.is_empty() {
        return Ok(());
    }
    let (shared_core, shared) = (core.clone(), message.clone());
    let queued = blocking(move || make_count(stage(&shared_core, &shared, departures, &looping)?));
    put_on_record(core, message, queued.await.map_err(DeliveryError::Queue)?);
    Ok(())
}

/// Which copies of one recipient have to be tried again, or why the client keeps it.
fn settle(plan: &Plan, failures: &HashMap<Address, Reply>) -> Result<Vec<(Guise, Recipient)>, Reply> {
    let failed: Vec<&LocalCopy> =
        plan.local.iter().filter(|copy| failures.contains_key(&copy.account)).collect();
    if let Some(reply) = failed.first().and_then(|copy| failures.get(&copy.account))
        && failed.len() == plan.local.len()
    {
        return Err(reply.clone());
    }
    Ok(failed.into_iter().map(LocalCopy::waiting).collect())
}

/// One copy with the trace fields of the final delivery (RFC 5321 §4.4).
fn delivery(message: &Message, LocalCopy { account, reverse_path, .. }: &LocalCopy) -> Delivery {
    let return_path = trace::return_path(reverse_path);
    let delivered_to = trace::delivered_to(account);
    let trace = format!("{return_path}{delivered_to}{}{}", message.verdict, message.prefix).into_bytes();
    let mailbox = if message.junk { Destination::Junk } else { MailboxName::inbox().into() };
    Delivery { account: account.clone(), mailbox, trace }
}

/// An entry of the queue that does not count yet.
struct Entry {
    id: TraceId,
    departure: Departure,
    staged: Staged,
}

async fn blocking_stage(
    core: &Core,
    message: &Message,
    departures: Vec<Departure>,
    looping: Vec<Recipient>,
) -> Result<Vec<Entry>, DeliveryError> {
    if departures.is_empty() && looping.is_empty() {
        return Ok(Vec::new());
    }
    let (core, message) = (core.clone(), message.clone());
    blocking(move || stage(&core, &message, departures, &looping)).await.map_err(DeliveryError::Queue)
}

/// Writes what the queue is to take, if anything: one entry for each guise, and nothing at all when one of them fails.
/// Aliases that have sent the message on before stand beside those whose copies leave as they came. Blocking.
fn stage(
    core: &Core,
    message: &Message,
    mut departures: Vec<Departure>,
    looping: &[Recipient],
) -> Result<Vec<Entry>, SubmitError> {
    let plain = Guise::plain(&message.reverse_path);
    if !looping.is_empty() && departures.iter().all(|departure| departure.guise != plain) {
        departures.insert(0, Departure { guise: plain.clone(), recipients: Vec::new() });
    }
    let mut entries = Vec::with_capacity(departures.len());
    for (place, departure) in (0..).zip(departures) {
        let id = message.id.behind(place);
        let looping = if departure.guise == plain { looping } else { &[] };
        let staged = stage_one(core, message, id, (&departure, looping))?;
        entries.push(Entry { id, departure, staged });
    }
    Ok(entries)
}

fn stage_one(
    core: &Core,
    message: &Message,
    id: TraceId,
    (departure, looping): (&Departure, &[Recipient]),
) -> Result<Staged, SubmitError> {
    let Departure { guise, recipients } = departure;
    let envelope = Envelope {
        reverse_path: guise.reverse_path.clone(),
        recipients: recipients.iter().chain(looping).cloned().collect(),
        parameters: message.parameters.clone(),
    };
    let places = recipients.len()..envelope.recipients.len();
    let beginning = Beginning {
        given_up: places.map(|place| (place, loop_report())).collect(),
        held: message.hold.as_ref().map(|why| Report::ours(HELD, why.clone())),
    };
    let mut submission: Submission = core.queue.begin()?;
    // In front of everything, where it is found again, here and by whoever files the message in the end.
    submission.write(message.verdict.as_bytes())?;
    // What comes back is known by it, as with Postfix's local(8).
    let delivered_to = guise.alias.as_ref().map(trace::delivered_to).unwrap_or_default();
    let trace = delivered_to + &message.prefix;
    if let Some(seal) = message.seal.as_ref().filter(|_| goes_to_others(core, departure)) {
        let fields = seal.fields(on_behalf_of(departure), &trace, message.content.reader());
        submission.write(fields.as_bytes())?;
    }
    submission.write(trace.as_bytes())?;
    for_each_piece(message.content.reader(), |piece| submission.write(piece))?;
    submission.stage(id, &envelope, &beginning)
}

fn stays_here(core: &Core, recipient: &Recipient) -> bool {
    let ends_here = |address: &Address| address.domain().is_some_and(|d| core.directory.ends_here(d));
    match &recipient.path {
        ForwardPath::Postmaster => true,
        ForwardPath::Address(address) => recipient.resolved || ends_here(address),
    }
}

/// Whether another server will judge it: it leaves, and not for a program of this machine.
fn goes_to_others(core: &Core, Departure { guise, recipients }: &Departure) -> bool {
    let leaves = |recipient: &Recipient| {
        !stays_here(core, recipient)
            && address(recipient).is_some_and(|to| !core.ways.end_here(&guise.reverse_path, to))
    };
    recipients.iter().any(leaves)
}

/// The alias that sends it on, or a recipient that it is passed on for. With recipients of several domains it is nobody:
/// each would be told of the others.
fn on_behalf_of(Departure { guise, recipients }: &Departure) -> Option<&Address> {
    let mut addresses = recipients.iter().filter_map(address);
    let first = || addresses.next().filter(|first| addresses.all(|other| other.host == first.host));
    guise.alias.as_ref().or_else(first)
}

fn address(recipient: &Recipient) -> Option<&Address> {
    match &recipient.path {
        ForwardPath::Postmaster => None,
        ForwardPath::Address(address) => Some(address),
    }
}

/// What the sender is told about an alias that has sent the message on before.
fn loop_report() -> Report {
    let reply = Reply::FORWARDING_LOOP;
    Report::ours(reply.status.unwrap_or(Status::LOCAL_TROUBLE), reply.to_string())
}

/// Makes all entries count.
async fn commit(core: &Core, message: &Message, entries: Vec<Entry>) -> Result<(), DeliveryError> {
    if !entries.is_empty() {
        let queued = blocking(move || make_count(entries)).await.map_err(DeliveryError::Queue)?;
        put_on_record(core, message, queued);
    }
    Ok(())
}

/// Makes all entries count, or none; gives their ids and what they hold. Blocking.
fn make_count(entries: Vec<Entry>) -> Result<Vec<(TraceId, Departure)>, SubmitError> {
    let (queued, staged): (Vec<_>, Vec<_>) =
        entries.into_iter().map(|entry| ((entry.id, entry.departure), entry.staged)).unzip();
    if planted("reply-before-the-commit") {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(100));
            Staged::commit_all(staged)
        });
        return Ok(queued);
    }
    Staged::commit_all(staged)?;
    Ok(queued)
}

/// Where the message is now.
fn put_on_record(core: &Core, message: &Message, queued: Vec<(TraceId, Departure)>) {
    for (id, departure) in queued {
        for recipient in &departure.recipients {
            traced::queued(core, message, (id, &departure.guise.reverse_path), &recipient.path);
        }
    }
}

async fn give_up(entries: Vec<Entry>) {
    blocking(move || drop(entries)).await;
}

/// The recipient of a message that has only one: a trace field that named several would tell each of them
/// who the others are.
pub(crate) fn sole_recipient(envelope: &Envelope) -> Option<&Address> {
    match envelope.recipients.as_slice() {
        [Recipient { path: ForwardPath::Address(address), .. }] => Some(address),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
