//! How much an account may hold, in Dovecot's words: `*:storage=1G:messages=10000`, `1G`, `50%`.

use std::fmt;

/// What somebody says about the mail of one account; what is not said here is said elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaRule {
    /// Octets of all messages.
    pub octets: Option<Allowance>,
    /// Messages.
    pub messages: Option<Allowance>,
}

/// How much of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// As much as there is room for.
    Unlimited,
    /// So much.
    Limit(u64),
    /// A part, in hundredths, of what would be allowed otherwise.
    Percent(u64),
}

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadQuota(String);

impl fmt::Display for BadQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Allowance {
    /// Octets: a number with `B`, `k`, `M`, `G` or `T` behind it, `50%`, or `unlimited`; zero is no limit either.
    /// A number alone counts `unit` octets each.
    pub fn octets(text: &str, unit: u64) -> Result<Self, BadQuota> {
        let bad = || BadQuota(format!("\"{text}\" is no size: write 500M, 1G, 50% or unlimited"));
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        if number.is_empty() {
            return if text.eq_ignore_ascii_case("unlimited") { Ok(Self::Unlimited) } else { Err(bad()) };
        }
        let number: u64 = number.parse().map_err(|_| bad())?;
        let factor = match suffix.to_ascii_lowercase().as_str() {
            "" => unit,
            "%" => return Ok(Self::Percent(number)),
            "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(bad()),
        };
        number.checked_mul(factor).map(Self::limit).ok_or_else(bad)
    }

    /// Messages: a number, `50%`, or `unlimited`; zero is no limit either.
    pub fn messages(text: &str) -> Result<Self, BadQuota> {
        let bad = || BadQuota(format!("\"{text}\" is no number of messages: write 10000, 50% or unlimited"));
        match text.strip_suffix('%') {
            Some(number) => number.parse().map(Self::Percent).map_err(|_| bad()),
            None if text.eq_ignore_ascii_case("unlimited") => Ok(Self::Unlimited),
            None => text.parse().map(Self::limit).map_err(|_| bad()),
        }
    }

    fn limit(number: u64) -> Self {
        if number == 0 { Self::Unlimited } else { Self::Limit(number) }
    }

    fn within(self, otherwise: Option<u64>) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Limit(number) => Some(number),
            Self::Percent(percent) => otherwise
                .map(|most| u64::try_from(u128::from(most) * u128::from(percent) / 100).unwrap_or(u64::MAX)),
        }
    }
}

impl QuotaRule {
    /// Most octets and messages, where somebody else allows so many.
    #[must_use]
    pub fn within(self, (octets, messages): (Option<u64>, Option<u64>)) -> (Option<u64>, Option<u64>) {
        let by = |rule: Option<Allowance>, otherwise| rule.map_or(otherwise, |rule| rule.within(otherwise));
        (by(self.octets, octets), by(self.messages, messages))
    }

    /// Hears one extra field of a passwd-file, as Dovecot writes it up to 2.3 (`quota_rule`) and since 2.4; with
    /// `userdb_` in front or without. Rules for single mailboxes say nothing about the account.
    pub(crate) fn hear(&mut self, name: &str, value: &str) -> Result<(), BadQuota> {
        let name = name.strip_prefix("userdb_").unwrap_or(name);
        match name {
            "quota_storage_size" => self.octets = Some(Allowance::octets(value, 1)?),
            "quota_message_count" => self.messages = Some(Allowance::messages(value)?),
            _ if is_rule(name) => self.hear_rule(value)?,
            _ => {}
        }
        Ok(())
    }

    fn hear_rule(&mut self, rule: &str) -> Result<(), BadQuota> {
        let mut parts = rule.split(':');
        if parts.next() != Some("*") {
            return Ok(());
        }
        for part in parts {
            match part.split_once('=') {
                Some(("storage", size)) => self.octets = Some(Allowance::octets(size, 1 << 10)?),
                Some(("bytes", size)) => self.octets = Some(Allowance::octets(size, 1)?),
                Some(("messages", count)) => self.messages = Some(Allowance::messages(count)?),
                None if part == "ignore" => {
                    (self.octets, self.messages) = (Some(Allowance::Unlimited), Some(Allowance::Unlimited));
                }
                _ => {
                    return Err(BadQuota(format!(
                        "\"{part}\" is no quota: write storage=1G, bytes=1000000, messages=10000 or ignore"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// `quota_rule`, `quota_rule2` and so on.
fn is_rule(name: &str) -> bool {
    name.strip_prefix("quota_rule").is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GIB: u64 = 1 << 30;

    fn heard(fields: &str) -> Result<QuotaRule, BadQuota> {
        let mut rule = QuotaRule::default();
        for field in fields.split_ascii_whitespace() {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            rule.hear(name, value)?;
        }
        Ok(rule)
    }

    #[test]
    fn rules_allow_what_dovecot_would_allow() {
        // Fields, and what becomes of a default of 2 GiB and 1,000 messages.
        let cases = [
            ("", (Some(2 * GIB), Some(1_000))),
            ("userdb_quota_rule=*:storage=1G", (Some(GIB), Some(1_000))),
            ("quota_rule=*:storage=1G:messages=10", (Some(GIB), Some(10))),
            ("userdb_quota_rule=*:storage=1048576", (Some(GIB), Some(1_000))),
            ("userdb_quota_rule=*:bytes=1048576", (Some(1 << 20), Some(1_000))),
            ("userdb_quota_rule=*:storage=1g userdb_quota_rule2=*:messages=5", (Some(GIB), Some(5))),
            ("userdb_quota_rule=*:storage=50%:messages=10%", (Some(GIB), Some(100))),
            ("userdb_quota_rule=*:storage=0", (None, Some(1_000))),
            ("userdb_quota_rule=*:ignore", (None, None)),
            ("userdb_quota_storage_size=1G userdb_quota_message_count=7", (Some(GIB), Some(7))),
            ("userdb_quota_storage_size=1048576", (Some(1 << 20), Some(1_000))),
            ("userdb_quota_storage_size=unlimited userdb_quota_message_count=unlimited", (None, None)),
            ("userdb_quota_storage_size=10T", (Some(10 << 40), Some(1_000))),
            // About one mailbox, about something else, and about nothing.
            ("userdb_quota_rule=Trash:storage=+100M", (Some(2 * GIB), Some(1_000))),
            (
                "userdb_quota_rules=*:storage=1G userdb_quota_rulex=1 userdb_home=/x",
                (Some(2 * GIB), Some(1_000)),
            ),
            ("userdb_quota_rule=*", (Some(2 * GIB), Some(1_000))),
        ];
        for (fields, expected) in cases {
            let rule = heard(fields).unwrap();
            assert_eq!(rule.within((Some(2 * GIB), Some(1_000))), expected, "{fields}");
        }
        let half = heard("quota_rule=*:storage=50%").unwrap();
        assert_eq!(half.within((None, None)), (None, None), "a part of no limit is none");
    }

    #[test]
    fn what_is_no_quota_is_said() {
        for fields in [
            "userdb_quota_rule=*:storage=much",
            "userdb_quota_rule=*:storage=1X",
            "userdb_quota_rule=*:storage=",
            "userdb_quota_rule=*:storage=+1G",
            "userdb_quota_rule=*:storage=-1",
            "userdb_quota_rule=*:storage=99999999999999999999",
            "userdb_quota_rule=*:storage=99999999999T",
            "userdb_quota_rule=*:messages=1G",
            "userdb_quota_rule=*:letters=5",
            "userdb_quota_storage_size=lots",
            "userdb_quota_message_count=1k",
        ] {
            assert!(heard(fields).unwrap_err().to_string().contains("write"), "{fields}");
        }
    }
}
