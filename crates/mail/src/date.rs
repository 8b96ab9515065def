//! Dates as mail writes them, in header fields and in IMAP.

use std::fmt;

use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// The last second that a four-digit year can show: 9999-12-31 23:59:59.
const LAST_SECOND: i64 = 253_402_300_799;

/// A moment with the zone it was written in. Equality compares both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime(OffsetDateTime);

impl DateTime {
    /// A moment in UTC, from seconds since 1970; clamped to the years 1970 to 9999.
    pub fn from_unix(seconds: i64) -> Self {
        let clamped = seconds.clamp(0, LAST_SECOND);
        Self(OffsetDateTime::from_unix_timestamp(clamped).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The calendar day as written, in its own zone: what IMAP's SENTON and ON compare (RFC 3501 §6.4.4).
    pub fn day(self) -> Day {
        Day(self.0.date())
    }

    /// Parses the `date-time` of a header field (RFC 5322 §3.3), with its obsolete zones and years
    /// (RFC 5322 §4.3), comments and missing seconds; a zone that means nothing counts as UTC.
    pub fn parse_rfc5322(text: &str) -> Option<Self> {
        Self::parse_field(text, None)
    }

    /// The same for sorting: a time that is none counts as midnight (RFC 5256 §2.2).
    pub fn parse_sent(text: &str) -> Option<Self> {
        Self::parse_field(text, Some(Time::MIDNIGHT))
    }

    fn parse_field(text: &str, no_time: Option<Time>) -> Option<Self> {
        let text = without_comments(text);
        let mut words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
        let mut word = words.next()?;
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            word = words.next()?;
        }
        let day = number(word, 2)?;
        let month = month(words.next()?)?;
        let date = date(year(words.next()?)?, month, day)?;
        let time = words.next().and_then(time_of_day).or(no_time)?;
        let zone = words.next().map_or(UtcOffset::UTC, zone);
        Some(Self(date.with_time(time).assume_offset(zone)))
    }

    /// Parses the form of RFC 3339 §5.6: `2026-11-23T23:34:36Z`. Fractions of a second are read and dropped.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (day, rest) = text.split_once(['T', 't'])?;
        let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
        let date = Date::from_calendar_date(
            year.into(),
            Month::try_from(u8::try_from(month).ok()?).ok()?,
            day.try_into().ok()?,
        );
        let zone_at = rest.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = rest.split_at(zone_at);
        let clock = match clock.split_once('.') {
            Some((clock, fraction))
                if fraction.bytes().all(|byte| byte.is_ascii_digit()) && !fraction.is_empty() =>
            {
                clock
            }
            Some(_) => return None,
            None => clock,
        };
        numbers(clock, ':', [2, 2, 2])?;
        let zone = match zone.split_at(1) {
            ("Z" | "z", "") => UtcOffset::UTC,
            ("Z" | "z", _) => return None,
            (sign, shift) => {
                let [hours, minutes] = numbers(shift, ':', [2, 2])?;
                numeric_zone(&format!("{sign}{hours:02}{minutes:02}"))?
            }
        };
        Some(Self(date.ok()?.with_time(time_of_day(clock)?).assume_offset(zone)))
    }

    /// The form of RFC 3339 §5.6, in UTC.
    pub fn to_rfc3339(self) -> String {
        let utc = self.0.to_offset(UtcOffset::UTC);
        let (h, m, s) = utc.to_hms();
        format!("{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}Z", utc.year(), u8::from(utc.month()), utc.day())
    }

    /// Parses IMAP's `date-time` without its quotes (RFC 3501 §9): `17-Jul-1996 02:44:25 -0700`.
    pub fn parse_imap(text: &str) -> Option<Self> {
        let (day, rest) = text.trim_start().split_once(' ')?;
        let (clock, zone_text) = rest.split_once(' ')?;
        let day = Day::parse_imap(day)?;
        let zone = numeric_zone(zone_text)?;
        (clock.len() == 8)
            .then(|| time_of_day(clock))
            .flatten()
            .map(|t| Self(day.0.with_time(t).assume_offset(zone)))
    }

    /// IMAP's form (RFC 3501 §9 `date-time`), without quotes: the day is padded with a space.
    pub fn to_imap(self) -> String {
        let month = MONTHS[usize::from(u8::from(self.0.month())) - 1];
        format!("{:>2}-{month}-{:04} {}", self.0.day(), self.0.year(), self.clock_and_zone())
    }

    fn clock_and_zone(self) -> String {
        let (hours, minutes, _) = self.0.offset().as_hms();
        let sign = if self.0.offset().is_negative() { '-' } else { '+' };
        let (h, m, s) = self.0.to_hms();
        format!("{h:02}:{m:02}:{s:02} {sign}{:02}{:02}", hours.abs(), minutes.abs())
    }
}

/// Numbers of so many digits each, with one character between.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u16; N]> {
    let mut found = [0; N];
    let mut words = text.split(between);
    for (number, digits) in found.iter_mut().zip(digits) {
        let word =
            words.next().filter(|word| word.len() == digits && word.bytes().all(|b| b.is_ascii_digit()))?;
        *number = word.parse().ok()?;
    }
    words.next().is_none().then_some(found)
}

impl fmt::Display for DateTime {
    /// The form of header fields (RFC 5322 §3.3): `Mon, 23 Nov 2026 23:34:36 +0000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = DAYS[usize::from(self.0.weekday().number_days_from_monday())];
        let month = MONTHS[usize::from(u8::from(self.0.month())) - 1];
        write!(f, "{day}, {} {month} {:04} {}", self.0.day(), self.0.year(), self.clock_and_zone())
    }
}

/// A calendar day without a zone (RFC 3501 §9 `date`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// Parses IMAP's `date-text` without quotes: `1-Feb-1994`.
    pub fn parse_imap(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let day = number(fields.next()?, 2)?;
        let month = month(fields.next()?)?;
        let year = fields.next().filter(|year| year.len() == 4).and_then(|year| number(year, 4))?;
        if fields.next().is_some() {
            return None;
        }
        date(i32::from(year), month, day).map(Self)
    }
}

fn date(year: i32, month: Month, day: u16) -> Option<Date> {
    Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()
}

/// Plain digits, at most `most` of them.
fn number(text: &str, most: usize) -> Option<u16> {
    let digits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn month(text: &str) -> Option<Month> {
    let place = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    Month::try_from(u8::try_from(place + 1).ok()?).ok()
}

/// Two digits mean 2000 to 2049 or 1950 to 1999, three count from 1900 (RFC 5322 §4.3).
fn year(text: &str) -> Option<i32> {
    let year = i32::from(number(text, 4)?);
    Some(match text.len() {
        2 if year < 50 => year + 2000,
        2 | 3 => year + 1900,
        _ => year,
    })
}

/// `hh:mm` or `hh:mm:ss`; a leap second counts as the second before it.
fn time_of_day(text: &str) -> Option<Time> {
    let mut fields = text.split(':');
    let hour = number(fields.next()?, 2)?;
    let minute = number(fields.next()?, 2)?;
    let second = fields.next().map_or(Some(0), |field| number(field, 2))?;
    if fields.next().is_some() || second > 60 {
        return None;
    }
    let small = |value: u16| u8::try_from(value).ok();
    Time::from_hms(small(hour)?, small(minute)?, small(second.min(59))?).ok()
}

/// `+hhmm`, a named zone of North America, or UTC for anything else (RFC 5322 §4.3).
fn zone(text: &str) -> UtcOffset {
    let hours = match text.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return numeric_zone(text).unwrap_or(UtcOffset::UTC),
    };
    UtcOffset::from_hms(hours, 0, 0).unwrap_or(UtcOffset::UTC)
}

fn numeric_zone(text: &str) -> Option<UtcOffset> {
    let sign: i8 = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text.get(1..).filter(|digits| digits.len() == 4)?;
    let value = i16::try_from(number(digits, 4)?).ok()?;
    let (hours, minutes) = (i8::try_from(value / 100).ok()?, i8::try_from(value % 100).ok()?);
    (minutes < 60).then(|| UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()).flatten()
}

/// Drops `(comments)`, which may nest, in one pass.
fn without_comments(text: &str) -> String {
    let mut depth = 0_usize;
    let keep = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_as_it_is_written() {
        let cases = [
            ("2026-11-18T11:06:40Z", Some(1_795_000_000)),
            ("2026-11-18t11:06:40.5z", Some(1_795_000_000)),
            ("2026-11-18T13:06:40+02:00", Some(1_795_000_000)),
            ("2026-11-18T09:36:40-01:30", Some(1_795_000_000)),
            ("2026-11-18T11:06:40", None),
            ("2026-11-18 11:06:40Z", None),
            ("2026-11-18", None),
            ("2026-11-18T11:06Z", None),
            ("2026-13-18T11:06:40Z", None),
            ("2026-02-30T11:06:40Z", None),
            ("2026-11-18T25:06:40Z", None),
            ("2026-11-18T11:06:40.Z", None),
            ("2026-11-18T11:06:40Zx", None),
            ("2026-11-18T11:06:40+0200", None),
            ("26-11-18T11:06:40Z", None),
            ("\u{e9}026-11-18T11:06:40Z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(DateTime::parse_rfc3339(text).map(DateTime::unix), expected, "{text}");
        }
        assert_eq!(DateTime::from_unix(1_795_000_000).to_rfc3339(), "2026-11-18T11:06:40Z");
    }

    #[test]
    fn header_dates_are_read_as_senders_write_them() {
        let cases = [
            ("Fri, 21 Nov 1997 09:55:06 -0600", Some("Fri, 21 Nov 1997 09:55:06 -0600")),
            ("21 Nov 97 09:55 EST", Some("Fri, 21 Nov 1997 09:55:00 -0500")),
            (
                "Thu,\r\n 13 Feb 1969 23:32:54 -0330 (Newfoundland (Time))",
                Some("Thu, 13 Feb 1969 23:32:54 -0330"),
            ),
            ("Mon, 29 Feb 2027 00:00:00 +0000", None),
            ("31 Dec 2016 23:59:60 GMT", Some("Sat, 31 Dec 2016 23:59:59 +0000")),
            ("1 Jan 10000 00:00:00 +0000", None),
            ("1 Jan 2027 24:00:00 +0000", None),
            ("1 Jan 2027 00:00:00 +9999", Some("Fri, 1 Jan 2027 00:00:00 +0000")),
            ("1 Jan 2027 00:00:00 Z", Some("Fri, 1 Jan 2027 00:00:00 +0000")),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let parsed = DateTime::parse_rfc5322(text).map(|date| date.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn imap_dates_are_strict() {
        let cases = [
            ("17-Jul-1996 02:44:25 -0700", Some("17-Jul-1996 02:44:25 -0700")),
            (" 1-Feb-1994 00:00:00 +0000", Some(" 1-Feb-1994 00:00:00 +0000")),
            ("31-Feb-1994 00:00:00 +0000", None),
            ("17-Jul-96 02:44:25 -0700", None),
            ("17-Jul-1996 02:44 -0700", None),
            ("17-Jul-1996 02:44:25 EST", None),
            ("17-Jul-1996", None),
        ];
        for (text, expected) in cases {
            assert_eq!(DateTime::parse_imap(text).map(DateTime::to_imap).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn clocks_far_off_stay_within_four_digit_years() {
        assert_eq!(DateTime::from_unix(-5).to_string(), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(DateTime::from_unix(i64::MAX).to_string(), "Fri, 31 Dec 9999 23:59:59 +0000");
    }
}
