//! `kings dkim`: make, list and change the keys that mail is signed with.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use kings_dns::{Dns, DnsError};
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::dkim::{Algorithm, Selector, key_files};
use kings_net::Resolver;
use serde_json::json;

use super::{Common, Failure, Output, print};
use crate::config::{Settings, Threads};
use crate::dkim::{self, KeyFile, Stage};
use crate::serve;

/// How long the record of a key stays after its last signature: the queue gives up after five days, and readers may
/// verify a little later.
const LAST_MAIL: Duration = Duration::from_hours(7 * 24);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the keys of a domain, RSA and Ed25519, and print the records to publish.
    Create(Create),
    /// Show the keys of all domains and what is published of them.
    List(Output),
    /// Take the next step towards new keys: make them, then, once published, sign with them, then drop the old ones.
    Rotate(Rotate),
}

#[derive(Args)]
pub(crate) struct Create {
    /// A hosted domain, or one that mail is passed on for.
    #[arg(value_parser = parse_domain)]
    domain: Domain,
    /// The name of the RSA key; the Ed25519 key is called the same with "-ed25519". Default: the year and a letter.
    #[arg(long)]
    selector: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(crate) struct Rotate {
    /// A hosted domain, or one that mail is passed on for.
    #[arg(value_parser = parse_domain)]
    domain: Domain,
    /// Do not ask DNS whether the records of the new keys are published.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

fn parse_domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(options) => create(options),
        Command::List(output) => list(&output),
        Command::Rotate(options) => rotate(&options),
    }
}

fn create(options: Create) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    hosted(&settings, &options.domain)?;
    let known = files(&settings, &options.domain)?;
    if options.selector.is_none() && !known.is_empty() {
        let text = format!("{0} has keys already; for new ones run  kings dkim rotate {0}", options.domain);
        return Err(Failure::check_failed(text));
    }
    let name = options.selector.unwrap_or_else(|| new_name(&known));
    let made = pair(&settings, &options.domain, &name, Stage::Active)?;
    print(&format!(
        "{}Publish these records, then let the server read the keys: systemctl reload kings, or SIGHUP.\n",
        records(&options.domain, &made)
    ));
    Ok(())
}

/// Both keys of one name.
fn pair(settings: &Settings, domain: &Domain, name: &str, stage: Stage) -> Result<Vec<KeyFile>, Failure> {
    let selector = |name: &str| {
        Selector::parse(name).ok_or_else(|| {
            Failure::usage(format!("\"{name}\" is no selector: use letters, digits and hyphens"))
        })
    };
    let make = |selector: &Selector, algorithm| {
        dkim::create(settings, domain, selector, algorithm, stage)
            .map_err(|error| Failure::check_failed(format!("{error:#}")))
    };
    let (rsa, ed25519) = (selector(name)?, selector(&format!("{name}-ed25519"))?);
    Ok(vec![make(&rsa, Algorithm::RsaSha256)?, make(&ed25519, Algorithm::Ed25519Sha256)?])
}

/// The year and the first letter that is free: 2026a, 2026b, ...
fn new_name(known: &[KeyFile]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = DateTime::from_unix(i64::try_from(now).unwrap_or(0)).to_rfc3339();
    let year = date.get(..4).unwrap_or_default();
    let taken: BTreeSet<&str> = known.iter().map(|file| file.selector.as_str()).collect();
    let names = ('a'..='z').map(|letter| format!("{year}{letter}"));
    names.into_iter().find(|name| !taken.contains(name.as_str())).unwrap_or_else(|| format!("{year}-new"))
}

fn records(domain: &Domain, files: &[KeyFile]) -> String {
    files
        .iter()
        .map(|file| format!("{}\n", key_files::zone_line(&file.selector, domain, &file.key)))
        .collect()
}

/// Hosted domains, and those that mail is passed on for: what goes there is sealed.
fn names(settings: &Settings) -> impl Iterator<Item = &Domain> {
    let relayed = settings.relays.iter().map(|relay| &relay.name);
    settings.domains.iter().map(|hosted| &hosted.name).chain(relayed)
}

fn hosted(settings: &Settings, domain: &Domain) -> Result<(), Failure> {
    if names(settings).any(|name| name == domain) {
        return Ok(());
    }
    let text =
        format!("{domain} is not hosted here: add it to the config with [[domain]] name = \"{domain}\"");
    Err(Failure::check_failed(text))
}

fn files(settings: &Settings, domain: &Domain) -> Result<Vec<KeyFile>, Failure> {
    dkim::key_files(settings, domain).map_err(|error| Failure::config(format!("{error:#}")))
}

/// What DNS has under the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Published {
    Yes,
    Other,
    No,
    CannotTell,
}

impl Published {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "published",
            Self::Other => "another key is published",
            Self::No => "not published",
            Self::CannotTell => "cannot tell now",
        }
    }
}

/// What is asked about a key: its name in DNS, and the part of the record that nobody else's has.
fn question(domain: &Domain, file: &KeyFile) -> Option<(DnsName, Vec<u8>)> {
    let name = DnsName::parse(&format!("{}._domainkey.{domain}", file.selector)).ok()?;
    Some((name, format!("p={}", file.key.public()).into_bytes()))
}

async fn published(dns: &impl Dns, (name, wanted): &(DnsName, Vec<u8>)) -> Published {
    let squeezed = |text: &[u8]| text.iter().copied().filter(|octet| *octet != b' ').collect::<Vec<_>>();
    let holds = |record: &Vec<u8>| squeezed(record).windows(wanted.len()).any(|part| part == wanted);
    match dns.txt(name).await {
        Ok(answer) if answer.records.iter().any(holds) => Published::Yes,
        Ok(_) => Published::Other,
        Err(DnsError::NoDomain | DnsError::NoRecord) => Published::No,
        Err(DnsError::Temporary(_)) => Published::CannotTell,
    }
}

/// Asks DNS about all of the keys at once.
fn ask(settings: &Settings, keys: &[(Domain, KeyFile)]) -> Result<Vec<Published>, Failure> {
    let dns = Resolver::new(&settings.dns).map_err(|error| Failure::cannot_tell(error.to_string()))?;
    serve::runtime(Threads::default())?.block_on(async {
        let asked: Vec<_> = keys
            .iter()
            .map(|(domain, file)| {
                let (dns, question) = (dns.clone(), question(domain, file));
                tokio::spawn(async move {
                    match question {
                        Some(question) => published(&dns, &question).await,
                        None => Published::CannotTell,
                    }
                })
            })
            .collect();
        let mut found = Vec::with_capacity(asked.len());
        for answer in asked {
            found.push(answer.await.unwrap_or(Published::CannotTell));
        }
        Ok(found)
    })
}

fn list(output: &Output) -> Result<(), Failure> {
    let settings = output.common.settings()?;
    let mut keys = Vec::new();
    for name in names(&settings) {
        keys.extend(files(&settings, name)?.into_iter().map(|file| (name.clone(), file)));
    }
    let found = ask(&settings, &keys)?;
    let rows = keys.iter().zip(found);
    if output.json {
        let item = |((domain, file), found): (&(Domain, KeyFile), Published)| {
            json!({
                "domain": domain.to_string(),
                "selector": file.selector.as_str(),
                "algorithm": file.key.algorithm().as_str(),
                "stage": file.stage.as_str(),
                "dns": found.as_str(),
                "record": key_files::record(&file.key),
            })
        };
        print(&format!("{}\n", json!({ "schema": 1, "items": rows.map(item).collect::<Vec<_>>() })));
    } else {
        let row = |((domain, file), found): (&(Domain, KeyFile), Published)| {
            let (algorithm, stage) = (file.key.algorithm().as_str(), file.stage.as_str());
            format!("{domain}  {}  {algorithm}  {stage}  {}\n", file.selector, found.as_str())
        };
        let text: String = rows.map(row).collect();
        print(if text.is_empty() { "no keys; make some with  kings dkim create DOMAIN\n" } else { &text });
    }
    Ok(())
}

fn rotate(options: &Rotate) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let domain = &options.domain;
    hosted(&settings, domain)?;
    let mut files = files(&settings, domain)?;
    let next: Vec<KeyFile> = files.extract_if(.., |file| file.stage == Stage::Next).collect();
    let old: Vec<KeyFile> =
        files.extract_if(.., |file| file.stage == Stage::Retired && file.age() > LAST_MAIL).collect();
    let mut said = drop_old(domain, old)?;
    said += &if next.is_empty() {
        let name = new_name(&files);
        let made = pair(&settings, domain, &name, Stage::Next)?;
        format!(
            "{}Publish these records. When their time to live is over everywhere, sign with the new keys: kings dkim rotate {domain}\n",
            records(domain, &made)
        )
    } else {
        switch(&settings, options, next, files)?
    };
    print(&said);
    Ok(())
}

fn drop_old(domain: &Domain, old: Vec<KeyFile>) -> Result<String, Failure> {
    let mut said = String::new();
    for file in old {
        said.push_str(&format!(
            "Remove the record {}._domainkey.{domain}: its key is gone.\n",
            file.selector
        ));
        file.remove().map_err(|error| Failure::check_failed(format!("{error:#}")))?;
    }
    Ok(said)
}

/// The new keys sign, the old ones rest. New ones first: a crash in between signs with both, never with none.
fn switch(
    settings: &Settings,
    options: &Rotate,
    next: Vec<KeyFile>,
    files: Vec<KeyFile>,
) -> Result<String, Failure> {
    let domain = &options.domain;
    let keys: Vec<(Domain, KeyFile)> = next.into_iter().map(|file| (domain.clone(), file)).collect();
    if !options.force {
        for ((_, file), found) in keys.iter().zip(ask(settings, &keys)?) {
            if found != Published::Yes {
                let text = format!(
                    "{}._domainkey.{domain}: {}. Publish the record in {} and run this again, or say --force.",
                    file.selector,
                    found.as_str(),
                    file.path.with_extension("txt").display()
                );
                let cannot_tell = found == Published::CannotTell;
                return Err(if cannot_tell {
                    Failure::cannot_tell(text)
                } else {
                    Failure::check_failed(text)
                });
            }
        }
    }
    let active = files.into_iter().filter(|file| file.stage == Stage::Active);
    let steps = keys.into_iter().map(|(_, file)| (file, Stage::Active));
    for (file, stage) in steps.chain(active.map(|file| (file, Stage::Retired))).collect::<Vec<_>>() {
        file.advance(stage).map_err(|error| Failure::check_failed(format!("{error:#}")))?;
    }
    Ok(format!(
        "The new keys are in place; let the server read them: systemctl reload kings, or SIGHUP.\n\
         Leave the records of the old keys where they are; in a week  kings dkim rotate {domain}  says which to remove.\n"
    ))
}
