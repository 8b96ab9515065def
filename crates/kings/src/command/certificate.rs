//! `kings certificate`: what is shown to clients, whether it is good, and where the next one comes from.

mod check;
mod import;

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use kings_acme::Report;
use kings_dns::Tlsa;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_tls::Described;
use serde_json::{Value, json};

use super::{Common, Failure, Output, ask, print};
use crate::control::Request;

/// Longest wait for an authority, which looks from several places and takes its time.
const RENEWAL: Duration = Duration::from_mins(5);
/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What the running server shows, until when, and when the next one is ordered.
    List(Output),
    /// Order new certificates now, whatever their age, and wait for them.
    Renew(Renew),
    /// Ask the ports themselves: names, dates, the chain, and the keys that DNS names (TLSA).
    Check(Output),
    /// Copy a certificate of certbot to where the server may read it, and reload; certbot's deploy hook.
    Import(import::Options),
}

#[derive(clap::Args)]
pub(crate) struct Renew {
    /// The names, as in mail.example.org; all of them where none is given.
    #[arg(value_parser = domain)]
    names: Vec<Domain>,
    #[command(flatten)]
    common: Common,
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(output) => list(output),
        Command::Renew(options) => renew(options),
        Command::Check(output) => check::run(output),
        Command::Import(options) => import::run(options),
    }
}

fn list(output: &Output) -> Result<(), Failure> {
    let items = items(&output.common)?;
    print(&if output.json {
        format!("{}\n", json!({ "schema": 1, "items": items }))
    } else {
        describe(&items)
    });
    Ok(())
}

/// Asks the server; only it knows what it shows.
fn items(common: &Common) -> Result<Vec<Value>, Failure> {
    let settings = common.settings()?;
    let answer = ask(&settings.data_dir, &Request::CertificateList)?.ok_or_else(|| not_running(common))?;
    let answer = answer.map_err(Failure::cannot_tell)?;
    Ok(answer["items"].as_array().cloned().unwrap_or_default())
}

fn not_running(common: &Common) -> Failure {
    let config = common.config.display();
    Failure::cannot_tell(format!("the server does not run; start it with: kings serve --config {config}"))
}

/// Orders, and waits until each name was tried.
fn renew(options: &Renew) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let before = items(&options.common)?;
    let names = options.names.iter().map(ToString::to_string).collect();
    let answer = ask(&settings.data_dir, &Request::CertificateRenew { names })?;
    let wanted = answer.ok_or_else(|| not_running(&options.common))?.map_err(Failure::usage)?;
    let wanted: Vec<String> = wanted["names"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    let tries = |items: &[Value], name: &str| {
        items.iter().find(|item| item["name"] == *name).and_then(|item| item["tries"].as_u64()).unwrap_or(0)
    };
    let began = Instant::now();
    loop {
        let now = items(&options.common)?;
        if wanted.iter().all(|name| tries(&now, name) > tries(&before, name)) {
            let ended: Vec<Value> =
                now.into_iter().filter(|item| wanted.iter().any(|name| item["name"] == **name)).collect();
            print(&describe(&ended));
            let failed = ended.iter().any(|item| item["error"].is_string());
            return if failed { Err(Failure::check_failed("")) } else { Ok(()) };
        }
        if began.elapsed() > RENEWAL {
            return Err(Failure::cannot_tell("it is still being ordered; see  kings certificate list"));
        }
        sleep(LOOK);
    }
}

/// One line for each name, and one more for what is wrong, with what mends it.
pub(super) fn describe(items: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = String::new();
    for item in items {
        let until = item["not_after"]
            .as_str()
            .map_or_else(|| "no certificate yet".to_owned(), |until| format!("until {until}"));
        let trust = if item["self_signed"] == json!(true) {
            "  self-signed"
        } else if item["trusted"] == json!(false) {
            "  from an authority that this machine does not trust"
        } else {
            ""
        };
        lines.push_str(&format!(
            "  {:<32} {:<8} {until}{trust}\n",
            text(&item["name"]),
            text(&item["state"])
        ));
        if let Some(error) = item["error"].as_str() {
            lines.push_str(&format!("    {error}: {}\n", text(&item["fix"])));
        }
        if let Some(next) = item["next_try"].as_str() {
            lines.push_str(&format!("    next order {next}\n"));
        }
    }
    lines
}

/// What the server says of the names that it orders certificates for; where it orders none, of what it shows.
pub(crate) fn answer(reports: &[Report], shown: &[Described]) -> Value {
    let items: Vec<Value> = if reports.is_empty() {
        shown.iter().map(of_shown).collect()
    } else {
        reports.iter().map(of_report).collect()
    };
    json!({ "schema": 1, "items": items })
}

fn of_shown(shown: &Described) -> Value {
    let mut item = facts(Some(shown));
    item["name"] = json!(shown.names.first());
    item["state"] = json!(if is_over(shown) { "expired" } else { "good" });
    item["tlsa"] = json!([tlsa(&shown.tlsa())]);
    item
}

fn of_report(report: &Report) -> Value {
    let mut item = facts(report.certificate.as_ref());
    let state = match (&report.certificate, &report.error) {
        (Some(certificate), _) if is_over(certificate) => "expired",
        (_, Some(_)) => "failing",
        (Some(_), None) => "good",
        (None, None) => "pending",
    };
    item["name"] = json!(report.name.as_str());
    item["state"] = json!(state);
    item["trusted"] = json!(report.is_trusted);
    item["error"] = json!(report.error);
    item["fix"] = json!(report.fix);
    item["next_try"] = json!(time(UNIX_EPOCH + Duration::from_secs(report.next_try)));
    item["tries"] = json!(report.tries);
    item["tlsa"] = json!(report.keys.iter().map(tlsa).collect::<Vec<_>>());
    item
}

fn facts(certificate: Option<&Described>) -> Value {
    json!({
        "names": certificate.map(|read| &read.names),
        "issuer": certificate.map(|read| &read.issuer),
        "not_before": certificate.map(|read| time(read.not_before)),
        "not_after": certificate.map(|read| time(read.not_after)),
        "self_signed": certificate.map(|read| read.is_self_signed),
    })
}

fn is_over(certificate: &Described) -> bool {
    SystemTime::now() > certificate.not_after
}

/// `3 1 1 ...`, as it stands in a zone.
pub(super) fn tlsa(record: &Tlsa) -> String {
    let data: String = record.data.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{} {} {} {data}", record.usage, record.selector, record.matching)
}

fn time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DateTime::from_unix(i64::try_from(seconds).unwrap_or_default()).to_rfc3339()
}
