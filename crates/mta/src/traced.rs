//! What the trace remembers of a message: one call at each place where the log has a line.

use std::net::IpAddr;

use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::header;
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::{Attempt, Outcome};
use kings_records::{Event, Step};
use kings_smtp::reply::Reply;
use tracing::info;

use crate::core::{Core, new_id};
use crate::deliver::Message;
use crate::policy::verdict::Decision;

/// A recipient was refused before there was a message.
pub(crate) fn recipient_refused(
    core: &Core,
    client: IpAddr,
    sender: &ReversePath,
    recipient: &ForwardPath,
    reply: &Reply,
) {
    core.records.trace(Event {
        sender: Some(bare(sender)),
        recipient: Some(bare(recipient)),
        remote: Some(client.to_string()),
        reply: Some(reply.to_string()),
        ..Event::new(new_id(), Step::Refused)
    });
}

/// What was thought of a whole message, with a sentence for each reason.
pub(crate) fn judged(core: &Core, id: TraceId, sender: &ReversePath, decision: &Decision) {
    core.records.trace(Event {
        sender: Some(bare(sender)),
        reply: Some(decision.to_string()),
        ..Event::new(id, Step::Judged)
    });
}

/// A message got its final reply.
pub(crate) fn finished(core: &Core, id: TraceId, client: IpAddr, sender: &ReversePath, reply: &Reply) {
    let step = if reply.code < 300 { Step::Received } else { Step::Refused };
    core.records.trace(Event {
        sender: Some(bare(sender)),
        remote: Some(client.to_string()),
        reply: Some(reply.to_string()),
        ..Event::new(id, step)
    });
}

/// A copy is in the mailbox of this account.
pub(crate) fn stored(core: &Core, message: &Message, account: &Address) {
    core.records.trace(Event {
        sender: Some(bare(&message.reverse_path)),
        recipient: Some(bare(account)),
        message_id: message_id(message),
        ..Event::new(message.id, Step::Stored)
    });
}

/// Recipients of it get no copy, for these reasons.
pub(crate) fn left_out<'a>(
    core: &Core,
    message: &Message,
    recipients: impl Iterator<Item = (&'a Recipient, &'static str)>,
) {
    for (recipient, why) in recipients {
        info!(id = %message.id, recipient = %recipient.path, why, "no copy");
        core.records.trace(Event {
            sender: Some(bare(&message.reverse_path)),
            recipient: Some(bare(&recipient.path)),
            message_id: message_id(message),
            reply: Some(why.to_owned()),
            ..Event::new(message.id, Step::Discarded)
        });
    }
}

/// All of it is thrown away, as a rule wants it.
pub(crate) fn dropped(core: &Core, id: TraceId, sender: &ReversePath, why: &'static str) {
    info!(%id, why, "dropped");
    core.records.trace(Event {
        sender: Some(bare(sender)),
        reply: Some(why.to_owned()),
        ..Event::new(id, Step::Discarded)
    });
}

/// A copy for this recipient is in this entry of the queue, and leaves with this reverse-path.
pub(crate) fn queued(
    core: &Core,
    message: &Message,
    (entry, reverse_path): (TraceId, &ReversePath),
    recipient: &ForwardPath,
) {
    core.records.trace(Event {
        sender: Some(bare(reverse_path)),
        recipient: Some(bare(recipient)),
        message_id: message_id(message),
        reply: message.hold.as_ref().map(|why| format!("held: {why}")),
        ..Event::new(entry, Step::Queued)
    });
}

fn message_id(message: &Message) -> Option<String> {
    let own = header::first(message.prefix.as_bytes(), "Message-ID");
    let field = own.or_else(|| header::first(message.content.head(), "Message-ID"));
    field.map(|field| field.text().trim().to_owned())
}

/// An attempt has an outcome for this recipient.
pub(crate) fn attempted(core: &Core, attempt: &Attempt, recipient: &ForwardPath, outcome: &Outcome) {
    let (step, report) = match outcome {
        Outcome::Delivered(report) | Outcome::Relayed(report) | Outcome::PassedOn(report) => {
            (Step::Delivered, report)
        }
        Outcome::Deferred(report) => (Step::Deferred, report),
        Outcome::Failed(report) => (Step::Failed, report),
    };
    core.records.trace(Event {
        sender: Some(bare(&attempt.reverse_path)),
        recipient: Some(bare(recipient)),
        remote: report.remote.clone(),
        reply: Some(report.reply.clone()),
        ..Event::new(attempt.id, step)
    });
}

/// Somebody is told what became of a message, by another message: each names the other.
pub(crate) fn notified(core: &Core, about: TraceId, told: &ForwardPath, report: TraceId) {
    let told = Some(bare(told));
    core.records.trace(Event {
        recipient: told.clone(),
        reply: Some(report.to_string()),
        ..Event::new(about, Step::Reported)
    });
    core.records.trace(Event {
        sender: Some(String::new()),
        recipient: told,
        reply: Some(about.message().to_string()),
        ..Event::new(report, Step::Reports)
    });
}

/// Nobody is told what became of a message, for this reason.
pub(crate) fn withheld(core: &Core, about: TraceId, path: &ForwardPath, why: &'static str) {
    core.records.trace(Event {
        recipient: Some(bare(path)),
        reply: Some(why.to_owned()),
        ..Event::new(about, Step::Withheld)
    });
}

/// An address without its brackets, as people ask for it.
fn bare(path: &impl ToString) -> String {
    path.to_string().trim_matches(['<', '>']).to_owned()
}
