//! `kings.toml`: read strictly, checked once, handed on as plain settings. Only this module knows its keys.

mod acme;
mod dkim;
mod dns;
mod firewall;
mod greylist;
mod hand_in;
mod house_rules;
mod idle;
mod inbound;
mod limits;
mod listen;
mod lists;
mod login;
mod mailboxes;
mod milters;
mod mta_sts;
mod oauth;
pub(crate) mod opendkim;
mod outbound;
mod policy_service;
mod queue;
mod quota;
mod reader;
mod recipients;
mod reports;
mod retention;
mod rewriting;
mod score;
mod security;
mod submission;
mod tls;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kings_directory::{HostedDomain, Machine, RelayDomain, TableSource};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::milter::Milters;
use kings_mta::{Clients, HouseRules, Inbound, Methods, Outgoing, ReportSettings, relay};
use kings_net::ResolverSettings;
use kings_store::Layout;
use kings_tls::{Authorities, ClientAuthorities, Source as Certificate};
use toml::de::DeTable;

pub(crate) use self::acme::Acme;
pub(crate) use self::dkim::{Dkim, Table, TablePlace, Tables};
pub(crate) use self::dns::{DnsServer, Published, Route53};
pub(crate) use self::hand_in::{HandIn, Terms};
pub(crate) use self::limits::{Limits, MESSAGE_BYTES, Threads};
pub(crate) use self::listen::{Listen, SocketAccess};
pub(crate) use self::login::Login;
pub(crate) use self::mailboxes::Mailboxes;
pub(crate) use self::mta_sts::MtaSts;
pub(crate) use self::oauth::OAuth;
pub(crate) use self::outbound::ENDS_HERE;
pub(crate) use self::queue::{QueueSettings, duration};
pub(crate) use self::quota::Quotas;
pub(crate) use self::reader::Complaint;
use self::reader::{Section, Source};
pub(crate) use self::security::Security;

/// Where the config is when nothing else is said.
pub(crate) const DEFAULT_PATH: &str = "/etc/kings-smtp/kings.toml";

/// Everything the program needs to know, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Name in the greeting, in EHLO, in Received and in the certificate.
    pub(crate) hostname: Domain,
    /// Queue, certificate of our own making, control socket.
    pub(crate) data_dir: PathBuf,
    /// The mailboxes.
    pub(crate) mail_dir: PathBuf,
    /// How an account's folder is named below `mail_dir`.
    pub(crate) mail_layout: Layout,
    /// Who to become when started as root.
    pub(crate) user: Option<String>,
    /// What is hosted here; the first one completes bare names.
    pub(crate) domains: Vec<HostedDomain>,
    /// Dovecot's passwd-file.
    pub(crate) accounts: PathBuf,
    /// Alias tables in their order.
    pub(crate) aliases: Vec<TableSource>,
    /// Tables of who may write as whom.
    pub(crate) sender_logins: Vec<TableSource>,
    /// The machine's own users and their aliases.
    pub(crate) machine: Option<Machine>,
    /// Where they hand in mail, if they may.
    pub(crate) local: Option<crate::local::Settings>,
    /// Domains whose mail is passed on.
    pub(crate) relays: Vec<RelayDomain>,
    /// What parts a name from its tag.
    pub(crate) delimiters: String,
    pub(crate) mailboxes: Mailboxes,
    /// How much mail accounts may hold, beside what their lines in the accounts file say.
    pub(crate) quotas: Quotas,
    pub(crate) listen: Listen,
    pub(crate) security: Security,
    /// What senders are told about the safety of our hosts.
    pub(crate) mta_sts: MtaSts,
    pub(crate) login: Login,
    /// Whose tokens log people in.
    pub(crate) oauth: Vec<OAuth>,
    pub(crate) certificate: Certificate,
    /// The authority that certificates come from, if they do.
    pub(crate) acme: Option<Acme>,
    /// Authorities to trust beside those of the machine, as a client.
    pub(crate) authorities: Authorities,
    /// Authorities whose certificates let people log in.
    pub(crate) client_authorities: Option<ClientAuthorities>,
    pub(crate) dns: ResolverSettings,
    /// What the world is to find in DNS about this server, and who puts it there.
    pub(crate) published: Published,
    /// Trace, results for TLS reports, MTA-STS policies.
    pub(crate) records: kings_records::Settings,
    /// Reports that domains ask for, and those of others.
    pub(crate) reports: Option<ReportSettings>,
    /// Addresses here that answer with the score of what comes to them.
    pub(crate) score_addresses: Vec<Address>,
    pub(crate) outbound: relay::Settings,
    /// Aliases send foreign mail on under a reverse-path of ours.
    pub(crate) srs: bool,
    pub(crate) queue: QueueSettings,
    /// Switches of port 25.
    pub(crate) inbound: Inbound,
    pub(crate) clients: Clients,
    /// Copies, and rules about headers.
    pub(crate) house_rules: HouseRules,
    /// Switches of submission.
    pub(crate) submission: Outgoing,
    /// Where keys to sign with are, beside those of `data_dir`.
    pub(crate) dkim: Dkim,
    /// Filters at each way in.
    pub(crate) milters: Milters,
    pub(crate) limits: Limits,
    /// Odd but possible: printed, and the server starts.
    pub(crate) warnings: Vec<Complaint>,
}

/// The config cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "cannot read {path}: {cause}\nname another file with --config FILE; config/kings.toml in the source is a commented example"
    )]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}", list(.path, .complaints))]
    Complaints { path: PathBuf, complaints: Vec<Complaint> },
}

fn list(path: &Path, complaints: &[Complaint]) -> String {
    let lines: Vec<String> =
        complaints.iter().map(|complaint| format!("{}: {complaint}", path.display())).collect();
    lines.join("\n")
}

impl Settings {
    /// Reads and checks a config file. All complaints at once.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        match Self::examine(path)? {
            (Some(settings), complaints) if complaints.is_empty() => Ok(settings),
            (_, complaints) => Err(ConfigError::Complaints { path: path.to_owned(), complaints }),
        }
    }

    /// The same as far as it makes sense, with all complaints: to look for more, not to serve.
    pub(crate) fn examine(path: &Path) -> Result<(Option<Self>, Vec<Complaint>), ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let absolute = fs::canonicalize(path).map_err(unreadable)?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        Ok(Self::examine_text(&text, folder))
    }

    /// Checks the text of a config whose relative paths start in `folder`.
    #[cfg(test)]
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Complaint>> {
        match Self::examine_text(text, folder) {
            (Some(settings), complaints) if complaints.is_empty() => Ok(settings),
            (_, complaints) => Err(complaints),
        }
    }

    pub(crate) fn examine_text(text: &str, folder: &Path) -> (Option<Self>, Vec<Complaint>) {
        let mut source = Source::new(text, folder);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            source.complain_at(error.span().unwrap_or_default(), error.message());
        }
        if !source.complaints.is_empty() {
            return (None, source.complaints);
        }
        let settings = read(&mut source, Section::top(table.get_ref()));
        (settings, source.complaints)
    }
}

/// Every section is read even when one before it is wrong: `None` only once all complaints are known.
fn read(source: &mut Source<'_>, mut top: Section<'_>) -> Option<Settings> {
    let mut warnings = Vec::new();
    let hostname = required(source, &mut top, "hostname", "mail.example.org", |source, top, key| {
        top.parsed(source, key, "a full host name such as \"mail.example.org\"", Domain::parse)
    });
    warn_of_short_name(source, &mut top, hostname.as_ref());
    let data_dir = required(source, &mut top, "data_dir", "/var/lib/kings-smtp", path_of);
    let mail_dir = required(source, &mut top, "mail_dir", "/var/mail/vmail", path_of);
    let mail_layout = top.parsed(source, "mail_layout", "a path such as \"{domain}/{user}\"", Layout::parse);
    let user = top.text(source, "user");
    let domains = recipients::domains(source, &mut top);
    warnings.extend(recipients::backscatter(&domains.relays));
    let accounts = accounts(source, &mut top);
    let aliases = section(source, &mut top, "aliases", recipients::aliases);
    let (origin, local) = section(source, &mut top, "local", recipients::local);
    let is_there = local.is_some();
    let machine =
        recipients::machine(source, &domains.hosted, hostname.as_ref(), (origin, is_there), aliases.system);
    let (mailboxes, delimiters) = section(source, &mut top, "mailboxes", |source, section| {
        mailboxes::read(source, section, domains.kept)
    });
    let (quotas, full_mailbox) = quota::read(source, &mut top, domains.quotas, mailboxes.naming);
    let listen = section(source, &mut top, "listen", Listen::read);
    let security = security::read(source, &mut top);
    let mta_sts = mta_sts::read(source, &mut top, hostname.as_ref(), domains.mta_sts, &listen);
    let login = section(source, &mut top, "login", Login::read);
    let oauth = oauth::read(source, &mut top);
    let ours = (hostname.as_ref(), &domains.hosted[..], &listen);
    let (dns, published, tls) = dns_and_tls(source, &mut top, data_dir.as_deref(), ours);
    login.check(source, tls.client_authorities.is_some());
    let own_routes =
        relay::Routes { rules: domains.routes, delimiters: delimiters.clone(), ..relay::Routes::default() };
    let (outbound, srs) = outbound::read(source, &mut top, &listen.smtp, own_routes, domains.sources);
    warnings.extend(idle_routes(source, outbound.as_ref(), &domains.hosted, hostname.as_ref()));
    let queue = section(source, &mut top, "queue", queue::read);
    let (access, checks, (inbound, clients)) = section(source, &mut top, "inbound", |source, section| {
        inbound::read_all(source, section, &mut warnings, &delimiters)
    });
    let (own_checks, submission, sender_logins) =
        section(source, &mut top, "submission", |source, section| {
            let sender_logins = section.tables(source, "sender_logins");
            (house_rules::content_checks(source, section), submission::read(source, section), sender_logins)
        });
    let submission = Outgoing { remembers_correspondents: inbound.greylist.is_some(), ..submission };
    let rules = house_rules::of_all(source, &mut top, &delimiters);
    let alerts = queue.alerts.clone();
    let house_rules =
        HouseRules { access, inbound: checks, submission: own_checks, alerts, full_mailbox, ..rules };
    let dkim = section(source, &mut top, "dkim", dkim::read);
    dkim.check(source, submission.longest_hold, queue.lifetimes);
    let milters = milters::read(source, &mut top);
    let limits = section(source, &mut top, "limits", limits::read);
    let hosts = (&domains.hosted[..], &domains.relays[..], hostname.as_ref());
    let (reports, score_addresses) = answers(source, &mut top, hosts, inbound.methods);
    let records = records(source, &mut top, data_dir.as_deref());
    top.finish(source);
    warnings.append(&mut source.warnings);
    Some(Settings {
        hostname: hostname?,
        data_dir: data_dir?,
        mail_dir: mail_dir?,
        mail_layout: mail_layout.unwrap_or_default(),
        user,
        domains: domains.hosted,
        accounts: accounts?,
        aliases: aliases.tables,
        sender_logins,
        machine,
        local,
        relays: domains.relays,
        delimiters,
        mailboxes,
        quotas,
        clients: Clients { trusted: listen.trusted(), ..clients },
        listen,
        security,
        mta_sts,
        login,
        oauth,
        certificate: tls.certificate?,
        acme: tls.acme,
        authorities: tls.authorities,
        client_authorities: tls.client_authorities,
        dns,
        published,
        outbound: outbound?,
        srs,
        queue,
        records: records?,
        reports,
        score_addresses,
        inbound,
        house_rules,
        submission,
        dkim,
        milters,
        limits,
        warnings,
    })
}

/// `[dns]` and `[tls]`: who can change records can prove names by them.
fn dns_and_tls(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    data_dir: Option<&Path>,
    (hostname, hosted, listen): (Option<&Domain>, &[HostedDomain], &Listen),
) -> (ResolverSettings, Published, tls::Tls) {
    let (dns, published) = section(source, top, "dns", dns::read);
    let ours = tls::Ours { hostname, hosted, listen, changes_dns: published.provider.is_some() };
    let tls = tls::read(source, top, data_dir, &ours);
    (dns, published, tls)
}

/// `[reports]` and `[score]`: mail that the server writes of its own accord.
fn answers(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    (hosted, relays, hostname): (&[HostedDomain], &[RelayDomain], Option<&Domain>),
    methods: Methods,
) -> (Option<ReportSettings>, Vec<Address>) {
    let reports = reports::read(source, top, reports::Ours { hosted, relays, hostname }, methods);
    (reports, score::read(source, top, hosted))
}

/// Routes that no mail ever takes, since what they are about ends here: those of the config are complaints, lines of
/// tables are warnings.
fn idle_routes(
    source: &mut Source<'_>,
    outbound: Option<&relay::Settings>,
    hosted: &[HostedDomain],
    hostname: Option<&Domain>,
) -> Vec<Complaint> {
    let Some(outbound) = outbound else { return Vec::new() };
    let hosts = |domain: &Domain| hosted.iter().any(|hosted| hosted.name == *domain);
    let ends_here = |domain: &Domain| hosts(domain) || hostname == Some(domain);
    outbound::complain_of_idle(source, &outbound.routes, ends_here);
    outbound::idle_lines(&outbound.routes, hosted, ends_here)
        .chain(outbound::passed_over(&outbound.routes))
        .collect()
}

/// Other servers refuse a name without a domain in EHLO (RFC 5321 §2.3.5).
fn warn_of_short_name(source: &mut Source<'_>, top: &mut Section<'_>, hostname: Option<&Domain>) {
    let short = hostname.filter(|name| !name.as_str().contains('.'));
    if let (Some(name), Some(value)) = (short, top.value("hostname")) {
        source.warn_at(
            value.span(),
            format!(
                "hostname {name} has no domain, and other servers refuse it: write the full name, as {name}.example.org, that DNS \
                 knows for this machine"
            ),
        );
    }
}

/// Reads one section to its end, unknown keys included.
fn section<'a, T>(
    source: &mut Source<'_>,
    top: &mut Section<'a>,
    key: &'static str,
    read: impl FnOnce(&mut Source<'_>, &mut Section<'a>) -> T,
) -> T {
    let mut section = top.section(source, key);
    let value = read(source, &mut section);
    section.finish(source);
    value
}

fn path_of(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.path(source, key)
}

/// A key without a default.
fn required<T>(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    example: &str,
    read: impl FnOnce(&mut Source<'_>, &mut Section<'_>, &'static str) -> Option<T>,
) -> Option<T> {
    let is_there = section.value(key).is_some();
    let value = read(source, section, key);
    if !is_there {
        let title = section.title();
        let place = if title.is_empty() { String::new() } else { format!(" in {title}") };
        source.complain(format!("{key} is missing{place}: add {key} = \"{example}\""));
    }
    value
}

fn accounts(source: &mut Source<'_>, top: &mut Section<'_>) -> Option<PathBuf> {
    section(source, top, "accounts", |source, section| {
        required(source, section, "file", "/etc/kings-smtp/users", path_of)
    })
}

/// The records of a year are the most that a question can be answered from in good time.
fn records(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    data_dir: Option<&Path>,
) -> Option<kings_records::Settings> {
    let days = section(source, top, "records", |source, section| section.number(source, "days", 1));
    let keep = Duration::from_hours(24 * days.unwrap_or(30).min(366));
    data_dir.map(|folder| kings_records::Settings { file: folder.join("records.sqlite"), keep })
}

/// A name server, with its port or at the usual one.
pub(crate) fn name_server(text: &str) -> Option<SocketAddr> {
    text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53))).ok()
}

#[cfg(test)]
mod tests;
