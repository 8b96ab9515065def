//! What is remembered of mail that DMARC judged, for the report that its author's domain asks for (RFC 9990 §2.1).

use std::net::IpAddr;

use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_msgauth::arc::{Chain, Report};
use kings_msgauth::dmarc::{self, DmarcResult, Policy};
use kings_msgauth::reports::aggregate::{
    Disposition, DkimResult, Observation, Override, PublishedPolicy, Row, SpfResult,
};
use kings_msgauth::spf;
use kings_records::{Judged, Records};

use crate::authenticate::Findings;
use crate::facts::Verdict;
use crate::policy::verdict::{Decision, Reason};
use crate::reporting::{self, Reports};

/// One message, but for what is done with it.
pub(crate) struct Observed {
    domain: kings_mail::domain::Domain,
    result: DmarcResult,
    asked: Policy,
    observation: Observation,
    /// Who sealed it, where the chain holds.
    chain: Option<String>,
}

impl Observed {
    /// One for each author whose domain asks for reports: it is told of all mail in its name, whoever else is named beside it
    /// and whichever of them decided. None where the message is a report itself: reports about reports would go to and fro
    /// for ever.
    pub(crate) fn each(
        findings: &Findings,
        client: IpAddr,
        envelope: &Envelope,
        head: &[u8],
        reports: &Reports,
    ) -> Vec<Self> {
        let wanted = reports.settings().is_some_and(|settings| settings.dmarc);
        let outcomes = findings.dmarc.iter().filter(|_| wanted).flat_map(dmarc::Outcome::each);
        let of_report = |outcome: &&dmarc::Outcome| is_report(outcome, envelope, head, reports);
        let outcomes = outcomes.filter(|outcome| !of_report(outcome));
        outcomes.filter_map(|outcome| Self::of(outcome, findings, client, envelope)).collect()
    }

    fn of(
        outcome: &dmarc::Outcome,
        findings: &Findings,
        client: IpAddr,
        envelope: &Envelope,
    ) -> Option<Self> {
        let (domain, record) = outcome.published.as_ref()?;
        let counts = matches!(outcome.result, DmarcResult::Pass | DmarcResult::Fail);
        if !counts || record.rua.is_empty() {
            return None;
        }
        let row = Row {
            source: Some(client.to_canonical()),
            count: 1,
            dkim_aligned: outcome.dkim_aligned,
            spf_aligned: outcome.spf_aligned,
            header_from: outcome.author.as_ref()?.to_string(),
            envelope_from: Some(domain_of(&envelope.reverse_path)),
            envelope_to: only_domain(&envelope.recipients),
            dkim: signatures(findings),
            spf: findings.mail_from.iter().filter_map(of_spf).collect(),
            ..Row::default()
        };
        let observation = Observation { policy: published(domain.to_string(), record), row };
        let chain = findings.arc.as_ref().filter(|report| report.chain == Chain::Pass).map(Report::comment);
        let (domain, result, asked) = (domain.clone(), outcome.result, outcome.requested);
        Some(Self { domain, result, asked, observation, chain })
    }

    /// Puts it on record together with what is done with the message.
    pub(crate) fn note(self, records: &Records, decision: &Decision) {
        records.judged(Judged { domain: self.domain.clone(), facts: self.settled(decision).to_text() });
    }

    fn settled(mut self, decision: &Decision) -> Observation {
        let row = &mut self.observation.row;
        row.disposition = match (self.result, decision.verdict) {
            (DmarcResult::Pass, _) if self.asked == Policy::None => Disposition::None,
            (DmarcResult::Pass, _) => Disposition::Pass,
            (_, Verdict::Reject) => Disposition::Reject,
            (_, Verdict::Junk) => Disposition::Quarantine,
            (_, Verdict::Accept | Verdict::Defer) => Disposition::None,
        };
        let wanted = match self.asked {
            Policy::None => Disposition::None,
            Policy::Quarantine => Disposition::Quarantine,
            Policy::Reject => Disposition::Reject,
        };
        if self.result == DmarcResult::Fail && row.disposition != wanted {
            let testing = self.observation.policy.testing;
            let is_passed_on = decision.reasons.iter().any(|reason| matches!(reason, Reason::PassedOn(_)));
            let kind = match (testing, is_passed_on) {
                (true, _) => "policy_test_mode",
                (false, true) => "trusted_forwarder",
                (false, false) => "local_policy",
            };
            let is_sealed = decision.reasons.iter().any(|reason| matches!(reason, Reason::Sealed(_)));
            let comment = self.chain.filter(|_| is_sealed);
            row.overrides.push(Override { kind: kind.to_owned(), comment });
        }
        self.observation
    }
}

/// Mail to an address that takes reports; or a report by its subject, which only counts where DMARC proves its author.
fn is_report(outcome: &dmarc::Outcome, envelope: &Envelope, head: &[u8], reports: &Reports) -> bool {
    if envelope.recipients.iter().any(|recipient| reports.takes(&recipient.path)) {
        return true;
    }
    outcome.result == DmarcResult::Pass && reporting::is_report(head)
}

fn domain_of(path: &ReversePath) -> String {
    path.address().and_then(|address| address.domain()).map(ToString::to_string).unwrap_or_default()
}

/// Where recipients are of several domains none is named: it would tell of one what is none of the others' business.
fn only_domain(recipients: &[Recipient]) -> Option<String> {
    let mut domains = recipients.iter().map(|recipient| match &recipient.path {
        ForwardPath::Address(address) => address.domain(),
        ForwardPath::Postmaster => None,
    });
    let first = domains.next()??;
    domains.all(|other| other == Some(first)).then(|| first.to_string())
}

fn signatures(findings: &Findings) -> Vec<DkimResult> {
    let checked = findings.dkim.iter().flat_map(|report| &report.signatures);
    let result = |checked: &kings_msgauth::dkim::Checked| {
        let claim = checked.claim.as_ref()?;
        Some(DkimResult {
            domain: claim.domain.to_string(),
            selector: claim.selector.to_string(),
            result: checked.verdict.word().as_str().to_owned(),
            human_result: None,
        })
    };
    checked.filter_map(result).collect()
}

/// Nothing where no domain was checked: a client that calls itself by its address sends a null reverse-path.
fn of_spf(outcome: &spf::Outcome) -> Option<SpfResult> {
    let scope = match outcome.identity {
        spf::Identity::MailFrom => "mfrom",
        spf::Identity::Helo => "helo",
    };
    Some(SpfResult {
        domain: outcome.domain.as_ref()?.to_string(),
        scope: Some(scope.to_owned()),
        result: outcome.result.as_str().to_owned(),
        human_result: None,
    })
}

fn published(domain: String, record: &dmarc::Record) -> PublishedPolicy {
    PublishedPolicy {
        domain,
        discovery_method: Some("treewalk".to_owned()),
        adkim: record.adkim,
        aspf: record.aspf,
        policy: record.policy,
        subdomains: record.subdomains.unwrap_or(record.policy),
        nonexistent: record.nonexistent,
        testing: record.testing,
        failure_options: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::domain::Domain;

    use super::*;
    use crate::policy::verdict::Author;

    fn observed(asked: Policy, testing: bool) -> Observed {
        let policy = PublishedPolicy { testing, ..PublishedPolicy::default() };
        Observed {
            domain: Domain::parse("bank.example").unwrap(),
            result: DmarcResult::Fail,
            asked,
            observation: Observation { policy, row: Row::default() },
            chain: Some("arc=pass as[1].d=list.example as[1].s=k".to_owned()),
        }
    }

    #[test]
    fn a_report_tells_of_spf_where_a_domain_was_checked() {
        for (helo, expected) in [
            ("mx.far.example", vec!["mx.far.example"]),
            ("[127.0.0.1]", vec![]),
            ("[IPv6:::ffff:127.0.0.1]", vec![]),
            ("localhost", vec![]),
        ] {
            let question = spf::Question {
                client: [127, 0, 0, 1].into(),
                helo,
                mail_from: Some(&ReversePath::Null),
                receiver: "mail.example.org",
                time: 0,
                limits: spf::Limits::default(),
            };
            let told: Vec<String> =
                of_spf(&spf::timed_out(&question)).map(|told| told.domain).into_iter().collect();
            assert_eq!(told, expected, "{helo}");
        }
    }

    #[test]
    fn a_report_says_why_the_policy_was_not_followed() {
        let sealed = || vec![Reason::Sealed("list.example".to_owned())];
        let failed = || {
            vec![Reason::DmarcFail(Author {
                domain: Some("bank.example".to_owned()),
                is_name: false,
                why: "nothing is aligned".to_owned(),
            })]
        };
        let chain = Some("arc=pass as[1].d=list.example as[1].s=k");
        let (accept, junk, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Reject);
        let cases = [
            (Policy::Reject, false, accept, sealed(), Some(("local_policy", chain))),
            (Policy::Reject, false, accept, vec![], Some(("local_policy", None))),
            (
                Policy::Reject,
                false,
                accept,
                vec![Reason::PassedOn([192, 0, 2, 1].into())],
                Some(("trusted_forwarder", None)),
            ),
            (Policy::Reject, false, junk, failed(), Some(("local_policy", None))),
            (Policy::Reject, true, accept, failed(), Some(("policy_test_mode", None))),
            (Policy::Reject, false, reject, failed(), None),
            (Policy::Quarantine, false, junk, failed(), None),
            (Policy::None, false, accept, sealed(), None),
        ];
        for (asked, testing, verdict, reasons, expected) in cases {
            let name = format!("{asked:?} {testing} {verdict:?} {reasons:?}");
            let settled = observed(asked, testing).settled(&Decision { verdict, reasons, decisive: 0 });
            let told = settled.row.overrides.first();
            let told = told.map(|told| (told.kind.as_str(), told.comment.as_deref()));
            assert_eq!(told, expected, "{name}");
        }
    }
}
