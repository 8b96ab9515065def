//! `kings queue`: mail that waits to leave.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Common, Failure, Output, print};
use crate::control::{self, Request};
use crate::serve;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List what waits, with the last reply for each recipient.
    List(Output),
    /// Try an entry now; without an id, all of them.
    Retry(Retry),
}

#[derive(clap::Args)]
pub(crate) struct Retry {
    /// The id that `kings queue list` shows.
    id: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(output) => list(&output),
        Command::Retry(retry) => {
            let settings = retry.common.settings()?;
            let answer = ask(&settings.data_dir, &Request::QueueRetry { id: retry.id })?;
            let answer =
                answer.ok_or_else(|| Failure::cannot_tell("the server does not run, so nothing is tried"))?;
            print(&format!("{} entries are tried now\n", answer["retried"]));
            Ok(())
        }
    }
}

fn ask(data_dir: &std::path::Path, request: &Request) -> Result<Option<Value>, Failure> {
    let answer = control::ask(data_dir, request)
        .map_err(|error| Failure::cannot_tell(format!("cannot ask the server: {error}")))?;
    answer.transpose().map_err(Failure::check_failed)
}

/// Asks the server, or reads the folder when none runs.
fn list(output: &Output) -> Result<(), Failure> {
    let settings = output.common.settings()?;
    let list = match ask(&settings.data_dir, &Request::QueueList)? {
        Some(list) => list,
        None => serve::list_queue(&settings).map_err(|error| Failure::cannot_tell(format!("{error:#}")))?,
    };
    print(&if output.json { format!("{list}\n") } else { describe(&list) });
    Ok(())
}

fn describe(list: &Value) -> String {
    let mut lines = String::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for item in list["items"].as_array().into_iter().flatten() {
        lines.push_str(&format!(
            "{}  {} bytes  arrived {}  from {}\n",
            text(&item["id"]),
            item["bytes"],
            text(&item["arrived"]),
            text(&item["reverse_path"])
        ));
        for recipient in item["recipients"].as_array().into_iter().flatten() {
            lines.push_str(&format!(
                "    {}  {}  attempts {}  {}\n",
                text(&recipient["forward_path"]),
                text(&recipient["state"]),
                recipient["attempts"],
                text(&recipient["last_reply"])
            ));
        }
    }
    for damaged in list["damaged"].as_array().into_iter().flatten() {
        lines.push_str(&format!("{}  damaged: {}\n", text(&damaged["name"]), text(&damaged["reason"])));
    }
    if lines.is_empty() { "the queue is empty\n".to_owned() } else { lines }
}

/// The list as JSON; the schema stands in docs/cli.md.
pub(crate) fn to_json(listing: &kings_queue::Listing) -> Value {
    let items: Vec<Value> = listing
        .entries
        .iter()
        .map(|entry| {
            let recipients: Vec<Value> = entry
                .recipients
                .iter()
                .map(|recipient| {
                    json!({
                        "forward_path": recipient.forward_path.to_string(),
                        "state": recipient.state.as_str(),
                        "attempts": recipient.attempts,
                        "next_attempt": recipient.next_attempt.map(|date| date.to_string()),
                        "last_reply": recipient.last_reply,
                    })
                })
                .collect();
            json!({
                "id": entry.id.to_string(),
                "reverse_path": entry.reverse_path.to_string(),
                "bytes": entry.bytes,
                "arrived": entry.arrived.to_string(),
                "recipients": recipients,
            })
        })
        .collect();
    let damaged: Vec<Value> =
        listing.damaged.iter().map(|entry| json!({ "name": entry.name, "reason": entry.reason })).collect();
    json!({ "schema": 1, "items": items, "damaged": damaged })
}
