//! The points of the running server: a message that it has written to itself, judged as a receiver would, and its ports.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use kings_mail::address::Address;
use kings_mail::path::ReversePath;
use kings_msgauth::spf;
use kings_mta::examine::Examination;
use kings_net::{Resolver, is_public};
use kings_ops::ports::{self, Opening};
use kings_ops::score::{Known, LISTS, listings, own_addresses};
use kings_score::content::{self, Content};
use kings_score::points::{self, Agreed, ENOUGH, Handshake, Point, Score, Topic};
use kings_tls::ClientTls;
use serde_json::Value;

use super::super::check_message::{self, Judge};
use super::super::{Failure, ask};
use super::{Options, Page, list, now};
use crate::config::{DEFAULT_PATH, Settings, Threads};
use crate::control::Request;
use crate::serve;

/// One thread asks DNS and the ports.
const THREADS: Threads = Threads { workers: Some(1), blocking: 4 };

pub(super) fn judge(options: &Options) -> Result<Page, Failure> {
    let path = options.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    let mut settings = Settings::load(&path)?;
    if !options.dns.is_empty() {
        settings.dns.servers.clone_from(&options.dns);
    }
    let letter = Letter::of(&settings, options.account.clone(), &path)?;
    let listeners = tell(&settings, &Request::Status, &path)?;
    serve::runtime(THREADS)?.block_on(points(&settings, options, &letter, &listeners))
}

/// What the server has written to itself.
struct Letter {
    account: Address,
    content: Vec<u8>,
}

impl Letter {
    fn of(settings: &Settings, account: Option<String>, config: &Path) -> Result<Self, Failure> {
        let answer = tell(settings, &Request::ScoreLetter { account }, config)?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        let account = Address::parse(text("account"));
        let content = kings_sasl::decode(text("content").as_bytes());
        match (account, content) {
            (Ok(account), Ok(content)) => Ok(Self { account, content }),
            _ => {
                Err(Failure::cannot_tell("the server does not say what was asked: is it of another version?"))
            }
        }
    }
}

/// Asks the server, which must run.
fn tell(settings: &Settings, request: &Request, config: &Path) -> Result<Value, Failure> {
    let answer = ask(&settings.data_dir, request)?.ok_or_else(|| {
        let start = format!("kings serve --config {}", config.display());
        Failure::cannot_tell(format!("the server does not run, and sends nothing; start it with: {start}"))
    })?;
    answer.map_err(Failure::cannot_tell)
}

async fn points(
    settings: &Settings,
    options: &Options,
    letter: &Letter,
    status: &Value,
) -> Result<Page, Failure> {
    let dns = Resolver::new(&settings.dns);
    let dns = dns.map_err(|error| Failure::cannot_tell(format!("{error}, or with --dns SERVER")))?;
    let addresses = addresses(settings, options.ip, &dns).await;
    let usual = || LISTS.iter().filter_map(|zone| list(zone).ok()).collect();
    let lists = if options.list.is_empty() { usual() } else { options.list.clone() };
    let clients: Vec<Option<IpAddr>> = match &addresses {
        Ok(known) => known.iter().map(|(address, _)| Some(*address)).collect(),
        Err(_) => vec![None],
    };
    let (mut examined, mut blocklists) = (Vec::new(), Vec::new());
    for client in clients {
        examined.push(examine(settings, options, letter, client).await?);
        if let Some(client) = client.filter(|client| is_public(*client)) {
            blocklists.push(points::blocklist(client, &listings(&dns, &lists, client).await));
        }
    }
    let content = content::judge(&letter.content, now());
    let tls = points::tls(&settings.hostname, &handshakes(settings, status).await);
    let tls = if is_proxied(settings) { Topic::Tls.unknown(PROXIED, vec![]) } else { tls };
    let score =
        Score { points: all(settings, &examined, blocklists, &addresses, (tls, &content)), enough: ENOUGH };
    let title = format!("Mail of {}, by a message of {} to itself", settings.hostname, letter.account);
    Ok(Page { title, score, content })
}

const PROXIED: &str = "connections of this machine must begin with a PROXY header ([listen] proxy_from)";

fn is_proxied(settings: &Settings) -> bool {
    let here = IpAddr::from([127, 0, 0, 1]);
    settings.listen.proxy_from.iter().any(|network| network.contains(&here))
}

/// Where mail of this server comes from, or why nobody can tell.
async fn addresses(
    settings: &Settings,
    told: Option<IpAddr>,
    dns: &Resolver,
) -> Result<Vec<(IpAddr, Known)>, String> {
    if let Some(address) = told {
        return Ok(vec![(address, Known::Here)]);
    }
    if let Some(smart_host) = settings.outbound.smart_hosts.first() {
        let host = &smart_host.host;
        return Err(format!("mail leaves through {host}: --ip ADDRESS names the address that receivers see"));
    }
    let source = settings.outbound.sources.usual;
    let from: Vec<IpAddr> =
        source.ipv4.map(IpAddr::V4).into_iter().chain(source.ipv6.map(IpAddr::V6)).collect();
    let found = own_addresses(dns, &settings.hostname, &from).await;
    if found.is_empty() {
        let hostname = &settings.hostname;
        return Err(format!(
            "no public address of this machine is known, and {hostname} leads to none: --ip ADDRESS names it"
        ));
    }
    Ok(found)
}

/// The letter as it comes from this address.
async fn examine(
    settings: &Settings,
    options: &Options,
    letter: &Letter,
    client: Option<IpAddr>,
) -> Result<Examination, Failure> {
    let asked = check_message::Options {
        file: PathBuf::from("-"),
        ip: client,
        helo: Some(settings.hostname.to_string()),
        mail_from: Some(ReversePath::Address(letter.account.clone())),
        recipient: Vec::new(),
        from_trace: false,
        dns: options.dns.clone(),
        config: Some(options.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))),
        json: false,
    };
    Judge::new(&asked)?.examine(letter.content.as_slice(), asked).await
}

/// What each port shows, all asked at once.
async fn handshakes(settings: &Settings, status: &Value) -> Vec<Handshake> {
    let tls = ClientTls::with_authorities(&settings.authorities);
    let asked = status["listeners"].as_array().into_iter().flatten().filter_map(|listener| {
        let name = listener["name"].as_str()?.to_owned();
        let address: SocketAddr = listener["address"].as_str()?.parse().ok()?;
        let opening = Opening::of(&name)?;
        let (tls, hostname) = (tls.clone(), settings.hostname.clone());
        let look = async move { ports::look(ports::reachable(address), opening, &hostname, &tls).await };
        Some((name, tokio::spawn(look)))
    });
    let mut handshakes = Vec::new();
    for (port, look) in asked.collect::<Vec<_>>() {
        let outcome = match look.await {
            Ok(Ok(shown)) => {
                let until = shown.certificate.map(|certificate| unix(certificate.not_after));
                Ok(Agreed { tls: shown.tls, distrust: shown.verdict.err(), until })
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        handshakes.push(Handshake { port, outcome });
    }
    handshakes
}

fn unix(time: std::time::SystemTime) -> i64 {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// All points in the order of the page. What depends on the address is the worst of all addresses.
fn all(
    settings: &Settings,
    examined: &[Examination],
    blocklists: Vec<Point>,
    addresses: &Result<Vec<(IpAddr, Known)>, String>,
    (tls, content): (Point, &Content),
) -> Vec<Point> {
    let Some(first) = examined.first() else { return Vec::new() };
    let hostname = settings.hostname.to_string();
    let lookups = spf::Limits::default().lookups;
    let of_each = |measure: &dyn Fn(IpAddr, &Examination) -> Option<Point>| {
        let measured = examined.iter().filter_map(|found| measure(found.circumstances.client?, found));
        points::worst(measured.collect())
    };
    let why = addresses.as_ref().err().cloned().unwrap_or_else(|| "DNS was not asked".to_owned());
    let unknown = |topic: Topic| topic.unknown(why.clone(), vec![]);
    let mut spf = of_each(&|client, found| Some(points::spf(found.mail_from.as_ref()?, client, lookups)));
    if let (Some(spf), Ok(known)) = (&mut spf, addresses) {
        let behind = known.iter().filter(|(_, known)| *known == Known::ByName);
        spf.facts.extend(behind.map(|(address, _)| {
            format!("the machine has private addresses only: {address} is where {hostname} leads to")
        }));
    }
    let reverse = of_each(&|_, found| Some(points::reverse(found.iprev.as_ref()?, Some(&hostname))));
    let author = first.dmarc.author.as_ref();
    vec![
        points::dkim(&first.dkim, first.dmarc.dkim_aligned, author),
        spf.unwrap_or_else(|| unknown(Topic::Spf)),
        points::worst(examined.iter().map(|found| points::dmarc(&found.dmarc)).collect())
            .unwrap_or_else(|| unknown(Topic::Dmarc)),
        reverse.unwrap_or_else(|| unknown(Topic::Reverse)),
        tls,
        points::content(content),
        points::worst(blocklists).unwrap_or_else(|| match addresses {
            Ok(_) => Topic::Blocklist.unknown("an address that is not public is on no list", vec![]),
            Err(_) => unknown(Topic::Blocklist),
        }),
    ]
}
