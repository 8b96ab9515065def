//! `mailq`: what waits in the queue, in the columns of Postfix's.

use serde_json::{Value, json};

use super::exit::Trouble;
use super::options::Options;
use crate::command::Reach;
use crate::control::{Order, Request, Selection};

/// The queue as text for people and for the scripts that count its lines.
pub(crate) fn list(reach: &Reach) -> Result<String, Trouble> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let mut page = reach.ask(Request::QueueList { selection: Selection::default(), after })?;
        items.extend(page["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(columns(&json!({ "items": items })));
        }
    }
}

/// Tries everything now, or one message, or what is for one domain or from one sender.
pub(crate) fn flush(reach: &Reach, options: &Options) -> Result<(), Trouble> {
    let mut after = None;
    loop {
        let recipient = options.site.as_ref().map(|site| format!("@{site}>"));
        let (id, sender) = (options.entry.clone(), options.of.clone());
        let selection = Selection { sender, recipient, ..Selection::default() };
        let answer =
            reach.ask(Request::QueueOrder { order: Order::Retry, id, selection, after, why: None })?;
        after = answer["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(());
        }
    }
}

/// postqueue(1) prints `%-11s %7ld %20.20s %s`, reasons at the right edge, recipients below the sender.
fn columns(list: &Value) -> String {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return "Mail queue is empty\n".to_owned();
    }
    let mut text = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n".to_owned();
    let mut bytes = 0;
    for item in items {
        let size = item["bytes"].as_u64().unwrap_or_default();
        bytes += size;
        let recipients = item["recipients"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is = |recipient: &Value, states: &[&str]| states.contains(&word(&recipient["state"]));
        let waiting = recipients.iter().filter(|recipient| !is(recipient, &["delivered", "failed"]));
        // postqueue(1) marks what is being tried, and what is on hold.
        let mark = match (&item["active"], recipients.iter().any(|recipient| is(recipient, &["held"]))) {
            (Value::Bool(true), _) => "*",
            (_, true) => "!",
            (_, false) => "",
        };
        let wanted = item["held_until"].as_str();
        let wanted = wanted.map(|until| format!("its sender wants it to wait until {until}"));
        let (id, arrived) = (format!("{}{mark}", word(&item["id"])), arrival(word(&item["arrived"])));
        let sender = match bare(word(&item["reverse_path"])) {
            "" => "MAILER-DAEMON",
            sender => sender,
        };
        text.push_str(&format!("{id:<11} {size:>7} {arrived:>20} {sender}\n"));
        for recipient in waiting {
            let reply = wanted.as_deref().unwrap_or_else(|| word(&recipient["last_reply"]));
            if !reply.is_empty() {
                let reason = format!("({reply})");
                text.push_str(&format!("{reason:>78}\n"));
            }
            text.push_str(&format!("{:41}{}\n", "", bare(word(&recipient["forward_path"]))));
        }
        text.push('\n');
    }
    let plural = if items.len() == 1 { "" } else { "s" };
    text + &format!("-- {} Kbytes in {} Request{plural}.\n", bytes.div_ceil(1024), items.len())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn bare(path: &str) -> &str {
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}

/// `Mon, 23 Nov 2026 23:34:36 +0000` as `Mon Nov 23 23:34:36`.
fn arrival(date: &str) -> String {
    let words: Vec<&str> = date.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [weekday, day, month, _, time, ..] => format!("{weekday} {month} {day:>2} {time}"),
        _ => date.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_columns_are_postfixs() {
        assert_eq!(columns(&json!({"schema": 1, "items": []})), "Mail queue is empty\n");
        let item = json!({
            "id": "01k3abcdefghijk", "reverse_path": "<ann@example.org>", "bytes": 1234,
            "arrived": "Mon, 3 Nov 2026 23:34:36 +0000",
            "recipients": [{"forward_path": "<joe@elsewhere.example>", "last_reply": "451 4.3.0 try again"},
                           {"forward_path": "<ann@elsewhere.example>", "last_reply": "250 OK", "state": "delivered"},
                           {"forward_path": "<sue@elsewhere.example>", "last_reply": "550 no", "state": "failed"},
                           {"forward_path": "<bob@elsewhere.example>", "last_reply": null}],
        });
        let bounce = json!({"id": "b", "reverse_path": "<>", "bytes": 1, "arrived": "", "recipients": []});
        assert_eq!(
            columns(&json!({ "items": [&item] })).lines().collect::<Vec<_>>(),
            [
                "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------",
                "01k3abcdefghijk    1234  Mon Nov  3 23:34:36 ann@example.org",
                "                                                         (451 4.3.0 try again)",
                "                                         joe@elsewhere.example",
                "                                         bob@elsewhere.example",
                "",
                "-- 2 Kbytes in 1 Request.",
            ]
        );
        let mut marked = item;
        for (active, state, mark) in [(true, "new", "*"), (false, "held", "!"), (false, "deferred", " ")] {
            marked["active"] = active.into();
            marked["recipients"][0]["state"] = state.into();
            let text = columns(&json!({ "items": [marked] }));
            assert!(text.contains(&format!("\n01k3abcdefghijk{mark}")), "{text}");
        }
        marked["held_until"] = "Fri, 01 Jan 2100 00:00:00 +0000".into();
        let text = columns(&json!({ "items": [marked] }));
        assert!(
            text.contains("(its sender wants it to wait until Fri, 01 Jan 2100 00:00:00 +0000)\n"),
            "{text}"
        );
        assert!(columns(&json!({ "items": [bounce, bounce] })).ends_with("-- 1 Kbytes in 2 Requests.\n"));
        assert!(columns(&json!({ "items": [bounce] })).contains("MAILER-DAEMON"));
    }
}
