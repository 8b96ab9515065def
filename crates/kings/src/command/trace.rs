//! `kings trace`: where is my mail?

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_mail::date::DateTime;
use kings_mail::visible;
use kings_records::{Event, Query, Step, reader};
use serde_json::{Value, json};

use super::{Common, Failure, print};

/// Which messages; what is given must all fit.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// The reverse-path.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// One of the recipients.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// The Message-ID field, with or without its angle brackets.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// The id in the final reply, the log and the queue.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// No further back than this: 30m, 12h, 7d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    since: Option<Duration>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Reads the records beside the server; it need not run.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let json = options.json;
    let file = settings.records.file;
    let found = if file.exists() { reader::find(&file, &options.query()) } else { Ok(Vec::new()) };
    let events = found.map_err(|error| Failure::cannot_tell(error.to_string()))?;
    print(&if json { to_json(&events) } else { describe(&events) });
    if events.is_empty() {
        let days = settings.records.keep.as_secs() / (24 * 60 * 60);
        let text = format!("no such message within the {days} days that are kept");
        return Err(Failure::check_failed(if json { String::new() } else { text }));
    }
    Ok(())
}

impl Options {
    fn query(self) -> Query {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let bare = |address: String| address.trim_matches(['<', '>']).to_owned();
        Query {
            sender: self.sender.map(bare),
            recipient: self.recipient.map(bare),
            message_id: self.message_id.map(|id| format!("<{}>", bare(id))),
            id: self.id,
            since: self.since.map(|age| now.saturating_sub(age)),
            until: None,
        }
    }
}

/// A number with its unit.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "a number with m, h or d, such as 12h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text.strip_suffix(unit).and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

fn date(event: &Event) -> String {
    DateTime::from_unix(i64::try_from(event.time.as_secs()).unwrap_or(i64::MAX)).to_string()
}

fn to_json(events: &[Event]) -> String {
    let item = |event: &Event| -> Value {
        let Event { id, step, sender, recipient, message_id, remote, reply, .. } = event;
        json!({
            "id": id.message().to_string(), "entry": id.to_string(), "time": date(event), "step": step.word(), "sender": sender, "recipient": recipient,
            "message_id": message_id, "remote": remote, "reply": reply,
        })
    };
    format!("{}\n", json!({ "schema": 1, "items": events.iter().map(item).collect::<Vec<_>>() }))
}

/// A paragraph for each message, in the order of their first steps.
fn describe(events: &[Event]) -> String {
    let mut messages: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for event in events {
        messages.entry(event.id.message()).or_default().push(event);
    }
    let mut text = String::new();
    for (id, steps) in messages {
        let first =
            |field: fn(&Event) -> &Option<String>| steps.iter().find_map(|event| field(event).clone());
        let sender = first(|event| &event.sender).map(|sender| format!("  from <{sender}>"));
        let message_id = first(|event| &event.message_id).map(|id| format!("  Message-ID {id}"));
        let about = visible::line(&(sender.unwrap_or_default() + &message_id.unwrap_or_default()));
        text.push_str(&format!("{id}{about}\n"));
        for step in steps {
            text.push_str(&format!("  {}  {}\n", date(step), visible::line(&sentence(step))));
        }
    }
    text
}

/// One step in plain words.
fn sentence(event: &Event) -> String {
    let known = |field: &Option<String>, else_: &str| field.clone().unwrap_or_else(|| else_.to_owned());
    let recipient =
        event.recipient.as_ref().map_or_else(|| "the recipients".to_owned(), |path| format!("<{path}>"));
    let remote = known(&event.remote, "this server");
    let said = event.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
    match event.step {
        Step::Received => format!("taken over from {remote}, and told so{said}"),
        Step::Judged => format!("judged: {}", known(&event.reply, "nothing is known")),
        Step::Refused => format!("refused to {remote} for {recipient}{said}"),
        Step::Queued if event.id.is_further() => {
            format!("waits in the queue as {} for {recipient}{said}", event.id)
        }
        Step::Queued => format!("waits in the queue for {recipient}{said}"),
        Step::Stored => format!("stored in the mailbox of {recipient}"),
        Step::Discarded => format!("taken and thrown away for {recipient}{said}"),
        Step::Delivered => format!("for {recipient}: {remote} has taken it{said}"),
        Step::Deferred => format!("for {recipient}: {remote} did not take it now, will be tried again{said}"),
        Step::Failed => format!("for {recipient}: {remote} will not take it{said}"),
        Step::Reported => match &event.reply {
            Some(report) => format!("a report about it goes to {recipient}, as message {report}"),
            None => format!("a report about it goes to {recipient}"),
        },
        Step::Withheld => format!("no report about it goes to {recipient}{said}"),
        Step::Reports => {
            format!("is a report to {recipient} about message {}", known(&event.reply, "unknown"))
        }
        Step::Ordered if event.id.is_further() => {
            format!("{remote} ordered for {}{said}", event.id)
        }
        Step::Ordered => format!("{remote} ordered{said}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::id::TraceId;

    use super::*;

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(age("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(age("7d"), Ok(Duration::from_hours(7 * 24)));
        for wrong in ["", "7", "d", "-1d", "7y", "é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_story_reads_like_this() {
        let id = TraceId::new(1, 2);
        let some = |text: &str| Some(text.to_owned());
        let (sender, message_id) = (some("ann@example.org"), some("<1@example.org>"));
        let recipient = some("joe@far.example");
        let events = [
            Event { recipient: recipient.clone(), message_id, ..Event::new(id, Step::Queued) },
            Event {
                sender,
                remote: some("192.0.2.9"),
                reply: some("250 2.0.0 x"),
                ..Event::new(id, Step::Received)
            },
            Event {
                recipient,
                remote: some("mx.far.example[192.0.2.1]"),
                reply: some("450-4.2.0 grey\n450 4.2.0 \u{1b}[2Jlisted"),
                ..Event::new(id, Step::Deferred)
            },
        ];
        let expected = format!(
            "{id}  from <ann@example.org>  Message-ID <1@example.org>
  Thu, 1 Jan 1970 00:00:00 +0000  waits in the queue for <joe@far.example>
  Thu, 1 Jan 1970 00:00:00 +0000  taken over from 192.0.2.9, and told so: 250 2.0.0 x
  Thu, 1 Jan 1970 00:00:00 +0000  for <joe@far.example>: mx.far.example[192.0.2.1] did not take it now, will be tried again: 450-4.2.0 grey 450 4.2.0 \u{fffd}[2Jlisted
"
        );
        assert_eq!(describe(&events), expected);
    }
}
