//! `[outbound]` and `[[route]]`: where mail goes that leaves.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use kings_directory::{HostedDomain, Keys};
use kings_mail::address::Address;
use kings_mail::domain::{BadDomain, Domain};
use kings_mta::relay::{
    self, Action, Credentials, Family, Level, MAX_IN_TURN, Match, Ourselves, Recipients, Routes, Rule,
    Senders, Settings, SmartHost, Sources,
};
use kings_net::IpNet;
use kings_sasl::{Client, Mechanism, Secret};

use super::reader::{Complaint, Section, Source, Value};
use super::section;

const LEVELS: [(&str, Level); 4] =
    [("none", Level::None), ("may", Level::May), ("encrypt", Level::Encrypt), ("verify", Level::Verify)];

/// Gives also `srs`: whether aliases send foreign mail on under a reverse-path of ours.
///
/// `listening`: where mail of other servers is taken. `own`: routes that other sections ask for, behind those of `[[route]]` and with the same delimiters of tags;
/// `by_domain`: the source addresses that `[[domain]]` blocks name.
pub(super) fn read(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    listening: &[SocketAddr],
    own: Routes,
    by_domain: Vec<(Domain, relay::Source)>,
) -> (Option<Settings>, bool) {
    let (mut settings, srs, (transports, relay_hosts)) =
        section(source, top, "outbound", |source, section| {
            let srs = section.flag(source, "srs").unwrap_or(true);
            let transports = section.lookup(source, "transport", Keys::Transport);
            let relay_hosts = section.lookup(source, "sender_relayhost", Keys::Address);
            (outbound(source, section), srs, (transports, relay_hosts))
        });
    let mut rules: Vec<Rule> = Vec::new();
    let mut lines = Vec::new();
    for mut route in top.sections(source, "route") {
        let place = ["domain", "recipient", "sender"].into_iter().find_map(|key| route.value(key));
        if let (Some(rule), Some(place)) = (rule(source, &mut route), place) {
            complain_of_the_second(source, (&rules, &lines), &own.rules, (&rule, place));
            lines.push(source.line_of(&place.span()));
            rules.push(rule);
        }
        route.finish(source);
    }
    rules.extend(own.rules);
    if let Some(settings) = &mut settings {
        settings.routes = Routes { rules, transports, relay_hosts, ..own };
        settings.sources.by_domain = by_domain;
        settings.ourselves.listening = listening.to_vec();
    }
    (settings, srs)
}

/// A route for exactly what another one before it is for, or a `[[domain]]` with `relay_to`: only one of the two acts.
/// `before` comes with the line of each.
fn complain_of_the_second(
    source: &mut Source<'_>,
    before: (&[Rule], &[usize]),
    own: &[Rule],
    (rule, place): (&Rule, Value<'_>),
) {
    let same = |other: &Rule| other.matches == rule.matches;
    if let Some((_, line)) = before.0.iter().zip(before.1).find(|(other, _)| same(other)) {
        source.complain_at(
            place.span(),
            format!(
                "this [[route]] never acts: the one of line {line} is for the same mail; remove one of them"
            ),
        );
    } else if own.iter().any(same) {
        source.complain_at(
            place.span(),
            "this [[route]] is for a [[domain]] with relay_to, which would never act: remove one of them, or let relay_to be \
             \"mx\"",
        );
    }
}

/// Routes that no mail ever takes, since it ends here.
pub(super) fn complain_of_idle(
    source: &mut Source<'_>,
    routes: &Routes,
    ends_here: impl Fn(&Domain) -> bool,
) {
    for rule in &routes.rules {
        let (what, domain) = match &rule.matches.recipients {
            Some(Recipients::Domain(domain)) => (domain.to_string(), Some(domain)),
            Some(Recipients::Address(address)) => (address.to_string(), address.domain()),
            Some(Recipients::Below(_) | Recipients::All) | None => continue,
        };
        if let Some(domain) = domain.filter(|domain| ends_here(domain)) {
            source.complain(format!(
                "[[route]] of {what} never acts: mail for {domain} ends here, in accounts and aliases; [[domain]] relay_to \
                 passes on what is for a domain"
            ));
        }
    }
}

/// Lines of the table of transports that no mail ever takes, since it ends here; a table that a Postfix reads as well may
/// have them.
pub(super) fn idle_lines<'a>(
    routes: &'a Routes,
    hosted: &'a [HostedDomain],
    ends_here: impl Fn(&Domain) -> bool + 'a,
) -> impl Iterator<Item = Complaint> + 'a {
    let idle = move |key: String| {
        let name = key.rsplit_once('@').map_or(key.as_str(), |(_, domain)| domain);
        let what = match name.strip_prefix('.') {
            Some(above) => {
                let above = Domain::parse(above).ok()?;
                let is_below = |domain: &Domain| domain.with_parents().skip(1).any(|parent| parent == above);
                let hosted = hosted.iter().map(|hosted| &hosted.name).find(|domain| is_below(domain))?;
                format!("the line of {key} does not act for {hosted}")
            }
            None => {
                Domain::parse(name).ok().filter(|domain| ends_here(domain))?;
                format!("the line of {key} never acts")
            }
        };
        Some(Complaint { line: None, what: format!("[outbound] transport: {what}, {ENDS_HERE}") })
    };
    routes.transports.keys().into_iter().filter_map(idle)
}

/// Why a route is not taken, and what to write instead.
pub(crate) const ENDS_HERE: &str = "for its mail ends here, in accounts and aliases; [[domain]] relay_to passes on what is for a domain, and an alias \
     what is for one address";

/// Lines of the tables of routes that say nothing.
pub(super) fn passed_over(routes: &Routes) -> impl Iterator<Item = Complaint> {
    let tables = [
        ("transport", "\":\" leaves things as they are without the table", routes.transports.passed_over()),
        (
            "sender_relayhost",
            "DUNNO leaves things as they are without the table",
            routes.relay_hosts.passed_over(),
        ),
    ];
    tables.into_iter().flat_map(|(key, instead, lines)| {
        lines.into_iter().map(move |line| {
            let what = format!("[outbound] {key}: {line}, as by Postfix: {instead}");
            Complaint { line: None, what }
        })
    })
}

fn outbound(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Settings> {
    let what = "a host with its port such as \"smtp.example.net:587\", or several";
    let hosts = section.one_or_more(source, "smart_host", what, host_and_port);
    let tls = section.choice(source, "tls", &LEVELS);
    let login = login(source, section);
    complain_of_clear_text(source, section, login.is_some(), tls);
    for key in ["header_checks", "mime_header_checks", "nested_header_checks", "body_checks"] {
        complain_of_late_checks(source, section, key);
    }
    let port = section.number(source, "port", 1).map_or(Some(25), |port| u16::try_from(port).ok());
    if port.is_none() {
        source.complain("[outbound] port must be below 65536");
    }
    let mta_sts_port =
        section.number(source, "mta_sts_port", 1).map_or(Some(443), |port| u16::try_from(port).ok());
    if mta_sts_port.is_none() {
        source.complain("[outbound] mta_sts_port must be below 65536");
    }
    let allow_private =
        section.list(source, "allow_private", "a network such as \"127.0.0.0/8\"", str::parse::<IpNet>);
    if login.is_some() && hosts.is_empty() {
        source.complain("[outbound] has a user but no smart_host to log in at");
    }
    let usual = usual_level(login.is_some());
    let smart_host = |(host, port)| SmartHost { host, port, login: login.clone(), tls: tls.unwrap_or(usual) };
    let smart_hosts: Vec<SmartHost> = hosts.into_iter().map(smart_host).collect();
    if smart_hosts.len() > MAX_IN_TURN {
        source.complain(format!(
            "[outbound] smart_host names more than the {MAX_IN_TURN} that one attempt visits"
        ));
    }
    Some(Settings {
        smart_hosts,
        port: port?,
        allow_private,
        tls: tls.unwrap_or(Level::May),
        mta_sts_port: mta_sts_port?,
        routes: Routes::default(),
        families: families(source, section),
        sources: Sources { by_domain: Vec::new(), usual: source_addresses(source, section) },
        ourselves: Ourselves { listening: Vec::new(), addresses: own_addresses(source, section) },
    })
}

/// A password must not go to whoever answers under the host's name.
fn usual_level(has_login: bool) -> Level {
    if has_login { Level::Verify } else { Level::May }
}

/// A password goes to no host without TLS, so nothing would ever leave.
fn complain_of_clear_text(
    source: &mut Source<'_>,
    section: &Section<'_>,
    has_login: bool,
    tls: Option<Level>,
) {
    if has_login && tls == Some(Level::None) {
        let title = section.title();
        source.complain(format!("{title} has a user and tls = \"none\": a password is never sent in clear"));
    }
}

/// Postfix's `smtp_header_checks` change a message on its way out. Here it is signed by then, and what others signed would
/// break as well; what must not leave is taken out before we sign.
fn complain_of_late_checks(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) {
    if let Some(value) = section.value(key) {
        source.complain_at(
            value.span(),
            format!(
                "{key} of [outbound] would break signatures: [submission] {key} acts on mail of our own before it is signed, \
                 [inbound] {key} on mail of others as it comes"
            ),
        );
    }
}

/// `ip`: the kinds of addresses that are used, in their order.
fn families(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<Family> {
    let family = |text: &str| match text {
        "ipv4" => Ok(Family::Ipv4),
        "ipv6" => Ok(Family::Ipv6),
        other => Err(other.to_owned()),
    };
    let is_there = section.value("ip").is_some();
    let families = section.list(source, "ip", "\"ipv4\" or \"ipv6\"", family);
    if !families.is_empty() {
        return families;
    }
    if is_there {
        source.complain("[outbound] ip needs \"ipv4\", \"ipv6\" or both");
    }
    vec![Family::Ipv4, Family::Ipv6]
}

/// `source`: one of our addresses to leave from, or a list of one for each kind.
pub(super) fn source_addresses(source: &mut Source<'_>, section: &mut Section<'_>) -> relay::Source {
    let what = "an address of this machine such as \"203.0.113.7\"";
    let addresses = section.one_or_more(source, "source", what, str::parse::<IpAddr>);
    let strange = addresses.iter().find(|address| !kings_net::is_own(**address));
    if let (Some(strange), Some(value)) = (strange, section.value("source")) {
        let title = section.title();
        source.warn_at(
            value.span(),
            format!(
                "{title} source {strange} is no address of this machine now, and no mail leaves from it: see those it has with  \
                 ip address"
            ),
        );
    }
    addresses.into_iter().collect()
}

/// `own_addresses`: what a router translates to an address of this machine.
fn own_addresses(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<IpAddr> {
    let what = "the public address of this server such as \"203.0.113.7\"";
    section.list(source, "own_addresses", what, str::parse::<IpAddr>)
}

/// `user` and `password_file` go together, the password never stands in the config itself; `mechanisms` are what it is
/// used by.
fn login(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Credentials> {
    let is_limited = section.value("mechanisms").is_some();
    let names = Client::KNOWN.map(Mechanism::name).join(", ");
    let mechanisms = section.list(source, "mechanisms", &format!("one of {names}"), |name| {
        Mechanism::parse(name).filter(|mechanism| Client::KNOWN.contains(mechanism)).ok_or("unknown")
    });
    let login = name_and_password(source, section);
    let title = section.title();
    if is_limited && login.is_none() {
        source.complain(format!("{title} mechanisms are of a login: add user and password_file"));
    }
    if is_limited && mechanisms.is_empty() {
        source.complain(format!("{title} mechanisms names none: nobody could log in"));
    }
    let mut login = login?;
    if is_limited {
        login.mechanisms = mechanisms.into_iter().collect();
    }
    Some(login)
}

fn name_and_password(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Credentials> {
    let user = section.text(source, "user");
    let file = section.path(source, "password_file");
    match (user, file) {
        (None, None) => None,
        (Some(user), Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Some(Credentials::new(&user, Secret::new(text.trim_end_matches(['\r', '\n'])))),
            Err(error) => {
                source.complain(format!("cannot read password_file {}: {error}", file.display()));
                None
            }
        },
        _ => {
            source.complain(format!("{} needs user and password_file together", section.title()));
            None
        }
    }
}

/// `HOST:PORT`, with brackets around an IPv6 address.
fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("no port")?;
    let port = port.parse().map_err(|_| "no port")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = host.parse::<std::net::IpAddr>().is_ok() || Domain::parse(host).is_ok();
    is_host.then(|| (host.to_owned(), port)).ok_or("no host")
}

fn rule(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Rule> {
    let matches = matches(source, section);
    let login = login(source, section);
    let has_login = login.is_some();
    let tls = section.choice(source, "tls", &LEVELS);
    complain_of_clear_text(source, section, has_login, tls);
    let (at_mx, tls) = (tls, tls.unwrap_or(usual_level(has_login)));
    let from = source_addresses(source, section);
    let is_there = section.value("to").is_some();
    let what =
        "\"smtp:HOST:PORT\", \"mx\", \"lmtp:HOST:PORT\", \"lmtp:unix:/PATH\", \"discard\" or \"error:TEXT\"";
    let action = section.parsed(source, "to", what, |text| match text {
        "mx" => Ok(Action::Mx(at_mx)),
        text => action(text, login, tls),
    });
    let has_host = matches!(action, Some(Action::Host(_) | Action::Lmtp(_)) | None);
    if has_login && !has_host {
        source.complain("[[route]] has a user but no host to log in at");
    }
    if !is_there {
        source.complain("[[route]] says not where to: add to = \"smtp:HOST:PORT\"");
    }
    Some(Rule { matches: matches?, action: action?, source: from })
}

/// `domain` or `recipient`, and `sender`: at least one of them.
fn matches(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Match> {
    let named = ["domain", "recipient", "sender"].map(|key| section.value(key).is_some());
    let what = "a domain such as \"example.net\", \".example.net\" for those below it, or \"*\" for all";
    let domain = section.parsed(source, "domain", what, domains);
    let recipient =
        section.parsed(source, "recipient", "an address such as \"joe@example.net\"", Address::parse);
    let what = "an address, a domain such as \"example.org\" or \"@example.org\", or \"<>\" for bounces";
    let senders = section.parsed(source, "sender", what, senders);
    match named {
        [false, false, false] => source.complain("[[route]] needs a domain, a recipient or a sender"),
        [true, true, _] => source.complain("[[route]] has a recipient and a domain: the recipient is enough"),
        _ => {}
    }
    let recipients = recipient.map(|address| Recipients::Address(address.folded())).or(domain);
    let found = [recipients.is_some(), recipients.is_some(), senders.is_some()];
    // What is there and cannot be read has been complained about.
    let is_whole = named.iter().zip(found).all(|(named, found)| !named || found);
    is_whole.then_some(Match { recipients, senders })
}

/// The patterns of Postfix's transport(5) that name no address.
fn domains(text: &str) -> Result<Recipients, BadDomain> {
    match text.strip_prefix('.') {
        Some(above) => Domain::parse(above).map(Recipients::Below),
        None if text == "*" => Ok(Recipients::All),
        None => Domain::parse(text).map(Recipients::Domain),
    }
}

/// The patterns of Postfix's `sender_dependent_relayhost_maps`.
fn senders(text: &str) -> Result<Senders, &'static str> {
    match text.strip_prefix('@') {
        Some(domain) => Domain::parse(domain).map(Senders::Domain).map_err(|_| "no domain"),
        None if text == "<>" => Ok(Senders::Null),
        None if text.contains('@') => {
            Address::parse(text).map(|address| Senders::Address(address.folded())).map_err(|_| "no address")
        }
        None => Domain::parse(text).map(Senders::Domain).map_err(|_| "no domain"),
    }
}

pub(super) fn action(text: &str, login: Option<Credentials>, tls: Level) -> Result<Action, &'static str> {
    if text == "discard" {
        return Ok(Action::Discard(String::new()));
    }
    let (kind, place) = text.split_once(':').ok_or("not a route")?;
    let host = || host_and_port(place).map(|(host, port)| SmartHost { host, port, login, tls });
    match kind {
        "discard" => Ok(Action::Discard(place.trim().to_owned())),
        "error" if !place.is_empty() => Ok(Action::Error(place.to_owned())),
        "smtp" => host().map(Action::Host),
        "lmtp" => match place.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Action::LmtpSocket(PathBuf::from(path))),
            Some(_) => Err("not a whole path"),
            None => host().map(Action::Lmtp),
        },
        _ => Err("not a route"),
    }
}
