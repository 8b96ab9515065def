//! Whether an alias has sent on this very message before.

use std::collections::HashSet;

use kings_directory::{Place, Target};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::header;
use kings_mail::path::ForwardPath;

/// What a message says of its way: each address that it was delivered to or sent on from, here or elsewhere
/// (RFC 9228 §4).
pub(crate) struct Visited(HashSet<String>);

impl Visited {
    pub(crate) fn told_by(head: &[u8]) -> Self {
        Self(header::all(head, "Delivered-To").map(|field| field.text().trim().to_lowercase()).collect())
    }

    fn holds(&self, address: &Address) -> bool {
        !self.0.is_empty() && self.0.contains(&address.folded().to_string())
    }

    /// Whether an alias has sent the message on to this target before, so that it is back from there.
    ///
    /// Only what leaves can come round again: an account is where a message ends, so that what the field says of accounts,
    /// or of an alias of the same name on another server, keeps nobody's mail out of a mailbox. Nor do copies count that
    /// this server adds: what comes back is for whom it was sent to, and is none of these any more.
    pub(crate) fn rings(&self, recipient: &Recipient, target: &Target) -> bool {
        let ForwardPath::Address(alias) = &recipient.path else { return false };
        let leaves = matches!(&target.place, Place::Remote(address) if address.folded() != alias.folded());
        leaves && !recipient.added && self.holds(alias)
    }
}
