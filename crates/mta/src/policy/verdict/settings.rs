//! What the operator makes of the results of message authentication.

use kings_msgauth::dmarc::Policy;

use crate::facts::Verdict;

/// What follows where DNS leaves open whether DMARC passes. Never [`Verdict::Reject`]: it may be our own trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDoubt {
    /// What would follow if it failed, [`Verdict::Junk`] at most; nothing where the policy is not known either.
    ///
    /// Whoever forges an author of a domain that wants to be protected has only to name a selector, or a subdomain as signer,
    /// whose name servers are dead: doubt must not open the inbox. Its own mail is filed at worst, while its DNS is silent.
    ByPolicy,
    /// This, whatever the domain wants.
    Always(Verdict),
}

/// What the results of message authentication lead to (`[inbound]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// The client may not use the domain of the reverse-path.
    pub spf_fail: Verdict,
    /// The client probably may not use it.
    pub spf_softfail: Verdict,
    /// The client may not use the EHLO name.
    pub spf_helo_fail: Verdict,
    /// Lists in DNS name the client or a domain of the message, with weights that reach `dnsbl_threshold`.
    pub dnsbl_listed: Verdict,
    /// The sum of weights from which that counts, as Postfix's `postscreen_dnsbl_threshold`.
    pub dnsbl_threshold: i32,
    /// DMARC failed and the author's domain asks for `reject`.
    pub dmarc_reject: Verdict,
    /// DMARC failed and the author's domain asks for `quarantine`.
    pub dmarc_quarantine: Verdict,
    /// DNS does not tell for now what DMARC wants to know.
    pub dmarc_temperror: OnDoubt,
    /// One signature has come to as many recipients as `dkim_repeats_from` says before.
    pub dkim_repeats: Verdict,
    /// That many; zero: nobody counts.
    pub dkim_repeats_from: u64,
    /// A stranger's name for people shows an address of ours.
    pub impersonation: Verdict,
    /// From names authors of more than one domain.
    pub several_authors: Verdict,
    /// No author can be told.
    pub no_author: Verdict,
}

impl Default for Verdicts {
    /// What the domains ask for; SPF alone breaks forwarded mail, so it is left to DMARC.
    fn default() -> Self {
        Self {
            spf_fail: Verdict::Accept,
            spf_softfail: Verdict::Accept,
            spf_helo_fail: Verdict::Accept,
            dnsbl_listed: Verdict::Reject,
            dnsbl_threshold: 1,
            dmarc_reject: Verdict::Reject,
            dmarc_quarantine: Verdict::Junk,
            dmarc_temperror: OnDoubt::ByPolicy,
            // So come lists that send each member the same; a stolen signature comes to more.
            dkim_repeats: Verdict::Accept,
            dkim_repeats_from: 100,
            // Lists name their members so: "'ann@example.org' via list".
            impersonation: Verdict::Accept,
            // Each of them is judged.
            several_authors: Verdict::Accept,
            no_author: Verdict::Junk,
        }
    }
}

impl Verdicts {
    pub(super) fn of(self, policy: Policy) -> Verdict {
        match policy {
            Policy::None => Verdict::Accept,
            Policy::Quarantine => self.dmarc_quarantine,
            Policy::Reject => self.dmarc_reject,
        }
    }

    /// What follows where DMARC cannot tell, by the policy as far as it is known.
    pub(super) fn in_doubt(self, policy: Policy) -> Verdict {
        match self.dmarc_temperror {
            OnDoubt::ByPolicy => self.of(policy).min(Verdict::Junk),
            OnDoubt::Always(verdict) => verdict,
        }
    }
}
