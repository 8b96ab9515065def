//! What setup says: what it found, what it did, and the one thing to do next.

use kings_ops::machine::{Outbound, port_25_request};
use serde_json::{Value, json};

use super::act::Actor;
use super::facts::Facts;
use super::plan::{Plan, Step, Wanted};
use super::{Options, facts};
use crate::command::Failure;

/// What became of a step.
#[derive(Clone, Debug)]
pub(super) struct Line {
    step: Step,
    state: State,
    what: String,
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unchanged,
    Changed,
    Failed,
}

impl Line {
    /// It was, or is, as it should be.
    pub(super) fn unchanged(step: Step, what: &str) -> Self {
        Self { step, state: State::Unchanged, what: what.to_owned(), fix: None }
    }

    /// It was done.
    pub(super) fn changed(step: Step, what: &str) -> Self {
        Self { step, state: State::Changed, what: what.to_owned(), fix: None }
    }

    /// It could not be done.
    pub(super) fn failed(step: Step, why: &str, fix: &str) -> Self {
        Self { step, state: State::Failed, what: why.to_owned(), fix: Some(fix.to_owned()) }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    pub(super) fn describe(&self, number: usize, all: usize) -> String {
        let state = match self.state {
            State::Unchanged => "ok  ",
            State::Changed => "done",
            State::Failed => "FAIL",
        };
        let fix = self.fix.as_ref().map(|fix| format!("              fix: {fix}\n")).unwrap_or_default();
        format!("  [{number}/{all}]  {state}  {}\n{fix}", self.what.replace('\n', "\n              "))
    }

    fn to_json(&self) -> Value {
        let state = match self.state {
            State::Unchanged => "ok",
            State::Changed => "changed",
            State::Failed => "failed",
        };
        json!({ "step": self.step.id(), "state": state, "text": self.what, "fix": self.fix })
    }
}

/// What became of all steps, and what is left to do.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) lines: Vec<Line>,
    next: Option<Next>,
    later: Vec<String>,
    /// What to write to the provider.
    request: Option<String>,
}

/// The one thing to do now.
#[derive(Clone, Debug)]
struct Next {
    what: String,
    how: String,
}

impl Report {
    pub(super) fn failed(&self) -> bool {
        self.lines.iter().any(Line::has_failed)
    }

    fn changed(&self) -> usize {
        self.lines.iter().filter(|line| line.state == State::Changed).count()
    }

    /// What only somebody else can do: the person, the zone, the provider. The first of them is the next thing.
    pub(super) fn look_around(
        &mut self,
        options: &Options,
        actor: &Actor<'_>,
        facts: &Facts,
    ) -> Result<(), Failure> {
        let domain = options.domain()?;
        if actor.password_is_wanted().exists() {
            let how = format!("kings account password {}{}", options.address, options.with_config());
            self.wants(format!("choose a password for {}", options.address), how);
        }
        if !actor.dns_is_right() {
            self.wants(
                format!(
                    "publish the records of {domain}; then  kings dns check  tells whether all are right"
                ),
                format!("kings dns records{}", options.with_config()),
            );
        }
        if facts.outbound == Outbound::Closed && options.smart_host.is_none() {
            let what = "ask your provider to open port 25; mail to others waits in the queue until then";
            self.wants(what.to_owned(), "with the text below".to_owned());
            self.request = Some(port_25(options, facts)?);
        }
        self.later.push(
            "close all ports but those of mail and SSH, unless something else does:  kings firewall apply"
                .to_owned(),
        );
        Ok(())
    }

    fn wants(&mut self, what: String, how: String) {
        if self.next.is_none() {
            self.next = Some(Next { what, how });
        } else {
            self.later.push(what);
        }
    }

    /// The end of what a person reads.
    pub(super) fn tail(&self, options: &Options) -> Result<String, Failure> {
        let mut text = String::new();
        if self.failed() {
            return Ok(text);
        }
        let changed = self.changed();
        text += &match changed {
            0 => "\n  No change: all of this was done before.\n".to_owned(),
            1 => "\n  1 step done.\n".to_owned(),
            _ => format!("\n  {changed} steps done.\n"),
        };
        text += &format!(
            "\n  In your mail program type the address {} and its password; servers, where it asks: {}, IMAP 993, SMTP 465, TLS.\n",
            options.address,
            options.hostname()?
        );
        if let Some(Next { what, how }) = &self.next {
            text += &format!(
                "\n  ONE thing to do now: {what}\n      {}\n",
                how.trim_end().replace('\n', "\n      ")
            );
        }
        for what in &self.later {
            text += &format!("  Then: {what}\n");
        }
        if let Some(request) = &self.request {
            text +=
                &format!("\n  For your provider:\n      {}\n", request.trim_end().replace('\n', "\n      "));
        }
        text += &format!("\n  Ask any time:  kings status{}\n", options.with_config());
        Ok(text)
    }

    /// The same for programs.
    pub(super) fn to_json(&self, options: &Options) -> Value {
        let steps: Vec<Value> = self.lines.iter().map(Line::to_json).collect();
        let next = self.next.as_ref().map(|next| json!({ "text": next.what, "command": next.how }));
        json!({
            "schema": 1, "address": options.address.to_string(), "changed": self.changed(), "failed": self.failed(),
            "steps": steps, "next": next, "later": self.later, "request": self.request,
        })
    }
}

fn port_25(options: &Options, facts: &Facts) -> Result<String, Failure> {
    let address = facts.addresses.first().map_or_else(|| "this machine".to_owned(), ToString::to_string);
    Ok(port_25_request(options.domain()?, &options.hostname()?, &address))
}

/// What was found, and what will be done.
pub(super) fn head(options: &Options, facts: &Facts, plan: &Plan) -> Result<String, Failure> {
    let mut text = format!("Kings {} on {}\n\n", env!("CARGO_PKG_VERSION"), facts.system);
    let mut row = |name: &str, what: String| text += &format!("  {name:<12}{what}\n");
    let addresses: Vec<String> = facts.addresses.iter().map(ToString::to_string).collect();
    let addresses =
        if addresses.is_empty() { "no public address found".to_owned() } else { addresses.join(", ") };
    row(
        "Machine",
        match &facts.cloud {
            Some(cloud) => format!("AWS EC2 {}, {}, {addresses}", cloud.kind, cloud.region),
            None => addresses,
        },
    );
    row("Name", options.hostname()?.to_string());
    let held: Vec<String> =
        facts.held.iter().map(|held| format!("{} is used by {}", held.port, held.holder)).collect();
    let ports: Vec<String> = facts::PORTS.iter().map(|(port, _)| port.to_string()).collect();
    let runs = if facts.runs { "served by us" } else { "free" };
    row("Ports", if held.is_empty() { format!("{} {runs}", ports.join(" ")) } else { held.join("; ") });
    row(
        "Outbound",
        match facts.outbound {
            Outbound::Open => "port 25 of other servers can be reached".to_owned(),
            Outbound::Closed if options.smart_host.is_some() => {
                "port 25 is closed; mail leaves through the smart host".to_owned()
            }
            Outbound::Closed => {
                "port 25 is closed: mail comes in, mail to others waits in the queue until it opens"
                    .to_owned()
            }
            Outbound::CannotTell => {
                "cannot tell whether port 25 is open: no mail server's name is found in DNS".to_owned()
            }
        },
    );
    text += if plan.changes() == 0 {
        "\n  Nothing is to be changed.\n"
    } else {
        "\n  To do (nothing is changed before you agree):\n"
    };
    for planned in plan.steps.iter().filter(|planned| planned.wanted != Wanted::There && plan.changes() > 0) {
        text += &format!("    - {}\n", planned.what);
    }
    text += "\n";
    Ok(text)
}

/// What would be done, for programs.
pub(super) fn plan_as_json(options: &Options, plan: &Plan) -> Value {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|planned| {
            let (state, why, fix) = match &planned.wanted {
                Wanted::There => ("ok", None, None),
                Wanted::ToDo => ("to-do", None, None),
                Wanted::Impossible { why, fix } => ("impossible", Some(why), Some(fix)),
            };
            json!({ "step": planned.step.id(), "state": state, "text": planned.what, "why": why, "fix": fix })
        })
        .collect();
    json!({ "schema": 1, "address": options.address.to_string(), "dry_run": true, "changes": plan.changes(), "steps": steps })
}
