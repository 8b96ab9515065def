//! `kings doctor`: looks behind the server, for what `kings status` cannot see. It needs no server that runs.

mod files;
mod machine;
mod outside;

use std::net::IpAddr;

use kings_ops::doctor::{self, relay};
use kings_ops::status::{self, Line, Server, State};
use serde_json::{Value, json};

use super::status::gather;
use super::{Failure, Output, print};
use crate::config::{Settings, Threads};
use crate::serve;

/// What is asked, and how it is shown.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    output: Output,
    /// Compare the clock with this time server, with or without its port; more than one may be named. Without it those of the
    /// machine's own time service are asked.
    #[arg(long, value_name = "SERVER")]
    ntp: Vec<String>,
}

/// 0: nothing fails. 1: something does.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let common = &options.output.common;
    let settings = common.settings()?;
    let runtime = serve::runtime(Threads { workers: Some(2), blocking: 16 })?;
    let lines = runtime.block_on(lines(&settings, options));
    // A disk that hangs must not hold us up any longer.
    runtime.shutdown_background();
    let lines = lines?;
    let worst = status::worst(&lines);
    print(&if options.output.json {
        let checks: Vec<Value> = lines.iter().map(Line::json).collect();
        format!("{}\n", json!({ "schema": 1, "result": worst.key(), "checks": checks }))
    } else {
        format!("Kings {}  {}\n{}", env!("CARGO_PKG_VERSION"), settings.hostname, status::text(&lines))
    });
    if worst == State::Fail { Err(Failure::check_failed("")) } else { Ok(()) }
}

/// All of it, side by side where it waits for others.
async fn lines(settings: &Settings, options: &Options) -> Result<Vec<Line>, Failure> {
    let (server, told) = gather::ask(settings, &options.output.common.config).await?;
    let pid = match server {
        Server::Runs { pid, .. } => Some(pid),
        Server::Stopped { .. } | Server::Silent { .. } | Server::Odd(_) => None,
    };
    let (clock, (resolver, dnssec), relayed, disks) = tokio::join!(
        machine::clock(&options.ntp),
        outside::names(settings),
        stranger(settings, &told),
        gather::disks(settings),
    );
    let (user, looked_at, flaws) = files::look(settings, pid);
    Ok(vec![
        status::server(&server),
        doctor::clock(&clock),
        doctor::resolver(&resolver),
        doctor::dnssec(dnssec),
        doctor::limits(machine::limits(&settings.limits, pid)),
        doctor::permissions(&user, looked_at, &flaws),
        doctor::surface(&machine::surface(settings, pid, &told)),
        doctor::open_relay(&relayed),
        status::disk(&disks),
        doctor::system(&machine::system()),
        doctor::crashes(machine::ends(settings, &server)),
    ])
}

/// Tries to relay as a stranger. Whoever comes from loopback may be trusted for good reasons, so that proves nothing.
async fn stranger(settings: &Settings, told: &Value) -> Result<(IpAddr, bool, relay::Outcome), String> {
    let target = outside::target(settings, told)?;
    let is_trusted = settings.submission.networks.iter().any(|network| network.contains(&target.from));
    let outcome = relay::try_all(&target).await;
    Ok((target.from, is_trusted, outcome))
}
