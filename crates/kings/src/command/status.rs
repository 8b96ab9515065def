//! `kings status`: how the server is, on one screen, by what it tells and by what its own ports show.

pub(super) mod gather;

use kings_ops::status::{self, Figure, Line, NagiosCode, State};
use serde_json::{Value, json};

use self::gather::Gathered;
use super::{Failure, Output, ask, print};
use crate::control::Request;

/// What is shown, and how.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    output: Output,
    /// With --json: look at everything that the screen shows (ports, DNS, disk, sizes), and exit by it. Without it only the
    /// server is asked, which costs nothing, and the exit code says whether it runs.
    #[arg(long, requires = "json")]
    full: bool,
    /// One line for Nagios and its kin, with performance data; exit 0, 1, 2 or 3.
    #[arg(long, conflicts_with = "json")]
    nagios: bool,
}

/// 0: nothing fails. 1: something does, or it does not run. With `--nagios` the codes of its plugins.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.nagios {
        return nagios(options);
    }
    let settings = options.output.common.settings()?;
    if options.output.json && !options.full {
        return told(options, &settings.data_dir);
    }
    let gathered = Gathered::new(&settings, &options.output.common.config)?;
    let lines = gathered.lines();
    if options.output.json {
        let mut page = gathered.told.clone();
        page["checks"] = lines.iter().map(Line::json).collect();
        page["result"] = json!(status::worst(&lines).key());
        print(&format!("{page}\n"));
    } else {
        print(&format!("{}{}", head(&gathered, &settings.hostname), status::text(&lines)));
        print(&listening(&gathered.told));
    }
    match status::worst(&lines) {
        State::Fail if !gathered.runs() && !options.output.json => Err(stopped(options)),
        State::Fail => Err(Failure::check_failed("")),
        State::Ok | State::Warn | State::Wait | State::CannotTell => Ok(()),
    }
}

/// What the server says of itself, and nothing else.
fn told(options: &Options, data_dir: &std::path::Path) -> Result<(), Failure> {
    match ask(data_dir, &Request::Status)? {
        Some(answer) => {
            print(&format!("{}\n", answer.map_err(Failure::cannot_tell)?));
            Ok(())
        }
        None => {
            print(&format!("{}\n", gather::nothing("stopped")));
            drop(stopped(options));
            Err(Failure::check_failed(""))
        }
    }
}

fn stopped(options: &Options) -> Failure {
    let start = gather::start(&options.output.common.config);
    Failure::check_failed(format!("the server does not run; start it with: {start}"))
}

fn head(gathered: &Gathered, hostname: &kings_mail::domain::Domain) -> String {
    let text = |key: &str| gathered.told[key].as_str().unwrap_or_default();
    format!("Kings {}  {}  {hostname}\n", text("version"), text("state"))
}

/// Where it listens, in a line for each address.
fn listening(told: &Value) -> String {
    let listeners = told["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |listener: &Value| {
        let text = |key: &str| listener[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("name"), text("address"))
    };
    if listeners.is_empty() {
        return String::new();
    }
    format!("Listening: {}\n", listeners.iter().map(place).collect::<Vec<_>>().join(", "))
}

/// The line of a plugin; whatever goes wrong has its place in it.
fn nagios(options: &Options) -> Result<(), Failure> {
    let gathered = options
        .output
        .common
        .settings()
        .and_then(|settings| Gathered::new(&settings, &options.output.common.config));
    let (line, code) = match &gathered {
        Ok(gathered) => status::nagios(&gathered.lines(), &figures(gathered)),
        Err(failure) => {
            let text = failure.parts().1.replace('\n', "; ").replace('|', "/");
            (format!("KINGS UNKNOWN - {text}"), NagiosCode::Unknown)
        }
    };
    print(&format!("{line}\n"));
    match code {
        NagiosCode::Ok => Ok(()),
        code => Err(Failure::exit(code as u8)),
    }
}

/// What graphs are drawn of. Bounds are those of the judgements.
fn figures(gathered: &Gathered) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |label, value: Option<i64>, unit, bounds| {
        figures.extend(value.map(|value| Figure { label, value, unit, bounds }));
    };
    let told = |path: &str| gathered.told.pointer(path).and_then(Value::as_i64);
    let none = ("", "");
    add("queued", told("/queued"), "", none);
    add("deferred", told("/queue/deferred"), "", none);
    add("held", told("/queue/held"), "", ("0", ""));
    add("damaged", told("/damaged"), "", ("", "0"));
    add("oldest", gathered.oldest().map(|age| age.as_secs().cast_signed()), "s", ("14400", ""));
    add("received_24h", told("/day/received"), "", none);
    add("sent_24h", told("/day/delivered"), "", none);
    add("failed_logins", told("/logins/failed"), "c", none);
    add("memory", told("/memory"), "B", none);
    add("certificate", gathered.certificate_left(), "s", none);
    add("disk_free", gathered.free_per_cent(), "%", ("10:", ""));
    figures
}
