//! `kings status`: what runs, and where.

use serde_json::{Value, json};

use super::{Failure, Output, ask, print};
use crate::control::Request;

pub(crate) fn run(output: &Output) -> Result<(), Failure> {
    let settings = output.common.settings()?;
    let answer = ask(&settings.data_dir, &Request::Status)?;
    let running = answer.is_some();
    let status = match answer {
        Some(answer) => answer.map_err(Failure::cannot_tell)?,
        None => {
            json!({ "schema": 1, "version": env!("CARGO_PKG_VERSION"), "state": "stopped", "listeners": [] })
        }
    };
    print(&if output.json { format!("{status}\n") } else { describe(&status) });
    if running {
        return Ok(());
    }
    let start = format!(
        "the server does not run; start it with: kings serve --config {}",
        output.common.config.display()
    );
    Err(Failure::check_failed(if output.json { String::new() } else { start }))
}

fn describe(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = format!("Kings {}  {}\n", text(&status["version"]), text(&status["state"]));
    for listener in status["listeners"].as_array().into_iter().flatten() {
        let tls = if listener["tls"] == json!(true) { "TLS" } else { "" };
        lines.push_str(&format!(
            "  {:<12} {:<28} {tls}\n",
            text(&listener["name"]),
            text(&listener["address"])
        ));
    }
    if let Some(queued) = status["queued"].as_u64() {
        lines.push_str(&format!("  {queued} messages in the queue\n"));
    }
    if let Some(damaged) = status["damaged"].as_u64().filter(|count| *count > 0) {
        lines.push_str(&format!("  {damaged} damaged messages set aside: kings queue list shows why\n"));
    }
    let certificates = status["certificates"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !certificates.is_empty() {
        lines.push_str("Certificates\n");
        lines.push_str(&super::certificate::describe(certificates));
    }
    lines
}
