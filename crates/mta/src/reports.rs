//! Tells senders who asked for it that their message is in its mailbox, or went to several.

use kings_mail::envelope::{Envelope, Recipient};
use kings_queue::Handover;
use tracing::warn;

use crate::core::Core;
use crate::deliver::Message;
use crate::relay::here;

/// Posts one notification about all these recipients, if anybody asked for one (RFC 3461 §5.2.3, §5.2.7.3). The
/// message itself is safe already, so that a failure here costs the sender a courtesy and nothing else.
pub(crate) async fn success(core: &Core, message: &Message, done: Vec<(Recipient, Handover)>) {
    if !done.iter().any(|(recipient, _)| recipient.notify.on_success()) {
        return;
    }
    let (recipients, handovers): (Vec<Recipient>, Vec<Handover>) = done.into_iter().unzip();
    let envelope = Envelope {
        reverse_path: message.reverse_path.clone(),
        recipients,
        parameters: message.parameters.clone(),
    };
    let notification = core.queue.success(message.id, envelope, &handovers, message.content.head());
    let Some(mut notification) = notification else { return };
    notification.verdict = message.verdict.clone().into_bytes();
    // A notification has no sender, so it makes no other one.
    if let Err(error) = Box::pin(here::post(core, notification)).await {
        warn!(id = %message.id, %error, "the sender is not told of success");
    }
}
