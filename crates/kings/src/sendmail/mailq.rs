//! `mailq`: what waits in the queue, in the columns of Postfix's.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::exit::Trouble;
use super::options::Options;
use crate::command::Reach;
use crate::control::{Order, Request, Selection};

/// Prints the queue for people and for the scripts that count its lines; page by page, so that neither side ever holds a
/// million entries. What is `left` for a server that has not taken it yet comes last.
pub(crate) fn list(reach: &Reach, left: &[Value], out: &mut impl Write) -> Result<(), Trouble> {
    let (mut form, mut after) = (Form::default(), None);
    loop {
        let page = reach.ask(Request::QueueList { selection: Selection::default(), after })?;
        // A closed pipe is how a reader says that it has seen enough.
        if form.page(out, &page).is_err() {
            return Ok(());
        }
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    let left = json!({ "items": left });
    let _ = form.page(out, &left).and_then(|()| form.end(out)).and_then(|()| out.flush());
    Ok(())
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

/// What has been printed so far.
#[derive(Default)]
struct Form {
    entries: u64,
    bytes: u64,
}

impl Form {
    fn page(&mut self, out: &mut impl Write, page: &Value) -> io::Result<()> {
        for item in page["items"].as_array().into_iter().flatten() {
            if self.entries == 0 {
                writeln!(out, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------")?;
            }
            self.entries += 1;
            self.bytes += item["bytes"].as_u64().unwrap_or_default();
            out.write_all(entry(item).as_bytes())?;
        }
        Ok(())
    }

    fn end(self, out: &mut impl Write) -> io::Result<()> {
        let Self { entries, bytes } = self;
        if entries == 0 {
            return writeln!(out, "Mail queue is empty");
        }
        let plural = if entries == 1 { "" } else { "s" };
        writeln!(out, "-- {} Kbytes in {entries} Request{plural}.", bytes.div_ceil(1024))
    }
}

/// postqueue(1) prints `%-11s %7ld %20.20s %s`, reasons at the right edge, recipients below the sender.
fn entry(item: &Value) -> String {
    let size = item["bytes"].as_u64().unwrap_or_default();
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
    let mut text = format!("{id:<11} {size:>7} {arrived:>20} {sender}\n");
    for recipient in waiting {
        let reply = wanted.as_deref().unwrap_or_else(|| word(&recipient["last_reply"]));
        let reply = match (item["filter"].as_str(), reply) {
            (None, reply) => reply.to_owned(),
            (Some(filter), "") => format!("waits for its filter {filter}"),
            (Some(filter), reply) => format!("waits for its filter {filter}: {reply}"),
        };
        if !reply.is_empty() {
            let reason = format!("({reply})");
            text.push_str(&format!("{reason:>78}\n"));
        }
        text.push_str(&format!("{:41}{}\n", "", bare(word(&recipient["forward_path"]))));
    }
    text.push('\n');
    text
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// What is printed of these pages.
    fn columns(pages: &[Value]) -> String {
        let (mut form, mut out) = (Form::default(), Vec::new());
        for page in pages {
            form.page(&mut out, page).unwrap();
        }
        form.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_columns_are_postfixs() {
        assert_eq!(columns(&[json!({"schema": 1, "items": []})]), "Mail queue is empty\n");
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
            columns(&[json!({ "items": [&item] })]).lines().collect::<Vec<_>>(),
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
            let text = columns(&[json!({ "items": [marked] })]);
            assert!(text.contains(&format!("\n01k3abcdefghijk{mark}")), "{text}");
        }
        marked["held_until"] = "Fri, 01 Jan 2100 00:00:00 +0000".into();
        let text = columns(&[json!({ "items": [marked] })]);
        assert!(
            text.contains("(its sender wants it to wait until Fri, 01 Jan 2100 00:00:00 +0000)\n"),
            "{text}"
        );
        marked["held_until"] = json!(null);
        for (reply, said) in [(json!(null), ""), ("450 x".into(), ": 450 x")] {
            marked["filter"] = "smtp:[127.0.0.1]:10025".into();
            marked["recipients"][0]["last_reply"] = reply;
            let text = columns(&[json!({ "items": [marked] })]);
            assert!(
                text.contains(&format!("(waits for its filter smtp:[127.0.0.1]:10025{said})\n")),
                "{text}"
            );
        }
        assert!(columns(&[json!({ "items": [bounce, bounce] })]).ends_with("-- 1 Kbytes in 2 Requests.\n"));
        assert!(columns(&[json!({ "items": [bounce] })]).contains("MAILER-DAEMON"));
        // Pages make one list, with one head and one end; one may be empty and yet not the last.
        let pages =
            [json!({ "items": [] }), json!({ "items": [bounce] }), json!({ "items": [bounce, bounce] })];
        let text = columns(&pages);
        assert_eq!(text.matches("-Queue ID-").count(), 1, "{text}");
        assert!(text.ends_with("\n-- 1 Kbytes in 3 Requests.\n"), "{text}");
    }
}
