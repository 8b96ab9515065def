//! How many files the server may open: as many as the machine lets it, and a word where that is too few.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Daemon, Kings, Setup, Smtp, run};

const START: Duration = Duration::from_secs(20);

/// Starts `kings serve` from a shell that sets these limits before.
fn serve_with(kings: &Kings, limits: &str, log: &str) -> Daemon {
    let serve = kings.command(&["serve"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits} && exec \"$@\""), "sh"]);
    shell.arg(serve.get_program()).args(serve.get_args());
    let mut daemon = Daemon::start("kings", &mut shell, &kings.folder().join(log));
    daemon.wait_for("its start", START, |daemon| daemon.log().contains(" ready\n"));
    daemon
}

/// The soft and the hard limit of a process.
fn limits(process: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().skip(3).take(2).map(str::to_owned).collect()
}

/// A server that was started once, with 500 connections in its limits.
fn stopped() -> Kings {
    let tables = "[limits]\nsmtp_connections = 200\nimap_connections = 300\n".to_owned();
    let mut kings = Setup { tables, ..Setup::default() }.start();
    kings.kill();
    kings
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let kings = stopped();
    let daemon = serve_with(&kings, "ulimit -Sn 256 && ulimit -Hn 1600", "enough.log");
    assert_eq!(limits(daemon.id()), ["1600", "1600"]);
    assert!(!daemon.log().contains("files may be open"), "{}", daemon.log());
}

#[test]
fn a_hard_limit_that_is_too_low_is_told_and_the_server_serves_all_the_same() {
    let kings = stopped();
    let daemon = serve_with(&kings, "ulimit -Sn 256 && ulimit -Hn 512", "few.log");
    assert_eq!(limits(daemon.id()), ["512", "512"]);
    let log = daemon.log();
    for expected in ["WARN", "only 512 files may be open", "500 connections", "LimitNOFILE=1500"] {
        assert!(log.contains(expected), "no {expected} in {log}");
    }
    let status = run(&mut kings.command(&["status", "--json"])).succeeded();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let smtp = status["listeners"].as_array().unwrap().iter().find(|found| found["name"] == "smtp").unwrap();
    let mut client = Smtp::connect(smtp["address"].as_str().unwrap().parse().unwrap()).unwrap();
    client.command("NOOP").unwrap().is("250");
}
