//! `kings dkim`: make, list and change the keys that mail is signed with.

mod rotate;

use std::fs::File;

use clap::{Args, Subcommand};
use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::dkim::{Algorithm, KeyRecord, Selector, key_files};
use kings_net::Resolver;
use serde_json::json;

use super::{Common, Failure, Output, print};
use crate::config::{Settings, Threads};
use crate::dkim::rotation::{self, Action, Keyring};
use crate::dkim::{self, KeyFile, Stage};
use crate::{prepare, serve};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the keys of a domain, RSA and Ed25519, and print the records to publish.
    Create(Create),
    /// Show the keys of all domains and what is published of them.
    List(Output),
    /// Take the next step towards new keys: make them, then, once published, sign with them, then drop the old ones.
    Rotate(rotate::Rotate),
}

#[derive(Args)]
pub(crate) struct Create {
    /// A hosted domain, one that mail is passed on for, or the name of this server, whose bounces and reports are its own.
    #[arg(value_parser = parse_domain)]
    domain: Domain,
    /// The name of the RSA key; the Ed25519 key is called the same with "-ed25519". Default: the year and a letter.
    #[arg(long)]
    selector: Option<String>,
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
        Command::Rotate(options) => rotate::rotate(&options),
    }
}

fn create(options: Create) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let domain = &options.domain;
    hosted(&settings, domain)?;
    let ready = prepare::ensure_data(&settings).and_then(|()| prepare::act_as_owner(&settings));
    ready.map_err(|error| Failure::check_failed(format!("{error:#}")))?;
    let _alone = alone(&settings)?;
    let ring = ring(&settings, domain)?;
    if options.selector.is_none() && !ring.files.is_empty() {
        let text = format!("{domain} has keys already; for new ones run  kings dkim rotate {domain} --start");
        return Err(Failure::check_failed(text));
    }
    let name = options.selector.unwrap_or_else(|| ring.new_name());
    let made = pair(&settings, &ring, domain, &name)?;
    let mut text = records(domain, &made);
    text += "Publish these records, then let the server read the keys: systemctl reload kings, or SIGHUP.\n";
    // Nothing signs with keys that are gone, so that these stand in their place.
    for lost in self::ring(&settings, domain)?.orphans.iter().filter(|_| ring.files.is_empty()) {
        let bury = Action::Bury(lost.clone());
        ring.perform(&bury).map_err(|error| Failure::check_failed(format!("{error:#}")))?;
        text += &format!("Remove the record {lost}._domainkey.{domain}: its key is gone.\n");
    }
    print(&text);
    Ok(())
}

/// Both keys of one name. Where a crash left one of them alone, the other is made.
fn pair(settings: &Settings, ring: &Keyring, domain: &Domain, name: &str) -> Result<Vec<KeyFile>, Failure> {
    let selectors = rotation::pair(name).map(|(name, algorithm)| (Selector::parse(&name), algorithm));
    let [(Some(rsa), _), (Some(ed25519), _)] = &selectors else {
        return Err(Failure::usage(format!("\"{name}\" is no selector: use letters, digits and hyphens")));
    };
    let is_there = |selector: &Selector, algorithm| {
        ring.files.iter().any(|file| {
            file.selector == *selector && file.stage == Stage::Active && file.key.algorithm() == algorithm
        })
    };
    let there = [is_there(rsa, Algorithm::RsaSha256), is_there(ed25519, Algorithm::Ed25519Sha256)];
    let failed = |error: anyhow::Error| Failure::check_failed(format!("{error:#}"));
    for (selector, algorithm, is_there) in
        [(rsa, Algorithm::RsaSha256, there[0]), (ed25519, Algorithm::Ed25519Sha256, there[1])]
    {
        // With both of them there the first is refused by its name.
        if !is_there || there == [true, true] {
            dkim::create(&settings.data_dir, domain, selector, algorithm, Stage::Active).map_err(failed)?;
        }
    }
    let files = dkim::key_files(&settings.data_dir, domain).map_err(failed)?.into_iter();
    Ok(files.filter(|file| [rsa, ed25519].contains(&&file.selector)).collect())
}

/// Two that change keys at once would each begin something.
fn alone(settings: &Settings) -> Result<File, Failure> {
    let lock =
        rotation::lock(&settings.data_dir).map_err(|error| Failure::cannot_tell(format!("{error:#}")))?;
    lock.ok_or_else(|| Failure::cannot_tell("another  kings dkim  is at work; try again when it has ended"))
}

fn ring(settings: &Settings, domain: &Domain) -> Result<Keyring, Failure> {
    Keyring::read(&settings.data_dir, domain).map_err(|error| Failure::config(format!("{error:#}")))
}

fn records<'a>(domain: &Domain, files: impl IntoIterator<Item = &'a KeyFile>) -> String {
    files
        .into_iter()
        .map(|file| format!("{}\n", key_files::zone_line(&file.selector, domain, &file.key)))
        .collect()
}

fn hosted(settings: &Settings, domain: &Domain) -> Result<(), Failure> {
    if dkim::names(settings).any(|name| name == domain) {
        return Ok(());
    }
    let text =
        format!("{domain} is not hosted here: add it to the config with [[domain]] name = \"{domain}\"");
    Err(Failure::check_failed(text))
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

/// Where the record of a key is.
fn name_in_dns(domain: &Domain, file: &KeyFile) -> Option<DnsName> {
    DnsName::parse(&format!("{}._domainkey.{domain}", file.selector)).ok()
}

/// Whether the very key is there, and nothing else: of several records nobody knows which one verifiers take (RFC 6376
/// §3.6.2.2).
async fn published(dns: &impl Dns, name: &DnsName, record: &str) -> Published {
    match dns.txt(name).await {
        Ok(answer) => match answer.records.as_slice() {
            [found] if is_same_key(found, record) => Published::Yes,
            _ => Published::Other,
        },
        Err(DnsError::NoDomain | DnsError::NoRecord) => Published::No,
        Err(DnsError::Temporary(_)) => Published::CannotTell,
    }
}

fn is_same_key(found: &[u8], record: &str) -> bool {
    match (KeyRecord::parse(found), KeyRecord::parse(record.as_bytes())) {
        (Ok(found), Ok(own)) => found.has_key_of(&own),
        _ => false,
    }
}

/// Asks DNS about all of the keys at once.
fn ask(settings: &Settings, keys: &[(&Domain, &KeyFile)]) -> Result<Vec<Published>, Failure> {
    let dns = Resolver::new(&settings.dns).map_err(|error| Failure::cannot_tell(error.to_string()))?;
    serve::runtime(Threads::default())?.block_on(async {
        let asked: Vec<_> = keys
            .iter()
            .map(|(domain, file)| {
                let (dns, name) = (dns.clone(), name_in_dns(domain, file));
                let record = key_files::record(&file.key);
                tokio::spawn(async move {
                    match name {
                        Some(name) => published(&dns, &name, &record).await,
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
    let wait = rotation::transit(settings.submission.longest_hold, settings.queue.lifetimes);
    let (mut rings, mut broken) = (Vec::new(), None);
    for name in dkim::names(&settings) {
        match ring(&settings, name) {
            Ok(ring) => rings.push((name, ring)),
            // The others are shown all the same.
            Err(failure) => broken = broken.or(Some(failure)),
        }
    }
    let keys: Vec<(&Domain, &KeyFile)> =
        rings.iter().flat_map(|(name, ring)| ring.files.iter().map(move |file| (*name, file))).collect();
    let found = ask(&settings, &keys)?;
    let rows = keys.iter().zip(found);
    let sentences =
        rings.iter().filter_map(|(name, ring)| Some((*name, ring, rotate::sentence(ring, name, wait)?)));
    if output.json {
        let item = |((domain, file), found): (&(&Domain, &KeyFile), Published)| {
            json!({
                "domain": domain.to_string(),
                "selector": file.selector.as_str(),
                "algorithm": file.key.algorithm().as_str(),
                "stage": file.stage.as_str(),
                "dns": found.as_str(),
                "record": key_files::record(&file.key),
            })
        };
        let rotation = |(name, ring, said): (&Domain, &Keyring, String)| json!({ "domain": name.to_string(), "phase": ring.phase().as_str(), "to": ring.target, "status": said });
        let items = rows.map(item).collect::<Vec<_>>();
        let rotations = sentences.map(rotation).collect::<Vec<_>>();
        print(&format!("{}\n", json!({ "schema": 1, "items": items, "rotations": rotations })));
    } else {
        let row = |((domain, file), found): (&(&Domain, &KeyFile), Published)| {
            let (algorithm, stage) = (file.key.algorithm().as_str(), file.stage.as_str());
            format!("{domain}  {}  {algorithm}  {stage}  {}\n", file.selector, found.as_str())
        };
        let mut text: String = rows.map(row).collect();
        text.extend(sentences.map(|(name, _, said)| format!("{name}: {said}\n")));
        for (name, ring) in &rings {
            let lost = ring.orphans.iter();
            text.extend(lost.map(|lost| {
                format!("{name}: the key {lost} is gone, and mail waits for it: see  kings config check\n")
            }));
        }
        print(if text.is_empty() { "no keys; make some with  kings dkim create DOMAIN\n" } else { &text });
    }
    broken.map_or(Ok(()), Err)
}
