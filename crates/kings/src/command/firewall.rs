//! `kings firewall`: the ports of the config and SSH's are open, all others closed.

use std::io::{self, IsTerminal};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Common, Failure, Output, goes_on, print};
use crate::config::Settings;
use crate::firewall::{Closed, FirewallError, Open, SshPorts, Tool};
use crate::prepare::holder::{self, Held};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What would be open and by which rules, and what of this machine would be closed. Changes nothing.
    Show(Output),
    /// Shows what will be open and what closed, asks, opens SSH's ports, then those of the config, and closes all others; done
    /// again, it changes nothing.
    Apply(Apply),
    /// Takes the rules away again.
    Remove(Remove),
}

#[derive(Args)]
pub(crate) struct Apply {
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
    /// Rules of others that are in the way are told, and no failure: for the unit, which would otherwise not count as started.
    #[arg(long, hide = true)]
    at_boot: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Remove {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Show(output) => show(output),
        Command::Apply(options) => apply(options),
        Command::Remove(Remove { json, .. }) => {
            let tool = tool()?;
            let changed = tool.remove().map_err(|error| failure(&error))?;
            let words = if changed { "the rules of Kings are gone" } else { "there are no rules of Kings" };
            tell(*json, tool, changed, &[], words);
            Ok(())
        }
    }
}

fn apply(Apply { yes, at_boot, output }: &Apply) -> Result<(), Failure> {
    let settings = output.common.settings()?;
    let ssh = SshPorts::of_this_machine();
    let open = open(&settings, &ssh);
    let tool = tool()?;
    let is_done = tool.has(&open).map_err(|error| failure(&error))?;
    if !is_done && !yes && !agreed(tool, &open, output.json)? {
        return Err(Failure::check_failed("nothing was changed"));
    }
    // Before anything is closed: what could not be kept would be shut after the next boot.
    ssh.remember().map_err(|error| failure(&error))?;
    let changed = !is_done && tool.apply(&open).map_err(|error| failure(&error))?;
    // What was done is told, whatever is found out about others.
    let others = tool.closed_by_others(&open);
    let said = if changed { "open now" } else { "nothing to do, open already" };
    let known = others.as_deref().unwrap_or_default();
    tell(output.json, tool, changed, known, &format!("{said}: {}", named(&open)));
    let failed = match others {
        Ok(others) if others.is_empty() => return Ok(()),
        Ok(others) => {
            let lines: Vec<String> = others.iter().map(ToString::to_string).collect();
            Failure::check_failed(format!("rules of others are in the way:\n{}", lines.join("\n")))
        }
        Err(error) => failure(&error),
    };
    if *at_boot {
        // The rules stand: a unit that failed would not take them back when it is stopped.
        print(&format!("{}\n", failed.parts().1));
        return Ok(());
    }
    Err(failed)
}

/// Whoever is logged in from afar looks at what stays open before it closes behind them.
fn agreed(tool: Tool, open: &Open, json: bool) -> Result<bool, Failure> {
    if json || !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nothing is changed without a word: --yes does it, kings firewall show only tells",
        ));
    }
    print(&format!("{tool} will let in: {}\n{}", named(open), warnings(open, &closed(open))));
    print(
        "Connections that are there go on. Keep this one until you have come in by another; kings firewall remove  takes it back.\n",
    );
    goes_on(false)
}

fn open(settings: &Settings, ssh: &SshPorts) -> Open {
    Open::new(ssh.open.clone(), &settings.listen, settings.security.openings.clone())
}

/// What somebody outside reaches now, and would not any more.
fn closed(open: &Open) -> Vec<Held> {
    let outside = holder::listening().into_iter().filter(|held| held.is_outside);
    outside.filter(|held| !open.lets_in(held.opening())).collect()
}

/// Both of them are for root alone, and say so in many ways.
fn tool() -> Result<Tool, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::not_allowed("only root may change the firewall: try with sudo"));
    }
    Tool::of_this_machine().map_err(|error| failure(&error))
}

fn failure(error: &FirewallError) -> Failure {
    Failure::check_failed(error.to_string())
}

fn tell(json: bool, tool: Tool, changed: bool, others: &[Closed], words: &str) {
    let tool = tool.to_string();
    let line = json!({ "schema": 1, "tool": tool, "changed": changed, "closed_by_others": blocks(others) });
    print(&if json { format!("{line}\n") } else { format!("{tool}: {words}\n") });
}

fn blocks(others: &[Closed]) -> Vec<Value> {
    let block = |closed: &Closed| json!({ "by": closed.place.trim_end_matches(','), "ports": closed.ports, "sure": closed.is_sure, "fix": closed.fix });
    others.iter().map(block).collect()
}

/// `SSH 22, smtp 25`
fn named(open: &Open) -> String {
    let ssh = open.ssh.iter().map(|port| format!("SSH {port}"));
    let mail = open.mail.iter().map(|(port, name)| format!("{name} {port}"));
    let all: Vec<String> = ssh.chain(mail).chain(open.others.iter().map(ToString::to_string)).collect();
    all.join(", ")
}

fn show(output: &Output) -> Result<(), Failure> {
    let open = open(&output.common.settings()?, &SshPorts::of_this_machine());
    let tool = Tool::of_this_machine().map_err(|error| failure(&error))?;
    let closed = closed(&open);
    // Only root may look at the rules of others; whoever is not is told of the rest.
    let others = tool.closed_by_others(&open).unwrap_or_default();
    print(&if output.json {
        format!("{}\n", to_json(&open, tool, &closed, &others))
    } else {
        describe(&open, tool, &closed, &others)
    });
    Ok(())
}

fn to_json(open: &Open, tool: Tool, closed: &[Held], by_others: &[Closed]) -> Value {
    let mail = open.mail.iter().map(|(port, name)| json!({ "port": port, "protocol": "tcp", "for": name }));
    let others = open.others.iter().map(
        |opening| json!({ "port": opening.port, "protocol": opening.protocol.to_string(), "for": "[firewall] allow" }),
    );
    let ssh = open.ssh.iter().map(|port| json!({ "port": port, "protocol": "tcp", "for": "ssh" }));
    let used = |held: &Held| {
        let opening = held.opening();
        json!({ "port": opening.port, "protocol": opening.protocol.to_string(), "used_by": held.holders() })
    };
    json!({
        "schema": 1,
        "tool": tool.to_string(),
        "open": ssh.chain(mail).chain(others).collect::<Vec<_>>(),
        "closed": closed.iter().map(used).collect::<Vec<_>>(),
        "closed_by_others": blocks(by_others),
        "rules": tool.plan(open),
    })
}

fn describe(open: &Open, tool: Tool, closed: &[Held], others: &[Closed]) -> String {
    let mut text =
        format!("{tool} lets in: {}\n\n{}{}", named(open), tool.plan(open), warnings(open, closed));
    if !others.is_empty() {
        text.push_str("\nRules of others are in the way:\n");
        text.extend(others.iter().map(|closed| format!("  {closed}\n")));
    }
    text
}

/// What the operator may not have thought of.
fn warnings(open: &Open, closed: &[Held]) -> String {
    let mut text = String::new();
    for name in &open.unknown {
        text.push_str(&format!(
            "\n[listen] {name} has a port that the kernel chooses, and no rule can name it: give it one\n"
        ));
    }
    if !closed.is_empty() {
        text.push_str("\nThis would be closed; what is to stay open belongs into [firewall] allow:\n");
        for held in closed {
            text.push_str(&format!("  {:<12} {}\n", held.opening().to_string(), held.holders()));
        }
    }
    text
}
