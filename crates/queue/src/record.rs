//! Attempt records: what happened to a recipient, one checksummed line each at the end of an entry.

use std::fmt::Write as _;

use kings_mail::dsn::{Status, one_line};

use crate::deliver::{Handover, Report};
use crate::entry::Damage;

/// Longest reply kept in a record, in octets: the longest reply line of RFC 5321 §4.5.3.1.5.
const MAX_REPLY: usize = 512;
/// Longest name of a remote server kept in a record, in octets (RFC 5321 §4.5.3.1.2).
const MAX_REMOTE: usize = 255;

/// Something that happened to one recipient of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    /// To whom: the recipient's place in the envelope, counted from 0 (written from 1).
    pub(crate) recipient: usize,
    /// What.
    pub(crate) fact: Fact,
}

/// What can happen to a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Somebody took over.
    Delivered(Handover, Report),
    /// It is tried again at `next`, in seconds since 1970.
    Deferred { report: Report, next: u64 },
    /// It is given up; the sender is still to be told.
    Failed(Report),
    /// The sender has been told how it ended.
    Reported,
    /// The sender has been told that it takes long.
    Warned,
    /// An operator wants it to wait until it is released, or a rule does, which says why.
    Held(Option<Report>),
    /// It is tried again at `next`, in seconds since 1970.
    Released { next: u64 },
}

/// The words for those who can take over.
const HANDOVERS: [(&str, Handover); 4] = [
    ("delivered", Handover::Mailbox),
    ("relayed", Handover::Relayed),
    ("passed-on", Handover::PassedOn),
    ("expanded", Handover::Expanded),
];

/// Begins the reply of a recipient who was put off without an attempt, as its destination had just been found not to
/// answer.
const NOT_TRIED: &str = "not tried, for just before: ";

/// What is said of a recipient who is put off for this reason.
pub(crate) fn not_tried(why: &Report) -> Report {
    Report { reply: format!("{NOT_TRIED}{}", why.reply), ..why.clone() }
}

impl Fact {
    /// Whether it came of an attempt.
    pub(crate) fn is_attempt(&self) -> bool {
        match self {
            Self::Deferred { report, .. } => !report.reply.starts_with(NOT_TRIED),
            Self::Delivered(..) | Self::Failed(_) => true,
            Self::Reported | Self::Warned | Self::Held(_) | Self::Released { .. } => false,
        }
    }

    /// What it is called in the file.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Delivered(handover, _) => {
                HANDOVERS.iter().find(|(_, known)| known == handover).map_or("delivered", |(word, _)| word)
            }
            Self::Deferred { .. } => "deferred",
            Self::Failed(_) => "failed",
            Self::Reported => "reported",
            Self::Warned => "warned",
            Self::Held(_) => "held",
            Self::Released { .. } => "released",
        }
    }
}

impl Record {
    /// Appends the line. `seed` belongs to the entry, so that a line of another file, left in a reused disk
    /// block, does not pass for one of this.
    pub(crate) fn write_to(&self, seed: u32, out: &mut Vec<u8>) {
        let text = self.text();
        let line = format!("{:08x} {text}\n", checksum(seed, text.as_bytes()));
        out.extend_from_slice(line.as_bytes());
    }

    fn text(&self) -> String {
        let mut text = format!("at={} recipient={}", self.at, self.recipient + 1);
        let (next, report) = match &self.fact {
            Fact::Delivered(_, report) | Fact::Failed(report) => (None, Some(report)),
            Fact::Deferred { report, next } => (Some(next), Some(report)),
            Fact::Released { next } => (Some(next), None),
            Fact::Held(report) => (None, report.as_ref()),
            Fact::Reported | Fact::Warned => (None, None),
        };
        text.push_str(" outcome=");
        text.push_str(self.fact.word());
        if let Some(next) = next {
            write!(text, " next={next}").expect("a String takes any text");
        }
        if let Some(report) = report {
            write_report(&mut text, report);
        }
        text
    }

    /// Reads one line with its line end; `None` for anything that is not exactly such a line.
    fn parse(line: &[u8], seed: u32) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let (sum, text) = line.split_once(' ')?;
        (parse_hex(sum)? == checksum(seed, text.as_bytes())).then(|| Self::parse_text(text)).flatten()
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut fields = Fields(text);
        let at = fields.take("at")?.parse().ok()?;
        let recipient = fields.take("recipient")?.parse::<usize>().ok()?.checked_sub(1)?;
        let word = fields.take("outcome")?;
        let handover = HANDOVERS.iter().find(|(name, _)| *name == word).map(|(_, handover)| *handover);
        let fact = match (handover, word) {
            (Some(handover), _) => Fact::Delivered(handover, parse_report(&mut fields)?),
            (None, "deferred") => {
                let next = fields.take_number("next")?;
                Fact::Deferred { report: parse_report(&mut fields)?, next }
            }
            (None, "failed") => Fact::Failed(parse_report(&mut fields)?),
            (None, "reported") => Fact::Reported,
            (None, "warned") => Fact::Warned,
            (None, "held") if fields.0.is_empty() => Fact::Held(None),
            (None, "held") => Fact::Held(Some(parse_report(&mut fields)?)),
            (None, "released") => Fact::Released { next: fields.take_number("next")? },
            (None, _) => return None,
        };
        fields.0.is_empty().then_some(Self { at, recipient, fact })
    }
}

/// Reads all records at the end of an entry, and how many bytes of it are whole records.
///
/// A crash may leave the last append short, zeroed or in pieces: what follows the last whole record is
/// ignored. A whole record *behind* a broken one cannot come from a crash: then nothing here can be trusted.
pub(crate) fn parse_all(bytes: &[u8], seed: u32) -> Result<(Vec<Record>, usize), Damage> {
    let (mut records, mut whole, mut torn) = (Vec::new(), 0, false);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match Record::parse(line, seed) {
            Some(_) if torn => return Err(Damage::Record),
            Some(record) => {
                records.push(record);
                whole += line.len();
            }
            None => torn = true,
        }
    }
    Ok((records, whole))
}

/// CRC-32 of `bytes`, continued from `seed`.
pub(crate) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Eight lower-case hexadecimal digits, the one form written: another one would hide a flipped bit.
pub(crate) fn parse_hex(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

fn write_report(text: &mut String, report: &Report) {
    write!(text, " status={}", report.status).expect("a String takes any text");
    if let Some(remote) = &report.remote {
        write!(text, " remote=\"{}\"", quoted(&one_line(remote, MAX_REMOTE)))
            .expect("a String takes any text");
    }
    write!(text, " reply=\"{}\"", quoted(&one_line(&report.reply, MAX_REPLY)))
        .expect("a String takes any text");
}

fn parse_report(fields: &mut Fields<'_>) -> Option<Report> {
    let status = Status::parse(fields.take("status")?)?;
    let remote = fields.take_quoted("remote");
    Some(Report { status, remote, reply: fields.take_quoted("reply")? })
}

/// A report as it will read after it went through a record.
pub(crate) fn as_kept(report: Report) -> Report {
    let remote = report.remote.map(|remote| one_line(&remote, MAX_REMOTE));
    Report { remote, reply: one_line(&report.reply, MAX_REPLY), ..report }
}

/// `one_line` has left no control characters, so the quote and the backslash are all that needs escaping.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The rest of a line of `key=value` fields, taken from the left in their fixed order.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn take(&mut self, key: &str) -> Option<&'a str> {
        let rest = self.value_of(key)?;
        let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        self.0 = rest;
        Some(value)
    }

    fn take_number(&mut self, key: &str) -> Option<u64> {
        self.take(key)?.parse().ok()
    }

    fn take_quoted(&mut self, key: &str) -> Option<String> {
        let mut chars = self.value_of(key)?.strip_prefix('"')?.chars();
        let mut value = String::new();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                c => value.push(c),
            }
        }
        let rest = chars.as_str();
        self.0 = rest.strip_prefix(' ').unwrap_or(rest);
        Some(value)
    }

    fn value_of(&self, key: &str) -> Option<&'a str> {
        self.0.strip_prefix(key)?.strip_prefix('=')
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const SEED: u32 = 0x1234_5678;

    pub(crate) fn report() -> impl Strategy<Value = Report> {
        let status = prop_oneof![Just(2u8), Just(4), Just(5)];
        (status, 0u16..1000, 0u16..1000, proptest::option::of(".{0,40}"), "(?s).{0,80}").prop_map(
            |(class, subject, detail, remote, reply)| {
                as_kept(Report { status: Status(class, subject, detail), remote, reply })
            },
        )
    }

    pub(crate) fn record(recipients: usize) -> impl Strategy<Value = Record> {
        let fact = prop_oneof![
            (0..HANDOVERS.len(), report()).prop_map(|(n, report)| Fact::Delivered(HANDOVERS[n].1, report)),
            (report(), any::<u64>()).prop_map(|(report, next)| Fact::Deferred { report, next }),
            report().prop_map(Fact::Failed),
            Just(Fact::Reported),
            Just(Fact::Warned),
            proptest::option::of(report()).prop_map(Fact::Held),
            any::<u64>().prop_map(|next| Fact::Released { next }),
        ];
        (any::<u64>(), 0..recipients, fact).prop_map(|(at, recipient, fact)| Record { at, recipient, fact })
    }

    fn lines(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            record.write_to(SEED, &mut bytes);
        }
        bytes
    }

    #[test]
    fn a_record_is_a_readable_line() {
        let report = Report {
            status: Status(4, 7, 1),
            remote: Some("mx.example".into()),
            reply: "451-4.7.1 \"Greylisted\"\n451 4.7.1 come\\back\r\n\0".into(),
        };
        let record =
            Record { at: 1_795_000_000, recipient: 0, fact: Fact::Deferred { report, next: 1_795_000_300 } };
        let text = r#"at=1795000000 recipient=1 outcome=deferred next=1795000300 status=4.7.1 remote="mx.example" reply="451-4.7.1 \"Greylisted\" 451 4.7.1 come\\back""#;
        assert_eq!(record.text(), text);
        let reported = Record { at: 7, recipient: 2, fact: Fact::Reported };
        assert_eq!(reported.text(), "at=7 recipient=3 outcome=reported");
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let cases = [
            "",
            "at=1",
            "at=1 recipient=0 outcome=reported",
            "at=1 recipient=1 outcome=lost",
            "at=1 recipient=1 outcome=released",
            "at=1 recipient=1 outcome=held next=1",
            "at=1 recipient=1 outcome=reported x=1",
            "at=-1 recipient=1 outcome=reported",
            "recipient=1 at=1 outcome=reported",
            "at=1 recipient=1 outcome=failed status=5.1.1",
            "at=1 recipient=1 outcome=failed status=5.1 reply=\"\"",
            "at=1 recipient=1 outcome=failed status=5.1.1 reply=\"",
            "at=1 recipient=1 outcome=failed status=5.1.1 reply=\"\\",
        ];
        for text in cases {
            assert_eq!(Record::parse_text(text), None, "{text}");
        }
    }

    #[test]
    fn torn_tails_are_cut_and_holes_are_damage() {
        let one = Record { at: 1, recipient: 0, fact: Fact::Reported };
        let line = lines(std::slice::from_ref(&one));
        let joined = |parts: &[&[u8]]| parts.concat();
        let cases: [(&str, Vec<u8>, Result<usize, Damage>); 7] = [
            ("whole", joined(&[&line, &line]), Ok(2)),
            ("cut", joined(&[&line, &line[..line.len() - 1]]), Ok(1)),
            ("zeroed", joined(&[&line, &[0; 100]]), Ok(1)),
            ("garbage", joined(&[&line, b"\xff\n\n\xfe\n"]), Ok(1)),
            ("a line of another entry", joined(&[&line, &lines_with_seed(&one, 1)]), Ok(1)),
            ("a hole", joined(&[&line, b"garbage\n", &line]), Err(Damage::Record)),
            ("nothing", Vec::new(), Ok(0)),
        ];
        for (name, bytes, expected) in cases {
            let parsed = parse_all(&bytes, SEED);
            let whole = parsed.as_ref().map(|(_, whole)| *whole).unwrap_or_default();
            let count = parsed.map(|(records, _)| records.len());
            assert_eq!(count, expected, "{name}");
            assert_eq!(whole, line.len() * expected.unwrap_or(0), "{name}");
        }
    }

    fn lines_with_seed(record: &Record, seed: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.write_to(seed, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn records_read_back_as_written(records in proptest::collection::vec(record(5), 0..6)) {
            let bytes = lines(&records);
            prop_assert_eq!(parse_all(&bytes, SEED), Ok((records, bytes.len())));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "(?s).{0,200}") {
            let _ = parse_all(&bytes, SEED);
            let _ = Record::parse_text(&text);
        }
    }
}
