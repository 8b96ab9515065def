//! `kings account`: who receives mail and logs in.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal};

use clap::Subcommand;
use kings_directory::{Directory, EditError};
use kings_mail::address::Address;
use kings_sasl::Secret;
use serde_json::json;

use super::{Common, Failure, Output, print, undelete};
use crate::prepare;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Add an account; the password comes from a prompt or from standard input.
    Add(One),
    /// List all accounts.
    List(Output),
    /// Remove an account; its mail stays on the disk.
    Remove(One),
    /// Set a new password, from a prompt or from standard input.
    Password(One),
    /// Put back mail that was expunged, as long as it is kept (keep_expunged in the config).
    Undelete(undelete::Options),
}

#[derive(clap::Args)]
pub(crate) struct One {
    /// The account, as in ann@example.org.
    #[arg(value_parser = |text: &str| Address::parse(text).map_err(|error| error.to_string()))]
    account: Address,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(one) => {
            let directory = open(&one.common)?;
            let password = new_password(&one.account)?;
            directory.add_account(&one.account, &password).map_err(failure)?;
            print(&format!("added {}; it acts within a second\n", one.account));
        }
        Command::Remove(one) => {
            open(&one.common)?.remove_account(&one.account).map_err(failure)?;
            print(&format!("removed {}; its mail stays on the disk\n", one.account));
        }
        Command::Password(one) => {
            let directory = open(&one.common)?;
            if !directory.has_account(&one.account) {
                return Err(failure(EditError::Unknown(one.account)));
            }
            let password = new_password(&one.account)?;
            directory.set_password(&one.account, &password).map_err(failure)?;
            crate::setup::password_is_set(&one.common.settings()?.data_dir);
            print(&format!("new password for {}; it acts within a second\n", one.account));
        }
        Command::Undelete(options) => undelete::run(&options)?,
        Command::List(output) => list(&output)?,
    }
    Ok(())
}

fn open(common: &Common) -> Result<Directory, Failure> {
    let settings = common.settings()?;
    prepare::open_directory(&settings).map_err(|error| Failure::config(error.to_string()))
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failure(error: EditError) -> Failure {
    match error {
        EditError::Exists(_) | EditError::Unknown(_) | EditError::NotHosted(_) | EditError::BadName(_) => {
            Failure::check_failed(error.to_string())
        }
        EditError::Io(_) => Failure::cannot_tell(error.to_string()),
    }
}

fn list(output: &Output) -> Result<(), Failure> {
    let accounts = open(&output.common)?.accounts();
    if output.json {
        let items: Vec<_> = accounts
            .iter()
            .map(|(address, login)| json!({ "account": address.to_string(), "login": login }))
            .collect();
        print(&format!("{}\n", json!({ "schema": 1, "items": items })));
        return Ok(());
    }
    for (address, login) in accounts {
        print(&format!("{address}{}\n", if login { "" } else { "  (no login)" }));
    }
    Ok(())
}

/// Asked for at a terminal; one line of standard input otherwise. Never from the command line, which others can read.
pub(super) fn password(prompt: impl ToString) -> Result<Secret, Failure> {
    let read = if io::stdin().is_terminal() { rpassword::prompt_password(prompt) } else { one_line() };
    read.map(Secret::new).map_err(unreadable)
}

fn one_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unreadable(error: io::Error) -> Failure {
    Failure::cannot_tell(format!("cannot read the password: {error}"))
}

/// Asked for twice at a terminal; one line of standard input otherwise.
pub(crate) fn new_password(purpose: impl Display) -> Result<Secret, Failure> {
    let password = if io::stdin().is_terminal() {
        let first =
            rpassword::prompt_password(format!("New password for {purpose}: ")).map_err(unreadable)?;
        let second = rpassword::prompt_password("Once more: ").map_err(unreadable)?;
        if first != second {
            return Err(Failure::check_failed("the two passwords differ, nothing was changed"));
        }
        first
    } else {
        one_line().map_err(unreadable)?
    };
    if password.is_empty() {
        return Err(Failure::check_failed("the password is empty, nothing was changed"));
    }
    Ok(Secret::new(password))
}
