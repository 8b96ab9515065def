//! The records a domain needs, from facts alone.

use std::net::IpAddr;

use kings_mail::domain::{DnsName, Domain};

use crate::question::{Mx, Tlsa};
use crate::record::{Caa, Data, Kind, Srv, Txt};

/// How long records may be kept, in seconds.
pub const TTL: u32 = 3600;
/// What a DMARC record asks for where it is the first one of its domain: nothing but reports.
const FIRST_POLICY: &str = "none";

/// What is known of a server and its domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The name of the server.
    pub hostname: Domain,
    /// The addresses by which the world reaches it, and by which it sends.
    pub addresses: Vec<IpAddr>,
    /// What it hosts.
    pub domains: Vec<Hosted>,
    /// What listens.
    pub services: Services,
    /// SHA-256 of the public key that port 25 shows, and then of the one that it will show next.
    pub tls_keys: Vec<Vec<u8>>,
    /// Who gives its certificates, as CAA names authorities: `letsencrypt.org`.
    pub authorities: Vec<String>,
    /// Mail leaves by way of another server, whose addresses are not known here.
    pub smart_host: bool,
}

/// What is known of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// Its name.
    pub name: Domain,
    /// The keys that sign, will sign or have signed.
    pub keys: Vec<SigningKey>,
    /// The id of its policy of MTA-STS, if it has one: another one for another content (RFC 8461 §3.1).
    pub mta_sts: Option<String>,
    /// Where reports about its mail go, `dmarc@example.org`.
    pub reports: Option<(String, Domain)>,
}

/// A key of DKIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name.
    pub selector: String,
    /// The record in one piece (RFC 6376 §3.6.1).
    pub record: String,
}

/// Where the services of the server are; `None` is not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Mail from other servers.
    pub smtp: bool,
    /// Submission with STARTTLS.
    pub submission: Option<u16>,
    /// Submission under TLS.
    pub submissions: Option<u16>,
    /// IMAP with STARTTLS.
    pub imap: Option<u16>,
    /// IMAP under TLS.
    pub imaps: Option<u16>,
    /// POP3 with STLS.
    pub pop3: Option<u16>,
    /// POP3 under TLS.
    pub pop3s: Option<u16>,
    /// Settings of mail programs, and policies.
    pub https: Option<u16>,
    /// JMAP.
    pub jmap: Option<u16>,
}

/// What a record is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Where the server is.
    Address,
    /// Where mail for the domain goes.
    Mail,
    /// Who may send in its name (RFC 7208).
    Spf,
    /// The same for the name in EHLO, which bounces are judged by (RFC 7208 §2.3).
    SpfOfHost,
    /// A key that signatures are verified with (RFC 6376).
    Dkim(String),
    /// What to do with forgeries (RFC 9989).
    Dmarc,
    /// That reports about one domain may be sent to another (RFC 9990 §4).
    ReportsTo,
    /// That there is a policy of MTA-STS, and which (RFC 8461 §3.1).
    MtaSts,
    /// Where that policy is.
    MtaStsHost,
    /// Where reports about TLS go (RFC 8460 §3).
    TlsReports,
    /// The key of port 25 (RFC 7672).
    Tlsa,
    /// Who may give certificates (RFC 8659).
    Caa,
    /// Where Thunderbird looks for settings.
    Autoconfig,
    /// Where Outlook does.
    Autodiscover,
    /// Where other mail programs do (RFC 6186 §3).
    Service,
}

impl Purpose {
    /// A word for people, beside the type of a record.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Mail => "mail",
            Self::Spf => "SPF",
            Self::SpfOfHost => "SPF of the host",
            Self::Dkim(_) => "DKIM",
            Self::Dmarc => "DMARC",
            Self::ReportsTo => "consent to reports",
            Self::MtaSts => "MTA-STS",
            Self::MtaStsHost => "MTA-STS policy",
            Self::TlsReports => "TLS-RPT",
            Self::Tlsa => "DANE",
            Self::Caa => "CAA",
            Self::Autoconfig => "autoconfig",
            Self::Autodiscover => "autodiscover",
            Self::Service => "mail programs",
        }
    }

    /// Whether mail suffers without it.
    pub fn is_needed(&self) -> bool {
        matches!(self, Self::Address | Self::Mail | Self::Spf | Self::Dkim(_) | Self::Dmarc)
    }
}

/// One record that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which domain it speaks: a hosted one, or that of the server.
    pub domain: Domain,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it stands.
    pub name: DnsName,
    /// What it says.
    pub data: Data,
}

impl Wanted {
    /// Its type.
    pub fn kind(&self) -> Kind {
        self.data.kind()
    }
}

/// All that should be in DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Records of zones, the server's own before those of its domains.
    pub records: Vec<Wanted>,
    /// Names of addresses: in zones of whoever gave the addresses, who has to be asked for them.
    pub reverse: Vec<(IpAddr, DnsName)>,
}

/// The records for these facts.
pub fn plan(facts: &Facts) -> Plan {
    let mut records = host(facts);
    for hosted in &facts.domains {
        records.extend(domain(facts, hosted));
    }
    let mut seen = Vec::new();
    records.retain(|wanted| {
        let key = (wanted.name.clone(), wanted.data.clone());
        let is_new = !seen.contains(&key);
        seen.extend(is_new.then_some(key));
        is_new
    });
    let name = DnsName::from(&facts.hostname);
    Plan { records, reverse: facts.addresses.iter().map(|ip| (*ip, name.clone())).collect() }
}

/// What the server needs for its own name.
fn host(facts: &Facts) -> Vec<Wanted> {
    let name = &facts.hostname;
    // The zone is most likely that of a domain it is in, or the one above.
    let hosted = facts.domains.iter().map(|hosted| &hosted.name).find(|domain| name.is_within(domain));
    let domain = hosted.cloned().or_else(|| name.parent()).unwrap_or_else(|| name.clone());
    let at = |label: &str, purpose, data| {
        wanted(name, label, purpose, data).map(|wanted| Wanted { domain: domain.clone(), ..wanted })
    };
    let mut records = Vec::new();
    for ip in &facts.addresses {
        let data = match ip {
            IpAddr::V4(ip) => Data::A(*ip),
            IpAddr::V6(ip) => Data::Aaaa(*ip),
        };
        records.extend(at("", Purpose::Address, data));
    }
    // A domain that has the server's own name has a record of its own.
    if !facts.domains.iter().any(|hosted| hosted.name == *name) {
        records.extend(at("", Purpose::SpfOfHost, Data::txt("v=spf1 a -all")));
    }
    for authority in &facts.authorities {
        let rule = Caa { flags: 0, tag: "issue".to_owned(), value: authority.clone().into_bytes() };
        records.extend(at("", Purpose::Caa, Data::Caa(rule)));
    }
    if facts.services.smtp {
        for key in &facts.tls_keys {
            let key = Tlsa { usage: 3, selector: 1, matching: 1, data: key.clone() };
            records.extend(at("_25._tcp", Purpose::Tlsa, Data::Tlsa(key)));
        }
    }
    records
}

/// What one domain needs.
fn domain(facts: &Facts, hosted: &Hosted) -> Vec<Wanted> {
    let name = &hosted.name;
    let host = DnsName::from(&facts.hostname);
    let mut records = Vec::new();
    let mut add = |label: &str, purpose, data| records.extend(wanted(name, label, purpose, data));
    add("", Purpose::Mail, Data::Mx(Mx { preference: 10, exchange: Some(host.clone()) }));
    // Of a smart host only its own provider knows the addresses.
    let spf = if facts.smart_host { "v=spf1 mx ~all" } else { "v=spf1 mx -all" };
    add("", Purpose::Spf, Data::txt(spf));
    for key in &hosted.keys {
        let purpose = Purpose::Dkim(key.selector.clone());
        add(&format!("{}._domainkey", key.selector), purpose, Data::txt(&key.record));
    }
    let reports = hosted.reports.as_ref();
    let rua = reports.map_or_else(String::new, |(address, _)| format!("; rua=mailto:{address}"));
    add("_dmarc", Purpose::Dmarc, Data::txt(&format!("v=DMARC1; p={FIRST_POLICY}{rua}")));
    if let Some((address, _)) = reports {
        add("_smtp._tls", Purpose::TlsReports, Data::txt(&format!("v=TLSRPTv1; rua=mailto:{address}")));
    }
    if let Some(id) = &hosted.mta_sts {
        add("_mta-sts", Purpose::MtaSts, Data::txt(&format!("v=STSv1; id={id}")));
        add("mta-sts", Purpose::MtaStsHost, Data::Cname(host.clone()));
    }
    if let Some(port) = facts.services.https {
        add("autoconfig", Purpose::Autoconfig, Data::Cname(host.clone()));
        add("autodiscover", Purpose::Autodiscover, Data::Cname(host.clone()));
        add("_autodiscover._tcp", Purpose::Autodiscover, service(0, Some(port), &host));
    }
    for (label, data) in services(facts, &host) {
        add(label, Purpose::Service, data);
    }
    let consent = reports.filter(|(_, to)| !name.is_within(to) && !to.is_within(name));
    let ours = |to: &Domain| facts.domains.iter().find(|hosted| to.is_within(&hosted.name));
    if let Some((_, to)) = consent
        && let Some(receiver) = ours(to)
    {
        let label = format!("{name}._report._dmarc");
        let below = wanted(to, &label, Purpose::ReportsTo, Data::txt("v=DMARC1"));
        records.extend(below.map(|wanted| Wanted { domain: receiver.name.clone(), ..wanted }));
    }
    records
}

/// RFC 6186 §3, RFC 8314 §5.1, RFC 8620 §2.2: what is not there is told as well, so that nobody looks for it.
fn services(facts: &Facts, host: &DnsName) -> [(&'static str, Data); 7] {
    let Services { submission, submissions, imap, imaps, pop3, pop3s, jmap, .. } = facts.services;
    [
        ("_submissions._tcp", service(0, submissions, host)),
        ("_submission._tcp", service(10, submission, host)),
        ("_imaps._tcp", service(0, imaps, host)),
        ("_imap._tcp", service(10, imap, host)),
        ("_pop3s._tcp", service(20, pop3s, host)),
        ("_pop3._tcp", service(30, pop3, host)),
        ("_jmap._tcp", service(0, jmap, host)),
    ]
}

/// Which service mail programs should prefer stands in its priority (RFC 6186 §3.3).
fn service(priority: u16, port: Option<u16>, host: &DnsName) -> Data {
    Data::Srv(match port {
        Some(port) => Srv { priority, weight: 1, port, target: Some(host.clone()) },
        None => Srv { priority: 0, weight: 0, port: 0, target: None },
    })
}

/// `None` where the name would be too long for DNS.
fn wanted(domain: &Domain, label: &str, purpose: Purpose, data: Data) -> Option<Wanted> {
    let name = match label {
        "" => DnsName::from(domain),
        label => DnsName::parse(&format!("{label}.{domain}")).ok()?,
    };
    Some(Wanted { domain: domain.clone(), purpose, name, data })
}

/// What a text in DNS is, by how it begins; two of a kind under one name are an error (RFC 7208 §4.5, RFC 9989 §4.10.1,
/// RFC 8461 §3.1, RFC 8460 §3).
pub fn version(text: &Txt) -> Option<&'static str> {
    let joined = text.joined();
    let text = String::from_utf8_lossy(&joined).trim_start().to_ascii_lowercase();
    let is = |version: &str| {
        text.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ';']))
    };
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).take(12).collect();
    if is("v=spf1") {
        return Some("v=spf1");
    }
    ["v=dmarc1", "v=dkim1", "v=stsv1", "v=tlsrptv1"].into_iter().find(|version| compact.starts_with(version))
}

#[cfg(test)]
mod tests;
