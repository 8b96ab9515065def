//! `kings auth test`: would this login succeed, and if not, why; as `doveadm auth test` asks.

use std::net::IpAddr;
use std::path::Path;

use clap::{Args, Subcommand};
use kings_directory::{AccountLine, Examination, Verdict};
use kings_sasl::Mechanism;
use serde_json::{Value, json};

use super::account::password;
use super::{Failure, Output, print};
use crate::prepare;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a login against the accounts file; the password comes from a prompt or from standard input. Nothing is
    /// counted, and no server needs to run.
    Test(Test),
}

#[derive(Args)]
pub(crate) struct Test {
    /// The login name, as in ann@example.org.
    login: String,
    /// As if it came from this address: for accounts with `allow_nets`.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    #[command(flatten)]
    output: Output,
}

/// 0 when the login would succeed, 1 when it would not.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Test(Test { login, ip, output }) = command;
    let settings = output.common.settings()?;
    let directory = prepare::open_directory(&settings).map_err(|error| Failure::config(error.to_string()))?;
    let password = password(format!("Password of {login}: "))?;
    let found = directory.examine(login, &password, *ip);
    if output.json {
        print(&format!("{}\n", as_json(login, &found, &settings.accounts)));
    } else {
        print(&as_text(login, &found, *ip, &settings.accounts));
    }
    match found.verdict {
        Verdict::Succeeds => Ok(()),
        _ => Err(Failure::check_failed("")),
    }
}

/// A word for programs, and a sentence for people.
fn words(verdict: Verdict, ip: Option<IpAddr>) -> (&'static str, String) {
    let (word, sentence) = match verdict {
        Verdict::Succeeds => ("ok", "the login succeeds"),
        Verdict::UnknownAccount => ("unknown", "there is no such account"),
        Verdict::NoPassword => ("no-password", "the account has no password: nobody can log in"),
        Verdict::WrongPassword => ("wrong-password", "the password is wrong"),
        Verdict::NoLogin => ("nologin", "the password is right, but nologin closes the account"),
        Verdict::NetworkNotAllowed => {
            let client = ip.map(|ip| ip.to_string()).unwrap_or_default();
            let sentence = format!("the password is right, but allow_nets does not name {client}");
            return ("allow_nets", sentence);
        }
    };
    (word, sentence.to_owned())
}

fn as_text(login: &str, found: &Examination, ip: Option<IpAddr>, file: &Path) -> String {
    let mut text = format!("{login}: {}\n", words(found.verdict, ip).1);
    let Some(line) = &found.line else { return text };
    let AccountLine { account, number, scheme, mechanisms, extra_fields } = line;
    let mechanisms: Vec<&str> = mechanisms.iter().map(Mechanism::name).collect();
    text.push_str(&format!("  account       {account}\n  line          {}:{number}\n", file.display()));
    text.push_str(&format!("  scheme        {}\n", scheme.unwrap_or("none")));
    text.push_str(&format!("  mechanisms    {}\n", mechanisms.join(" ")));
    if !extra_fields.is_empty() {
        text.push_str(&format!("  extra fields  {}\n", extra_fields.join(" ")));
    }
    if ip.is_none() && extra_fields.iter().any(|field| field.starts_with("allow_nets=")) {
        text.push_str("  allow_nets was not looked at: say where the client is with --ip ADDRESS\n");
    }
    text
}

fn as_json(login: &str, found: &Examination, file: &Path) -> Value {
    let line = found.line.as_ref();
    let names = |line: &AccountLine| line.mechanisms.iter().map(Mechanism::name).collect::<Vec<_>>();
    json!({
        "schema": 1,
        "login": login,
        "result": words(found.verdict, None).0,
        "account": line.map(|line| line.account.to_string()),
        "file": line.map(|_| file.display().to_string()),
        "line": line.map(|line| line.number),
        "scheme": line.and_then(|line| line.scheme),
        "mechanisms": line.map(names).unwrap_or_default(),
        "extra_fields": line.map(|line| line.extra_fields.clone()).unwrap_or_default(),
    })
}
