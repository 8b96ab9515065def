//! Who hears of what goes wrong beside the senders: Postfix's `notify_classes`.

use kings_mail::path::{ForwardPath, ReversePath};

use crate::recipient::Occasion;

/// Who is told on which occasion; `None`: nobody, and the log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// A message without a sender failed, such as a bounce (`2bounce`).
    pub double_bounces: Option<ForwardPath>,
    /// A copy of what a sender is told of a failure (`bounce`).
    pub bounces: Option<ForwardPath>,
    /// A copy of what a sender is told of a delay (`delay`).
    pub delays: Option<ForwardPath>,
}

impl Notices {
    /// Who is told in the place of a sender that there is none of.
    pub(crate) fn instead(&self, reverse_path: &ReversePath) -> Option<&ForwardPath> {
        self.double_bounces.as_ref().filter(|_| *reverse_path == ReversePath::Null)
    }

    /// Who gets a copy of what the sender is told.
    pub(crate) fn beside(&self, reverse_path: &ReversePath, occasion: Occasion) -> Option<&ForwardPath> {
        let copy = match occasion {
            Occasion::Failure => self.bounces.as_ref(),
            Occasion::Delay => self.delays.as_ref(),
            Occasion::Success => None,
        };
        copy.filter(|_| *reverse_path != ReversePath::Null)
    }
}
