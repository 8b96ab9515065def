//! `kings verify`: are the mailboxes as they should be?

use std::io::{self, IsTerminal, Write};

use kings_mail::address::Address;
use kings_store::{Finding, How, Naming, Verified};
use serde_json::json;

use super::mail::{Mail, account};
use super::{Failure, Output, print};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Accounts, as in ann@example.org; all of them where none is named.
    #[arg(value_parser = account)]
    accounts: Vec<Address>,
    /// Mend what can be mended: sizes are noted, a lost list and a damaged index are made anew, leftovers go.
    #[arg(long)]
    repair: bool,
    /// Read no messages: believe the sizes that file names tell.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    output: Output,
}

/// What was found in all accounts.
#[derive(Default)]
struct Tally {
    done: Verified,
    found: u64,
    repaired: u64,
    items: Vec<serde_json::Value>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mail = Mail::open(&options.output.common)?;
    let accounts = mail.accounts(&options.accounts)?;
    let how = How { repair: options.repair, quick: options.quick };
    let mut tally = Tally::default();
    let mut unopened = 0;
    for (place, account) in accounts.iter().enumerate() {
        progress(&format!("{} of {}: {account}", place + 1, accounts.len()));
        let mut tell = |finding: Finding| tally.note(account, (&finding, mail.naming), options.output.json);
        match mail.store.verify(account, how, &mut tell) {
            Ok(done) => tally.done = plus(tally.done, done),
            Err(error) => {
                unopened += 1;
                print(&format!("{account}: cannot be opened: {error}\n"));
            }
        }
    }
    progress("");
    let left = tally.found - tally.repaired + unopened;
    print(&if options.output.json { tally.as_json(accounts.len()) } else { tally.as_text(accounts.len()) });
    match (left, options.repair) {
        (0, _) => Ok(()),
        (_, true) => Err(Failure::check_failed(format!("{left} faults need a person"))),
        (_, false) => Err(Failure::check_failed(
            "kings verify --repair mends what can be mended without losing a message",
        )),
    }
}

impl Tally {
    fn note(&mut self, account: &Address, (finding, naming): (&Finding, Naming), json: bool) {
        let Finding { mailbox, file, fault, repaired } = finding;
        self.found += 1;
        self.repaired += u64::from(*repaired);
        let mailbox = mailbox.as_ref().map(|name| naming.text(name));
        if json {
            self.items.push(json!({
                "account": account.to_string(), "mailbox": mailbox, "file": file,
                "fault": fault.to_string(), "repaired": repaired,
            }));
            return;
        }
        progress("");
        let place: Vec<String> =
            [Some(account.to_string()), mailbox, file.clone()].into_iter().flatten().collect();
        let mended = if *repaired { " (mended)" } else { "" };
        print(&format!("{}: {fault}{mended}\n", place.join(" ")));
    }

    fn as_json(&self, accounts: usize) -> String {
        let Verified { mailboxes, messages, octets } = self.done;
        let done = json!({
            "schema": 1, "accounts": accounts, "mailboxes": mailboxes, "messages": messages, "octets": octets,
            "faults": self.found, "repaired": self.repaired, "items": self.items,
        });
        format!("{done}\n")
    }

    fn as_text(&self, accounts: usize) -> String {
        let Verified { mailboxes, messages, octets } = self.done;
        let Self { found, repaired, .. } = self;
        let verdict =
            if *found == 0 { "ok".to_owned() } else { format!("{found} faults, {repaired} mended") };
        format!(
            "{accounts} accounts, {mailboxes} mailboxes, {messages} messages, {octets} octets: {verdict}\n"
        )
    }
}

fn plus(a: Verified, b: Verified) -> Verified {
    Verified {
        mailboxes: a.mailboxes + b.mailboxes,
        messages: a.messages + b.messages,
        octets: a.octets + b.octets,
    }
}

/// One line that is written over, for a person who waits.
fn progress(text: &str) {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
    }
}
