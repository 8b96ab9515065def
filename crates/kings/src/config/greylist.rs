//! `[inbound] greylist` and what goes with it.

use std::time::Duration;

use kings_mta::{GREYLIST_DELAY, GREYLIST_RETRY_WINDOW, Greylist};
use kings_net::IpNet;

use super::duration;
use super::reader::{Section, Source};

/// A longer delay would outlast the patience of many a sender's schedule, a longer window what is remembered.
const LONGEST_DELAY: Duration = Duration::from_hours(24);
const LONGEST_WINDOW: Duration = Duration::from_hours(24 * 30);

/// `None` where it is off, as it is from the start.
pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Greylist> {
    let is_on = section.flag(source, "greylist").unwrap_or(false);
    let mut time = |key, what, longest: Duration, usual| {
        let fits = |time: &Duration| !time.is_zero() && *time <= longest;
        section
            .parsed(source, key, what, |text| duration(text).filter(fits).ok_or("another text"))
            .unwrap_or(usual)
    };
    let delay =
        time("greylist_delay", "a time such as \"5m\", at most \"1d\"", LONGEST_DELAY, GREYLIST_DELAY);
    let window = "a time such as \"2d\", at most \"30d\"";
    let retry_window = time("greylist_retry_window", window, LONGEST_WINDOW, GREYLIST_RETRY_WINDOW);
    let what = "a network such as \"192.0.2.0/24\"";
    let exempt = section.list(source, "greylist_exempt", what, str::parse::<IpNet>);
    if delay >= retry_window {
        source.complain("greylist_delay must be shorter than greylist_retry_window");
    }
    is_on.then_some(Greylist { delay, retry_window, exempt })
}
