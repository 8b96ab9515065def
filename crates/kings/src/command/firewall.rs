//! `kings firewall`: the ports of the config and SSH's are open, all others closed.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Common, Failure, Output, print};
use crate::config::Settings;
use crate::firewall::{FirewallError, Open, Tool, ssh_ports};
use crate::prepare::holder::{self, Listening};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What would be open and by which rules, and what of this machine would be closed. Changes nothing.
    Show(Output),
    /// Opens SSH's ports, then those of the config, and closes all others; done again, it changes nothing.
    Apply(Output),
    /// Takes the rules away again.
    Remove(Remove),
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
        Command::Apply(output) => {
            let open = open(&output.common.settings()?);
            let tool = tool()?;
            let changed = tool.apply(&open).map_err(|error| failure(&error))?;
            let said = if changed { "open now" } else { "nothing to do, open already" };
            tell(output.json, tool, changed, &format!("{said}: {}", named(&open)));
            Ok(())
        }
        Command::Remove(Remove { json, .. }) => {
            let tool = tool()?;
            let changed = tool.remove().map_err(|error| failure(&error))?;
            tell(
                *json,
                tool,
                changed,
                if changed { "the rules of Kings are gone" } else { "there are no rules of Kings" },
            );
            Ok(())
        }
    }
}

fn open(settings: &Settings) -> Open {
    Open::new(ssh_ports(), &settings.listen, settings.firewall.clone())
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

fn tell(json: bool, tool: Tool, changed: bool, words: &str) {
    let tool = tool.to_string();
    let line = json!({ "schema": 1, "tool": tool, "changed": changed });
    print(&if json { format!("{line}\n") } else { format!("{tool}: {words}\n") });
}

/// `SSH 22, smtp 25`
fn named(open: &Open) -> String {
    let ssh = open.ssh.iter().map(|port| format!("SSH {port}"));
    let mail = open.mail.iter().map(|(port, name)| format!("{name} {port}"));
    let all: Vec<String> = ssh.chain(mail).chain(open.others.iter().map(ToString::to_string)).collect();
    all.join(", ")
}

fn show(output: &Output) -> Result<(), Failure> {
    let open = open(&output.common.settings()?);
    let tool = Tool::of_this_machine().map_err(|error| failure(&error))?;
    let closed: Vec<Listening> = holder::listening()
        .into_iter()
        .filter(|held| held.is_outside && !open.lets_in(held.opening()))
        .collect();
    print(&if output.json {
        format!("{}\n", to_json(&open, tool, &closed))
    } else {
        describe(&open, tool, &closed)
    });
    Ok(())
}

fn to_json(open: &Open, tool: Tool, closed: &[Listening]) -> Value {
    let mail = open.mail.iter().map(|(port, name)| json!({ "port": port, "protocol": "tcp", "for": name }));
    let others = open.others.iter().map(
        |opening| json!({ "port": opening.port, "protocol": opening.protocol.to_string(), "for": "[firewall] allow" }),
    );
    let ssh = open.ssh.iter().map(|port| json!({ "port": port, "protocol": "tcp", "for": "ssh" }));
    let used = |held: &Listening| {
        let opening = held.opening();
        json!({ "port": opening.port, "protocol": opening.protocol.to_string(), "used_by": held.holders() })
    };
    json!({
        "schema": 1,
        "tool": tool.to_string(),
        "open": ssh.chain(mail).chain(others).collect::<Vec<_>>(),
        "closed": closed.iter().map(used).collect::<Vec<_>>(),
        "rules": tool.plan(open),
    })
}

fn describe(open: &Open, tool: Tool, closed: &[Listening]) -> String {
    let mut text = format!("{tool} lets in: {}\n\n{}", named(open), tool.plan(open));
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
