//! Searching for text: which messages cannot have it, by the words that are known of them.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use crate::concordance::{Behind, Concordance, Front, Places, number_of};
use crate::index::sheets::Seal;
use crate::index::{AccountIndex, Concordances, IndexError, Learner};
use crate::mailbox::Mailbox;
use crate::message::{Uid, UidValidity};
use crate::words::Pattern;

/// Messages at the end of a mailbox, where more will arrive, whose words are not worth writing yet: they are read each
/// time.
const FEW: usize = 32;

/// Longest look at words: who wants more of them than could be looked for meanwhile has messages read.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a message must have somewhere in its texts to be found. Texts are in folded case, as those that are learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing that could be told here.
    Anything,
    /// This text, within one of its own.
    Text(String),
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    AnyOf(Vec<Self>),
}

/// What is known of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing: it has to be read, and its texts may be learnt then.
    Unknown,
    /// It may have what is wanted, so it has to be read.
    Possible,
    /// It has not.
    Impossible,
}

/// The words of one mailbox, for one command. Every call blocks.
#[derive(Debug)]
pub struct Texts {
    mailbox: Mailbox,
    version: u32,
    guid: String,
    validity: UidValidity,
    /// What is learnt, and the number that it will have.
    making: (u32, Concordance),
    /// Whether words are kept.
    learns: Learns,
}

#[derive(Debug)]
enum Learns {
    Unasked,
    Not,
    Does(#[expect(dead_code, reason = "held, so that others do not")] Learner),
}

/// [`Wanted`] as it is looked for.
enum Plan {
    Anything,
    Patterns(Vec<Pattern>),
    All(Vec<Self>),
    AnyOf(Vec<Self>),
}

impl Mailbox {
    /// The words of its messages, learnt by readers of this `version`; `None` where nothing is ever kept.
    pub fn texts(&self, version: u32) -> Option<Texts> {
        let (guid, validity) = self.identity()?;
        self.0.account.index.as_ref()?;
        let making = Default::default();
        Some(Texts { mailbox: self.clone(), version, guid, validity, making, learns: Learns::Unasked })
    }
}

impl Texts {
    /// What is known of each of `uids`, which rise; `None` where the words of no message could tell anything. What is not
    /// told after [`PATIENCE`] is possible.
    pub fn look(&mut self, uids: &[Uid], wanted: &Wanted) -> Option<Vec<Hint>> {
        let plan = Plan::of(wanted);
        if let Plan::Anything = plan {
            return None;
        }
        let mut hints = vec![Hint::Unknown; uids.len()];
        let index = self.mailbox.0.account.index.as_ref()?;
        if let Some(kept) = index.concordances(&self.guid, self.validity)
            && let Err(error) = self.look_through(&kept, uids, &plan, &mut hints)
        {
            tracing::warn!(%error, "the words of messages cannot be read, and are collected anew");
            index.remake();
        }
        Some(hints)
    }

    fn look_through(
        &self,
        kept: &Concordances,
        uids: &[Uid],
        plan: &Plan,
        hints: &mut [Hint],
    ) -> Result<(), IndexError> {
        let (Some(first), Some(last)) = (uids.first(), uids.last()) else { return Ok(()) };
        let began = Instant::now();
        for number in kept.numbers(*first, *last)? {
            let start = uids.partition_point(|uid| number_of(*uid) < number);
            if began.elapsed() > PATIENCE {
                hints[start..].fill(Hint::Possible);
                break;
            }
            let octets = kept.front(number)?;
            let Some(front) = Front::read(&octets) else { continue };
            let behind = OnceCell::new();
            let found = plan.places(&front, &|words| {
                let octets = behind.get_or_init(|| kept.behind(number).unwrap_or_default());
                // Of what cannot be read nothing is known.
                Behind::read(&front, octets).map_or(Places::ALL, |behind| behind.any(words))
            });
            let end = uids.partition_point(|uid| number_of(*uid) <= number);
            for (place, seal) in self.places(&front, &uids[start..end]) {
                let (place_here, is_unread) = seal;
                let is_possible = is_unread || found.has(place_here);
                hints[start + place] = if is_possible { Hint::Possible } else { Hint::Impossible };
            }
        }
        Ok(())
    }

    /// Where messages of `uids` that are still what they were stand in a concordance: the place among `uids`, the place there, and
    /// whether its words are not there.
    fn places(&self, front: &Front<'_>, uids: &[Uid]) -> Vec<(usize, (usize, bool))> {
        let listed = front.messages().iter().enumerate();
        let mut there: Vec<(Uid, Seal, usize, bool)> =
            listed.map(|(place, one)| (one.uid, one.seal, place, one.is_unread)).collect();
        there.sort_unstable_by_key(|(uid, ..)| *uid);
        let seals = self.mailbox.seals(self.validity, self.version, uids);
        let known = seals.into_iter().filter_map(|(place, (uid, seal))| {
            let at = there.binary_search_by_key(&uid, |(uid, ..)| *uid).ok()?;
            let (_, kept, there, is_unread) = there[at];
            (kept == seal).then_some((place, (there, is_unread)))
        });
        known.collect()
    }

    /// Keeps the words of a message of which nothing is known, soon, if there is room: all its texts, in folded case.
    ///
    /// Few learn at a time, since what they make takes memory; the others leave it to the next search.
    pub fn learn<T: AsRef<str>>(&mut self, uid: Uid, texts: impl IntoIterator<Item = T>) {
        if let Learns::Unasked = self.learns {
            let index = self.mailbox.0.account.index.as_ref();
            self.learns = index.and_then(AccountIndex::learner).map_or(Learns::Not, Learns::Does);
        }
        if let Learns::Not = self.learns {
            return;
        }
        if number_of(uid) != self.making.0 {
            self.hand_on();
            self.making.0 = number_of(uid);
        }
        let seals = self.mailbox.seals(self.validity, self.version, &[uid]);
        if let Some((_, (uid, seal))) = seals.first() {
            self.making.1.add(*uid, *seal, texts);
        }
    }

    fn hand_on(&mut self) {
        let new = std::mem::take(&mut self.making.1);
        let number = self.making.0;
        let last = self.mailbox.snapshot().messages.last().map(|message| number_of(message.uid));
        let is_at_the_end = last.is_none_or(|last| number >= last);
        if new.is_empty() || (is_at_the_end && new.len() < FEW) {
            return;
        }
        if let Some(index) = &self.mailbox.0.account.index {
            AccountIndex::add_words(index, &self.guid, self.validity, number, new);
        }
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        self.hand_on();
    }
}

impl Plan {
    fn of(wanted: &Wanted) -> Self {
        let each = |all: &[Wanted]| all.iter().map(Self::of).collect::<Vec<_>>();
        match wanted {
            Wanted::Anything => Self::Anything,
            Wanted::Text(text) => match Pattern::all_of(text) {
                patterns if patterns.is_empty() => Self::Anything,
                patterns => Self::Patterns(patterns),
            },
            Wanted::All(all) => {
                let plans: Vec<Self> =
                    each(all).into_iter().filter(|plan| !matches!(plan, Self::Anything)).collect();
                if plans.is_empty() { Self::Anything } else { Self::All(plans) }
            }
            Wanted::AnyOf(all) => {
                let plans = each(all);
                let is_anything = plans.iter().any(|plan| matches!(plan, Self::Anything));
                if is_anything { Self::Anything } else { Self::AnyOf(plans) }
            }
        }
    }

    /// The places that may have it; `any` says where any of some words stands.
    fn places(&self, front: &Front<'_>, any: &dyn Fn(&[usize]) -> Places) -> Places {
        match self {
            Self::Anything => Places::ALL,
            Self::Patterns(patterns) => {
                let mut places = Places::ALL;
                for pattern in patterns {
                    let words = front.find(pattern);
                    if words.is_empty() {
                        return Places::NONE;
                    }
                    places = places.and(&any(&words));
                }
                places
            }
            Self::All(plans) => plans.iter().fold(Places::ALL, |all, plan| all.and(&plan.places(front, any))),
            Self::AnyOf(plans) => {
                plans.iter().fold(Places::NONE, |any_of, plan| any_of.or(&plan.places(front, any)))
            }
        }
    }
}
