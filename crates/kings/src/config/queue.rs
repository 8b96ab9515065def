//! `[queue]`: how many attempts run at once, for how long, and when a sender hears that a message is late.

use std::time::Duration;

use kings_queue::{DELAY_WARNING, Lifetimes, Limits};

use super::reader::{Section, Source};

/// What `[queue]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    /// How many attempts run at once.
    pub(crate) limits: Limits,
    /// After how long a sender is told that a message is late; `None` for never.
    pub(crate) delay_warning: Option<Duration>,
    /// How long mail is tried.
    pub(crate) lifetimes: Lifetimes,
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
            "[queue] delay_warning: nobody is ever told after {} s of mail that is given up after {} s: make it shorter, \
             or \"off\"",
            late.as_secs(),
            lifetimes.mail.as_secs()
        ));
    }
    QueueSettings { limits, delay_warning: warning.unwrap_or(Some(DELAY_WARNING)), lifetimes }
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
