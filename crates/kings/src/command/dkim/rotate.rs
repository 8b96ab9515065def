//! `kings dkim rotate`: one step towards new keys, as far as it goes now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::key_files;
use serde_json::json;

use super::{Published, alone, ask, hosted, parse_domain, records};
use crate::command::{Failure, Output, print};
use crate::config::Settings;
use crate::control::Request;
use crate::dkim::Stage;
use crate::dkim::rotation::{Action, Keyring, Phase, transit};
use crate::prepare;

#[derive(Args)]
pub(crate) struct Rotate {
    /// A hosted domain, or one that mail is passed on for.
    #[arg(value_parser = parse_domain)]
    domain: Domain,
    /// Begin a rotation. Without it one that is under way goes on, and none begins.
    #[arg(long)]
    start: bool,
    /// Do not ask DNS whether the records of the new keys are published.
    #[arg(long)]
    force: bool,
    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// What a step came to.
struct Told {
    done: Vec<Action>,
    /// What stands in the way of going on.
    missing: Vec<(String, Published)>,
    /// Why the server does not sign with the new keys yet.
    unread: Option<String>,
    ring: Keyring,
}

pub(super) fn rotate(options: &Rotate) -> Result<(), Failure> {
    let settings = options.output.common.settings()?;
    let domain = &options.domain;
    hosted(&settings, domain)?;
    prepare::act_as_owner(&settings).map_err(|error| Failure::check_failed(format!("{error:#}")))?;
    let _alone = alone(&settings)?;
    let wait = transit(settings.submission.longest_hold, settings.queue.lifetimes);
    let read =
        || Keyring::read(&settings.data_dir, domain).map_err(|error| Failure::config(format!("{error:#}")));
    let ring = read()?;
    let missing = if options.force { Vec::new() } else { unpublished(&settings, domain, &ring)? };
    let actions = ring.actions(options.start, missing.is_empty(), wait);
    let (mut done, mut unread) = (Vec::new(), None);
    for action in actions {
        if !options.dry_run {
            if action == Action::Reload {
                // It ends another time, so that the old keys are known to sign no more.
                if let Err(why) = reload(&settings) {
                    unread = Some(why);
                    break;
                }
            }
            ring.perform(&action).map_err(|error| Failure::check_failed(format!("{error:#}")))?;
        }
        done.push(action);
    }
    let told = Told { done, missing, unread, ring: if options.dry_run { ring } else { read()? } };
    let text = if options.output.json {
        format!("{}\n", told.json(options, wait))
    } else {
        told.text(options, wait)
    };
    print(&text);
    told.verdict(options)
}

/// The keys that wait and whose records DNS does not have, or not as they are.
fn unpublished(
    settings: &Settings,
    domain: &Domain,
    ring: &Keyring,
) -> Result<Vec<(String, Published)>, Failure> {
    let waiting = ring.waiting();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = waiting.iter().map(|file| (domain, *file)).collect();
    let found = keys.iter().map(|(_, file)| file.selector.to_string()).zip(ask(settings, &keys)?);
    Ok(found.filter(|(_, found)| *found != Published::Yes).collect())
}

/// A server that does not run reads them when it starts.
fn reload(settings: &Settings) -> Result<(), String> {
    match crate::command::ask(&settings.data_dir, &Request::Reload) {
        Ok(None | Some(Ok(_))) => Ok(()),
        Ok(Some(Err(error))) => Err(error),
        Err(failure) => Err(failure.parts().1.to_owned()),
    }
}

fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DateTime::from_unix(i64::try_from(seconds).unwrap_or(0)).to_rfc3339()
}

/// Where a domain is, in one sentence; nothing where it is at rest.
pub(super) fn sentence(ring: &Keyring, domain: &Domain, wait: Duration) -> Option<String> {
    let target = ring.target.as_deref().unwrap_or_default();
    match (ring.phase(), ring.until(wait)) {
        (Phase::Publish, _) => Some(format!(
            "a rotation to {target} waits for its records: publish them, then  kings dkim rotate {domain}"
        )),
        (Phase::Switch, _) => {
            Some(format!("a rotation to {target} was broken off: go on with  kings dkim rotate {domain}"))
        }
        (Phase::Transit, Some(until)) if until < SystemTime::now() => Some(format!(
            "the mail of the old keys has arrived: remove them with  kings dkim rotate {domain}"
        )),
        (Phase::Transit, Some(until)) => Some(format!(
            "mail of the old keys is under way: leave their records where they are until {}",
            date(until)
        )),
        (Phase::Transit | Phase::Idle, _) => None,
    }
}

impl Told {
    fn dropped(&self) -> impl Iterator<Item = &str> {
        self.done.iter().filter_map(|action| match action {
            Action::Bury(name) => Some(name.as_str()),
            _ => None,
        })
    }

    fn text(&self, options: &Rotate, wait: Duration) -> String {
        let domain = &options.domain;
        if options.dry_run {
            let would: String =
                self.done.iter().map(|action| format!("would {}\n", action.words())).collect();
            return if would.is_empty() { "nothing can be done now\n".to_owned() } else { would };
        }
        let mut text = String::new();
        for name in self.dropped() {
            text += &format!("Remove the record {name}._domainkey.{domain}: its key is gone.\n");
        }
        if self.done.iter().any(|action| matches!(action, Action::Make(..))) {
            text += &records(domain, self.ring.waiting());
            text += &format!(
                "Publish these records. When DNS has them, sign with the new keys: kings dkim rotate {domain}\n"
            );
        } else if self.done.contains(&Action::End) {
            text += "The server signs with the new keys, or will when it starts. A  kings milter  beside it is to read them \
                     as well: SIGHUP.\n";
        }
        match sentence(&self.ring, domain, wait) {
            Some(sentence) if self.missing.is_empty() && self.ring.phase() == Phase::Transit => {
                text += &format!("{domain}: {sentence}\n");
            }
            None if text.is_empty() => {
                text += &format!(
                    "No rotation is under way; begin one with  kings dkim rotate {domain} --start\n"
                );
            }
            _ => {}
        }
        text
    }

    fn json(&self, options: &Rotate, wait: Duration) -> serde_json::Value {
        let domain = &options.domain;
        let waiting = self.ring.files.iter().filter(|file| file.stage == Stage::Next);
        let record = |file: &crate::dkim::KeyFile| {
            json!({
                "name": format!("{}._domainkey.{domain}", file.selector),
                "value": key_files::record(&file.key),
                "dns": self.missing.iter().find(|(name, _)| name == file.selector.as_str())
                    .map(|(_, found)| found.as_str()),
            })
        };
        json!({
            "schema": 1,
            "domain": domain.to_string(),
            "dry_run": options.dry_run,
            "phase": self.ring.phase().as_str(),
            "done": self.done.iter().map(Action::words).collect::<Vec<_>>(),
            "publish": waiting.map(record).collect::<Vec<_>>(),
            "remove": self.dropped().map(|name| format!("{name}._domainkey.{domain}")).collect::<Vec<_>>(),
            "until": self.ring.until(wait).map(date),
            "unread": self.unread,
        })
    }

    /// 1 where a record is missing or the server refuses, 75 where nobody can tell.
    fn verdict(&self, options: &Rotate) -> Result<(), Failure> {
        let domain = &options.domain;
        if let Some(why) = &self.unread {
            return Err(Failure::check_failed(format!(
                "the new keys are in place and the server has not read them: {why}\nmend that, then  kings dkim rotate {domain}"
            )));
        }
        let tell =
            |(name, found): &(String, Published)| format!("{name}._domainkey.{domain}: {}", found.as_str());
        if self.missing.is_empty() {
            return Ok(());
        }
        let mut text = self.missing.iter().map(tell).collect::<Vec<_>>().join("\n");
        text += &format!(
            "\npublish the records in {} and run this again, or say --force",
            crate::dkim::folder(&options.output.common.settings()?.data_dir, domain).display()
        );
        let is_unsure = self.missing.iter().any(|(_, found)| *found == Published::CannotTell);
        Err(if is_unsure { Failure::cannot_tell(text) } else { Failure::check_failed(text) })
    }
}
