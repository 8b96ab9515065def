//! `maildirsize`: limits in the first line, what was there at the last count in the second, changes in all others.
//!
//! The rules are those of Dovecot's `quota-maildir.c`, so that both read the same figure out of the same file.

use super::{QuotaLimits, Usage};

pub(super) const NAME: &str = "maildirsize";
/// A longer file is counted anew, and short again.
pub(super) const LONGEST: u64 = 5_119;
/// Seconds after which a file is not believed any more that an account is full: other mail programs do not write it.
pub(super) const STALE: i64 = 15 * 60;

/// What a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) used: Usage,
    /// In its first line.
    pub(super) limits: QuotaLimits,
    /// Lines behind the first.
    pub(super) lines: usize,
}

/// Reads a file; `None` where it is damaged. A last line without its end is still being written.
pub(super) fn parse(octets: &[u8]) -> Option<Told> {
    let end = octets.iter().rposition(|&octet| octet == b'\n')?;
    let text = std::str::from_utf8(&octets[..end]).ok()?;
    let mut lines = text.split('\n');
    let limits = limits(lines.next()?);
    let (mut sizes, mut messages, mut count) = (0_i64, 0_i64, 0);
    for line in lines {
        let mut numbers = line.split_ascii_whitespace();
        sizes = sizes.checked_add(numbers.next()?.parse().ok()?)?;
        messages = messages.checked_add(numbers.next()?.parse().ok()?)?;
        count += 1;
    }
    let used = Usage { octets: u64::try_from(sizes).ok()?, messages: u64::try_from(messages).ok()? };
    Some(Told { used, limits, lines: count })
}

/// `1000000S,500C`, in any order; letters that nobody knows say nothing, and zero is no limit.
fn limits(line: &str) -> QuotaLimits {
    let mut limits = QuotaLimits::default();
    for part in line.split(',') {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number = part[..digits].parse().ok().filter(|number| *number > 0);
        match &part[digits..] {
            "S" => limits.octets = number.or(limits.octets),
            "C" => limits.messages = number.or(limits.messages),
            _ => {}
        }
    }
    limits
}

/// A whole file after a count.
pub(super) fn text(limits: QuotaLimits, used: Usage) -> String {
    let octets = limits.octets.map(|octets| format!("{octets}S"));
    let messages = limits.messages.map(|messages| format!("{messages}C"));
    let limits: Vec<String> = octets.into_iter().chain(messages).collect();
    format!("{}\n{} {}\n", limits.join(","), used.octets, used.messages)
}

/// The line of one change.
pub(super) fn line((added, removed): (Usage, Usage)) -> String {
    let difference = |more: u64, less: u64| i128::from(more) - i128::from(less);
    let octets = difference(added.octets, removed.octets);
    let messages = difference(added.messages, removed.messages);
    format!("{octets} {messages}\n")
}

/// Reads `bytes` as a file, writes it as after a count and reads that; says which promise does not hold.
pub(crate) fn try_file(bytes: &[u8]) -> Result<(), &'static str> {
    let Some(Told { used, limits, .. }) = parse(bytes) else { return Ok(()) };
    let again = parse(text(limits, used).as_bytes());
    let holds = again == Some(Told { used, limits, lines: 1 });
    if holds { Ok(()) } else { Err("what an account holds reads back") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_by_dovecots_rules() {
        let usage = |octets, messages| Usage { octets, messages };
        let limits = |octets, messages| QuotaLimits { octets, messages, grace: 0 };
        let told = |used, limits, lines| Some(Told { used, limits, lines });
        let cases = [
            ("1000S,10C\n300 3\n", told(usage(300, 3), limits(Some(1000), Some(10)), 1)),
            ("10C,1000S\n300 3\n", told(usage(300, 3), limits(Some(1000), Some(10)), 1)),
            ("1000S\n300 3\n100 1\n-50 -1\n", told(usage(350, 3), limits(Some(1000), None), 3)),
            // Being written.
            ("1000S\n300 3\n100 1", told(usage(300, 3), limits(Some(1000), None), 1)),
            ("1000S\n  300   3  \n", told(usage(300, 3), limits(Some(1000), None), 1)),
            ("\n0 0\n", told(usage(0, 0), limits(None, None), 1)),
            ("0S,0C\n5 1\n", told(usage(5, 1), limits(None, None), 1)),
            ("7X,1000S,nonsense\n5 1\n", told(usage(5, 1), limits(Some(1000), None), 1)),
            ("1000S\n", told(usage(0, 0), limits(Some(1000), None), 0)),
            ("", None),
            ("1000S", None),
            ("1000S\n300\n", None),
            ("1000S\nx y\n", None),
            ("1000S\n300 3\n\n", None),
            ("1000S\n300 3\n-301 -1\n", None),
            ("1000S\n300 1\n0 -2\n", None),
            ("1000S\n9223372036854775807 1\n1 1\n", None),
        ];
        for (file, expected) in cases {
            assert_eq!(parse(file.as_bytes()), expected, "{file:?}");
            assert_eq!(try_file(file.as_bytes()), Ok(()), "{file:?}");
        }
        assert_eq!(parse(b"\xff\n1 1\n"), None);
    }

    #[test]
    fn changes_are_lines_that_read_back() {
        let (more, less) = (Usage { octets: 10, messages: 1 }, Usage { octets: 30, messages: 2 });
        assert_eq!(line((more, Usage::default())), "10 1\n");
        assert_eq!(line((Usage::default(), less)), "-30 -2\n");
        assert_eq!(line((more, less)), "-20 -1\n");
    }
}
