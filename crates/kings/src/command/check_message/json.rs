//! What was found, for programs: stable, as `docs/cli.md` documents it.

use kings_msgauth::dkim::{self, Checked};
use kings_msgauth::dmarc::{self, Record};
use kings_msgauth::spf::{self, Reason};
use kings_msgauth::{arc, iprev};
use kings_mta::examine::{Examination, Judgement};
use kings_mta::{Listing, Listings};
use serde_json::{Value, json};

use super::LEFT_OUT;

/// The whole of it, on one line.
pub(super) fn of(found: &Examination) -> String {
    let told = &found.circumstances;
    let object = json!({
        "schema": 1,
        "bytes": found.octets,
        "ip": told.client.map(|client| client.to_string()),
        "helo": told.helo,
        "mail_from": told.mail_from.as_ref().map(ToString::to_string),
        "verdict": found.judgement.verdict.as_str(),
        "reasons": found.judgement.reasons,
        "strict": strict(&found.strictly),
        "if_spf_fails": found.if_spf_fails.as_ref().map(strict),
        "cannot_tell": found.is_unsure() || found.is_open(),
        "iprev": found.iprev.as_ref().map(reverse_name),
        "spf_helo": found.helo.as_ref().map(spf),
        "spf_mail_from": found.mail_from.as_ref().map(spf),
        "dkim": dkim(&found.dkim),
        "dmarc": dmarc(&found.dmarc),
        "arc": arc(&found.arc),
        "lists": lists(&found.listings),
        "header": found.oddities,
        "sender": found.sender,
        "field": (!found.field.is_empty()).then_some(&found.field),
        "not_checked": found.untold,
        "left_out": LEFT_OUT,
    });
    format!("{object}\n")
}

fn strict(judgement: &Judgement) -> Value {
    json!({ "verdict": judgement.verdict.as_str(), "reasons": judgement.reasons })
}

fn reverse_name(found: &iprev::Outcome) -> Value {
    json!({
        "result": found.result.as_str(),
        "name": found.name.as_ref().map(ToString::to_string),
        "reason": found.reason.to_string(),
    })
}

fn spf(found: &spf::Outcome) -> Value {
    let mechanism = match &found.reason {
        Reason::Matched { mechanism, .. } => Some(mechanism),
        _ => None,
    };
    json!({
        "result": found.result.as_str(),
        "domain": found.domain.as_ref().map(ToString::to_string),
        "mechanism": mechanism,
        "reason": found.reason.to_string(),
        "lookups": found.lookups,
        "explanation": found.explanation,
    })
}

fn dkim(report: &dkim::Report) -> Value {
    let signatures: Vec<Value> = report.signatures.iter().map(signature).collect();
    json!({ "result": report.word().as_str(), "signatures": signatures, "ignored": report.ignored })
}

fn signature(checked: &Checked) -> Value {
    let Checked { verdict, testing, claim } = checked;
    let rsa_bits = match verdict {
        dkim::Verdict::Valid { rsa_bits } => *rsa_bits,
        _ => None,
    };
    let claim = claim.as_ref();
    json!({
        "result": verdict.word().as_str(),
        "reason": verdict.to_string(),
        "testing": testing,
        "rsa_bits": rsa_bits,
        "weak": rsa_bits.is_some_and(|bits| bits < dkim::STRONG_RSA_BITS),
        "domain": claim.map(|claim| claim.domain.to_string()),
        "identity": claim.map(|claim| claim.identity.to_string()),
        "selector": claim.map(|claim| claim.selector.to_string()),
        "algorithm": claim.map(|claim| claim.algorithm.as_str()),
        "headers": claim.map(|claim| &claim.names),
        "signed": claim.and_then(|claim| claim.times.0),
        "expires": claim.and_then(|claim| claim.times.1),
    })
}

fn dmarc(found: &dmarc::Outcome) -> Value {
    json!({
        "result": found.result.as_str(),
        "reason": found.reason.to_string(),
        "author": found.author.as_ref().map(ToString::to_string),
        "record_at": found.published.as_ref().map(|(domain, _)| format!("_dmarc.{domain}")),
        "record": found.published.as_ref().map(|(_, record)| record_of(record)),
        "requested": found.requested.as_str(),
        "policy": found.policy.as_str(),
        "dkim_aligned": found.dkim_aligned,
        "spf_aligned": found.spf_aligned,
        "others": found.others.iter().map(dmarc).collect::<Vec<Value>>(),
    })
}

fn record_of(record: &Record) -> Value {
    json!({
        "p": record.policy.as_str(),
        "sp": record.subdomains.map(dmarc::Policy::as_str),
        "np": record.nonexistent.map(dmarc::Policy::as_str),
        "adkim": mode(record.adkim),
        "aspf": mode(record.aspf),
        "testing": record.testing,
    })
}

/// As `adkim` and `aspf` spell it, in full.
pub(super) fn mode(alignment: dmarc::Alignment) -> &'static str {
    match alignment {
        dmarc::Alignment::Relaxed => "relaxed",
        dmarc::Alignment::Strict => "strict",
    }
}

fn arc(report: &arc::Report) -> Value {
    let reason = match &report.chain {
        arc::Chain::None | arc::Chain::Pass => None,
        arc::Chain::Fail(fault) | arc::Chain::Unknown(fault) => Some(fault.to_string()),
    };
    let set = |set: &arc::Set| {
        json!({
            "instance": set.instance,
            "sealer": set.sealer.to_string(),
            "selector": set.selector.to_string(),
            "results": set.results,
            "seal": { "result": set.seal.word().as_str(), "reason": set.seal.to_string() },
            "message": { "result": set.message.word().as_str(), "reason": set.message.to_string() },
        })
    };
    let sets: Vec<Value> = report.sets.iter().map(set).collect();
    json!({ "result": report.word().as_str(), "reason": reason, "oldest_pass": report.oldest_pass(), "sets": sets })
}

fn lists(listings: &Listings) -> Value {
    let items = |found: &[Listing]| -> Vec<Value> {
        let item = |Listing { domain, zone, weight, codes }: &Listing| {
            let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
            let domain = domain.as_ref().map(ToString::to_string);
            json!({ "list": zone, "domain": domain, "weight": weight, "codes": codes })
        };
        found.iter().map(item).collect()
    };
    json!({ "block": items(&listings.block), "welcome": items(&listings.welcome) })
}
