//! What becomes of a whole message from a stranger: one pure function from what is known to accept, junk, defer or reject.

mod field;
mod listings;
mod reason;
mod settings;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use kings_msgauth::dmarc::Policy;
use kings_smtp::reply::{Reply, Status};

use crate::facts::{Facts, Rules, Standing, Verdict};

use field::fold;
pub(crate) use field::{FIELD, has_forged_path, is_junk, is_unproven};
pub use listings::{Listing, Listings};
pub(crate) use reason::{Author, Reason};
pub use settings::{OnDoubt, Verdicts};

/// All that is known of a whole message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) sender: Facts,
    /// The lists that the client is on.
    pub(crate) listings: Listings,
    /// Why SPF of the EHLO name failed, where it did and counts.
    pub(crate) spf_helo_fail: Option<String>,
    /// Why SPF failed, where it did and counts.
    pub(crate) spf_fail: Option<String>,
    /// What the domain of each author wants done of whom DMARC failed, where it counts.
    pub(crate) dmarc_fail: Vec<(Policy, Author)>,
    /// One of our domains, where the author says to be of it and nothing proved it, and what follows.
    pub(crate) unproven: Option<(String, Verdict)>,
    /// A domain of ours that the name in From shows an address of, and the other domain that it is from.
    pub(crate) shows_ours: Option<(String, String)>,
    /// One of our domains, where the reverse-path is of it and SPF does not let the client use it.
    pub(crate) forged_path: Option<String>,
    /// Why SPF came to softfail, where it did and counts.
    pub(crate) spf_softfail: Option<String>,
    /// The authors about whom DMARC could not be decided for now, where it counts, and what their domains want done of
    /// whom it fails; [`Policy::None`] where that is not known.
    pub(crate) undecided: Vec<(Policy, Author)>,
    /// The domains of its authors, where they are more than one and DMARC counts.
    pub(crate) several: Vec<String>,
    /// Why DMARC cannot tell its author, where it cannot and counts.
    pub(crate) no_author: Option<String>,
    /// Whose signature on it has come before, and to how many recipients.
    pub(crate) repeated: Option<(String, u64)>,
    /// Why a filter wants it held back.
    pub(crate) quarantine: Option<String>,
    /// How long its sender is to wait, who is new here.
    pub(crate) greylisted: Option<Duration>,
    /// The listed sealer that saw DMARC pass for this author (RFC 8617 §7.2).
    pub(crate) sealed: Option<String>,
    /// The host that brings it, where that passes mail of others on to us.
    pub(crate) forwarder: Option<IpAddr>,
    /// Such a host, or the mail server in front of us, calls it junk.
    pub(crate) junk_before: Option<IpAddr>,
}

/// What becomes of it, and what spoke for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    /// Those that led to the verdict, then those that would have if the verdict were milder.
    pub(crate) reasons: Vec<Reason>,
    /// How many of them led to it.
    pub(crate) decisive: usize,
}

/// Decides. What is only recorded is no reason; doubt is one for a domain that wants to be protected, or where the operator
/// wants it so, and a DNS that does not answer refuses nothing for good. Some things are told though nothing follows from them.
pub(crate) fn message(known: &Known, rules: Rules, verdicts: Verdicts) -> Decision {
    let sender = known.sender;
    if let Some(host) = known.forwarder.filter(|_| known.is_unauthentic()) {
        let mut decision = message(&known.passed_on(), rules, verdicts);
        decision.reasons.push(Reason::PassedOn(host));
        return decision;
    }
    if let Some(sealer) = known.sealed.as_ref().filter(|_| known.is_unauthentic()) {
        let mut decision = message(&known.believed(), rules, verdicts);
        decision.reasons.push(Reason::Sealed(sealer.clone()));
        return decision;
    }
    let listed = known.listings.against(verdicts.dnsbl_threshold);
    let helo = known.spf_helo_fail.clone().map(|why| (Reason::HeloSpfFail(why), verdicts.spf_helo_fail));
    let spf = known.spf_fail.clone().map(|why| (Reason::SpfFail(why), verdicts.spf_fail));
    let softly = known.spf_softfail.clone().map(|why| (Reason::SpfSoftFail(why), verdicts.spf_softfail));
    let dmarc = known
        .dmarc_fail
        .iter()
        .map(|(policy, author)| (Reason::DmarcFail(author.clone()), of_author(author, verdicts.of(*policy))));
    let unproven = known.unproven.clone().map(|(domain, verdict)| (Reason::NotOurs(domain), verdict));
    let shown = known.shows_ours.clone();
    let shown = shown.map(|(shown, author)| (Reason::ShowsOurs(shown, author), verdicts.impersonation));
    let undecided = known.undecided.iter().map(|(policy, author)| {
        (Reason::Undecided(*policy, author.clone()), of_author(author, verdicts.in_doubt(*policy)))
    });
    let from = verdicts.dkim_repeats_from;
    let repeated = known.repeated.clone().filter(|(_, recipients)| from > 0 && *recipients >= from);
    let repeated = repeated.map(|(domain, count)| (Reason::Repeated(domain, count), verdicts.dkim_repeats));
    let several =
        (known.several.len() > 1).then(|| (Reason::Several(known.several.clone()), verdicts.several_authors));
    let no_author = known.no_author.clone().map(|why| (Reason::NoAuthor(why), verdicts.no_author));
    let greylisted = known.greylisted.map(|wait| (Reason::Greylisted(wait), Verdict::Defer));
    let findings = [
        sender.bad_helo.then_some((Reason::BadHelo, rules.bad_helo)),
        (sender.helo == Some(Standing::Unknown)).then_some((Reason::UnknownHelo, rules.unknown_helo)),
        match sender.sender_domain {
            Some(Standing::Unknown) => Some((Reason::UnknownSenderDomain, rules.unknown_sender_domain)),
            Some(Standing::NullMx) => Some((Reason::SenderTakesNoMail, rules.unknown_sender_domain)),
            Some(Standing::Known | Standing::Unsure) | None => None,
        },
        listed.map(|lists| (Reason::Listed(lists), verdicts.dnsbl_listed)),
        helo,
        spf,
        softly,
        unproven,
        known.forged_path.clone().map(|domain| (Reason::PathNotOurs(domain), Verdict::Accept)),
        shown,
        repeated,
        several,
        no_author,
        known.junk_before.map(|host| (Reason::JunkBefore(host), Verdict::Junk)),
        greylisted,
    ];
    let counts =
        |(reason, verdict): &(Reason, Verdict)| *verdict != Verdict::Accept || reason.is_always_told();
    // Of several authors each could be the one that a reader sees: whatever is the strictest that follows from one decides.
    let findings = findings.into_iter().flatten().chain(dmarc).chain(undecided);
    let findings: Vec<(Reason, Verdict)> = findings.filter(counts).collect();
    let verdict = findings.iter().map(|(_, verdict)| *verdict).max().unwrap_or_default();
    let (led, others): (Vec<_>, Vec<_>) = findings.into_iter().partition(|(_, one)| *one == verdict);
    let decisive = led.len();
    // Nobody is to come again who is refused for good.
    let others = others.into_iter().filter(|(reason, _)| !matches!(reason, Reason::Greylisted(_)));
    let mut reasons: Vec<Reason> = led.into_iter().chain(others).map(|(reason, _)| reason).collect();
    // It is held whatever else is thought of it; released, it goes where it would have gone.
    reasons.extend(known.quarantine.clone().map(Reason::Quarantine));
    Decision { verdict, reasons, decisive }
}

/// What follows for an author. One who is no more than a name to most readers loses nobody a message: careless programs
/// leave out the quotes of such names, and in quotes nobody would ask about it at all.
fn of_author(author: &Author, verdict: Verdict) -> Verdict {
    if author.is_name { verdict.min(Verdict::Junk) } else { verdict }
}

impl Known {
    fn is_unauthentic(&self) -> bool {
        self.spf_fail.is_some()
            || self.spf_softfail.is_some()
            || !self.dmarc_fail.is_empty()
            || self.unproven.is_some()
            || !self.undecided.is_empty()
    }

    /// The same without what it proves of nobody that another host brings it. A claim on us stays a claim.
    fn passed_on(&self) -> Self {
        let unproven = self.unproven.clone().map(|(domain, _)| (domain, Verdict::Accept));
        Self { unproven, forwarder: None, spf_helo_fail: None, ..self.believed() }
    }

    /// The same without what passing on explains.
    fn believed(&self) -> Self {
        Self {
            spf_fail: None,
            spf_softfail: None,
            dmarc_fail: Vec::new(),
            unproven: None,
            undecided: Vec::new(),
            sealed: None,
            ..self.clone()
        }
    }
}

impl Decision {
    /// Why it waits in the queue until an operator releases it, where it is taken.
    pub(crate) fn hold(&self) -> Option<&str> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Quarantine(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// The refusal, where the verdict is one; it names what led to it, since the sender's postmaster is to act on that. What
    /// else was found is for our own eyes.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let decisive = &self.reasons[..self.decisive];
        let (code, status) = match self.verdict {
            Verdict::Accept | Verdict::Junk => return None,
            Verdict::Defer => (451, Status(4, 7, 1)),
            Verdict::Reject => (550, Status(5, 7, cause(decisive))),
        };
        let text = format!("Not accepted: {}", sentences(decisive));
        Some(Reply { code, status: Some(status), text: text.into() })
    }

    /// The field that goes in front of the message.
    pub(crate) fn field(&self) -> String {
        fold(&format!("{FIELD}: {self}"))
    }
}

/// The detail of a refusal: 23 where it is for a "fail" of SPF alone (RFC 7372 §3.2), 26 where several checks failed, as
/// they have where DMARC does (RFC 7372 §3.4), and 1, a matter of policy, where anything else had to do with it.
fn cause(decisive: &[Reason]) -> u16 {
    let is_spf = |reason: &Reason| matches!(reason, Reason::SpfFail(_) | Reason::HeloSpfFail(_));
    let is_dmarc = |reason: &Reason| matches!(reason, Reason::DmarcFail(_));
    let is_proof = |reason: &Reason| {
        is_spf(reason) || is_dmarc(reason) || matches!(reason, Reason::SpfSoftFail(_) | Reason::NotOurs(_))
    };
    match decisive {
        [_, ..] if decisive.iter().all(is_spf) => 23,
        _ if decisive.iter().any(is_dmarc) && decisive.iter().all(is_proof) => 26,
        _ => 1,
    }
}

impl fmt::Display for Decision {
    /// The verdict, and a sentence for each reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict.as_str())?;
        if self.reasons.is_empty() { Ok(()) } else { write!(f, "; {}", sentences(&self.reasons)) }
    }
}

fn sentences<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    reasons.into_iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
