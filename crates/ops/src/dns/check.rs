//! `kings dns check`: asks, judges line by line, and says what to do.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kings_dns::plan::{Facts, Plan, Purpose, Wanted, plan};
use kings_dns::{Dns, DnsError, Kind};
use kings_fetch::{Fetch, Request, Url};
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::mta_sts::Policy;
use kings_net::Resolver;
use kings_net::authority::{Authorities, Told};
use tokio::time::{Instant, timeout_at};

use super::gather::{Heard, LATE, gather};
use super::judge::{self, Context};
use super::report::{Finding, Report, State};
use super::spf::{self, Fresh};

/// How long all name servers together have for their records, from the search for their zones on.
const ASKING: Duration = Duration::from_secs(12);
/// And how long all that follows from those may take: SPF of others, reverse names, policies.
const FOLLOWING: Duration = Duration::from_secs(8);
/// The longest that a check takes, whoever answers.
pub const DEADLINE: Duration = Duration::from_secs(ASKING.as_secs() + FOLLOWING.as_secs());

/// How the world is looked at.
pub struct Look<'a> {
    /// Name servers, asked directly.
    pub authorities: &'a Authorities,
    /// For what is not ours: reverse names, what an SPF record includes.
    pub resolver: &'a Resolver,
    /// For policies of MTA-STS; `None` does not look at them.
    pub fetch: Option<&'a Fetch>,
    /// The policies that are served, by domain.
    pub policies: &'a [(Domain, Policy)],
}

/// Looks at everything that the facts ask for.
pub async fn check(facts: &Facts, look: &Look<'_>) -> Report {
    let plan = plan(facts);
    let heap = gather(look.authorities, &questions(facts, &plan), Instant::now() + ASKING).await;
    let mut report = Report { zones: heap.zones.clone().into_iter().collect(), findings: Vec::new() };
    let context = Context { facts, heap: &heap };
    let until = Instant::now() + FOLLOWING;
    let (records, names, policies) = tokio::join!(
        records(&context, &plan, look, until),
        reverse_names(&plan, look, until),
        policies(&context, look, until)
    );
    report.findings.extend(records);
    report.findings.extend(judge::stray_addresses(&context));
    report.findings.extend(judge::authorities(&context));
    report.findings.extend(names);
    if plan.reverse.is_empty() {
        report.findings.push(judge::no_addresses());
    }
    report.findings.extend(policies);
    report
}

async fn records(context: &Context<'_>, plan: &Plan, look: &Look<'_>, until: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in groups(plan) {
        let first = group[0];
        let found = async {
            match &first.purpose {
                Purpose::Spf | Purpose::SpfOfHost => senders(context, first, look.resolver).await,
                _ => one(context, &group, look).await,
            }
        };
        let late = || vec![Finding::new(first, State::CannotTell, LATE, None)];
        findings.extend(timeout_at(until, found).await.unwrap_or_else(|_| late()));
    }
    findings
}

async fn reverse_names(plan: &Plan, look: &Look<'_>, until: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (ip, name) in &plan.reverse {
        let found = timeout_at(until, reverse(look.resolver, *ip, name)).await;
        let late = || judge::reverse(*ip, name, Err(DnsError::Temporary(LATE.to_owned())), Ok(Vec::new()));
        findings.push(found.unwrap_or_else(|_| late()));
    }
    findings
}

async fn policies(context: &Context<'_>, look: &Look<'_>, until: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (domain, policy) in look.policies {
        let found = timeout_at(until, policy_of(context, look, domain, policy)).await;
        let late = || Some(judge::policy(context, domain, policy, Err(LATE.to_owned())));
        findings.extend(found.unwrap_or_else(|_| late()));
    }
    findings
}

/// Names and types that have to be asked for, each once.
fn questions(facts: &Facts, plan: &Plan) -> Vec<(DnsName, Kind)> {
    let mut questions: BTreeSet<(DnsName, Kind)> = BTreeSet::new();
    for wanted in &plan.records {
        questions.insert((wanted.name.clone(), wanted.kind()));
    }
    let host = DnsName::from(&facts.hostname);
    for kind in [Kind::A, Kind::Aaaa] {
        questions.insert((host.clone(), kind));
    }
    // Whose rule for certificates counts is found on the way up (RFC 8659 §3).
    for above in facts.hostname.with_parents().filter(|name| name.parent().is_some()) {
        questions.insert((DnsName::from(&above), Kind::Caa));
    }
    questions.into_iter().collect()
}

/// Records of one name and type are judged together.
fn groups(plan: &Plan) -> Vec<Vec<&Wanted>> {
    let mut groups: Vec<Vec<&Wanted>> = Vec::new();
    for wanted in plan.records.iter().filter(|wanted| wanted.purpose != Purpose::Caa) {
        let same = |group: &&mut Vec<&Wanted>| {
            (&group[0].name, group[0].kind(), &group[0].purpose)
                == (&wanted.name, wanted.kind(), &wanted.purpose)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(wanted),
            None => groups.push(vec![wanted]),
        }
    }
    groups
}

/// One group. An alias is followed where it may stand.
async fn one(context: &Context<'_>, group: &[&Wanted], look: &Look<'_>) -> Vec<Finding> {
    let first = group[0];
    let heard = context.heap.get(&first.name, first.kind());
    let followed = match (&heard, first.kind()) {
        (Heard::Same { told: Told::Alias(target), .. }, Kind::Txt) if judge::may_be_alias(first) => {
            Some(judge::texts(look.resolver.txt(target).await))
        }
        // Where nobody answers, nobody is asked for what follows from it.
        (Heard::Same { .. } | Heard::Differ(_), Kind::Cname) if !judge::has(&heard, &first.data) => {
            let addresses = look.resolver.addresses(first.name.as_str()).await;
            return vec![judge::stand_in(context, first, &heard, addresses)];
        }
        _ => None,
    };
    judge::group(context, group, followed.unwrap_or(heard))
}

/// SPF needs more questions than one.
async fn senders(context: &Context<'_>, wanted: &Wanted, resolver: &Resolver) -> Vec<Finding> {
    let heard = context.heap.get(&wanted.name, Kind::Txt);
    if let Some(finding) = judge::spf_text(context, wanted, &heard) {
        return vec![finding];
    }
    let Ok(domain) = Domain::parse(wanted.name.as_str()) else { return Vec::new() };
    let dns = Fresh { heap: context.heap, rest: resolver };
    let host = &context.facts.hostname;
    let whole = spf::whole(&dns, &domain, host).await;
    let mut outcomes = Vec::new();
    for ip in &context.facts.addresses {
        outcomes.push((*ip, spf::outcome(&dns, &domain, host, *ip).await));
    }
    vec![judge::spf(context, wanted, &heard, &whole, &outcomes)]
}

/// A name that leads back (RFC 1912 §2.1): anybody may claim any other.
async fn reverse(resolver: &Resolver, ip: IpAddr, name: &DnsName) -> Finding {
    let names = resolver.reverse(ip).await.map(|answer| answer.records);
    let mut forward = Ok(Vec::new());
    if let Ok(names) = &names
        && let Some(found) = names.iter().find(|found| *found == name).or(names.first())
    {
        forward = resolver.addresses(found.as_str()).await;
    }
    judge::reverse(ip, name, names, forward)
}

/// The policy that is served, beside the one of the config and the record.
async fn policy_of(
    context: &Context<'_>,
    look: &Look<'_>,
    domain: &Domain,
    policy: &Policy,
) -> Option<Finding> {
    let fetch = look.fetch?;
    let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
    let served = match Url::parse(&url) {
        Ok(url) => fetch.send(Request::get(url)).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Some(judge::policy(context, domain, policy, served.map(|response| (response.status, response.body))))
}

/// Whether a failure of DNS says that there is nothing.
pub(super) fn is_no(error: &DnsError) -> bool {
    matches!(error, DnsError::NoDomain | DnsError::NoRecord)
}

impl Finding {
    pub(super) fn new(wanted: &Wanted, state: State, what: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            state,
            kind: wanted.kind().as_str(),
            name: wanted.name.to_string(),
            purpose: wanted.purpose.as_str(),
            what: what.into(),
            fix,
        }
    }
}
