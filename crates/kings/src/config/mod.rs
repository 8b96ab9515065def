//! `kings.toml`: read strictly, checked once, handed on as plain settings. Only this module knows its keys.

mod dkim;
mod greylist;
mod hand_in;
mod house_rules;
mod listen;
mod lists;
mod login;
mod milters;
mod oauth;
pub(crate) mod opendkim;
mod outbound;
mod queue;
mod reader;
mod recipients;
mod reports;
mod submission;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kings_access::UidlFormat;
use kings_directory::{AliasSource, HostedDomain, Machine, RelayDomain};
use kings_mail::domain::Domain;
use kings_mta::delegation::{self, Action, PATIENCE, Place};
use kings_mta::milter::Milters;
use kings_mta::{
    Allowance, Check, Clients, Copies, Dsn, EarlyTalker, HouseRules, Inbound, Methods, Outgoing, Rates,
    ReportSettings, Rules, Trusted, Verdict, Verdicts, relay,
};
use kings_net::{IpNet, Rate, ResolverSettings};
use kings_store::Layout;
use kings_tls::{Authorities, CertificateError, ClientAuthorities, Source as Certificate};
use toml::de::DeTable;

pub(crate) use self::dkim::{Dkim, Table, TablePlace, Tables};
pub(crate) use self::hand_in::{HandIn, Terms};
pub(crate) use self::listen::{Listen, SocketAccess};
pub(crate) use self::login::Login;
pub(crate) use self::oauth::OAuth;
pub(crate) use self::queue::{QueueSettings, duration};
pub(crate) use self::reader::Complaint;
use self::reader::{Section, Source};

/// Largest message where nothing else is said, in octets.
pub(crate) const MESSAGE_BYTES: u64 = 50 * 1024 * 1024;

/// Where the config is when nothing else is said.
pub(crate) const DEFAULT_PATH: &str = "/etc/kings-smtp/kings.toml";

/// A client waits five minutes for the reply to RCPT (RFC 5321 §4.5.3.2.3), and has to hear it in time.
const LONGEST_POLICY_TIMEOUT: Duration = Duration::from_secs(250);

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
    pub(crate) aliases: Vec<AliasSource>,
    /// The machine's own users and their aliases.
    pub(crate) machine: Option<Machine>,
    /// Where they hand in mail, if they may.
    pub(crate) local: Option<crate::local::Settings>,
    /// Domains whose mail is passed on.
    pub(crate) relays: Vec<RelayDomain>,
    /// What parts a name from its tag.
    pub(crate) delimiters: String,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) listen: Listen,
    pub(crate) login: Login,
    /// Whose tokens log people in.
    pub(crate) oauth: Vec<OAuth>,
    pub(crate) certificate: Certificate,
    /// Authorities to trust beside those of the machine, as a client.
    pub(crate) authorities: Authorities,
    /// Authorities whose certificates let people log in.
    pub(crate) client_authorities: Option<ClientAuthorities>,
    pub(crate) dns: ResolverSettings,
    /// Trace, results for TLS reports, MTA-STS policies.
    pub(crate) records: kings_records::Settings,
    /// Reports that domains ask for, and those of others.
    pub(crate) reports: Option<ReportSettings>,
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

/// `[mailboxes]`: how people see their mail.
#[derive(Clone, Debug)]
pub(crate) struct Mailboxes {
    /// Between the levels of mailbox names.
    pub(crate) separator: char,
    /// How POP3 names messages.
    pub(crate) pop3_uidl: UidlFormat,
    /// One POP3 session of an account at a time.
    pub(crate) pop3_lock_session: bool,
}

/// `[limits]`; the numbers of the design where the file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest message, in octets.
    pub(crate) message_bytes: u64,
    /// Most recipients of one message.
    pub(crate) recipients: usize,
    /// SMTP connections in all, and from one address or /64.
    pub(crate) smtp_connections: usize,
    pub(crate) smtp_connections_per_address: usize,
    /// New SMTP connections, and new IMAP connections, from one address or /64.
    pub(crate) smtp_arrivals: Rate,
    pub(crate) imap_arrivals: Rate,
    /// How much mail in which time.
    pub(crate) rates: Rates,
    /// IMAP connections in all, not yet logged in from one address, and of one account.
    pub(crate) imap_connections: usize,
    pub(crate) imap_connections_per_address: usize,
    pub(crate) imap_connections_per_account: usize,
    /// Shortest time between two logins to POP3, where there is one.
    pub(crate) pop3_login_delay: Option<Duration>,
    /// Failed logins from one address or /64 within a minute.
    pub(crate) login_failures_per_minute: u32,
    /// Failed logins to one account within a minute, before strangers must wait.
    pub(crate) login_failures_per_account: u32,
    /// Octets that stay free on the disk.
    pub(crate) free_space_reserve: u64,
    /// Clients without connection and rate limits.
    pub(crate) exempt: Vec<IpNet>,
    pub(crate) threads: Threads,
}

/// How many threads the program may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    /// Those that serve connections; `None`: one for each processor.
    pub(crate) workers: Option<usize>,
    /// Those that wait for the disk.
    pub(crate) blocking: usize,
}

impl Default for Threads {
    /// Enough for fifty messages that wait for the disk together and all else that goes on.
    fn default() -> Self {
        Self { workers: None, blocking: 128 }
    }
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
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let absolute = fs::canonicalize(path).map_err(unreadable)?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        Self::parse(&text, folder)
            .map_err(|complaints| ConfigError::Complaints { path: path.to_owned(), complaints })
    }

    /// Checks the text of a config whose relative paths start in `folder`.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Complaint>> {
        let mut source = Source::new(text, folder);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            source.complain_at(error.span().unwrap_or_default(), error.message());
        }
        if !source.complaints.is_empty() {
            return Err(source.complaints);
        }
        let settings = read(&mut source, Section::top(table.get_ref()));
        match settings {
            Some(settings) if source.complaints.is_empty() => Ok(settings),
            _ => Err(source.complaints),
        }
    }
}

/// Every section is read even when one before it is wrong: `None` only once all complaints are known.
fn read(source: &mut Source<'_>, mut top: Section<'_>) -> Option<Settings> {
    let mut warnings = Vec::new();
    let hostname = required(source, &mut top, "hostname", "mail.example.org", |source, top, key| {
        top.parsed(source, key, "a full host name such as \"mail.example.org\"", Domain::parse)
    });
    let data_dir = required(source, &mut top, "data_dir", "/var/lib/kings-smtp", path_of);
    let mail_dir = required(source, &mut top, "mail_dir", "/var/mail/vmail", path_of);
    let mail_layout = top.parsed(source, "mail_layout", "a path such as \"{domain}/{user}\"", Layout::parse);
    let user = top.text(source, "user");
    let domains = recipients::domains(source, &mut top);
    warnings.extend(recipients::backscatter(&domains.relays));
    let accounts = accounts(source, &mut top);
    let aliases = section(source, &mut top, "aliases", recipients::aliases);
    let copies = house_rules::copies(source, &mut top);
    let (origin, local) = section(source, &mut top, "local", recipients::local);
    let is_there = local.is_some();
    let machine =
        recipients::machine(source, &domains.hosted, hostname.as_ref(), (origin, is_there), aliases.system);
    let (mailboxes, delimiters) = section(source, &mut top, "mailboxes", mailboxes);
    let listen = section(source, &mut top, "listen", Listen::read);
    let login = section(source, &mut top, "login", Login::read);
    let oauth = oauth::read(source, &mut top);
    let (certificate, authorities, client_authorities) =
        tls(source, &mut top, data_dir.as_deref(), hostname.as_ref());
    login.check(source, client_authorities.is_some());
    let dns = section(source, &mut top, "dns", |source, section| ResolverSettings {
        servers: section.list(
            source,
            "servers",
            "an address with its port such as \"127.0.0.1:53\"",
            str::parse,
        ),
        trust_ad: section.flag(source, "trust_ad").unwrap_or(false),
    });
    let own_routes = relay::Routes { rules: domains.routes, delimiters: delimiters.clone() };
    let (outbound, srs) = outbound::read(source, &mut top, &listen.smtp, own_routes, domains.sources);
    if let Some(outbound) = &outbound {
        let hosts = |domain: &Domain| domains.hosted.iter().any(|hosted| hosted.name == *domain);
        let ends_here = |domain: &Domain| hosts(domain) || hostname.as_ref() == Some(domain);
        outbound::complain_of_idle(source, &outbound.routes, ends_here);
    }
    let queue = section(source, &mut top, "queue", queue::read);
    let (checks, (inbound, clients)) = section(source, &mut top, "inbound", |source, section| {
        (house_rules::content_checks(source, section), inbound(source, section, &mut warnings))
    });
    let trusted =
        Trusted { xclient_from: listen.xclient_from.clone(), xforward_from: listen.xforward_from.clone() };
    let clients = Clients { trusted, ..clients };
    let (own_checks, submission) = section(source, &mut top, "submission", |source, section| {
        (house_rules::content_checks(source, section), submission::read(source, section))
    });
    let submission = Outgoing { remembers_correspondents: inbound.greylist.is_some(), ..submission };
    let copies = Copies { delimiters: delimiters.clone(), ..copies };
    let house_rules = HouseRules { copies, inbound: checks, submission: own_checks };
    let dkim = section(source, &mut top, "dkim", dkim::read);
    dkim.check(source, submission.longest_hold, queue.lifetimes);
    let milters = milters::read(source, &mut top);
    let limits = section(source, &mut top, "limits", limits);
    let reports = section(source, &mut top, "reports", |source, section| {
        reports::read(source, section, &domains.hosted, hostname.as_ref())
    });
    let days = section(source, &mut top, "records", |source, section| section.number(source, "days", 1));
    let records = data_dir.as_ref().map(|folder| records(folder, days.unwrap_or(30)));
    top.finish(source);
    Some(Settings {
        hostname: hostname?,
        data_dir: data_dir?,
        mail_dir: mail_dir?,
        mail_layout: mail_layout.unwrap_or_default(),
        user,
        domains: domains.hosted,
        accounts: accounts?,
        aliases: aliases.tables,
        machine,
        local,
        relays: domains.relays,
        delimiters,
        mailboxes,
        listen,
        login,
        oauth,
        certificate: certificate?,
        authorities,
        client_authorities,
        dns,
        clients,
        outbound: outbound?,
        srs,
        queue,
        records: records?,
        reports,
        inbound,
        house_rules,
        submission,
        dkim,
        milters,
        limits,
        warnings,
    })
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

/// `[mailboxes]` and its delimiters.
fn mailboxes(source: &mut Source<'_>, section: &mut Section<'_>) -> (Mailboxes, String) {
    let one_of = |text: &str| match text {
        "." | "/" => Ok(text.chars().next().unwrap_or('.')),
        _ => Err("another character"),
    };
    let separator = section.parsed(source, "separator", "\".\" or \"/\"", one_of).unwrap_or('.');
    let form = "Dovecot's format, with %u or %g in it, such as \"%08Xu%08Xv\"";
    let pop3_uidl = section.parsed(source, "pop3_uidl_format", form, str::parse).unwrap_or_default();
    let pop3_lock_session = section.flag(source, "pop3_lock_session").unwrap_or(false);
    let what = "characters such as \"+\" or \"+-\", or \"\" for no tags";
    let delimiters = section.parsed(source, "recipient_delimiter", what, |text| {
        let fits = text.chars().all(|c| "!#$%&'*+-/=?^_`{|}~.".contains(c));
        fits.then(|| text.to_owned()).ok_or("another character")
    });
    (Mailboxes { separator, pop3_uidl, pop3_lock_session }, delimiters.unwrap_or_else(|| "+".to_owned()))
}

fn tls(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    data_dir: Option<&Path>,
    hostname: Option<&Domain>,
) -> (Option<Certificate>, Authorities, Option<ClientAuthorities>) {
    section(source, top, "tls", |source, section| {
        let authorities = from_file(source, section, "authorities", Authorities::read);
        let for_clients = from_file(source, section, "client_ca", ClientAuthorities::read);
        (certificate(source, section, data_dir, hostname), authorities.unwrap_or_default(), for_clients)
    })
}

fn from_file<T>(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&Path) -> Result<T, CertificateError>,
) -> Option<T> {
    let found = read(&section.path(source, key)?);
    found.map_err(|error| source.complain(error.to_string())).ok()
}

fn certificate(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    data_dir: Option<&Path>,
    hostname: Option<&Domain>,
) -> Option<Certificate> {
    if let Some(acme) = section.value("acme") {
        source.complain_at(acme.span(), "acme is not built yet: name certificate and private_key instead");
        return None;
    }
    let self_signed = section.flag(source, "self_signed").unwrap_or(false);
    let files = (section.path(source, "certificate"), section.path(source, "private_key"));
    match (self_signed, files) {
        (false, (Some(certificate), Some(private_key))) => {
            Some(Certificate::Files { certificate, private_key })
        }
        (true, (None, None)) => {
            Some(Certificate::SelfSigned { folder: data_dir?.join("tls"), hostname: hostname?.clone() })
        }
        (true, _) => {
            source.complain("[tls] has both self_signed and files: keep one of them");
            None
        }
        (false, _) => {
            source.complain(
                "[tls] needs certificate = \"fullchain.pem\" and private_key = \"privkey.pem\", or self_signed = true for a trial",
            );
            None
        }
    }
}

/// `[inbound]`: what is verified and what follows from it. A fresh install verifies.
fn inbound(
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
        dmarc_temperror: section
            .choice(source, "dmarc_temperror", &PASSING_VERDICTS)
            .unwrap_or(usual.dmarc_temperror),
        impersonation: verdict_or(source, section, "impersonation", usual.impersonation),
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
    let lists = lists::read(source, section);
    let greylist = greylist::read(source, section);
    let early_talker = [("accept", EarlyTalker::Accept), ("reject", EarlyTalker::Reject)];
    let clients = Clients {
        early_talker: section.choice(source, "early_talker", &early_talker).unwrap_or_default(),
        greeting_wait: Duration::from_millis(section.number(source, "greeting_wait_ms", 0).unwrap_or(0)),
        dsn: dsn(source, section),
        trusted: Trusted::default(),
    };
    let policy_service = policy_service(source, section);
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

/// The records of a year are the most that a question can be answered from in good time.
fn records(data_dir: &Path, days: u64) -> kings_records::Settings {
    let keep = Duration::from_hours(24 * days.min(366));
    kings_records::Settings { file: data_dir.join("records.sqlite"), keep }
}

fn verdict(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Verdict {
    verdict_or(source, section, key, Verdict::Accept)
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

/// Without an answer of the service the client is put off, as Postfix does it.
fn policy_service(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<delegation::Settings> {
    const DEFAULT_ACTION: &str = "451 4.3.5 Policy check does not work now, try again later";
    let place = section.parsed(source, "policy_service", "\"unix:/path\" or \"inet:host:port\"", |text| {
        Place::parse(text).ok_or("another form")
    });
    let action = "an action such as \"DUNNO\" or \"451 4.3.5 Try again later\"";
    let default_action = section.parsed(source, "policy_default_action", action, Action::parse);
    let default_action = default_action.or_else(|| Action::parse(DEFAULT_ACTION).ok())?;
    let time = "a time such as \"100s\", at most \"250s\"";
    let patience = section.parsed(source, "policy_timeout", time, |text| {
        let fits = |time: &Duration| !time.is_zero() && *time <= LONGEST_POLICY_TIMEOUT;
        duration(text).filter(fits).ok_or("another text")
    });
    Some(delegation::Settings { place: place?, default_action, patience: patience.unwrap_or(PATIENCE) })
}

/// A name server, with its port or at the usual one.
pub(crate) fn name_server(text: &str) -> Option<SocketAddr> {
    text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53))).ok()
}

fn limits(source: &mut Source<'_>, section: &mut Section<'_>) -> Limits {
    let message_bytes = section.number(source, "message_bytes", 1_024).unwrap_or(MESSAGE_BYTES);
    let smtp_arrivals = Rate::minute(rate(source, section, "smtp_connections_per_minute", 600));
    let imap_arrivals = Rate::minute(rate(source, section, "imap_connections_per_minute", 600));
    let rates = rates(source, section);
    let pop3_login_delay = login_delay(source, section);
    let mut count = |key, usual: usize| {
        section.number(source, key, 1).map_or(usual, |number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    let failures = count("login_failures_per_minute", 10);
    let failures_per_account = count("login_failures_per_account", 30);
    Limits {
        smtp_arrivals,
        imap_arrivals,
        rates,
        message_bytes,
        recipients: count("recipients", kings_mail::envelope::MAX_RECIPIENTS),
        smtp_connections: count("smtp_connections", 5_000),
        smtp_connections_per_address: count("smtp_connections_per_address", 50),
        imap_connections: count("imap_connections", 20_000),
        imap_connections_per_address: count("imap_connections_per_address", 50),
        imap_connections_per_account: count("imap_connections_per_account", 20),
        pop3_login_delay,
        login_failures_per_minute: u32::try_from(failures).unwrap_or(u32::MAX),
        login_failures_per_account: u32::try_from(failures_per_account).unwrap_or(u32::MAX),
        // Room for two of the largest messages, so that the queue can be drained on a full disk.
        free_space_reserve: section
            .number(source, "free_space_reserve", 0)
            .unwrap_or_else(|| (2 * message_bytes).max(64 * 1024 * 1024)),
        threads: Threads {
            workers: section
                .number(source, "worker_threads", 1)
                .and_then(|count| usize::try_from(count).ok()),
            blocking: section
                .number(source, "blocking_threads", 1)
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(Threads::default().blocking),
        },
        exempt: section.list(source, "exempt", "a network such as \"127.0.0.0/8\"", str::parse::<IpNet>),
    }
}

/// Zero is none. More than a day would lock people out rather than slow them down.
fn login_delay(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Duration> {
    let time = "a time such as \"1m\", at most \"1d\"; \"0s\" for none";
    let delay = section.parsed(source, "pop3_login_delay", time, |text| {
        duration(text).filter(|delay| *delay <= Duration::from_hours(24)).ok_or("another text")
    });
    delay.filter(|delay| !delay.is_zero())
}

fn rates(source: &mut Source<'_>, section: &mut Section<'_>) -> Rates {
    let mut rate = |key, usual| rate(source, section, key, usual);
    Rates {
        address: Allowance {
            messages_per_minute: rate("messages_per_minute_per_address", 1_200),
            messages_per_hour: rate("messages_per_hour_per_address", 20_000),
            recipients_per_hour: rate("recipients_per_hour_per_address", 50_000),
        },
        account: Allowance {
            messages_per_minute: rate("messages_per_minute_per_account", 600),
            messages_per_hour: rate("messages_per_hour_per_account", 5_000),
            recipients_per_hour: rate("recipients_per_hour_per_account", 20_000),
        },
        errors_per_hour: rate("errors_per_hour_per_address", 300),
        unknown_recipients: rate("unknown_recipients_per_address", 20),
    }
}

/// How many in a span of time; 0 is no limit.
fn rate(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str, usual: u32) -> u32 {
    section.number(source, key, 0).map_or(usual, |number| u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
