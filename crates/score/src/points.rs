//! The ten points, from measured facts: each with what it got, what was seen, and what to do.

use std::net::IpAddr;

use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{self, Algorithm, Checked, STRONG_RSA_BITS};
use kings_msgauth::dmarc::{self, DmarcResult, Policy};
use kings_msgauth::dns_list;
use kings_msgauth::iprev::{self, IprevResult};
use kings_msgauth::spf::{self, Reason, SpfResult};

use crate::content::{Content, FULL};

/// Tenths that must be there of each ten that are known.
const GOOD: u16 = 9;
/// So much must be known, in tenths, before a whole is called good: half of the ten points.
pub const ENOUGH: u16 = 50;

/// One subject of the score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// How programs call it.
    pub id: &'static str,
    /// How people call it.
    pub name: &'static str,
    /// What can be had, in tenths.
    pub full: u16,
    /// What it got, in tenths; `None` where nobody can tell.
    pub got: Option<u16>,
    /// What was measured, a line each. They quote others: show them with care.
    pub facts: Vec<String>,
    /// What to do, a line each.
    pub fixes: Vec<String>,
}

/// All points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// In the order in which they are shown.
    pub points: Vec<Point>,
    /// How much must be known, in tenths, before a whole is called good: [`ENOUGH`], or less where less is asked.
    pub enough: u16,
}

/// What the whole comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// At least nine of ten of what is known, and enough is known.
    Good,
    /// Less than nine of ten of what is known.
    Below,
    /// What is known is good, and too little is known.
    CannotTell,
}

impl Score {
    /// What was got, in tenths.
    pub fn got(&self) -> u16 {
        self.points.iter().filter_map(|point| point.got).sum()
    }

    /// What could have been got of what is known, in tenths.
    pub fn known(&self) -> u16 {
        self.points.iter().filter(|point| point.got.is_some()).map(|point| point.full).sum()
    }

    /// Nine of ten, scaled to what is known: what nobody can tell counts neither way.
    pub fn grade(&self) -> Grade {
        let (got, known) = (self.got(), self.known());
        if known > 0 && got * 10 < known * GOOD {
            return Grade::Below;
        }
        if known >= self.enough && known > 0 { Grade::Good } else { Grade::CannotTell }
    }
}

/// What a point is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Signatures.
    Dkim,
    /// May this address send for the domain?
    Spf,
    /// Does either prove the author?
    Dmarc,
    /// The name of the address.
    Reverse,
    /// What other servers get when they deliver here.
    Tls,
    /// What is in the message.
    Content,
    /// Lists of bad addresses.
    Blocklist,
}

impl Topic {
    /// Id, name and tenths.
    fn head(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Dkim => ("dkim", "DKIM", 20),
            Self::Spf => ("spf", "SPF", 20),
            Self::Dmarc => ("dmarc", "DMARC", 10),
            Self::Reverse => ("ptr", "PTR", 10),
            Self::Tls => ("tls", "TLS", 10),
            Self::Content => ("content", "Content", FULL),
            Self::Blocklist => ("blocklist", "Blocklist", 10),
        }
    }

    fn point(self, got: Option<u16>, facts: Vec<String>, fixes: Vec<String>) -> Point {
        let (id, name, full) = self.head();
        Point { id, name, full, got, facts, fixes }
    }

    /// Everything that this can give.
    pub fn full(self, facts: Vec<String>) -> Point {
        self.point(Some(self.head().2), facts, Vec::new())
    }

    /// Nothing.
    pub fn failed(self, facts: Vec<String>, fixes: Vec<String>) -> Point {
        self.point(Some(0), facts, fixes)
    }

    /// Nobody can tell; `why` in one line, and what would help.
    pub fn unknown(self, why: impl Into<String>, fixes: Vec<String>) -> Point {
        self.point(None, vec![format!("cannot tell: {}", why.into())], fixes)
    }
}

/// Two points for a signature by the author's domain with a strong key that large receivers can verify; one where it
/// verifies and something of that is missing.
pub fn dkim(report: &dkim::Report, is_aligned: bool, author: Option<&Domain>) -> Point {
    let domain = author.map_or("DOMAIN".to_owned(), ToString::to_string);
    let facts: Vec<String> = report.signatures.iter().map(signature).collect();
    let valid: Vec<&Checked> =
        report.signatures.iter().filter(|one| one.verdict.word() == dkim::Word::Pass).collect();
    if valid.is_empty() {
        if report.signatures.iter().any(|one| one.verdict.word() == dkim::Word::TempError) {
            return Topic::Dkim.point(None, with_doubt(facts), Vec::new());
        }
        let mut fixes: Vec<String> =
            report.signatures.iter().filter_map(|one| remedy(one, &domain)).collect();
        fixes.dedup();
        if report.signatures.is_empty() {
            let facts = vec!["the message is not signed".to_owned()];
            let fix = format!("kings dkim create {domain}, and publish the records that it prints");
            return Topic::Dkim.failed(facts, vec![fix]);
        }
        return Topic::Dkim.failed(facts, fixes);
    }
    let is_rsa =
        |one: &&Checked| one.claim.as_ref().is_none_or(|claim| claim.algorithm != Algorithm::Ed25519Sha256);
    let mut fixes = Vec::new();
    if valid.iter().all(|one| weak_bits(one).is_some()) {
        fixes.push(format!(
            "kings dkim rotate {domain}: a key of {STRONG_RSA_BITS} bits is what receivers want"
        ));
    }
    if !valid.iter().any(is_rsa) {
        fixes.push("sign by rsa-sha256 as well: Gmail and Outlook.com do not verify Ed25519".to_owned());
    }
    if valid.iter().all(|one| one.testing) {
        fixes.push("take t=y out of the key's record: it tells receivers to ignore the signature".to_owned());
    }
    if !is_aligned {
        fixes.push(format!(
            "sign as {domain}, the domain in From: another domain's signature proves nothing about it"
        ));
    }
    let got = if fixes.is_empty() { 20 } else { 10 };
    Topic::Dkim.point(Some(got), facts, fixes)
}

fn signature(one: &Checked) -> String {
    let key = one.claim.as_ref().map_or(String::new(), |claim| {
        format!(" ({} by {}._domainkey.{})", claim.algorithm.as_str(), claim.selector, claim.domain)
    });
    format!("{}: {}{key}", one.verdict.word(), one.verdict)
}

fn weak_bits(one: &Checked) -> Option<usize> {
    match one.verdict {
        dkim::Verdict::Valid { rsa_bits } => rsa_bits.filter(|bits| *bits < STRONG_RSA_BITS),
        _ => None,
    }
}

/// What mends a signature that does not verify.
fn remedy(one: &Checked, domain: &str) -> Option<String> {
    let name = one.claim.as_ref().map(|claim| format!("{}._domainkey.{}", claim.selector, claim.domain));
    let name = name.unwrap_or_else(|| format!("SELECTOR._domainkey.{domain}"));
    match &one.verdict {
        dkim::Verdict::NoKey => {
            Some(format!("publish the TXT record of {name}: kings dkim show {domain} prints it"))
        }
        dkim::Verdict::BadKey(_) | dkim::Verdict::TlsReportsOnly => {
            Some(format!("publish {name} anew, as one value: kings dkim show {domain} prints it"))
        }
        dkim::Verdict::HeaderChanged => Some(format!(
            "the key at {name} is another one, or the header was changed behind the signature: kings dkim show {domain}"
        )),
        dkim::Verdict::BodyChanged | dkim::Verdict::BodyTooShort => Some(
            "something changes the message behind the signature: a footer, a filter, a forwarder".to_owned(),
        ),
        dkim::Verdict::Sha1 => Some(format!("kings dkim rotate {domain}: rsa-sha1 counts nowhere any more")),
        dkim::Verdict::Expired | dkim::Verdict::FromTheFuture => {
            Some("set the clock of the machine that signs: timedatectl set-ntp true".to_owned())
        }
        dkim::Verdict::PartOfBody { .. } => Some("sign without l=".to_owned()),
        dkim::Verdict::Doubled(field) => Some(format!("write {field} once")),
        dkim::Verdict::BadSignature(_) => Some("repair the program that signs".to_owned()),
        dkim::Verdict::Valid { .. } | dkim::Verdict::KeyUnavailable(_) => None,
    }
}

fn with_doubt(mut facts: Vec<String>) -> Vec<String> {
    facts.insert(0, "cannot tell: DNS does not answer".to_owned());
    facts
}

/// Two points where the domain of the reverse-path lets this address send, and not everybody.
pub fn spf(outcome: &spf::Outcome, client: IpAddr, max_lookups: usize) -> Point {
    let domain = outcome.domain.as_ref().map_or("DOMAIN".to_owned(), ToString::to_string);
    let term = if client.is_ipv4() { format!("ip4:{client}") } else { format!("ip6:{client}") };
    let fact = format!("{}: {client} for {domain}: {}", outcome.result, outcome.reason);
    let lookups = format!("{} of {max_lookups} lookups", outcome.lookups);
    match outcome.result {
        SpfResult::Pass if lets_all(&outcome.reason) => Topic::Spf.failed(
            vec![fact],
            vec![format!("end the record of {domain} in -all: +all lets everybody send as {domain}")],
        ),
        SpfResult::Pass => Topic::Spf.full(vec![format!("{client} passes for {domain} ({lookups})")]),
        SpfResult::TempError => Topic::Spf.unknown(outcome.reason.to_string(), Vec::new()),
        SpfResult::None => {
            Topic::Spf.failed(vec![fact], vec![format!("publish at {domain}: TXT \"v=spf1 mx {term} -all\"")])
        }
        SpfResult::PermError => {
            let fix = match outcome.reason {
                Reason::SeveralRecords { .. } => {
                    format!("keep one SPF record at {domain} and delete the others")
                }
                Reason::TooManyLookups { .. } => {
                    format!(
                        "take include: and mx terms out of the record of {domain}, or write them as ip4: and ip6:"
                    )
                }
                _ => format!(
                    "correct the record of {domain}; \"v=spf1 mx {term} -all\" is enough for this server"
                ),
            };
            Topic::Spf.failed(vec![fact], vec![fix])
        }
        SpfResult::Neutral | SpfResult::Fail | SpfResult::SoftFail => Topic::Spf.failed(
            vec![fact],
            vec![format!("add {term} to the SPF record of {domain}, in front of its all")],
        ),
    }
}

fn lets_all(reason: &Reason) -> bool {
    match reason {
        Reason::Matched { mechanism, .. } => mechanism.trim_start_matches('+').eq_ignore_ascii_case("all"),
        _ => false,
    }
}

/// One point where a published policy is passed.
pub fn dmarc(outcome: &dmarc::Outcome) -> Point {
    let author = outcome.author.as_ref().map_or("DOMAIN".to_owned(), ToString::to_string);
    let publish =
        || format!("publish at _dmarc.{author}: TXT \"v=DMARC1; p=none; rua=mailto:dmarc@{author}\"");
    match outcome.result {
        DmarcResult::Pass => {
            let step = match outcome.requested {
                Policy::None => {
                    "; the next step is p=quarantine, when reports show nothing of yours that fails"
                }
                Policy::Quarantine | Policy::Reject => "",
            };
            Topic::Dmarc.full(vec![format!("p={}, {}{step}", outcome.requested.as_str(), outcome.reason)])
        }
        DmarcResult::TempError => Topic::Dmarc.unknown(outcome.reason.to_string(), Vec::new()),
        DmarcResult::None | DmarcResult::PermError => {
            Topic::Dmarc.failed(vec![outcome.reason.to_string()], vec![publish()])
        }
        DmarcResult::Fail => Topic::Dmarc.failed(
            vec![format!("p={}: {}", outcome.requested.as_str(), outcome.reason)],
            vec![format!("let DKIM sign as {author}, or SPF pass for {author}: the points above say how")],
        ),
    }
}

/// One point where the reverse name leads back and is what the server says in EHLO.
pub fn reverse(outcome: &iprev::Outcome, helo: Option<&str>) -> Point {
    let client = outcome.client;
    let name = outcome.name.as_ref().map(ToString::to_string);
    let wanted = helo.unwrap_or("the name that the server says in EHLO");
    let fix = || {
        vec![format!("set the reverse name (PTR) of {client} to {wanted}, at whoever gave you the address")]
    };
    match outcome.result {
        IprevResult::Pass => {
            let name = name.unwrap_or_default();
            match helo {
                Some(helo) if !same_name(helo, &name) => {
                    Topic::Reverse.failed(vec![format!("{client} is {name}, and EHLO says {helo}")], fix())
                }
                _ => Topic::Reverse.full(vec![format!("{client} is {name}, which leads back")]),
            }
        }
        IprevResult::TempError => Topic::Reverse.unknown(outcome.reason.to_string(), Vec::new()),
        IprevResult::Fail => {
            let mut fixes = fix();
            fixes.push(format!("publish the address of that name: {wanted} must lead to {client}"));
            Topic::Reverse.failed(vec![format!("{client}: {}", outcome.reason)], fixes)
        }
        IprevResult::PermError => Topic::Reverse.failed(vec![format!("{client}: {}", outcome.reason)], fix()),
    }
}

fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// Two points, less what the rules take.
pub fn content(content: &Content) -> Point {
    let facts = content.findings.iter().map(|finding| {
        let rule = finding.rule;
        format!("-{}  {}: {} ({})", tenths(rule.weight), rule.id, rule.what, finding.fact)
    });
    let mut facts: Vec<String> = facts.collect();
    if facts.is_empty() {
        let count: usize = crate::content::RULES.iter().map(|rules| rules.len()).sum();
        facts.push(format!("none of {count} rules hits"));
    }
    let fixes = content.findings.iter().map(|finding| format!("{}: {}", finding.rule.id, finding.rule.fix));
    Topic::Content.point(Some(content.tenths()), facts, fixes.collect())
}

/// One point where no list has the address. A list that does not answer as lists do says nothing either way.
pub fn blocklist(client: IpAddr, lists: &[(String, dns_list::Verdict)]) -> Point {
    let (mut facts, mut fixes, mut clear) = (Vec::new(), Vec::new(), Vec::new());
    for (zone, verdict) in lists {
        match verdict {
            dns_list::Verdict::NotListed => clear.push(zone.as_str()),
            dns_list::Verdict::Listed(codes) => {
                let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
                facts.push(format!("{client} is on {zone} ({})", codes.join(", ")));
                fixes.push(format!("ask {zone} why, mend the cause, and ask to be taken off"));
            }
            dns_list::Verdict::CannotTell(doubt) => {
                facts.push(format!("cannot tell: {zone}: {doubt}"));
                if matches!(doubt, dns_list::Doubt::Refused(_)) {
                    fixes.push(format!(
                        "ask {zone} through a resolver of your own ([dns] servers), or with a key of theirs"
                    ));
                }
            }
        }
    }
    if !clear.is_empty() {
        facts.push(format!("{client} is not on {}", clear.join(", ")));
    }
    let is_listed = lists.iter().any(|(_, verdict)| matches!(verdict, dns_list::Verdict::Listed(_)));
    let got = if is_listed { Some(0) } else { (!clear.is_empty()).then_some(10) };
    if lists.is_empty() {
        facts.push("cannot tell: no list is asked".to_owned());
    }
    Topic::Blocklist.point(got, facts, fixes)
}

/// What a handshake at one of our ports has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The listener, by its key in the config.
    pub port: String,
    /// What was agreed on, or why nothing was.
    pub outcome: Result<Agreed, String>,
}

/// A handshake that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Version and suite.
    pub tls: String,
    /// Why a client that verifies would not have gone on.
    pub distrust: Option<String>,
    /// Until when the certificate is good, in seconds since 1970.
    pub until: Option<i64>,
}

/// One point where port 25 and all others show a certificate for the name of the server that clients trust.
pub fn tls(hostname: &Domain, handshakes: &[Handshake]) -> Point {
    let Some(smtp) = handshakes.iter().find(|one| one.port == "smtp") else {
        return Topic::Tls.unknown("nothing listens for mail of other servers ([listen] smtp)", vec![]);
    };
    let (mut facts, mut fixes, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for Handshake { port, outcome } in handshakes {
        match outcome {
            Ok(Agreed { distrust: None, .. }) => good.push(port.as_str()),
            Ok(Agreed { distrust: Some(why), .. }) => {
                facts.push(format!("{port}: the certificate is not good for {hostname}: {why}"));
                fixes.push(format!(
                    "get a certificate for {hostname} from an authority that others trust ([tls])"
                ));
            }
            Err(why) => {
                facts.push(format!("{port}: no TLS: {why}"));
                fixes.push(format!("look why {port} does not answer: journalctl -u kings-smtp"));
            }
        }
    }
    if !good.is_empty() {
        let agreed = smtp.outcome.as_ref().ok();
        let version = agreed.map_or(String::new(), |agreed| format!("{}, ", agreed.tls));
        let until =
            agreed.and_then(|agreed| agreed.until).map(|until| DateTime::from_unix(until).to_string());
        let until = until.map_or(String::new(), |until| format!(" until {until}"));
        facts.push(format!("{version}the certificate is good for {hostname}{until} on {}", good.join(" ")));
    }
    fixes.dedup();
    Topic::Tls.point(Some(if fixes.is_empty() { 10 } else { 0 }), facts, fixes)
}

/// Several measurements of one subject, one for each of our addresses: the worst of those that are known.
pub fn worst(points: Vec<Point>) -> Option<Point> {
    let mut points = points.into_iter();
    let mut whole = points.next()?;
    for point in points {
        whole.got = match (whole.got, point.got) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        whole.facts.extend(point.facts);
        whole.fixes.extend(point.fixes);
    }
    Some(whole)
}

/// `20` as `2`, `15` as `1.5`.
pub fn tenths(count: u16) -> String {
    match (count / 10, count % 10) {
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests;
