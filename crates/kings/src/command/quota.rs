//! `kings quota`: how much accounts hold, and may hold.

use clap::Subcommand;
use kings_mail::address::Address;
use kings_store::{AccountQuota, Difference, MailboxAllowance, MailboxQuota, Quota, Store};
use serde_json::{Value, json};

use super::mail::{Mail, account};
use super::{Failure, Output, print};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What accounts hold and may hold.
    Get(Accounts),
    /// Count all messages anew, whatever the file maildirsize says.
    Recalc(Accounts),
}

#[derive(clap::Args)]
pub(crate) struct Accounts {
    /// Accounts, as in ann@example.org; all of them where none is named.
    #[arg(value_parser = account)]
    accounts: Vec<Address>,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    let (Command::Get(wanted) | Command::Recalc(wanted)) = command;
    let count = match command {
        Command::Get(_) => Store::quota,
        Command::Recalc(_) => Store::recalculate_quota,
    };
    let mail = Mail::open(&wanted.output.common)?;
    let accounts = mail.accounts(&wanted.accounts)?;
    let mut found = Vec::with_capacity(accounts.len());
    for account in accounts {
        let quota = count(&mail.store, &account)
            .map_err(|error| Failure::cannot_tell(format!("cannot count the mail of {account}: {error}")))?;
        let rules = mail.store.quota_rules(&account);
        found.push((account, quota, rules));
    }
    print(&if wanted.output.json { as_json(&found) } else { as_text(&found) });
    Ok(())
}

type Found = (Address, Quota, AccountQuota);

fn as_json(found: &[Found]) -> String {
    let item = |(account, quota, rules): &Found| -> Value {
        json!({
            "account": account.to_string(),
            "storage": { "used": quota.used.octets, "limit": quota.limits.octets },
            "messages": { "used": quota.used.messages, "limit": quota.limits.messages },
            "rules": rules.mailboxes.iter().map(rule_as_json).collect::<Vec<_>>(),
        })
    };
    let items: Vec<Value> = found.iter().map(item).collect();
    format!("{}\n", json!({ "schema": 1, "items": items }))
}

fn rule_as_json(rule: &MailboxQuota) -> Value {
    match rule.allowance {
        MailboxAllowance::Ignored => json!({ "mailbox": rule.mask, "ignored": true }),
        MailboxAllowance::Differs { octets, messages } => json!({
            "mailbox": rule.mask,
            "ignored": false,
            "storage": signed(octets, |octets| octets.to_string()),
            "messages": signed(messages, |count| count.to_string()),
        }),
    }
}

fn as_text(found: &[Found]) -> String {
    let mut text = String::new();
    for (account, Quota { used, limits }, rules) in found {
        let octets = of(used.octets, limits.octets, size);
        let messages = of(used.messages, limits.messages, |count| count.to_string());
        text.push_str(&format!("{account:<32} {octets:<32} {messages} messages\n"));
        for MailboxQuota { mask, allowance, .. } in rules.mailboxes.iter() {
            let told = match *allowance {
                MailboxAllowance::Ignored => "counts for nothing".to_owned(),
                MailboxAllowance::Differs { octets, messages } => {
                    let octets = (octets != Difference::Number(0)).then(|| signed(octets, size));
                    let messages = (messages != Difference::Number(0))
                        .then(|| format!("{} messages", signed(messages, |count| count.to_string())));
                    octets.into_iter().chain(messages).collect::<Vec<_>>().join(", ")
                }
            };
            text.push_str(&format!("  mail into {mask:<20} {told}\n"));
        }
    }
    text
}

/// `+100.0 MiB`, `-10%`.
fn signed(difference: Difference, shown: impl Fn(u64) -> String) -> String {
    let (number, told) = match difference {
        Difference::Number(number) => (number, shown(number.unsigned_abs())),
        Difference::Percent(percent) => (percent, format!("{}%", percent.unsigned_abs())),
    };
    format!("{}{told}", if number < 0 { '-' } else { '+' })
}

/// `3 of 10 (30%)`, or `3` where there is no limit.
fn of(used: u64, limit: Option<u64>, shown: impl Fn(u64) -> String) -> String {
    let Some(limit) = limit else { return shown(used) };
    let percent = u128::from(used) * 100 / u128::from(limit.max(1));
    format!("{} of {} ({percent}%)", shown(used), shown(limit))
}

/// In the largest unit that leaves a whole number before the point, rounded down.
fn size(octets: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenth, mut unit) = (octets, 0, 0);
    while whole >= 1_024 && unit + 1 < UNITS.len() {
        (whole, tenth) = (whole / 1_024, whole % 1_024 * 10 / 1_024);
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenth} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_beside_their_limits() {
        let gib = 1 << 30;
        for (octets, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (gib - 1, "1023.9 MiB"),
            (gib, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(octets), text);
        }
        assert_eq!(signed(Difference::Number(100 << 20), size), "+100.0 MiB");
        assert_eq!(signed(Difference::Number(-3), |count| count.to_string()), "-3");
        assert_eq!(signed(Difference::Percent(-10), size), "-10%");
        assert_eq!(of(gib / 2, Some(gib), size), "512.0 MiB of 1.0 GiB (50%)");
        assert_eq!(of(11, Some(10), |count| count.to_string()), "11 of 10 (110%)");
        assert_eq!(of(11, None, |count| count.to_string()), "11");
    }
}
