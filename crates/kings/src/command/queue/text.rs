//! How answers about the queue are printed, for people and for programs.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use kings_mail::date::DateTime;
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
            writeln!(out, "{NOTHING_FOUND}")?;
        }
        if !self.complete {
            writeln!(out, "the server has just started and still reads the queue: there may be more")?;
        }
        Ok(())
    }
}

/// Of a filter that lets nothing through.
pub(crate) const NOTHING_FOUND: &str = "nothing found: the queue holds no such entry";

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
    let wanted = item["held_until"].as_str();
    if let Some(until) = wanted {
        lines.push_str(&format!("    its sender wants it to wait, and it is tried {}\n", coming(until)));
    }
    if let Some(filter) = item["filter"].as_str() {
        lines.push_str(&format!("    waits for its filter {filter}, for all its recipients\n"));
    }
    for recipient in item["recipients"].as_array().into_iter().flatten() {
        let next = recipient["next_attempt"].as_str().filter(|_| wanted.is_none());
        let next = next.map(|date| format!("next {}  ", coming(date))).unwrap_or_default();
        lines.push_str(&format!(
            "    {}  {}  attempts {}  {next}{}\n",
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

/// What was left as it was since senders want it to wait; `None` where nobody counted it.
pub(crate) fn held_by_sender(count: Option<u64>) -> String {
    match count {
        Some(0) => String::new(),
        Some(1) => "1 entry waits as its sender wants; release it with  kings queue release ID\n".to_owned(),
        Some(count) => {
            format!("{count} entries wait as their senders want; release them with  kings queue release ID\n")
        }
        None => "those among them that their senders want to wait still do, until  kings queue release ID\n"
            .to_owned(),
    }
}

/// When something comes: how long it is until then, and the date.
fn coming(date: &str) -> String {
    let Some(at) = DateTime::parse_rfc5322(date).map(DateTime::unix) else { return date.to_owned() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match u64::try_from(at).unwrap_or(0).checked_sub(now) {
        None | Some(0) => "now".to_owned(),
        Some(wait) => format!("in {} ({date})", span(wait)),
    }
}

/// Seconds in the two largest units that say something.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Why some were left as they were.
pub(crate) fn refused(refused: &[Value]) -> String {
    let lines: Vec<String> =
        refused.iter().map(|item| format!("{}: {}", text(&item["id"]), text(&item["reason"]))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_told_in_its_two_largest_units() {
        let cases =
            [(1, "1s"), (59, "59s"), (60, "1m 0s"), (3_599, "59m 59s"), (3_660, "1h 1m"), (93_600, "1d 2h")];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn an_entry_tells_when_it_is_tried_and_who_wants_it_to_wait() {
        let far = "Fri, 01 Jan 2100 00:00:00 +0000";
        let item = |held_until: Option<&str>, next: &str| {
            json!({
                "id": "a", "bytes": 1, "arrived": "then", "reverse_path": "<>", "held_until": held_until,
                "recipients": [{"forward_path": "<joe@a.example>", "state": "new", "attempts": 0, "next_attempt": next}],
            })
        };
        let due = entry(&item(None, "Mon, 23 Nov 2020 23:34:36 +0000"));
        assert!(due.contains("attempts 0  next now  "), "{due}");
        let later = entry(&item(None, far));
        assert!(later.contains("  next in ") && later.contains(&format!("h ({far})")), "{later}");
        let wanted = entry(&item(Some(far), far));
        assert!(wanted.contains("its sender wants it to wait, and it is tried in "), "{wanted}");
        assert!(!wanted.contains("next"), "{wanted}");
        assert!(!due.contains("filter"), "{due}");
        let mut filtered = item(None, far);
        filtered["filter"] = "smtp:[127.0.0.1]:10025".into();
        assert!(entry(&filtered).contains("waits for its filter smtp:[127.0.0.1]:10025"), "{filtered}");
    }
}
