//! One message from its end of data to its final reply: its name, its log line.

use std::net::IpAddr;
use std::time::Instant;

use kings_mail::address::Address;
use kings_mail::envelope::Envelope;
use kings_mail::header;
use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;
use kings_smtp::reply::Reply;
use kings_store::Incoming;
use tracing::info;

use crate::core::{Core, new_id};
use crate::{policy, traced};

/// A message whose content is whole.
pub(crate) struct Transaction {
    pub(crate) id: TraceId,
    client: IpAddr,
    reverse_path: ReversePath,
    recipients: usize,
    bytes: u64,
    began: Instant,
}

impl Transaction {
    pub(crate) fn new(client: IpAddr, envelope: &Envelope, bytes: u64) -> Self {
        let (reverse_path, recipients) = (envelope.reverse_path.clone(), envelope.recipients.len());
        Self { id: new_id(), client, reverse_path, recipients, bytes, began: Instant::now() }
    }

    /// The final reply, and the one line that an operator finds for this message. `account`: who submitted it.
    pub(crate) fn finish(self, core: &Core, account: Option<&Address>, result: Result<(), Reply>) -> Reply {
        let (verdict, reply) = match result {
            Ok(()) => ("accept", Reply::accepted(self.id)),
            Err(reply) if reply.is_temporary() => ("defer", reply),
            Err(reply) => ("reject", reply),
        };
        let Self { id, client, reverse_path, recipients, bytes, began } = self;
        let account = account.map(tracing::field::display);
        let (said, took_ms) = (reply.to_string(), began.elapsed().as_millis());
        info!(%id, %client, account, %reverse_path, recipients, bytes, verdict, reply = said, took_ms, "message received");
        traced::finished(core, id, client, &reverse_path, &reply);
        reply
    }
}

/// Judges a message by its header alone.
pub(crate) fn check_header(content: &Incoming) -> Result<(), Reply> {
    let head = content.head();
    // A header that fills all of the head and does not end in it is over its limit.
    let endless = content.len() > head.len() as u64 && header::header_end(head) == head.len();
    let summary = if endless { Err(header::BadHeader::TooLarge) } else { header::check(head) };
    policy::header(summary)
}
