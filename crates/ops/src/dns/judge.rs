//! What was heard beside what should be there: pure, so that each fault is a line of a table.

use std::net::IpAddr;

use kings_dns::plan::{Facts, Purpose, TTL, Wanted, version};
use kings_dns::{Answer, Data, DnsError, Kind, Mx, Txt};
use kings_mail::domain::{DnsName, Domain};
use kings_mail::visible;
use kings_msgauth::dkim::KeyRecord;
use kings_msgauth::dmarc::Record as Dmarc;
use kings_msgauth::mta_sts::{Policy, announced_id};
use kings_msgauth::spf::{Outcome, SpfResult};
use kings_net::IpNet;
use kings_net::authority::Told;

use super::check::is_no;
use super::gather::{Heap, Heard};
use super::report::{Finding, State};

/// Addresses of a provider that puts itself in front of web sites, and takes no mail there.
const PROXIES: [&str; 17] = [
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "108.162.192.0/18",
    "131.0.72.0/22",
    "141.101.64.0/18",
    "162.158.0.0/15",
    "172.64.0.0/13",
    "173.245.48.0/20",
    "188.114.96.0/20",
    "190.93.240.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "2606:4700::/32",
    "2a06:98c0::/29",
];
/// SPF terms that ask DNS, from which on a record that may grow is a worry.
const MANY_LOOKUPS: usize = 9;

/// What is judged against.
pub(super) struct Context<'a> {
    pub(super) facts: &'a Facts,
    pub(super) heap: &'a Heap,
}

/// Whether an alias may stand in the place of this record: not where mail goes (RFC 2181 §10.3), nor at the top of a zone,
/// which always has other records (RFC 1034 §3.6.2).
pub(super) fn may_be_alias(wanted: &Wanted) -> bool {
    !matches!(wanted.purpose, Purpose::Address | Purpose::Mail | Purpose::Spf | Purpose::SpfOfHost)
}

/// Whether exactly this record is there, perhaps beside others.
pub(super) fn has(heard: &Heard, data: &Data) -> bool {
    match heard {
        Heard::Same { told: Told::Records { data: found, .. }, .. } => found.contains(data),
        Heard::Same { told: Told::Alias(target), .. } => *data == Data::Cname(target.clone()),
        _ => false,
    }
}

/// What an alias of texts leads to.
pub(super) fn texts(answer: Result<Answer<Vec<u8>>, DnsError>) -> Heard {
    let told = match answer {
        Ok(answer) => Told::Records {
            data: answer.records.iter().map(|text| Data::Txt(Txt::new(text))).collect(),
            ttl: 0,
            odd: 0,
        },
        Err(error) if is_no(&error) => Told::Nothing,
        Err(error) => return Heard::Nobody(error.to_string()),
    };
    Heard::Same { told, silent: Vec::new() }
}

/// A text of somebody else's zone as one line that nothing in a terminal acts on: the one way by which it gets into a finding,
/// beside the quoted form of [`Data`].
fn foreign_text(octets: &[u8]) -> String {
    visible::line(&String::from_utf8_lossy(octets))
}

/// The line of a zone file that is missing, to paste.
fn line(wanted: &Wanted) -> String {
    format!("{}. {TTL} IN {} {}", wanted.name, wanted.kind(), wanted.data)
}

fn lines(group: &[&Wanted]) -> String {
    group.iter().map(|wanted| line(wanted)).collect::<Vec<_>>().join("\n")
}

fn worse(wanted: &Wanted) -> State {
    if wanted.purpose.is_needed() { State::Fail } else { State::Warn }
}

/// Records of one name, type and purpose.
pub(super) fn group(context: &Context<'_>, group: &[&Wanted], heard: Heard) -> Vec<Finding> {
    let first = group[0];
    let finding = match heard {
        Heard::Nobody(why) => Finding::new(first, State::CannotTell, why, None),
        Heard::Differ(told) => differ(group, &told),
        Heard::Same { told, silent } => {
            let finding = said(context, group, told);
            match silent.as_slice() {
                [] => finding,
                silent => with_silent(finding, silent),
            }
        }
    };
    vec![finding]
}

/// One server that does not answer makes mail slow, not wrong.
fn with_silent(finding: Finding, silent: &[String]) -> Finding {
    let what = format!("{}; no answer from {}", finding.what, silent.join(", "));
    Finding { state: finding.state.max(State::Warn), what, ..finding }
}

/// One of them has it already, or they will never agree.
fn differ(group: &[&Wanted], told: &[(String, Told)]) -> Finding {
    let first = group[0];
    let whole = |told: &Told| match told {
        Told::Records { data, .. } => group.iter().all(|wanted| data.contains(&wanted.data)),
        Told::Alias(target) => first.data == Data::Cname(target.clone()),
        _ => false,
    };
    let (right, wrong): (Vec<_>, Vec<_>) = told.iter().partition(|(_, told)| whole(told));
    let names = |told: &[&(String, Told)]| {
        told.iter().map(|(server, _)| server.as_str()).collect::<Vec<_>>().join(", ")
    };
    if right.is_empty() {
        let what = format!("the name servers disagree, and none has what it should: {}", say(told));
        return Finding::new(first, State::Fail, what, Some(lines(group)));
    }
    let what = format!("the name servers disagree: {} has it, not yet {}", names(&right), names(&wrong));
    Finding::new(first, State::Wait, what, None)
}

fn say(told: &[(String, Told)]) -> String {
    let one = |(server, told): &(String, Told)| format!("{server} says {}", words(told));
    told.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn words(told: &Told) -> String {
    match told {
        Told::Records { data, .. } => shown(data),
        Told::Alias(target) => format!("an alias of {target}"),
        Told::Nothing | Told::NoName => "nothing".to_owned(),
        Told::Silent(why) => why.clone(),
    }
}

fn shown(data: &[Data]) -> String {
    let text = data.iter().map(|data| visible::line(&data.to_string())).collect::<Vec<_>>().join(" and ");
    match text.char_indices().nth(120) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

fn said(context: &Context<'_>, group: &[&Wanted], told: Told) -> Finding {
    let first = group[0];
    match told {
        Told::Alias(target) if first.kind() == Kind::Cname => exact(group, &[Data::Cname(target)]),
        Told::Alias(target) => alias(context, group, &target),
        Told::Nothing | Told::NoName => missing(group),
        Told::Silent(why) => Finding::new(first, State::CannotTell, why, None),
        Told::Records { data, odd, .. } => {
            let finding = records(context, group, &data);
            if odd == 0 { finding } else { with_odd(finding, odd) }
        }
    }
}

fn with_odd(finding: Finding, odd: usize) -> Finding {
    let what = match finding.what.trim_end_matches([' ', ':']) {
        "" => format!("{odd} that nobody can read"),
        what => format!("{what}; and {odd} that nobody can read"),
    };
    Finding { state: finding.state.max(State::Warn), what, ..finding }
}

fn missing(group: &[&Wanted]) -> Finding {
    let first = group[0];
    let fix = match &first.data {
        Data::Txt(text) => as_one(first, text),
        _ => lines(group),
    };
    Finding::new(first, worse(first), "it is not there", Some(fix))
}

/// A long text also as web forms want it: in one piece.
fn as_one(wanted: &Wanted, text: &Txt) -> String {
    if text.strings.len() < 2 {
        return line(wanted);
    }
    let whole = String::from_utf8_lossy(&text.joined()).into_owned();
    format!("{}\nor, where a form wants ONE value: {whole}", line(wanted))
}

fn alias(context: &Context<'_>, group: &[&Wanted], target: &DnsName) -> Finding {
    let first = group[0];
    let is_top = context.heap.zones.contains_key(&first.name);
    let what = match first.purpose {
        Purpose::Mail | Purpose::Spf if is_top => {
            format!(
                "an alias (CNAME to {target}) stands at the top of the zone and hides all other records of it"
            )
        }
        Purpose::Address => {
            format!("it is an alias (CNAME to {target}); where mail goes must have addresses itself")
        }
        _ => format!("an alias (CNAME to {target}) stands in its place"),
    };
    let fix = format!("remove  {}. CNAME {target}.  and add\n{}", first.name, lines(group));
    Finding::new(first, worse(first), what, Some(fix))
}

fn records(context: &Context<'_>, group: &[&Wanted], found: &[Data]) -> Finding {
    let first = group[0];
    match &first.purpose {
        Purpose::Address => addresses(context, group, found),
        Purpose::Mail => mail(context, first, found),
        Purpose::Dkim(_) => key(first, found),
        Purpose::Dmarc => dmarc(first, found),
        Purpose::MtaSts => announced(first, found),
        Purpose::TlsReports => of_version(first, found, "v=tlsrptv1"),
        Purpose::ReportsTo => of_version(first, found, "v=dmarc1"),
        Purpose::Tlsa => keys(group, found),
        Purpose::Spf
        | Purpose::SpfOfHost
        | Purpose::MtaStsHost
        | Purpose::Caa
        | Purpose::Autoconfig
        | Purpose::Autodiscover
        | Purpose::Service => exact(group, found),
    }
}

/// Records that can say only one thing.
fn exact(group: &[&Wanted], found: &[Data]) -> Finding {
    let first = group[0];
    if group.iter().all(|wanted| found.contains(&wanted.data)) {
        return Finding::new(first, State::Ok, shown(found), None);
    }
    let what = format!("it says {}", shown(found));
    Finding::new(first, worse(first), what, Some(lines(group)))
}

fn ip_of(data: &Data) -> Option<IpAddr> {
    match data {
        Data::A(ip) => Some((*ip).into()),
        Data::Aaaa(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn is_proxy(ip: IpAddr) -> bool {
    PROXIES.iter().filter_map(|net| net.parse::<IpNet>().ok()).any(|net| net.contains(&ip))
}

fn foreign(context: &Context<'_>, found: &[Data]) -> Vec<IpAddr> {
    found.iter().filter_map(ip_of).filter(|ip| !context.facts.addresses.contains(ip)).collect()
}

fn addresses(context: &Context<'_>, group: &[&Wanted], found: &[Data]) -> Finding {
    let first = group[0];
    let foreign = foreign(context, found);
    let list = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(proxy) = foreign.iter().find(|ip| is_proxy(**ip)) {
        let what = format!("{proxy} is a web proxy of Cloudflare, which takes no mail");
        let fix = format!(
            "turn the proxy off for {} (\"DNS only\", the grey cloud):\n{}",
            first.name,
            lines(group)
        );
        return Finding::new(first, State::Fail, what, Some(fix));
    }
    if !foreign.is_empty() {
        let what = format!(
            "{} is no address of this server, which has {}",
            list(&foreign),
            list(&context.facts.addresses)
        );
        return Finding::new(first, State::Fail, what, Some(lines(group)));
    }
    let missing: Vec<&Wanted> =
        group.iter().copied().filter(|wanted| !found.contains(&wanted.data)).collect();
    if missing.is_empty() {
        return Finding::new(first, State::Ok, shown(found), None);
    }
    Finding::new(first, State::Warn, format!("only {}", shown(found)), Some(lines(&missing)))
}

fn mail(context: &Context<'_>, wanted: &Wanted, found: &[Data]) -> Finding {
    let host = DnsName::from(&context.facts.hostname);
    let mut hosts: Vec<&Mx> =
        found.iter().filter_map(|data| if let Data::Mx(mx) = data { Some(mx) } else { None }).collect();
    hosts.sort();
    let own = hosts.iter().find(|mx| mx.exchange.as_ref() == Some(&host));
    let Some(own) = own else {
        let what = format!("mail goes elsewhere: {}", shown(found));
        return Finding::new(wanted, State::Fail, what, Some(line(wanted)));
    };
    let before: Vec<String> = hosts
        .iter()
        .filter(|mx| mx.preference < own.preference)
        .map(|mx| mx.exchange.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string))
        .collect();
    if before.is_empty() {
        return Finding::new(wanted, State::Ok, shown(found), None);
    }
    let what = format!("mail goes to {} first: {}", before.join(", "), shown(found));
    Finding::new(wanted, State::Warn, what, Some(format!("only, if that is not wanted:\n{}", line(wanted))))
}

/// The texts of a version, in one piece each.
fn of(found: &[Data], wanted: &str) -> Vec<Vec<u8>> {
    let texts = found.iter().filter_map(|data| if let Data::Txt(text) = data { Some(text) } else { None });
    texts.filter(|text| version(text) == Some(wanted)).map(Txt::joined).collect()
}

fn key(wanted: &Wanted, found: &[Data]) -> Finding {
    let Data::Txt(own) = &wanted.data else { return exact(&[wanted], found) };
    let own = own.joined();
    let fix = || {
        Some(match &wanted.data {
            Data::Txt(text) => as_one(wanted, text),
            _ => line(wanted),
        })
    };
    let [Data::Txt(text)] = found else {
        let what = format!("{} records, where verifiers take one, and any of them", found.len());
        return Finding::new(wanted, State::Fail, what, Some(format!("keep only\n{}", line(wanted))));
    };
    let text = text.joined();
    let same = |one: &[u8]| matches!((KeyRecord::parse(one), KeyRecord::parse(&own)), (Ok(a), Ok(b)) if a.has_key_of(&b));
    if same(&text) {
        return Finding::new(
            wanted,
            State::Ok,
            format!("the key is there, whole ({} characters)", text.len()),
            None,
        );
    }
    let (found, whole) = (public(&text), public(&own));
    // Cut after so many octets of all, or because only the first string was kept.
    if !found.is_empty() && found.len() < whole.len() && whole.starts_with(&found) {
        let what = format!("the key is cut: {} of {} characters are there", found.len(), whole.len());
        return Finding::new(wanted, State::Fail, what, fix());
    }
    let what = match KeyRecord::parse(&text) {
        Ok(_) => "another key is there, and our signatures fail".to_owned(),
        Err(bad) => format!("it holds no key: {bad}"),
    };
    Finding::new(wanted, State::Fail, what, fix())
}

/// The value of `p=` without white space.
fn public(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let value = text.split(';').find_map(|tag| tag.trim_start().strip_prefix("p="));
    value.unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect()
}

fn dmarc(wanted: &Wanted, found: &[Data]) -> Finding {
    match of(found, "v=dmarc1").as_slice() {
        [] => missing(&[wanted]),
        [one] => match Dmarc::parse(one) {
            Some(record) => {
                let policy = record.policy.as_str();
                Finding::new(wanted, State::Ok, format!("p={policy}"), None)
            }
            None => {
                let what = format!("nobody can read it: {}", shown(found));
                Finding::new(wanted, State::Fail, what, Some(line(wanted)))
            }
        },
        several => {
            let what = format!("{} DMARC records, which count as none", several.len());
            Finding::new(wanted, State::Fail, what, Some(format!("keep one of them: {}", shown(found))))
        }
    }
}

fn announced(wanted: &Wanted, found: &[Data]) -> Finding {
    let all: Vec<Vec<u8>> = of(found, "v=stsv1");
    let own = |data: &Data| if let Data::Txt(text) = data { announced_id(&[text.joined()]) } else { None };
    match announced_id(&all) {
        Some(id) if own(&wanted.data).as_ref() == Some(&id) => {
            Finding::new(wanted, State::Ok, format!("id={id}, that of the policy"), None)
        }
        Some(id) => {
            let what = format!("id={id} is of another policy than the one served: senders keep the old one");
            Finding::new(wanted, State::Fail, what, Some(line(wanted)))
        }
        None if all.len() > 1 => {
            let what = format!("{} records, which count as none", all.len());
            Finding::new(wanted, State::Fail, what, Some(format!("keep only\n{}", line(wanted))))
        }
        None => missing(&[wanted]),
    }
}

/// Records of which only the kind matters: an operator may send reports wherever he likes.
fn of_version(wanted: &Wanted, found: &[Data], version: &str) -> Finding {
    match of(found, version).as_slice() {
        [] => missing(&[wanted]),
        [one] => Finding::new(wanted, State::Ok, foreign_text(one), None),
        several => {
            let what = format!("{} records, which count as none", several.len());
            Finding::new(wanted, State::Warn, what, Some(format!("keep one of them: {}", shown(found))))
        }
    }
}

/// The key that serves must be there: with none that fits, who looks at DANE delivers nothing (RFC 7672 §2.2). The key to come
/// must be there before it serves (RFC 7671 §8.1).
fn keys(group: &[&Wanted], found: &[Data]) -> Finding {
    let (first, next) = (group[0], &group[1..]);
    if found.contains(&first.data) {
        let missing: Vec<&Wanted> =
            next.iter().filter(|wanted| !found.contains(&wanted.data)).copied().collect();
        return if missing.is_empty() {
            Finding::new(first, State::Ok, "it fits the key of port 25", None)
        } else {
            let what = "the key of port 25 is there, the next one is not: it waits for that";
            Finding::new(first, State::Warn, what, Some(lines(&missing)))
        };
    }
    let usable = |data: &Data| matches!(data, Data::Tlsa(tlsa) if (tlsa.usage, tlsa.selector, tlsa.matching) == (3, 1, 1));
    if found.iter().any(usable) {
        let what = "none fits the key of port 25: senders that look at DANE cannot deliver";
        return Finding::new(
            first,
            State::Fail,
            what,
            Some(format!("replace {} by\n{}", shown(found), lines(group))),
        );
    }
    let what = format!("it is of another form than what is judged here: {}", shown(found));
    Finding::new(first, State::Warn, what, Some(lines(group)))
}

/// For a name that should be an alias of the server and is none: it serves as well with the server's own addresses.
pub(super) fn stand_in(
    context: &Context<'_>,
    wanted: &Wanted,
    heard: &Heard,
    addresses: Result<Vec<IpAddr>, DnsError>,
) -> Finding {
    if let Heard::Nobody(why) = heard {
        return Finding::new(wanted, State::CannotTell, why, None);
    }
    if let Heard::Differ(told) = heard {
        return differ(&[wanted], told);
    }
    match addresses {
        Ok(found) if found.iter().all(|ip| context.facts.addresses.contains(ip)) => {
            Finding::new(wanted, State::Ok, "it has the addresses of the server", None)
        }
        Ok(found) => {
            let list = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let what = if found.iter().any(|ip| is_proxy(*ip)) {
                format!("{list} is a web proxy of Cloudflare: turn it off (\"DNS only\")")
            } else {
                format!("it leads to {list}, which is not this server")
            };
            Finding::new(wanted, State::Warn, what, Some(line(wanted)))
        }
        Err(error) if is_no(&error) => missing(&[wanted]),
        Err(error) => Finding::new(wanted, State::CannotTell, error.to_string(), None),
    }
}

/// What can be said of SPF before it is evaluated; `None` where there is exactly one record.
pub(super) fn spf_text(context: &Context<'_>, wanted: &Wanted, heard: &Heard) -> Option<Finding> {
    let told = match heard {
        Heard::Nobody(why) => return Some(Finding::new(wanted, State::CannotTell, why, None)),
        Heard::Differ(told) => return Some(differ(&[wanted], told)),
        Heard::Same { told, .. } => told,
    };
    let found: &[Data] = match told {
        Told::Records { data, .. } => data,
        Told::Alias(target) => return Some(alias(context, &[wanted], target)),
        _ => &[],
    };
    match of(found, "v=spf1").as_slice() {
        [] => {
            // Without it bounces are judged by nothing, which hurts little.
            let state = if wanted.purpose == Purpose::Spf { State::Fail } else { State::Warn };
            Some(Finding::new(wanted, state, "it is not there", Some(line(wanted))))
        }
        [_] => None,
        several => {
            let rest = several.iter().map(|text| format!("delete  {}", foreign_text(text)));
            let rest = rest.collect::<Vec<_>>().join("\n");
            let what = format!("{} SPF records, which receivers treat as an error", several.len());
            Some(Finding::new(
                wanted,
                State::Fail,
                what,
                Some(format!("{rest}\nand keep one:\n{}", line(wanted))),
            ))
        }
    }
}

/// SPF, evaluated for each of our addresses, and for somebody whom it does not name.
pub(super) fn spf(
    context: &Context<'_>,
    wanted: &Wanted,
    heard: &Heard,
    whole: &Outcome,
    outcomes: &[(IpAddr, Outcome)],
) -> Finding {
    let text = match heard {
        Heard::Same { told: Told::Records { data, .. }, .. } => of(data, "v=spf1").concat(),
        _ => Vec::new(),
    };
    let raw = String::from_utf8_lossy(&text).into_owned();
    let text = foreign_text(&text);
    let merged = || {
        Some(super::merge::spf(&raw).map_or_else(
            || line(wanted),
            |merged| line(&Wanted { data: Data::txt(&merged), ..wanted.clone() }),
        ))
    };
    match whole.result {
        SpfResult::PermError => {
            let what = format!("{}: {text}", visible::line(&whole.reason.to_string()));
            return Finding::new(
                wanted,
                State::Fail,
                what,
                Some(format!("shorten or mend it, for example\n{}", line(wanted))),
            );
        }
        SpfResult::TempError => {
            return Finding::new(wanted, State::CannotTell, visible::line(&whole.reason.to_string()), None);
        }
        SpfResult::Pass => {
            let what = format!("it lets everybody send in the name of {}: {text}", wanted.domain);
            return Finding::new(wanted, State::Fail, what, Some(line(wanted)));
        }
        _ => {}
    }
    let lookups = whole.lookups;
    if context.facts.smart_host {
        let what = format!(
            "it lets those send whom it names ({lookups} of 10 lookups); whether the smart host is among them its provider knows"
        );
        return Finding::new(wanted, State::Ok, what, None);
    }
    if let Some((ip, outcome)) = outcomes.iter().find(|(_, outcome)| outcome.result != SpfResult::Pass) {
        let state = if outcome.result == SpfResult::TempError { State::CannotTell } else { worse(wanted) };
        let what = format!("mail from {ip} gets {}: {text}", outcome.result);
        return Finding::new(wanted, state, what, merged());
    }
    if outcomes.is_empty() {
        return Finding::new(wanted, State::CannotTell, "which addresses this server has is not known", None);
    }
    let state = if lookups >= MANY_LOOKUPS { State::Warn } else { State::Ok };
    Finding::new(wanted, state, format!("{text} ({lookups} of 10 lookups)"), None)
}

/// Addresses of the server's name of a kind that it should have none of: senders try them first.
pub(super) fn stray_addresses(context: &Context<'_>) -> Option<Finding> {
    let host = DnsName::from(&context.facts.hostname);
    let has = |v4: bool| context.facts.addresses.iter().any(|ip| ip.is_ipv4() == v4);
    let stray = [(Kind::A, true), (Kind::Aaaa, false)].into_iter().find_map(|(kind, v4)| {
        let found = context.heap.records(&host, kind)?;
        (!has(v4) && has(!v4)).then(|| (kind, shown(found)))
    });
    let (kind, shown) = stray?;
    Some(Finding {
        state: State::Fail,
        kind: kind.as_str(),
        name: host.to_string(),
        purpose: Purpose::Address.as_str(),
        what: format!("{shown} is no address of this server"),
        fix: Some(format!("remove  {host}. {kind} {shown}")),
    })
}

/// Nothing can be judged without them.
pub(super) fn no_addresses() -> Finding {
    Finding {
        state: State::CannotTell,
        kind: "A",
        name: String::new(),
        purpose: Purpose::Address.as_str(),
        what: "the public addresses of this server are not known".to_owned(),
        fix: Some("name them in the config: [dns] addresses = [\"203.0.113.10\"]".to_owned()),
    }
}

/// The rule for certificates that counts for the server's name: the first on the way up (RFC 8659 §3).
pub(super) fn authorities(context: &Context<'_>) -> Option<Finding> {
    let own = &context.facts.authorities;
    let host = &context.facts.hostname;
    let names = host.with_parents().filter(|name| name.parent().is_some()).map(|name| DnsName::from(&name));
    let mut rule = None;
    for name in names {
        match context.heap.get(&name, Kind::Caa) {
            Heard::Same { told: Told::Records { data, .. }, .. } => {
                rule = Some((name, data));
                break;
            }
            Heard::Nobody(why) if rule.is_none() => return Some(caa(host, State::CannotTell, why, None)),
            _ => {}
        }
    }
    let line = |authority: &String| format!("{host}. {TTL} IN CAA 0 issue \"{authority}\"");
    let fix = || own.iter().map(line).collect::<Vec<_>>().join("\n");
    let Some((name, found)) = rule else {
        let none = "any authority may give certificates";
        return (!own.is_empty()).then(|| caa(host, State::Warn, none.to_owned(), Some(fix())));
    };
    let issuers: Vec<String> = found.iter().filter_map(issuer).collect();
    let allowed = |authority: &String| issuers.iter().any(|issuer| issuer.eq_ignore_ascii_case(authority));
    if own.iter().all(allowed) || (issuers.is_empty() && !own.is_empty()) {
        return Some(caa(host, State::Ok, format!("{} at {name}", shown(&found)), None));
    }
    let what = format!(
        "{} at {name} does not let {} give certificates, and the next renewal fails",
        shown(&found),
        own.join(", ")
    );
    Some(caa(host, State::Fail, what, Some(fix())))
}

/// Whom an `issue` rule names; the empty name is nobody.
fn issuer(data: &Data) -> Option<String> {
    let Data::Caa(caa) = data else { return None };
    let value = String::from_utf8_lossy(&caa.value).into_owned();
    (caa.tag == "issue").then(|| value.split(';').next().unwrap_or_default().trim().to_owned())
}

fn caa(host: &Domain, state: State, what: String, fix: Option<String>) -> Finding {
    Finding { state, kind: "CAA", name: host.to_string(), purpose: Purpose::Caa.as_str(), what, fix }
}

/// The name of an address, and whether it leads back.
pub(super) fn reverse(
    ip: IpAddr,
    name: &DnsName,
    names: Result<Vec<DnsName>, DnsError>,
    forward: Result<Vec<IpAddr>, DnsError>,
) -> Finding {
    let finding = |state, what: String| Finding {
        state,
        kind: "PTR",
        name: ip.to_string(),
        purpose: "reverse name",
        what,
        fix: (state == State::Fail)
            .then(|| format!("ask whoever gave you the address {ip} to make its reverse name {name}")),
    };
    match (names, forward) {
        (Err(error), _) if is_no(&error) => finding(State::Fail, "the address has no name".to_owned()),
        (Err(error), _) => finding(State::CannotTell, error.to_string()),
        (Ok(names), _) if !names.contains(name) => {
            let list = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            finding(State::Fail, format!("its name is {list}, and not {name}"))
        }
        (Ok(_), Ok(back)) if back.contains(&ip) => finding(State::Ok, format!("{name}, which leads back")),
        (Ok(_), Ok(_)) => finding(State::Fail, format!("{name} does not lead back to it")),
        (Ok(_), Err(error)) if is_no(&error) => {
            finding(State::Fail, format!("{name} does not lead back to it"))
        }
        (Ok(_), Err(error)) => finding(State::CannotTell, error.to_string()),
    }
}

/// The policy of MTA-STS that others get, beside our own.
pub(super) fn policy(
    context: &Context<'_>,
    domain: &Domain,
    own: &Policy,
    served: Result<(u16, Vec<u8>), String>,
) -> Finding {
    let finding = |state, what: String, fix: Option<String>| Finding {
        state,
        kind: "HTTPS",
        name: format!("mta-sts.{domain}"),
        purpose: Purpose::MtaStsHost.as_str(),
        what,
        fix,
    };
    let host = DnsName::from(&context.facts.hostname);
    if !own.names(&host) {
        let fix = format!("add {host} to [mta_sts] mx");
        return finding(State::Fail, format!("the policy does not name {host}, where mail goes"), Some(fix));
    }
    let fix = || Some("see that port 443 of this server answers with a certificate for this name".to_owned());
    match served {
        Err(why) => finding(State::Warn, format!("the policy cannot be had: {why}"), fix()),
        Ok((200, body)) => match Policy::parse(&body) {
            Ok(policy) if policy == *own => finding(State::Ok, "the policy is served".to_owned(), None),
            Ok(_) => {
                finding(State::Fail, "another policy is served than that of the config".to_owned(), fix())
            }
            Err(bad) => finding(State::Fail, format!("what is served is no policy: {bad}"), fix()),
        },
        Ok((status, _)) => finding(State::Fail, format!("the answer is HTTP {status}"), fix()),
    }
}

#[cfg(test)]
mod tests;
