//! What is found on the way along aliases.

use std::collections::HashSet;

use kings_mail::address::{Address, LocalPart};

use super::{Place, Target};
use crate::aliases::Goal;

pub(super) enum Found {
    Account(Address),
    Aliases(Vec<Address>),
    /// Somebody wants the mail thrown away.
    Nobody,
}

impl Found {
    pub(super) fn of_machine(goals: Vec<Address>) -> Self {
        if goals.is_empty() { Self::Nobody } else { Self::Aliases(goals) }
    }

    pub(super) fn at(goals: &[Goal], local_part: &LocalPart) -> Self {
        Self::Aliases(goals.iter().map(|goal| goal.address(local_part)).collect())
    }
}

#[derive(Default)]
pub(super) struct Walk {
    pub(super) seen: HashSet<Address>,
    pub(super) targets: Vec<Target>,
    /// Of the innermost alias that has one.
    pub(super) owner: Option<Address>,
    /// An alias led to `/dev/null`.
    pub(super) nobody: bool,
    /// An alias led back to itself.
    pub(super) circle: bool,
    /// The chain was too long or the targets too many.
    pub(super) overrun: bool,
}

impl Walk {
    pub(super) fn add(&mut self, place: Place) {
        if self.targets.iter().all(|target| target.place != place) {
            self.targets.push(Target { place, owner: self.owner.clone() });
        }
    }
}
