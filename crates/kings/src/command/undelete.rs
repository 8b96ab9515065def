//! `kings account undelete`: puts back mail that was expunged and is kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::encoded_word;
use kings_mail::header::{self, Field};
use kings_store::{Account, Expunged, MailboxName, Naming};
use serde_json::json;

use super::mail::{Mail, account};
use super::{Failure, Output, print};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The account, as in ann@example.org.
    #[arg(value_parser = account)]
    account: Address,
    /// Only what was in this mailbox, as in INBOX or Sent.
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// Only what was expunged no longer ago than this: 30m, 12h, 7d.
    #[arg(long, value_name = "AGE", value_parser = super::trace::age)]
    since: Option<Duration>,
    /// Only messages with this text in Subject or From.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Everything that is kept.
    #[arg(long, conflicts_with_all = ["mailbox", "since", "text"])]
    all: bool,
    /// Only list what would come back.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// A message with what a person knows it by.
struct Found {
    kept: Expunged,
    subject: String,
    from: String,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Options { mailbox, since, text, all, dry_run, .. } = options;
    if !all && !dry_run && mailbox.is_none() && since.is_none() && text.is_none() {
        return Err(Failure::usage(
            "say which messages: --mailbox, --since, --text, or --all; --dry-run lists them",
        ));
    }
    let mail = Mail::open(&options.output.common)?;
    let naming = mail.naming;
    let mailbox = mailbox.as_ref().map(|name| naming.read(name)).transpose();
    let mailbox = mailbox.map_err(|_| Failure::usage("--mailbox takes a name as mail programs show it"))?;
    let address = mail.accounts(std::slice::from_ref(&options.account))?.remove(0);
    let trouble = |error| Failure::cannot_tell(format!("cannot read the mail of {address}: {error}"));
    let account = mail.store.account(&address).map_err(trouble)?;
    let wanted = wanted(options, &account, mailbox.as_ref()).map_err(trouble)?;
    let mut failed = Vec::new();
    if !dry_run {
        for found in &wanted {
            if let Err(error) = account.undelete(&found.kept) {
                failed.push(format!("\"{}\" stays away: {error}", found.subject));
            }
        }
    }
    let done = wanted.len() - failed.len();
    print(&if options.output.json {
        as_json(&wanted, naming, if *dry_run { 0 } else { done })
    } else {
        as_text(&wanted, naming, (*dry_run, done))
    });
    match (wanted.is_empty(), failed.is_empty()) {
        (true, _) => Err(Failure::check_failed(
            "nothing like that is kept; how long expunged mail is kept says keep_expunged under [mailboxes]",
        )),
        (_, true) => Ok(()),
        (_, false) => Err(Failure::check_failed(failed.join("\n"))),
    }
}

fn wanted(
    options: &Options,
    account: &Account,
    mailbox: Option<&MailboxName>,
) -> Result<Vec<Found>, kings_store::StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let oldest = options.since.map(|age| now.saturating_sub(age).as_secs());
    let is_young = |kept: &Expunged| {
        oldest.is_none_or(|oldest| u64::try_from(kept.expunged).is_ok_and(|second| second >= oldest))
    };
    let is_there = |kept: &Expunged| mailbox.is_none_or(|name| kept.mailbox == *name);
    let mut wanted = Vec::new();
    for kept in account.expunged()?.into_iter().filter(|kept| is_young(kept) && is_there(kept)) {
        let (subject, from) = known_by(account, &kept);
        let needle = options.text.as_ref().map(|text| text.to_lowercase());
        if needle.is_none_or(|text| format!("{subject}\n{from}").to_lowercase().contains(&text)) {
            wanted.push(Found { kept, subject, from });
        }
    }
    Ok(wanted)
}

/// Subject and From as a person reads them; nothing that would move the cursor.
fn known_by(account: &Account, kept: &Expunged) -> (String, String) {
    let content = account.read_expunged(kept).ok();
    let content = content.as_ref().map(AsRef::as_ref).unwrap_or_default();
    let read = |name: &str| {
        let text = header::first(content, name).map(|field: Field<'_>| field.text()).unwrap_or_default();
        encoded_word::decode(&text).replace(char::is_control, " ").trim().to_owned()
    };
    (read("Subject"), read("From"))
}

fn date(second: i64) -> String {
    DateTime::from_unix(second).to_string()
}

fn as_json(wanted: &[Found], naming: Naming, done: usize) -> String {
    let item = |found: &Found| {
        let Found { kept, subject, from } = found;
        json!({
            "mailbox": naming.text(&kept.mailbox), "expunged": date(kept.expunged),
            "received": date(kept.internal_date), "octets": kept.octets, "subject": subject, "from": from,
        })
    };
    let items: Vec<serde_json::Value> = wanted.iter().map(item).collect();
    format!("{}\n", json!({ "schema": 1, "undeleted": done, "items": items }))
}

fn as_text(wanted: &[Found], naming: Naming, (dry_run, done): (bool, usize)) -> String {
    let mut text = String::new();
    for Found { kept, subject, from } in wanted {
        let mailbox = naming.text(&kept.mailbox);
        text.push_str(&format!("{}  {mailbox:<16} {from:<32} {subject}\n", date(kept.expunged)));
    }
    text.push_str(&if dry_run {
        format!("{} messages would come back\n", wanted.len())
    } else {
        format!("{done} messages are back\n")
    });
    text
}
