//! Whether a message has come round: an alias here has sent it on before, as its Delivered-To says.

use kings_directory::{Directory, Place, Reach, Resolution};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::path::ForwardPath;
use kings_mail::report::Notify;

use crate::deliver::Visited;

/// Whom the message is for, and who knows what they stand for.
pub struct Addressees {
    /// Accounts and aliases.
    pub directory: Directory,
    /// What RCPT said.
    pub recipients: Vec<Address>,
}

/// The aliases that have sent it on before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loops {
    /// Nothing would become of it but to be sent on again: port 25 refuses the message for each of them.
    pub(super) whole: Vec<Address>,
    /// Their accounts here get it, and it is sent on to nobody.
    pub(super) in_part: Vec<Address>,
}

impl Addressees {
    /// As at the end of a message on port 25 (RFC 9228 §4).
    pub(super) async fn loops(&self, head: &[u8]) -> Loops {
        let visited = Visited::told_by(head);
        let mut loops = Loops::default();
        for address in &self.recipients {
            let path = ForwardPath::Address(address.clone());
            let Resolution::Targets(targets) = self.directory.resolve(&path, Reach::Ours).await else {
                continue;
            };
            let recipient =
                Recipient { path, notify: Notify::default(), original: None, resolved: false, added: false };
            let ringing = targets.iter().filter(|target| visited.rings(&recipient, target)).count();
            if ringing == 0 {
                continue;
            }
            let dead = targets.iter().filter(|target| matches!(target.place, Place::Nobody(_))).count();
            let found = if ringing + dead == targets.len() { &mut loops.whole } else { &mut loops.in_part };
            found.push(address.clone());
        }
        loops
    }
}
