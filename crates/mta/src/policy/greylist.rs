//! Whether a stranger is to come again: one pure function from what is known to a wait, or the reason for none.

use std::fmt;
use std::time::Duration;

/// `[inbound] greylist_delay` where nothing is said: postgrey's.
pub const DELAY: Duration = Duration::from_mins(5);
/// `[inbound] greylist_retry_window` where nothing is said: postgrey's two days.
pub const RETRY_WINDOW: Duration = Duration::from_hours(48);

/// All that the decision may look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them may hold")]
pub(crate) struct GreyFacts {
    /// The config exempts the client, or it is a host of ours.
    pub(crate) exempt: bool,
    /// A list of good senders names the client.
    pub(crate) welcome: bool,
    /// For the postmaster or the abuse desk of a domain and nobody else: they hear everybody (RFC 2142 §4, §5).
    pub(crate) for_postmaster: bool,
    /// DMARC or SPF passed for a domain whose mail was let in before.
    pub(crate) domain_is_friend: bool,
    /// One of our users has written to the sender, and no check says that the sender is forged.
    pub(crate) was_written_to: bool,
    /// The sender was let in before, from here and to one of these recipients.
    pub(crate) has_written: bool,
    /// How long ago the sender tried first to write from here to one of these recipients; the longest of all.
    pub(crate) waited: Option<Duration>,
}

/// How long a stranger waits, and how long it may take to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) delay: Duration,
    pub(crate) retry_window: Duration,
}

/// What is said to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greylisting {
    /// Nothing, for this reason.
    Pass(Because),
    /// Try again, from then on.
    Wait(Duration),
}

/// Why somebody need not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    Exempt,
    Welcome,
    ForPostmaster,
    DomainIsFriend,
    WasWrittenTo,
    HasWritten,
    HasWaited,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exempt => "the client is exempt",
            Self::Welcome => "the client is on a list of good senders",
            Self::ForPostmaster => "it is for the postmaster",
            Self::DomainIsFriend => "its domain is proven and known",
            Self::WasWrittenTo => "the sender was written to",
            Self::HasWritten => "the sender is known to a recipient",
            Self::HasWaited => "the sender has waited",
        })
    }
}

/// Decides. One recipient who knows the sender speaks for it to all of them: what is looked for is a program that
/// comes again, not an acquaintance of everybody.
pub(crate) fn greylisting(facts: GreyFacts, times: Times) -> Greylisting {
    let Times { delay, retry_window } = times;
    let reasons = [
        (facts.exempt, Because::Exempt),
        (facts.welcome, Because::Welcome),
        (facts.for_postmaster, Because::ForPostmaster),
        (facts.domain_is_friend, Because::DomainIsFriend),
        (facts.was_written_to, Because::WasWrittenTo),
        (facts.has_written, Because::HasWritten),
        (facts.waited.is_some_and(|waited| waited >= delay && waited <= retry_window), Because::HasWaited),
    ];
    let reason = reasons.into_iter().find(|(holds, _)| *holds);
    let since = facts.waited.filter(|waited| *waited < delay).unwrap_or_default();
    reason.map_or_else(
        || Greylisting::Wait(delay.saturating_sub(since)),
        |(_, because)| Greylisting::Pass(because),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_wait_and_everybody_else_has_a_reason() {
        let nobody = GreyFacts::default();
        let after = |seconds| GreyFacts { waited: Some(Duration::from_secs(seconds)), ..nobody };
        let wait = |seconds| Greylisting::Wait(Duration::from_secs(seconds));
        let cases = [
            (nobody, wait(300)),
            (after(0), wait(300)),
            (after(299), wait(1)),
            (after(300), Greylisting::Pass(Because::HasWaited)),
            (after(48 * 3_600), Greylisting::Pass(Because::HasWaited)),
            (after(48 * 3_600 + 1), wait(300)),
            (GreyFacts { exempt: true, ..nobody }, Greylisting::Pass(Because::Exempt)),
            (GreyFacts { welcome: true, ..nobody }, Greylisting::Pass(Because::Welcome)),
            (GreyFacts { for_postmaster: true, ..nobody }, Greylisting::Pass(Because::ForPostmaster)),
            (GreyFacts { domain_is_friend: true, ..nobody }, Greylisting::Pass(Because::DomainIsFriend)),
            (GreyFacts { was_written_to: true, ..nobody }, Greylisting::Pass(Because::WasWrittenTo)),
            (GreyFacts { has_written: true, ..after(7) }, Greylisting::Pass(Because::HasWritten)),
        ];
        for (facts, expected) in cases {
            let times = Times { delay: DELAY, retry_window: RETRY_WINDOW };
            assert_eq!(greylisting(facts, times), expected, "{facts:?}");
        }
    }
}
