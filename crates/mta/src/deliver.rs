//! Act: put a message where its recipients' mail lives, and what leaves into the queue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kings_directory::{Directory, Resolution, Target};
use kings_mail::address::Address;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::header;
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::trace;
use kings_queue::{Handover, Queue, Report, Staged, Submission, SubmitError};
use kings_records::Step;
use kings_smtp::reply::Reply;
use kings_store::{Delivery, Incoming, MailboxName, StoreError};
use tracing::warn;

use crate::core::{Core, blocking, for_each_piece};
use crate::intake;
use crate::{reports, traced};

/// A message that nothing speaks against.
pub(crate) struct Message {
    pub(crate) id: TraceId,
    pub(crate) reverse_path: ReversePath,
    pub(crate) parameters: MailParameters,
    pub(crate) recipients: Vec<Recipient>,
    /// Our Received field and whatever else goes in front of the content.
    pub(crate) prefix: String,
    pub(crate) content: Arc<Incoming>,
}

/// Why nothing of a message was taken: the client keeps it.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// Every copy failed in the store.
    Store(StoreError),
    /// What has to leave could not be queued.
    Queue(SubmitError),
    /// Every recipient is one that has had this very message before.
    Loop,
}

impl DeliveryError {
    /// The only place where a failed delivery becomes a reply.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            Self::Store(error) => intake::refusal(error),
            Self::Queue(error) => {
                tracing::error!(%error, "cannot queue a message");
                queue_refusal(error)
            }
            Self::Loop => Reply::LOOP,
        }
    }
}

fn queue_refusal(error: &SubmitError) -> Reply {
    match error {
        SubmitError::NoSpace => Reply::NO_SPACE,
        SubmitError::DuplicateId(_) | SubmitError::BadEnvelope | SubmitError::Io(_) => Reply::TRY_LATER,
    }
}

/// Where the copies of one message go.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Accounts here, each with the recipient it stands for.
    local: Vec<(Address, Recipient)>,
    /// What the queue takes: recipients elsewhere, and those that stand for nothing any more, or for what
    /// nobody can tell now.
    queued: Vec<Recipient>,
    /// Recipients that stand for several, whose sender hears of that instead of each copy (RFC 3461 §5.2.7.3).
    expanded: Vec<Recipient>,
    /// Accounts that had this very message before: nobody tries them, and the sender hears of it.
    looping: Vec<Recipient>,
}

impl Plan {
    /// No account gets two copies, however many aliases lead to it.
    async fn make(directory: &Directory, recipients: &[Recipient]) -> Self {
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        for recipient in recipients {
            match directory.resolve(&recipient.path).await {
                Resolution::Targets(targets) => {
                    let recipient = &plan.standing_for(recipient, targets.len());
                    for target in targets.into_iter().filter(|target| seen.insert(target.clone())) {
                        plan.add(target, recipient);
                    }
                }
                Resolution::Elsewhere(address) => {
                    if seen.insert(Target::Remote(address.clone())) {
                        plan.queued.push(recipient.at(ForwardPath::Address(address)));
                    }
                }
                // The queue bounces the first two in the end, and asks again about the third.
                Resolution::Unknown | Resolution::Looping | Resolution::Unavailable => {
                    plan.queued.push(recipient.clone());
                }
            }
        }
        plan
    }

    /// The recipient as its targets inherit it: the success of one of several says nothing of the whole.
    fn standing_for(&mut self, recipient: &Recipient, targets: usize) -> Recipient {
        if targets < 2 || !recipient.notify.on_success() {
            return recipient.clone();
        }
        self.expanded.push(recipient.clone());
        Recipient { notify: recipient.notify.without_success(), ..recipient.clone() }
    }

    fn add(&mut self, target: Target, recipient: &Recipient) {
        match target {
            Target::Account(account) => self.local.push((account, recipient.clone())),
            Target::Remote(address) => self.queued.push(recipient.at(ForwardPath::Address(address))),
        }
    }

    /// For whom a copy was stored, and whose copies go on from here.
    fn reached(&self, failures: &HashMap<Address, Reply>) -> Vec<(Recipient, Handover)> {
        let stored = self.local.iter().filter(|(account, _)| !failures.contains_key(account));
        let stored = stored.map(|(_, recipient)| (recipient.clone(), Handover::Mailbox));
        let expanded = self.expanded.iter().map(|recipient| (recipient.clone(), Handover::Expanded));
        stored.chain(expanded).collect()
    }

    /// What is held waits in the queue, our own accounts' copies too (RFC 4865 §4).
    fn wait(&mut self) {
        let held = self.local.drain(..).map(|(account, recipient)| at(&recipient, account));
        self.queued.extend(held);
    }

    /// Parts accounts that this very message has been delivered to before from the others (RFC 9228 §4); true
    /// if nothing else is left.
    fn part_loops(&mut self, head: &[u8]) -> bool {
        let visited: HashSet<String> =
            header::all(head, "Delivered-To").map(|field| field.text().to_lowercase()).collect();
        let was_here = |(account, _): &mut (Address, Recipient)| visited.contains(&account.to_string());
        let looping = self.local.extract_if(.., was_here).map(|(account, recipient)| at(&recipient, account));
        self.looping.extend(looping);
        !self.looping.is_empty() && self.local.is_empty() && self.queued.is_empty()
    }
}

/// The recipient for one of the accounts it stands for: what is tried again must not reach the others again.
fn at(recipient: &Recipient, account: Address) -> Recipient {
    recipient.at(ForwardPath::Address(account))
}

/// Stores every local copy and queues the rest. On `Ok` all of it is on disk: the 250 may be said.
///
/// Once one copy is stored the message is accepted: copies that failed for now go to the queue, which tries
/// them again. Only when nothing at all could be stored does the client keep the message.
///
/// The order is what keeps a failure from leaving something double. The queue's part is written and synced
/// first, where it does not count yet; then the copies are stored; then the queue's part is made to count,
/// which takes a rename and no more space. So a full disk or a broken queue is found out while the client can
/// still keep everything, and mailboxes that refuse everything leave nothing in the queue. What remains is
/// hardware that fails between the last two steps, and a copy that fails while others are stored when the
/// queue, asked a second time, refuses as well: the client then comes again, and doubles are better than loss.
pub(crate) async fn deliver(core: &Core, message: Message) -> Result<(), DeliveryError> {
    let mut plan = Plan::make(&core.directory, &message.recipients).await;
    if plan.part_loops(message.content.head()) {
        return Err(DeliveryError::Loop);
    }
    if message.parameters.hold.is_some() {
        plan.wait();
    }
    let staged = stage(&core.queue, &message, (&plan.queued, &plan.looping)).await?;
    let Copies { stored, failed } = match store_copies(core, &message, &plan.local).await {
        Ok(copies) => copies,
        Err(error) => {
            give_up(staged).await;
            return Err(error);
        }
    };
    let staged = if failed.is_empty() {
        staged
    } else {
        give_up(staged).await;
        plan.queued.extend(failed);
        stage(&core.queue, &message, (&plan.queued, &plan.looping)).await?
    };
    commit(staged).await?;
    for recipient in &plan.queued {
        traced::placed(core, &message, Step::Queued, &recipient.path);
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
    failed: Vec<Recipient>,
}

/// Stores the local copies.
async fn store_copies(
    core: &Core,
    message: &Message,
    local: &[(Address, Recipient)],
) -> Result<Copies, DeliveryError> {
    if local.is_empty() {
        return Ok(Copies::default());
    }
    let results = store_all(core, message, local.iter().map(|(account, _)| account)).await;

    let any_stored = results.iter().any(Result::is_ok);
    let mut copies = Copies::default();
    for ((account, recipient), result) in local.iter().zip(results) {
        match result {
            Ok(()) => {
                traced::placed(core, message, Step::Stored, account);
                copies.stored.push(recipient.clone());
            }
            Err(error) if !any_stored => return Err(DeliveryError::Store(error)),
            Err(error) => {
                warn!(id = %message.id, %account, %error, "one copy could not be stored, will be tried again");
                copies.failed.push(at(recipient, account.clone()));
            }
        }
    }
    Ok(copies)
}

/// Tries all accounts at once; gives what became of each.
async fn store_all(
    core: &Core,
    message: &Message,
    accounts: impl Iterator<Item = &Address>,
) -> Vec<Result<(), StoreError>> {
    let deliveries: Vec<Delivery> = accounts.map(|account| delivery(message, account)).collect();
    let (store, content) = (core.store.clone(), message.content.clone());
    blocking(move || store.deliver(&content, &deliveries)).await
}

/// The same with an outcome for each recipient, in their order (RFC 2033 §4.2): a copy that failed is the client's
/// to try again, unless another one of the same recipient was stored.
pub(crate) async fn deliver_each(core: &Core, message: &Message) -> Vec<Result<(), Reply>> {
    let mut plans: Vec<Result<Plan, Reply>> = Vec::with_capacity(message.recipients.len());
    for recipient in &message.recipients {
        let mut plan = Plan::make(&core.directory, std::slice::from_ref(recipient)).await;
        let is_loop = plan.part_loops(message.content.head());
        plans.push(if is_loop { Err(DeliveryError::Loop.reply()) } else { Ok(plan) });
    }
    let accounts: HashSet<Address> = plans
        .iter()
        .flatten()
        .flat_map(|plan| plan.local.iter().map(|(account, _)| account.clone()))
        .collect();
    let results = store_all(core, message, accounts.iter()).await;
    let mut failures: HashMap<Address, Reply> = HashMap::new();
    for (account, result) in accounts.into_iter().zip(results) {
        match result {
            Ok(()) => traced::placed(core, message, Step::Stored, &account),
            Err(error) => drop(failures.insert(account, intake::refusal(&error))),
        }
    }

    let (mut queued, mut looping): (Vec<Recipient>, Vec<Recipient>) = Default::default();
    let mut outcomes: Vec<(Result<(), Reply>, bool)> = Vec::with_capacity(plans.len());
    for plan in &plans {
        let settled = plan.as_ref().map_err(Reply::clone).and_then(|plan| settle(plan, &failures));
        let loops = plan.as_ref().map_or(&[][..], |plan| &plan.looping);
        let waits = settled.as_ref().is_ok_and(|waiting| !waiting.is_empty() || !loops.is_empty());
        looping.extend_from_slice(if settled.is_ok() { loops } else { &[] });
        outcomes.push((settled.map(|waiting| add_new(&mut queued, waiting)), waits));
    }
    if let Err(reply) = enqueue_all(core, message, &queued, &looping).await {
        let waiting = outcomes.iter_mut().filter(|(_, waits)| *waits);
        waiting.for_each(|(outcome, _)| *outcome = Err(reply.clone()));
    }
    let outcomes: Vec<Result<(), Reply>> = outcomes.into_iter().map(|(outcome, _)| outcome).collect();
    let accepted = plans.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
    let reached =
        accepted.filter_map(|(plan, _)| plan.as_ref().ok()).flat_map(|plan| plan.reached(&failures));
    reports::success(core, message, reached.collect()).await;
    outcomes
}

async fn enqueue_all(
    core: &Core,
    message: &Message,
    queued: &[Recipient],
    looping: &[Recipient],
) -> Result<(), Reply> {
    let staged = stage(&core.queue, message, (queued, looping)).await.map_err(|error| error.reply())?;
    commit(staged).await.map_err(|error| error.reply())?;
    for recipient in queued {
        traced::placed(core, message, Step::Queued, &recipient.path);
    }
    Ok(())
}

/// What of one recipient has to wait in the queue, or why the client keeps it.
fn settle(plan: &Plan, failures: &HashMap<Address, Reply>) -> Result<Vec<Recipient>, Reply> {
    let all = plan.local.len();
    let failed: Vec<&(Address, Recipient)> =
        plan.local.iter().filter(|(account, _)| failures.contains_key(account)).collect();
    if let Some(reply) = failed.first().and_then(|(account, _)| failures.get(account))
        && failed.len() == all
    {
        return Err(reply.clone());
    }
    let failed = failed.into_iter().map(|(account, recipient)| at(recipient, account.clone()));
    Ok(failed.chain(plan.queued.iter().cloned()).collect())
}

fn add_new(queued: &mut Vec<Recipient>, waiting: Vec<Recipient>) {
    for recipient in waiting {
        if !queued.iter().any(|known| known.path == recipient.path) {
            queued.push(recipient);
        }
    }
}

/// One copy with the trace fields of the final delivery (RFC 5321 §4.4).
fn delivery(message: &Message, account: &Address) -> Delivery {
    let return_path = trace::return_path(&message.reverse_path);
    let delivered_to = trace::delivered_to(account);
    let trace = format!("{return_path}{delivered_to}{}", message.prefix).into_bytes();
    Delivery { account: account.clone(), mailbox: MailboxName::inbox(), trace }
}

/// Writes what the queue is to take, if anything: recipients to be tried, and those that had the message before.
async fn stage(
    queue: &Queue,
    message: &Message,
    (queued, looping): (&[Recipient], &[Recipient]),
) -> Result<Option<Staged>, DeliveryError> {
    if queued.is_empty() && looping.is_empty() {
        return Ok(None);
    }
    let envelope = Envelope {
        reverse_path: message.reverse_path.clone(),
        recipients: queued.iter().chain(looping).cloned().collect(),
        parameters: message.parameters.clone(),
    };
    let places = queued.len()..envelope.recipients.len();
    let given_up: Vec<(usize, Report)> = places.map(|place| (place, loop_report())).collect();
    let (queue, id) = (queue.clone(), message.id);
    let (prefix, content) = (message.prefix.clone(), message.content.clone());
    let write = move || -> Result<Staged, SubmitError> {
        let mut submission: Submission = queue.begin()?;
        submission.write(prefix.as_bytes())?;
        for_each_piece(content.reader(), |piece| submission.write(piece))?;
        submission.stage(id, &envelope, &given_up)
    };
    blocking(write).await.map(Some).map_err(DeliveryError::Queue)
}

/// What the sender is told about a recipient that had the message before.
fn loop_report() -> Report {
    let reply = Reply::LOOP;
    Report::ours(reply.status.unwrap_or(Status::LOCAL_TROUBLE), reply.to_string())
}

async fn commit(staged: Option<Staged>) -> Result<(), DeliveryError> {
    let Some(staged) = staged else { return Ok(()) };
    blocking(move || staged.commit()).await.map_err(DeliveryError::Queue)
}

async fn give_up(staged: Option<Staged>) {
    blocking(move || drop(staged)).await;
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
mod tests;
