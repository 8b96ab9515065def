//! How answers about the queue are printed, for people and for programs.

use std::io::{self, Write};

use kings_mail::visible;
use serde_json::Value;

use crate::control::Order;

/// A list on its way out, page by page.
pub(crate) struct Form {
    json: bool,
    /// Entries so far.
    count: usize,
    damaged: Vec<Value>,
    /// Every page came from a queue that was wholly known.
    complete: bool,
}

impl Form {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, count: 0, damaged: Vec::new(), complete: true }
    }

    /// Prints the entries of one page. What is damaged is kept for the end: it is little.
    pub(crate) fn page(&mut self, out: &mut impl Write, page: &mut Value) -> io::Result<()> {
        self.complete &= page["complete"] != Value::Bool(false);
        self.damaged.extend(page["damaged"].as_array_mut().map(std::mem::take).unwrap_or_default());
        for item in page["items"].as_array().into_iter().flatten() {
            let first = self.count == 0;
            self.count += 1;
            match (self.json, first) {
                (true, true) => write!(out, "{{\"schema\":1,\"items\":[{item}")?,
                (true, false) => write!(out, ",\n{item}")?,
                (false, _) => out.write_all(entry(item).as_bytes())?,
            }
        }
        Ok(())
    }

    pub(crate) fn end(self, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            let open = if self.count == 0 { "{\"schema\":1,\"items\":[" } else { "" };
            let damaged = Value::from(self.damaged);
            return writeln!(out, "{open}],\"damaged\":{damaged},\"complete\":{}}}", self.complete);
        }
        for damaged in &self.damaged {
            let [name, reason, advice] = ["name", "reason", "advice"].map(|key| text(&damaged[key]));
            writeln!(out, "{name}  damaged: {reason}\n    {advice}")?;
        }
        if self.count == 0 && self.damaged.is_empty() {
            writeln!(out, "nothing found: the queue holds no such entry")?;
        }
        if !self.complete {
            writeln!(out, "the server has just started and still reads the queue: there may be more")?;
        }
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn entry(item: &Value) -> String {
    let mut lines = format!(
        "{}  {} bytes  arrived {}  from {}\n",
        text(&item["id"]),
        item["bytes"],
        text(&item["arrived"]),
        text(&item["reverse_path"])
    );
    for recipient in item["recipients"].as_array().into_iter().flatten() {
        lines.push_str(&format!(
            "    {}  {}  attempts {}  {}\n",
            text(&recipient["forward_path"]),
            text(&recipient["state"]),
            recipient["attempts"],
            text(&recipient["last_reply"])
        ));
    }
    lines
}

/// Everything about one entry.
pub(crate) fn details(item: &Value) -> String {
    let mut lines = entry(item);
    for (key, name) in [("envelope_id", "ENVID"), ("ret", "RET")] {
        if let Some(value) = item[key].as_str() {
            lines.push_str(&format!("  {name}: {value}\n"));
        }
    }
    lines.push_str("\nWhat happened:\n");
    for happening in item["history"].as_array().into_iter().flatten() {
        let remote = happening["remote"].as_str().map(|remote| format!("{remote}: ")).unwrap_or_default();
        lines.push_str(&format!(
            "  {}  {}  {}  {remote}{}\n",
            text(&happening["at"]),
            text(&happening["forward_path"]),
            text(&happening["event"]),
            text(&happening["reply"])
        ));
    }
    lines.push_str("\nHeader:\n");
    for line in text(&item["header"]).lines() {
        // What a message says must not reach the terminal as more than text.
        lines.push_str(&format!("  {}\n", visible::lines(line)));
    }
    lines
}

/// What an order has done, to a queue that somebody runs or not.
pub(crate) fn changed(order: Order, done: u64, running: bool) -> String {
    let entries = if done == 1 { "entry" } else { "entries" };
    let verb = match order {
        Order::Retry if running => "to be tried now",
        Order::Retry => "to be tried when the server starts",
        Order::Hold => "held",
        Order::Release => "released",
        Order::Drop => "dropped",
        Order::Bounce => "given up, the senders are told",
    };
    format!("{done} {entries} {verb}\n")
}

/// Why some were left as they were.
pub(crate) fn refused(refused: &[Value]) -> String {
    let lines: Vec<String> =
        refused.iter().map(|item| format!("{}: {}", text(&item["id"]), text(&item["reason"]))).collect();
    lines.join("\n")
}
