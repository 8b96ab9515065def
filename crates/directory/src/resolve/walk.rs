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
    /// Those that are nobody's.
    pub(super) dead: Vec<Target>,
    /// Of the innermost alias that has one.
    pub(super) owner: Option<Address>,
    /// An alias led to `/dev/null`.
    pub(super) discard: bool,
    /// An alias led back to itself.
    pub(super) circle: bool,
    /// The chain was too long or the targets too many.
    pub(super) overrun: bool,
}

impl Walk {
    pub(super) fn add(&mut self, place: Place) {
        let list = if matches!(place, Place::Nobody(_)) { &mut self.dead } else { &mut self.targets };
        if list.iter().all(|target| target.place != place) {
            list.push(Target { place, owner: self.owner.clone() });
        }
    }

    /// Whether this address was met before and is nobody's.
    pub(super) fn is_dead(&self, folded: &Address) -> bool {
        self.dead.iter().any(|target| matches!(&target.place, Place::Nobody(address) if address == folded))
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len() + self.dead.len()
    }
}
