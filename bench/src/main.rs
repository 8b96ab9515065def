//! Sends mail to any server from many sessions at once, in clear or under TLS, with or without a login, and says what
//! it cost the server.
//!
//! Postfix's smtp-source does the same for plain SMTP; it knows neither TLS nor logins.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod content;
mod load;
mod stream;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::watch::Watch;

/// Sends messages and measures.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The server, as ADDRESS:PORT.
    to: SocketAddr,
    /// How to talk to it.
    #[arg(long, value_enum, default_value_t = Protocol::Smtp)]
    protocol: Protocol,
    /// Connections at the same time.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 5_000)]
    messages: usize,
    /// Octets of each message.
    #[arg(long, default_value_t = 4_096)]
    size: usize,
    /// Messages of one connection; without it a connection is kept to the end.
    #[arg(long)]
    per_connection: Option<usize>,
    /// Reverse-path, and the From field.
    #[arg(long, default_value = "a@sender.example")]
    from: String,
    /// Forward-path; `{}` becomes the number of the session.
    #[arg(long, default_value = "user0@rig.example")]
    recipient: String,
    /// Signs each message before the run starts, with DKIM in the name of the domain of `--from`: a private key in PEM.
    #[arg(long)]
    sign_key: Option<PathBuf>,
    /// Its selector.
    #[arg(long, default_value = "bench")]
    selector: String,
    /// Login name; the password is `--password`.
    #[arg(long, requires = "password")]
    login: Option<String>,
    /// Its password.
    #[arg(long)]
    password: Option<String>,
    /// Processes of the server, whose processor time and memory are counted.
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
    /// One line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// In clear.
    Smtp,
    /// STARTTLS, then a login where one is given.
    Submission,
    /// TLS from the first byte, then a login where one is given.
    Submissions,
}

/// What a run came to.
#[derive(Debug, Serialize)]
struct Figures {
    schema: u32,
    messages: usize,
    refused: usize,
    seconds: f64,
    messages_per_second: f64,
    median_ms: f64,
    p99_ms: f64,
    server_cpu_ms_per_message: f64,
    server_peak_pss_kb: u64,
    generator_cpu_ms_per_message: f64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (watch, own) = (Watch::start(&options.watch), Watch::start(&[std::process::id()]));
    let outcome = runtime.block_on(load::run(&options))?;
    let (server, own) = (watch.stop(), own.stop());
    let count = outcome.waits.len().max(1);
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let per_message = |cpu: Duration| cpu.as_secs_f64() * 1_000.0 / count as f64;
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let figures = Figures {
        schema: 1,
        messages: outcome.waits.len(),
        refused: outcome.refused,
        seconds: outcome.took.as_secs_f64(),
        messages_per_second: outcome.waits.len() as f64 / outcome.took.as_secs_f64(),
        median_ms: quantile(&outcome.waits, 50),
        p99_ms: quantile(&outcome.waits, 99),
        server_cpu_ms_per_message: per_message(server.cpu),
        server_peak_pss_kb: server.peak_pss_kb,
        generator_cpu_ms_per_message: per_message(own.cpu),
    };
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&figures);
    }
    anyhow::ensure!(figures.refused == 0, "{} messages were refused", figures.refused);
    Ok(())
}

fn print(figures: &Figures) {
    let Figures { messages, messages_per_second, median_ms, p99_ms, .. } = figures;
    println!(
        "{messages} messages, {messages_per_second:.0} a second, {median_ms:.1} ms each (99%: {p99_ms:.1} ms)"
    );
    println!(
        "server: {:.3} ms CPU a message, {} KB at the most; generator: {:.3} ms CPU a message",
        figures.server_cpu_ms_per_message, figures.server_peak_pss_kb, figures.generator_cpu_ms_per_message
    );
}

/// In milliseconds; the times are sorted.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_times_there_are() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert!((quantile(&times, 50) - 101.0).abs() < 0.01);
        assert!((quantile(&times, 99) - 199.0).abs() < 0.01);
        assert!((quantile(&times[..1], 99) - 1.0).abs() < 0.01);
        assert!(quantile(&[], 50).abs() < 0.01);
    }
}
