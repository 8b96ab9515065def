//! `[queue]`: how many attempts run at once, for how long, and when a sender hears that a message is late.

use std::time::Duration;

use kings_mail::path::ForwardPath;
use kings_mta::Alerts;
use kings_queue::{DELAY_WARNING, Lifetimes, Limits, Notices};
use kings_smtp::server::Trouble;

use super::reader::{Section, Source};

/// What `[queue]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    /// How many attempts run at once.
    pub(crate) limits: Limits,
    /// After how long a sender is told that a message is late; `None` for never.
    pub(crate) delay_warning: Option<Duration>,
    /// How long mail is tried.
    pub(crate) lifetimes: Lifetimes,
    /// Who hears of what goes wrong beside the senders.
    pub(crate) notices: Notices,
    /// Who hears of sessions that went wrong.
    pub(crate) alerts: Alerts,
}

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> QueueSettings {
    let usual = Limits::default();
    let mut count = |key, usual: usize| {
        section.number(source, key, 1).map_or(usual, |number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    let limits = Limits {
        attempts: count("attempts", usual.attempts),
        attempts_per_destination: count("attempts_per_destination", usual.attempts_per_destination),
    };
    let warning = section.parsed(source, "delay_warning", "a time such as \"4h\", or \"off\"", time_or_off);
    let mut lifetime =
        |key| section.parsed(source, key, "a time such as \"5d\"; \"0s\" is one attempt", time);
    let lifetimes = match (lifetime("lifetime"), lifetime("bounce_lifetime")) {
        (None, None) => Lifetimes::default(),
        (mail, bounces) => {
            let mail = mail.unwrap_or(Lifetimes::default().mail);
            Lifetimes { mail, bounces: bounces.unwrap_or(mail) }
        }
    };
    if let Some(Some(late)) = warning.filter(|late| late.is_some_and(|late| late >= lifetimes.mail)) {
        source.complain(format!(
            "[queue] delay_warning: nobody is ever told after {} of mail that is given up after {}: make it shorter, or \
             \"off\"",
            written(late),
            written(lifetimes.mail)
        ));
    }
    let (notices, alerts) = notices(source, section);
    QueueSettings {
        limits,
        delay_warning: warning.unwrap_or(Some(DELAY_WARNING)),
        lifetimes,
        notices,
        alerts,
    }
}

/// Postfix's `notify_classes` and who is told. Nothing is by default; there `resource` and `software` are, which the log has
/// here.
fn notices(source: &mut Source<'_>, section: &mut Section<'_>) -> (Notices, Alerts) {
    const CLASSES: [&str; 7] = ["bounce", "2bounce", "delay", "policy", "protocol", "resource", "software"];
    const TROUBLES: [(usize, Trouble); 4] =
        [(3, Trouble::Policy), (4, Trouble::Protocol), (5, Trouble::Resource), (6, Trouble::Software)];
    let what = "\"bounce\", \"2bounce\", \"delay\", \"policy\", \"protocol\", \"resource\" or \"software\"";
    let known = |text: &str| CLASSES.iter().position(|class| *class == text).ok_or("another class");
    let classes = section.list(source, "notify_classes", what, known);
    let keys = ["bounce_notice_recipient", "2bounce_notice_recipient", "delay_notice_recipient"];
    let mut recipients = [(0, keys[0]), (1, keys[1]), (2, keys[2])].map(|(class, key)| {
        let address = "an address such as \"postmaster@example.org\"";
        let recipient = section.parsed(source, key, address, ForwardPath::parse);
        classes.contains(&class).then(|| recipient.unwrap_or(ForwardPath::Postmaster))
    });
    let [bounces, double_bounces, delays] = recipients.each_mut().map(Option::take);
    let of = TROUBLES.into_iter().filter(|(class, _)| classes.contains(class)).map(|(_, trouble)| trouble);
    let address = "an address such as \"postmaster@example.org\"";
    let to = section.parsed(source, "error_notice_recipient", address, ForwardPath::parse);
    let alerts = Alerts { of: of.collect(), to: to.unwrap_or(ForwardPath::Postmaster) };
    (Notices { double_bounces, bounces, delays }, alerts)
}

fn time(text: &str) -> Result<Duration, &'static str> {
    duration(text).ok_or("another text")
}

fn time_or_off(text: &str) -> Result<Option<Duration>, &'static str> {
    if text == "off" {
        return Ok(None);
    }
    duration(text).filter(|time| !time.is_zero()).map(Some).ok_or("another text")
}

/// A number and `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(unit).map(Duration::from_secs)
}

/// A time as a config has it: `1h`, `90m`, `35d`.
pub(crate) fn written(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    whole.map_or_else(String::new, |(unit, letter)| format!("{}{letter}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_it_would_be_written() {
        for text in ["1h", "90m", "35d", "36h", "61s", "0d"] {
            assert_eq!(duration(text).map(written).as_deref(), Some(text));
        }
        for (text, shorter) in [("24h", "1d"), ("0s", "0d"), ("3600s", "1h"), ("120m", "2h")] {
            assert_eq!(duration(text).map(written).as_deref(), Some(shorter));
        }
        for text in ["", "h", "1", "1 h", "-1h", "1w", "1.5h", "99999999999999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
