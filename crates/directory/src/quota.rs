//! How much an account may hold, in Dovecot's words: `*:storage=1G:messages=10000`, `Trash:storage=+10%`, `1G`, `50%`.

use std::fmt;

/// What somebody says about the mail of one account; what is not said here is said elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRule {
    /// Octets of all messages.
    pub octets: Option<Allowance>,
    /// Messages.
    pub messages: Option<Allowance>,
    /// Octets by which the last message that is delivered may go past the limit.
    pub grace: Option<Allowance>,
    /// What the limits are multiplied by, in hundredths, before octets come to the first of them.
    pub scale: Scale,
    /// What goes for some mailboxes; of these the first that fits counts.
    pub mailboxes: Vec<MailboxRule>,
}

/// Dovecot 2.4's `quota_storage_percentage`, `quota_message_percentage` and `quota_storage_extra`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    octets: Option<u64>,
    messages: Option<u64>,
    extra: u64,
}

/// What goes for mailboxes of some names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailboxRule {
    /// The place among the others, which the name of its field tells.
    number: u32,
    /// The names, as clients see them; `*` is any text and `?` any character.
    pub mask: String,
    /// What is in them counts for nothing.
    pub ignored: bool,
    /// How many octets more the account may hold while mail comes into one.
    pub octets: Option<Difference>,
    /// How many messages more.
    pub messages: Option<Difference>,
}

/// How much more, or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// So much.
    Number(i64),
    /// A part, in hundredths, of the account's limit.
    Percent(i64),
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

impl BadQuota {
    /// One that is told in these words.
    pub fn new(what: String) -> Self {
        Self(what)
    }
}

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
        if suffix == "%" {
            return Ok(Self::Percent(number));
        }
        let factor = factor(suffix, unit).ok_or_else(bad)?;
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

/// What a unit stands for; without one it is `unit`.
fn factor(suffix: &str, unit: u64) -> Option<u64> {
    Some(match suffix.to_ascii_lowercase().as_str() {
        "" => unit,
        "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    })
}

impl Difference {
    /// `+100M`, `-5`, `+10%`; without a sign it is more, as in Dovecot before 2.0. A number alone counts `unit` each.
    fn parse(text: &str, unit: u64) -> Result<Self, BadQuota> {
        let bad =
            || BadQuota(format!("\"{text}\" is not more or less of anything: write +100M, +10% or -5M"));
        let (sign, number) = match text.strip_prefix('-') {
            Some(number) => (-1, number),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = number.split_at(digits);
        let number: i64 = number.parse().map_err(|_| bad())?;
        if suffix == "%" {
            // Of less than nothing Dovecot knows nothing either.
            let is_part = sign * number > -100 && number < i64::from(u32::MAX);
            return if is_part { Ok(Self::Percent(sign * number)) } else { Err(bad()) };
        }
        let factor = factor(suffix, unit).and_then(|factor| i64::try_from(factor).ok()).ok_or_else(bad)?;
        number.checked_mul(factor).map(|number| Self::Number(sign * number)).ok_or_else(bad)
    }
}

impl Scale {
    fn of(self, (octets, messages): (Option<u64>, Option<u64>)) -> (Option<u64>, Option<u64>) {
        let part = |limit, percent: Option<u64>| {
            percent.map_or(limit, |part| Allowance::Percent(part).within(limit))
        };
        let octets = part(octets, self.octets).map(|octets| octets.saturating_add(self.extra));
        (octets, part(messages, self.messages))
    }
}

impl QuotaRule {
    /// Most octets and messages, where somebody else allows so many.
    #[must_use]
    pub fn within(&self, (octets, messages): (Option<u64>, Option<u64>)) -> (Option<u64>, Option<u64>) {
        let by = |rule: Option<Allowance>, otherwise| rule.map_or(otherwise, |rule| rule.within(otherwise));
        self.scale.of((by(self.octets, octets), by(self.messages, messages)))
    }

    /// Hears one extra field of a passwd-file, as Dovecot writes it up to 2.3 (`quota_rule`) and since 2.4; with
    /// `userdb_` in front or without.
    pub(crate) fn hear(&mut self, name: &str, value: &str) -> Result<(), BadQuota> {
        let name = name.strip_prefix("userdb_").unwrap_or(name);
        // Dovecot takes a percent sign for the beginning of a variable and two of them for one, in the field and again in the
        // setting that becomes of it.
        let value = &*value.replace("%%", "%").replace("%%", "%");
        match name {
            "quota_storage_size" => self.octets = Some(Allowance::octets(value, 1)?),
            "quota_message_count" => self.messages = Some(Allowance::messages(value)?),
            "quota_storage_grace" => self.grace = Some(grace(value)?),
            "quota_storage_extra" => self.scale.extra = plain_octets(value)?,
            "quota_storage_percentage" => self.scale.octets = Some(hundredths(value)?),
            "quota_message_percentage" => self.scale.messages = Some(hundredths(value)?),
            _ => {
                if let Some(number) = rule_number(name) {
                    self.hear_rule(number, value)?;
                }
            }
        }
        Ok(())
    }

    /// Hears a rule as the extra fields of a passwd-file have it: `*:storage=1G`, `Trash:storage=+100M`, `Spam:ignore`. Mailboxes
    /// of a lower number are asked for first.
    pub fn hear_rule(&mut self, number: u32, rule: &str) -> Result<(), BadQuota> {
        // `?` has a limit that stands in `maildirsize` go before it in Dovecot, which is what a Courier wrote there.
        match rule.split_once(':') {
            Some(("*" | "?", limits)) => self.hear_limits(limits),
            Some((mask, limits)) if !mask.is_empty() => self.hear_mailboxes(number, mask, limits),
            None if rule == "*" => Ok(()),
            _ => Err(BadQuota(format!(
                "\"{rule}\" is no rule: write *:storage=1G, Trash:storage=+100M or Spam:ignore"
            ))),
        }
    }

    fn hear_mailboxes(&mut self, number: u32, mask: &str, limits: &str) -> Result<(), BadQuota> {
        // Of the inbox alone the case says nothing.
        let mask = if mask.eq_ignore_ascii_case("INBOX") { "INBOX" } else { mask };
        let at = self.mailboxes.iter().position(|rule| rule.mask == mask).unwrap_or_else(|| {
            let at = self.mailboxes.partition_point(|rule| rule.number <= number);
            let rule = MailboxRule { number, mask: mask.to_owned(), ..MailboxRule::default() };
            self.mailboxes.insert(at, rule);
            at
        });
        let rule = &mut self.mailboxes[at];
        for part in limits.split(':') {
            match part.split_once('=') {
                Some(("storage", size)) => rule.octets = Some(Difference::parse(size, 1 << 10)?),
                Some(("bytes", size)) => rule.octets = Some(Difference::parse(size, 1)?),
                Some(("messages", count)) => rule.messages = Some(Difference::parse(count, 1)?),
                None if part == "ignore" => rule.ignored = true,
                _ => {
                    return Err(BadQuota(format!(
                        "\"{part}\" is no rule for a mailbox: write storage=+100M, bytes=+1000000, messages=+10% or ignore"
                    )));
                }
            }
        }
        Ok(())
    }

    fn hear_limits(&mut self, limits: &str) -> Result<(), BadQuota> {
        for part in limits.split(':') {
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

/// The number of `quota_rule`, `quota_rule2` and so on.
fn rule_number(name: &str) -> Option<u32> {
    match name.strip_prefix("quota_rule")? {
        "" => Some(1),
        number if number.bytes().all(|digit| digit.is_ascii_digit()) => number.parse().ok(),
        _ => None,
    }
}

/// By how much the last message may go past the limit: here nothing is nothing, and not no limit.
pub fn grace(text: &str) -> Result<Allowance, BadQuota> {
    match Allowance::octets(text, 1)? {
        Allowance::Unlimited if !text.eq_ignore_ascii_case("unlimited") => Ok(Allowance::Limit(0)),
        grace => Ok(grace),
    }
}

fn plain_octets(text: &str) -> Result<u64, BadQuota> {
    match grace(text)? {
        Allowance::Limit(octets) => Ok(octets),
        _ => Err(BadQuota(format!("\"{text}\" is no size: write 100M"))),
    }
}

fn hundredths(text: &str) -> Result<u64, BadQuota> {
    text.parse().map_err(|_| BadQuota(format!("\"{text}\" is no part in hundredths: write 150")))
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
            ("userdb_quota_rule=*:storage=50%%:messages=10%%", (Some(GIB), Some(100))),
            ("userdb_quota_rule=*:storage=0", (None, Some(1_000))),
            ("userdb_quota_rule=*:ignore", (None, None)),
            ("userdb_quota_storage_size=1G userdb_quota_message_count=7", (Some(GIB), Some(7))),
            ("userdb_quota_storage_size=1048576", (Some(1 << 20), Some(1_000))),
            ("userdb_quota_storage_size=unlimited userdb_quota_message_count=unlimited", (None, None)),
            ("userdb_quota_storage_size=10T", (Some(10 << 40), Some(1_000))),
            ("quota_rule=?:storage=1G", (Some(GIB), Some(1_000))),
            ("quota_storage_percentage=50 quota_message_percentage=150", (Some(GIB), Some(1_500))),
            ("userdb_quota_storage_extra=1G", (Some(3 * GIB), Some(1_000))),
            (
                "quota_storage_extra=1k quota_storage_percentage=50 quota_storage_size=1G",
                (Some(GIB / 2 + 1_024), Some(1_000)),
            ),
            ("quota_storage_size=unlimited quota_storage_extra=1G", (None, Some(1_000))),
            // About some mailboxes, about something else, and about nothing.
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
        assert_eq!(heard("quota_storage_grace=0").unwrap().grace, Some(Allowance::Limit(0)));
        let half = heard("quota_rule=*:storage=50%").unwrap();
        assert_eq!(half.within((None, None)), (None, None), "a part of no limit is none");
    }

    #[test]
    fn rules_for_mailboxes_are_in_the_order_of_their_numbers() {
        let rule = heard(
            "userdb_quota_rule3=Spam:ignore userdb_quota_rule=*:storage=1G \
             userdb_quota_rule2=Trash:storage=+100M:messages=-10%%%% quota_rule10=*.old:messages=5 \
             quota_rule4=inbox:bytes=+7 quota_rule5=Trash:messages=+3 quota_rule6=Half:storage=50%",
        )
        .unwrap();
        let of = |number, mask: &str, octets, messages| MailboxRule {
            number,
            mask: mask.to_owned(),
            ignored: false,
            octets,
            messages,
        };
        let (number, percent) = (|n| Some(Difference::Number(n)), |n| Some(Difference::Percent(n)));
        let expected = [
            of(2, "Trash", number(100 << 20), number(3)),
            MailboxRule { ignored: true, ..of(3, "Spam", None, None) },
            of(4, "INBOX", number(7), None),
            of(6, "Half", percent(50), None),
            of(10, "*.old", None, number(5)),
        ];
        assert_eq!(rule.mailboxes, expected);
        assert_eq!(rule.within((None, None)), (Some(GIB), None));
    }

    #[test]
    fn what_is_no_quota_is_said() {
        for fields in [
            "quota_rule2=Trash:storage=+",
            "quota_rule2=Trash:storage=+-1",
            "quota_rule2=Trash:storage=+99999999999999T",
            "quota_rule2=Trash:storage=-100%",
            "quota_rule2=Trash:letters=+1",
            "quota_rule2=Trash",
            "quota_rule2=:storage=+1",
            "quota_storage_extra=50%",
            "quota_storage_extra=unlimited",
            "quota_message_percentage=50%",
            "quota_storage_grace=some",
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
