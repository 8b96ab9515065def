//! `[inbound]`: what is verified on port 25 and what follows from it.

use std::time::Duration;

use kings_mail::domain::Domain;
use kings_mta::delegation::Access;
use kings_mta::{
    Check, Clients, ContentChecks, Dsn, EarlyTalker, Inbound, Methods, OnDoubt, Rules, Trusted, Verdict,
    Verdicts,
};
use kings_net::IpNet;

use super::reader::{Complaint, Section, Source};
use super::{greylist, house_rules, idle, lists, policy_service};

/// The whole section: who is let in, rules about content, and what is verified.
pub(super) fn read_all(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    warnings: &mut Vec<Complaint>,
    delimiters: &str,
) -> (Access, ContentChecks, (Inbound, Clients)) {
    let access = Access { delimiters: delimiters.to_owned(), ..house_rules::access(source, section) };
    let checks = house_rules::content_checks(source, section);
    (access, checks, read(source, section, warnings))
}

/// A fresh install verifies.
fn read(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    warnings: &mut Vec<Complaint>,
) -> (Inbound, Clients) {
    let received_spf = section.flag(source, "received_spf").unwrap_or(false);
    let choices = [("off", Check::Off), ("tag", Check::Tag), ("enforce", Check::Enforce)];
    let mut check = |key, usual| section.choice(source, key, &choices).unwrap_or(usual);
    let usual = Methods::usual();
    let methods = Methods {
        spf: check("spf", usual.spf),
        dkim: check("dkim", usual.dkim),
        dmarc: check("dmarc", usual.dmarc),
        iprev: check("iprev", usual.iprev),
        arc: check("arc", usual.arc),
        received_spf,
    };
    let sealers = "a domain such as \"lists.example.org\"";
    let arc_sealers = section.list(source, "arc_sealers", sealers, Domain::parse);
    let asked_for = section.value("arc").is_some();
    if let Some(what) = useless_sealers(methods, asked_for, &arc_sealers) {
        warnings.push(Complaint { line: None, what: what.to_owned() });
    }
    let usual = Verdicts::default();
    let verdicts = Verdicts {
        spf_fail: verdict_or(source, section, "spf_fail", usual.spf_fail),
        spf_softfail: verdict_or(source, section, "spf_softfail", usual.spf_softfail),
        spf_helo_fail: verdict_or(source, section, "spf_helo_fail", usual.spf_helo_fail),
        dnsbl_listed: verdict_or(source, section, "dnsbl_listed", usual.dnsbl_listed),
        dnsbl_threshold: lists::threshold(source, section).unwrap_or(usual.dnsbl_threshold),
        dmarc_reject: verdict_or(source, section, "dmarc_reject", usual.dmarc_reject),
        dmarc_quarantine: verdict_or(source, section, "dmarc_quarantine", usual.dmarc_quarantine),
        dmarc_temperror: on_doubt(source, section).unwrap_or(usual.dmarc_temperror),
        dkim_repeats: verdict_or(source, section, "dkim_repeats", usual.dkim_repeats),
        dkim_repeats_from: section.number(source, "dkim_repeats_from", 0).unwrap_or(usual.dkim_repeats_from),
        impersonation: verdict_or(source, section, "impersonation", usual.impersonation),
        several_authors: verdict_or(source, section, "several_authors", usual.several_authors),
        no_author: verdict_or(source, section, "no_author", usual.no_author),
    };
    let rules = Rules {
        bad_helo: verdict(source, section, "bad_helo"),
        unknown_helo: verdict(source, section, "unknown_helo"),
        unknown_sender_domain: verdict(source, section, "unknown_sender_domain"),
    };
    let network = "a network such as \"192.0.2.5/32\"";
    let forwarders = section.list(source, "forwarders", network, str::parse::<IpNet>);
    if forwarders.iter().any(|network| network.prefix_len() == 0) {
        source.complain(
            "[inbound] forwarders names every address there is: list the hosts that pass mail on to you",
        );
    }
    let faults = source.complaints.len();
    let lists = lists::read(source, section);
    if source.complaints.len() == faults {
        idle::verdicts(source, section, methods, &lists, verdicts);
    }
    let greylist = greylist::read(source, section);
    let early_talker = [("accept", EarlyTalker::Accept), ("reject", EarlyTalker::Reject)];
    let clients = Clients {
        early_talker: section.choice(source, "early_talker", &early_talker).unwrap_or_default(),
        greeting_wait: Duration::from_millis(section.number(source, "greeting_wait_ms", 0).unwrap_or(0)),
        dsn: dsn(source, section),
        trusted: Trusted::default(),
    };
    let policy_service = policy_service::read(source, section);
    (Inbound { rules, methods, verdicts, arc_sealers, forwarders, lists, greylist, policy_service }, clients)
}

/// Who may ask for reports on port 25.
fn dsn(source: &mut Source<'_>, section: &mut Section<'_>) -> Dsn {
    let is_on = section.flag(source, "dsn").unwrap_or(true);
    let what = "a network such as \"192.0.2.0/24\"";
    let networks = section.list(source, "dsn_networks", what, str::parse::<IpNet>);
    if is_on && !networks.is_empty() {
        source.complain("[inbound] dsn_networks counts with dsn = false only: everybody is offered DSN");
    }
    if is_on { Dsn::Everybody } else { Dsn::Networks(networks) }
}

/// Why seals cannot count as the config wants it.
fn useless_sealers(methods: Methods, asked_for: bool, sealers: &[Domain]) -> Option<&'static str> {
    match (methods.arc, sealers.is_empty()) {
        (Check::Enforce, true) if asked_for => {
            Some("[inbound] arc = \"enforce\": no seal counts before arc_sealers lists whose")
        }
        (Check::Enforce, false) if methods.dmarc == Check::Off => {
            Some("[inbound] arc = \"enforce\" excuses failures of DMARC, and dmarc is off")
        }
        (Check::Off | Check::Tag, false) => Some("[inbound] arc_sealers count with arc = \"enforce\" only"),
        _ => None,
    }
}

fn verdict(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Verdict {
    verdict_or(source, section, key, Verdict::Accept)
}

fn on_doubt(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<OnDoubt> {
    let [accept, junk, defer] = PASSING_VERDICTS.map(|(word, verdict)| (word, OnDoubt::Always(verdict)));
    section.choice(source, "dmarc_temperror", &[("policy", OnDoubt::ByPolicy), accept, junk, defer])
}

/// What may follow from trouble that passes: nothing that is for good.
const PASSING_VERDICTS: [(&str, Verdict); 3] =
    [("accept", Verdict::Accept), ("junk", Verdict::Junk), ("defer", Verdict::Defer)];

fn verdict_or(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    usual: Verdict,
) -> Verdict {
    const VERDICTS: [(&str, Verdict); 4] = {
        let [accept, junk, defer] = PASSING_VERDICTS;
        [accept, junk, defer, ("reject", Verdict::Reject)]
    };
    section.choice(source, key, &VERDICTS).unwrap_or(usual)
}
