//! Act: put a message where its recipients' mail lives, and what leaves into the queue.

use std::collections::HashSet;
use std::sync::Arc;

use kings_directory::{Directory, Resolution, Target};
use kings_mail::address::Address;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::header;
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::trace;
use kings_queue::{Handover, Queue, Submission, SubmitError};
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

    /// Takes out accounts that this very message has been delivered to before (RFC 9228 §4); true if that
    /// leaves nothing of a message that had something.
    fn drop_loops(&mut self, head: &[u8]) -> bool {
        let visited: HashSet<String> =
            header::all(head, "Delivered-To").map(|field| field.text().to_lowercase()).collect();
        let before = self.local.len();
        self.local.retain(|(account, _)| !visited.contains(&account.to_string()));
        self.local.len() < before && self.local.is_empty() && self.queued.is_empty()
    }
}

/// Stores every local copy and queues the rest. On `Ok` all of it is on disk: the 250 may be said.
///
/// Once one copy is stored the message is accepted: copies that failed for now go to the queue, which tries
/// them again. Only when nothing at all could be stored does the client keep the message.
pub(crate) async fn deliver(core: &Core, message: Message) -> Result<(), DeliveryError> {
    let mut plan = Plan::make(&core.directory, &message.recipients).await;
    if plan.drop_loops(message.content.head()) {
        return Err(DeliveryError::Loop);
    }
    let Copies { stored, failed } = store_copies(core, &message, &plan.local).await?;
    plan.queued.extend(failed);
    if !plan.queued.is_empty() {
        let queued: Vec<ForwardPath> = plan.queued.iter().map(|recipient| recipient.path.clone()).collect();
        enqueue(&core.queue, &message, plan.queued).await?;
        for path in &queued {
            traced::placed(core, &message, Step::Queued, path);
        }
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
    let deliveries: Vec<Delivery> = local.iter().map(|(account, _)| delivery(message, account)).collect();
    let (store, content) = (core.store.clone(), message.content.clone());
    let results = blocking(move || store.deliver(&content, &deliveries)).await;

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
                copies.failed.push(recipient.clone());
            }
        }
    }
    Ok(copies)
}

/// One copy with the trace fields of the final delivery (RFC 5321 §4.4).
fn delivery(message: &Message, account: &Address) -> Delivery {
    let return_path = trace::return_path(&message.reverse_path);
    let delivered_to = trace::delivered_to(account);
    let trace = format!("{return_path}{delivered_to}{}", message.prefix).into_bytes();
    Delivery { account: account.clone(), mailbox: MailboxName::inbox(), trace }
}

async fn enqueue(queue: &Queue, message: &Message, recipients: Vec<Recipient>) -> Result<(), DeliveryError> {
    let envelope = Envelope {
        reverse_path: message.reverse_path.clone(),
        recipients,
        parameters: message.parameters.clone(),
    };
    let (queue, id) = (queue.clone(), message.id);
    let (prefix, content) = (message.prefix.clone(), message.content.clone());
    let submit = move || -> Result<(), SubmitError> {
        let mut submission: Submission = queue.begin()?;
        submission.write(prefix.as_bytes())?;
        for_each_piece(content.reader(), |piece| submission.write(piece))?;
        submission.commit(id, &envelope)
    };
    blocking(submit).await.map_err(DeliveryError::Queue)
}

/// The recipient of a message that has only one: a trace field that named several would tell each of them
/// who the others are.
pub(crate) fn sole_recipient(envelope: &Envelope) -> Option<&Address> {
    match envelope.recipients.as_slice() {
        [Recipient { path: ForwardPath::Address(address), .. }] => Some(address),
        _ => None,
    }
}
