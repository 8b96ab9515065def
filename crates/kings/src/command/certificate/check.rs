//! `kings certificate check`: asks each port what it shows, as a client would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};
use kings_net::Resolver;
use kings_tls::{ClientTls, Described};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};

use super::{Failure, Output, ask, not_running, print, tlsa};
use crate::config::Settings;
use crate::control::Request;
use crate::serve;

/// Longest wait for one read from a port.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest line of a server before TLS.
const MAX_LINE: u64 = 4 * 1024;
/// A port of ours answers STARTTLS within so many lines.
const MAX_LINES: usize = 50;
/// Less than this part of its life left, and renewal should long have happened.
const OVERDUE: u32 = 4;

/// How a listener comes to TLS.
#[derive(Clone, Copy)]
enum Way {
    /// From the first octet.
    Tls,
    /// What is said, and how the line begins after which TLS begins.
    After(&'static [(&'static str, &'static str)]),
}

const SMTP: &[(&str, &str)] = &[("", "220 "), ("EHLO localhost\r\n", "250 "), ("STARTTLS\r\n", "220 ")];
const IMAP: &[(&str, &str)] = &[("", "* "), ("a STARTTLS\r\n", "a OK")];
const POP3: &[(&str, &str)] = &[("", "+OK"), ("STLS\r\n", "+OK")];

/// The listeners that speak TLS, by their keys in `[listen]`.
const LISTENERS: &[(&str, Way)] = &[
    ("smtp", Way::After(SMTP)),
    ("submission", Way::After(SMTP)),
    ("submissions", Way::Tls),
    ("imap", Way::After(IMAP)),
    ("imaps", Way::Tls),
    ("pop3", Way::After(POP3)),
    ("pop3s", Way::Tls),
    ("https", Way::Tls),
];

/// One look at one port.
struct Look {
    listener: String,
    address: SocketAddr,
    name: Domain,
    verdict: Verdict,
}

/// What is to be told of it; the second text mends it.
enum Verdict {
    Good(String),
    Bad(String, String),
    /// Nobody knows now.
    CannotTell(String, String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Good(_) => "ok",
            Self::Bad(..) => "FAIL",
            Self::CannotTell(..) => "cannot-tell",
        }
    }
}

pub(super) fn run(output: &Output) -> Result<(), Failure> {
    let settings = output.common.settings()?;
    let status = ask(&settings.data_dir, &Request::Status)?.ok_or_else(|| not_running(&output.common))?;
    let status = status.map_err(Failure::cannot_tell)?;
    let roots = ClientTls::with_authorities(&settings.authorities);
    let mut looks = Vec::new();
    for (listener, address) in addresses(&status) {
        for name in names(&settings, &listener) {
            let verdict = look(&settings, &roots, (&listener, address), &name);
            looks.push(Look { listener: listener.clone(), address, name, verdict });
        }
    }
    looks.extend(dane(&settings, &roots, &looks)?);
    print(&if output.json { to_json(&looks) } else { looks.iter().map(line).collect() });
    let is = |word: &str| looks.iter().any(|look| look.verdict.word() == word);
    if is("FAIL") {
        Err(Failure::check_failed(""))
    } else if is("cannot-tell") {
        Err(Failure::cannot_tell(""))
    } else {
        Ok(())
    }
}

/// Where to ask: what listens everywhere is asked on this machine.
fn addresses(status: &Value) -> Vec<(String, SocketAddr)> {
    let listeners = status["listeners"].as_array().into_iter().flatten();
    let address = |listener: &Value| {
        let name = listener["name"].as_str()?;
        let address: SocketAddr = listener["address"].as_str()?.parse().ok()?;
        let ip = match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Some((name.to_owned(), SocketAddr::new(ip, address.port())))
    };
    listeners.filter_map(address).filter(|(name, _)| way(name).is_some()).collect()
}

fn way(listener: &str) -> Option<Way> {
    LISTENERS.iter().find(|(name, _)| *name == listener).map(|(_, way)| *way)
}

/// Mail is for the hostname; on 443 there is more.
fn names(settings: &Settings, listener: &str) -> Vec<Domain> {
    match &settings.acme {
        Some(acme) if listener == "https" => acme.settings.names.clone(),
        _ => vec![settings.hostname.clone()],
    }
}

fn look(
    settings: &Settings,
    roots: &ClientTls,
    (listener, address): (&str, SocketAddr),
    name: &Domain,
) -> Verdict {
    if settings.listen.proxy_from.iter().any(|network| network.contains(&address.ip())) {
        let fix = "ask it from another machine: openssl s_client -connect HOST:PORT";
        return Verdict::CannotTell("it wants a PROXY header from here".to_owned(), fix.to_owned());
    }
    match shown(roots, way(listener).unwrap_or(Way::Tls), address, name) {
        Err(error) => {
            let fix = "see the log of the server; does it run?  kings status".to_owned();
            Verdict::Bad(format!("no handshake: {error}"), fix)
        }
        Ok((certificate, verdict)) => judge(settings, name, &certificate, verdict),
    }
}

/// Pure, so that each fault has its line.
fn judge(
    settings: &Settings,
    name: &Domain,
    certificate: &Described,
    verdict: Result<(), rustls::Error>,
) -> Verdict {
    let now = SystemTime::now();
    let renew = match &settings.acme {
        Some(_) => format!("kings certificate renew {name}"),
        None => "renew it and reload: systemctl reload kings".to_owned(),
    };
    if settings.acme.is_some() && certificate.is_self_signed {
        let fix = "see why in  kings certificate list".to_owned();
        return Verdict::Bad(
            "a stand-in is shown until the authority has given a certificate".to_owned(),
            fix,
        );
    }
    if !certificate.is_for(name.as_str()) {
        let names = certificate.names.join(", ");
        return Verdict::Bad(format!("the certificate is for {names}"), renew);
    }
    if now > certificate.not_after {
        return Verdict::Bad("the certificate is out of date".to_owned(), renew);
    }
    if now < certificate.not_before {
        let fix = "set the clock: timedatectl set-ntp true".to_owned();
        return Verdict::Bad("the certificate is not good yet".to_owned(), fix);
    }
    if let Err(error) = verdict {
        let fix = match &settings.acme {
            Some(acme) => {
                format!("mail programs do not trust it: is {} for trials?", acme.settings.directory)
            }
            None if certificate.is_self_signed => {
                "get one that is trusted: acme = { contact = \"mailto:...\" } in [tls]".to_owned()
            }
            None => "put the chain behind the certificate, in fullchain.pem".to_owned(),
        };
        return Verdict::Bad(error.to_string(), fix);
    }
    let left = certificate.not_after.duration_since(now).unwrap_or_default();
    let life = certificate.not_after.duration_since(certificate.not_before).unwrap_or_default();
    let days = left.as_secs() / (24 * 60 * 60);
    if left < life / OVERDUE {
        return Verdict::Bad(format!("only {days} days left, and no new one"), renew);
    }
    Verdict::Good(format!("{days} days left"))
}

/// A handshake, and what the authorities of this machine say of the certificate.
fn shown(
    roots: &ClientTls,
    way: Way,
    address: SocketAddr,
    name: &Domain,
) -> io::Result<(Described, Result<(), rustls::Error>)> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    if let Way::After(steps) = way {
        start_tls(&mut socket, steps)?;
    }
    let (config, observed) = roots.observing();
    let host = ServerName::try_from(name.to_string()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config, host).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let certificate = connection.peer_certificates().and_then(|chain| Described::of(chain.first()?));
    let certificate = certificate.ok_or_else(|| io::Error::other("no certificate that can be read"))?;
    connection.send_close_notify();
    // It is gone, or goes; nothing depends on it.
    let _ = connection.write_tls(&mut socket);
    Ok((certificate, observed.verdict().cloned().unwrap_or(Ok(()))))
}

/// Nothing is read beyond the line that TLS follows.
fn start_tls(socket: &mut TcpStream, steps: &[(&str, &str)]) -> io::Result<()> {
    for (said, awaited) in steps {
        socket.write_all(said.as_bytes())?;
        let mut lines = 0;
        loop {
            let mut line = String::new();
            // One octet at a time, for what comes behind belongs to TLS.
            BufReader::with_capacity(1, Read::take(&mut *socket, MAX_LINE)).read_line(&mut line)?;
            lines += 1;
            if line.starts_with(awaited) {
                break;
            }
            let goes_on = line.get(3..4) == Some("-") || line.starts_with('*');
            if !goes_on || lines > MAX_LINES {
                return Err(io::Error::other(format!("it says {:?}", line.trim_end())));
            }
        }
    }
    Ok(())
}

/// Whether the key that is shown is one that DNS names, where it names any (RFC 7672 §2.2): others would not send us mail.
fn dane(settings: &Settings, roots: &ClientTls, looks: &[Look]) -> Result<Vec<Look>, Failure> {
    let Some(smtp) = looks.iter().find(|look| look.listener == "smtp") else { return Ok(Vec::new()) };
    let Ok((certificate, _)) = shown(roots, Way::After(SMTP), smtp.address, &smtp.name) else {
        return Ok(Vec::new());
    };
    let failed = |error: &dyn std::fmt::Display| Failure::cannot_tell(error.to_string());
    let place = DnsName::parse(&format!("_25._tcp.{}", settings.hostname)).map_err(|error| failed(&error))?;
    let runtime = serve::runtime(settings.limits.threads)?;
    let records = runtime.block_on(async {
        let resolver = Resolver::new(&settings.dns).map_err(|error| failed(&error))?;
        Ok::<_, Failure>(resolver.tlsa(&place).await)
    })?;
    let verdict = match records {
        Err(DnsError::NoDomain | DnsError::NoRecord) => return Ok(Vec::new()),
        Err(error @ DnsError::Temporary(_)) => {
            Verdict::CannotTell(error.to_string(), format!("dig TLSA {place}"))
        }
        Ok(answer) if answer.records.contains(&certificate.tlsa()) => {
            Verdict::Good("DNS names the key (TLSA)".to_owned())
        }
        // Records of other kinds may name an authority, or the certificate itself.
        Ok(answer)
            if answer
                .records
                .iter()
                .any(|record| (record.usage, record.selector, record.matching) != (3, 1, 1)) =>
        {
            let fix = format!("publish  {place}. TLSA {}", tlsa(&certificate.tlsa()));
            Verdict::CannotTell("DNS has TLSA records of another kind than 3 1 1".to_owned(), fix)
        }
        Ok(_) => {
            let fix = format!("publish  {place}. TLSA {}", tlsa(&certificate.tlsa()));
            Verdict::Bad("DNS names another key (TLSA): others do not send us mail".to_owned(), fix)
        }
    };
    let (listener, address, name) = ("dane".to_owned(), smtp.address, smtp.name.clone());
    Ok(vec![Look { listener, address, name, verdict }])
}

fn line(look: &Look) -> String {
    let Look { listener, address, name, verdict } = look;
    let told = match verdict {
        Verdict::Good(text) => text.clone(),
        Verdict::Bad(text, fix) | Verdict::CannotTell(text, fix) => format!("{text}: {fix}"),
    };
    format!("{:<11} {listener:<12} {address:<21} {name}: {told}\n", verdict.word())
}

fn to_json(looks: &[Look]) -> String {
    let item = |look: &Look| {
        let (text, fix) = match &look.verdict {
            Verdict::Good(text) => (text, None),
            Verdict::Bad(text, fix) | Verdict::CannotTell(text, fix) => (text, Some(fix)),
        };
        json!({
            "listener": look.listener, "address": look.address.to_string(), "name": look.name.as_str(),
            "result": look.verdict.word(), "text": text, "fix": fix,
        })
    };
    format!("{}\n", json!({ "schema": 1, "items": looks.iter().map(item).collect::<Vec<_>>() }))
}
