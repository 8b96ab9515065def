//! `kings dns apply`: shows what would change, asks, does it, and can take it back.

use std::fs::{self, File};
use std::io::{self, IsTerminal};

use clap::Args;
use kings_dns::plan::plan;
use kings_net::Resolver;
use kings_ops::dns::{ApplyError, Draft, Journal, JournalError, Provider, carry_out, draft, spare_spf};
use serde_json::{Value, json};

use crate::command::{Common, Failure, goes_on, print};
use crate::config::{Settings, Threads};
use crate::{dns_facts, dns_provider, prepare, serve};

#[derive(Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    consent: Consent,
    /// Take back what was put there: records that were replaced come again, those of others stay.
    #[arg(long)]
    undo: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// Whether anything is changed without a question.
#[derive(Args)]
struct Consent {
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

pub(super) fn run(options: &Apply) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let provider = provider(&settings)?;
    // Read as whoever runs this: the keys of others may be for root alone.
    let facts = dns_facts::gather(&settings)?;
    let ready = prepare::ensure_data(&settings).and_then(|()| prepare::act_as_owner(&settings));
    ready.map_err(|error| Failure::check_failed(format!("{error:#}")))?;
    let _alone = alone(&settings)?;
    let mut journal = Journal::open(&settings.data_dir).map_err(|error| failed(&error.into()))?;
    let resolver = Resolver::new(&settings.dns).map_err(|error| Failure::cannot_tell(error.to_string()))?;
    serve::runtime(Threads::default())?.block_on(async {
        let drafted = draft(&provider, &plan(&facts), &journal, options.undo).await;
        let mut drafted = drafted.map_err(|error| failed(&error.into()))?;
        spare_spf(&mut drafted, &settings.hostname, &resolver).await;
        let go = show(options, &drafted)?;
        if go && drafted.changes() > 0 {
            carry_out(&provider, &drafted, &mut journal).await.map_err(|error| failed(&error))?;
            if !options.json {
                print("done; every name server has it\n");
            }
        }
        if drafted.refused.is_empty() { Ok(()) } else { Err(Failure::check_failed("")) }
    })
}

/// Where records are changed, as the config says.
fn provider(settings: &Settings) -> Result<Provider, Failure> {
    let resolver = Resolver::new(&settings.dns).map_err(|error| Failure::cannot_tell(error.to_string()))?;
    let found = dns_provider::open(settings, &resolver, false);
    found.map_err(|error| Failure::config(format!("{error:#}")))?.ok_or_else(|| {
        Failure::config(
            "the config does not say where records can be changed: [dns] provider = { kind = \"rfc2136\", server = \"192.0.2.53\", \
             key = \"kings\", key_file = \"kings.key\" }; without that, publish what  kings dns records  prints",
        )
    })
}

/// Two at a time would each take the records of the other for those of strangers.
fn alone(settings: &Settings) -> Result<File, Failure> {
    let path = settings.data_dir.join("dns.lock");
    let cannot = |error: &dyn std::fmt::Display| Failure::cannot_tell(format!("{}: {error}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(|error| cannot(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(cannot(&"another  kings dns apply  is at work; try again when it has ended"))
        }
        Err(fs::TryLockError::Error(error)) => Err(cannot(&error)),
    }
}

/// Shows what would change, and asks whether it shall.
fn show(options: &Apply, draft: &Draft) -> Result<bool, Failure> {
    if options.json {
        print(&format!("{}\n", to_json(draft, options.consent.dry_run)));
        return Ok(!options.consent.dry_run && (options.consent.yes || asked_for(draft)?));
    }
    print(&draft.diff());
    print(&format!("{} right already, {} to change\n", draft.kept, draft.changes()));
    if options.consent.dry_run || draft.changes() == 0 {
        return Ok(false);
    }
    Ok(options.consent.yes || asked_for(draft)?)
}

fn asked_for(draft: &Draft) -> Result<bool, Failure> {
    if draft.changes() == 0 {
        return Ok(false);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nothing is changed without a word: --yes does it, --dry-run only shows it",
        ));
    }
    goes_on(false)
}

fn to_json(draft: &Draft, dry_run: bool) -> Value {
    let texts = |set: &Option<kings_dns::RecordSet>| -> Vec<String> {
        set.iter().flat_map(|set| &set.data).map(ToString::to_string).collect()
    };
    let item = |zone: &kings_mail::domain::DnsName, change: &kings_dns::Change| {
        json!({
            "zone": zone.as_str(),
            "name": change.name.as_str(),
            "type": change.kind.as_str(),
            "before": texts(&change.before),
            "after": texts(&change.after),
        })
    };
    let items: Vec<Value> = draft
        .zones
        .iter()
        .flat_map(|(zone, changes)| changes.iter().map(move |change| item(zone, change)))
        .collect();
    let refused = draft.refused.iter().map(
        |refused| json!({ "name": refused.name.as_str(), "type": refused.kind.as_str(), "why": refused.why }),
    );
    let refused: Vec<Value> = refused.collect();
    json!({ "schema": 1, "dry_run": dry_run, "kept": draft.kept, "items": items, "refused": refused })
}

/// What a person is told, with the exit code.
fn failed(error: &ApplyError) -> Failure {
    match error {
        ApplyError::Provider(cause) if cause.is_temporary() => Failure::cannot_tell(cause.to_string()),
        ApplyError::Provider(cause) => Failure::check_failed(cause.to_string()),
        ApplyError::Journal(cause @ JournalError::File { .. }) => Failure::cannot_tell(cause.to_string()),
        ApplyError::Journal(cause @ JournalError::Damaged(_)) => Failure::config(cause.to_string()),
    }
}
