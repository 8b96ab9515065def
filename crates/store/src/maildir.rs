//! Names of message files: unique part, sizes and flag letters (Maildir++ as Dovecot writes it).

use std::cmp::Ordering;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::flags::SystemFlag;

/// Starts the flags at the end of a name.
const INFO: &[u8] = b":2,";
/// Longest host part in a unique name, so that name, sizes and flags fit 255 octets.
const MAX_HOST: usize = 64;

/// Letters of the system flags, in ASCII order.
const LETTERS: [(u8, SystemFlag); 5] = [
    (b'D', SystemFlag::Draft),
    (b'F', SystemFlag::Flagged),
    (b'R', SystemFlag::Answered),
    (b'S', SystemFlag::Seen),
    (b'T', SystemFlag::Deleted),
];

/// What the letters of a name say: system flags, and one bit per keyword letter `a` to `z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Letters {
    /// Bits of [`SystemFlag`].
    pub(crate) system: u8,
    /// Bit 0 is `a`.
    pub(crate) keywords: u32,
}

/// Splits a file name into its base, which names the message for good, and its info, which changes.
///
/// The base ends at the first colon, as Dovecot's `maildir_filename_base_cmp` has it.
pub(crate) fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let colon = name.iter().position(|&byte| byte == b':').unwrap_or(name.len());
    name.split_at(colon)
}

/// The letters in an info, and what stands around them: text before the last colon, further flag sets
/// after a comma. Anything but `:2,` means no letters.
fn parts(info: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let colon = info.iter().rposition(|&byte| byte == b':').unwrap_or(info.len());
    let (before, last) = info.split_at(colon);
    let Some(flags) = last.strip_prefix(INFO) else { return (before, b"", b"") };
    let comma = flags.iter().position(|&byte| byte == b',').unwrap_or(flags.len());
    let (letters, further) = flags.split_at(comma);
    (before, letters, further)
}

/// Reads the flag letters of an info; letters that mean nothing here are skipped.
pub(crate) fn letters(info: &[u8]) -> Letters {
    let mut out = Letters::default();
    for &letter in parts(info).1 {
        match letter {
            b'a'..=b'z' => out.keywords |= 1 << (letter - b'a'),
            _ => out.system |= LETTERS.iter().find(|(l, _)| *l == letter).map_or(0, |(_, flag)| *flag as u8),
        }
    }
    out
}

/// The info that says `new`, with the unknown letters and further flag sets of `old` kept.
///
/// Letters stand in ASCII order, each once.
pub(crate) fn info_with(old: &[u8], new: Letters) -> Vec<u8> {
    let (before, old_letters, further) = parts(old);
    let is_ours = |letter: &u8| letter.is_ascii_lowercase() || LETTERS.iter().any(|(l, _)| l == letter);
    let mut all: Vec<u8> = old_letters.iter().copied().filter(|letter| !is_ours(letter)).collect();
    all.extend(LETTERS.iter().filter(|(_, flag)| new.system & *flag as u8 != 0).map(|(letter, _)| *letter));
    all.extend((b'a'..=b'z').filter(|letter| new.keywords & 1 << (letter - b'a') != 0));
    all.sort_unstable();
    all.dedup();
    [before, INFO, &all, further].concat()
}

/// The number after `,S=` or `,W=` in a base.
pub(crate) fn size_field(base: &[u8], key: u8) -> Option<u64> {
    let mark = [b',', key, b'='];
    let at = base.windows(3).position(|window| window == mark)? + 3;
    let field = base.get(at..)?;
    let end = field.iter().position(|&byte| byte == b',').unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok()?.parse().ok()
}

/// The order in which new files get their UIDs: seconds, microseconds after an `M`, then the rest.
///
/// Dovecot's `maildir_filename_sort_cmp` does the same, so both programs number the same files the same
/// way; only where a name lacks microseconds it compares text, which is no total order, and Rust's sort
/// panics on those.
pub(crate) fn arrival_order(a: &[u8], b: &[u8]) -> Ordering {
    let key = |name| {
        let (seconds, rest) = number(name);
        (seconds, microseconds(rest), split(rest).0)
    };
    key(a).cmp(&key(b))
}

/// When a file got its name, in seconds since 1970, as it stands at its beginning: whoever puts a message into a Maildir
/// gives it a new one. `None` for names that begin otherwise, or long before there were Maildirs or in a far future.
pub(crate) fn named_at(base: &[u8]) -> Option<i64> {
    const FIRST: u64 = 631_152_000;
    const LAST: u64 = 1 << 33;
    let (seconds, rest) = number(base);
    (rest.starts_with(b".") && (FIRST..LAST).contains(&seconds)).then(|| i64::try_from(seconds).ok())?
}

/// Leading digits as a number, and what follows them.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let add = |sum: u64, byte: &u8| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    (text[..digits].iter().fold(0, add), &text[digits..])
}

/// The digits after the first `M` of the part between the first two dots.
fn microseconds(rest: &[u8]) -> Option<u64> {
    let part = rest.strip_prefix(b".")?.split(|&byte| byte == b'.' || byte == b':').next()?;
    let at = part.iter().position(|&byte| byte == b'M')?;
    Some(number(&part[at + 1..]).0)
}

/// Makes names no other file has or had.
///
/// Time orders them, but it is chance that makes them unique: a clock set back or a reused process id
/// cannot repeat 64 random bits and a counter.
#[derive(Debug)]
pub(crate) struct NameMaker {
    host: String,
    process: u32,
    counter: AtomicU32,
}

impl NameMaker {
    /// For this host, whose name is cleaned of what has a meaning in file names.
    pub(crate) fn new() -> Self {
        let host = rustix::system::uname();
        let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
        let host = host.nodename().to_string_lossy().chars().take(MAX_HOST).map(clean).collect();
        Self { host, process: std::process::id(), counter: AtomicU32::new(0) }
    }

    /// A fresh base without sizes.
    pub(crate) fn unique(&self) -> io::Result<String> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, microseconds) = (now.as_secs(), now.subsec_micros());
        let count = self.counter.fetch_add(1, Relaxed);
        let random = u64::from_ne_bytes(random);
        let Self { host, process, .. } = self;
        Ok(format!("{seconds}.M{microseconds}P{process}Q{count}R{random:016x}.{host}"))
    }
}

/// A base with its sizes: octets on disk and octets of the CRLF form.
pub(crate) fn sized(unique: &str, disk: u64, crlf: u64) -> Vec<u8> {
    format!("{unique},S={disk},W={crlf}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn letters_are_read_wherever_the_info_is_well_formed() {
        let seen = SystemFlag::Seen as u8;
        let cases: [(&str, u8, u32); 11] = [
            ("a", 0, 0),
            ("a:2,", 0, 0),
            ("a:2,S", seen, 0),
            ("a:2,DFRST", 31, 0),
            ("a:2,TSRFD", 31, 0),
            ("a:2,SSSX!", seen, 0),
            ("a:2,Sabz", seen, 1 | 2 | 1 << 25),
            ("a:2,S,abc", seen, 0),
            ("a:1,S", 0, 0),
            ("a:b:2,S", seen, 0),
            ("a:2,S:junk", 0, 0),
        ];
        for (name, system, keywords) in cases {
            assert_eq!(letters(split(name.as_bytes()).1), Letters { system, keywords }, "{name}");
        }
    }

    #[test]
    fn changed_infos_keep_what_they_do_not_understand() {
        let cases: [(&str, &str); 8] = [
            ("", ":2,FSb"),
            (":2,", ":2,FSb"),
            (":2,T", ":2,FSb"),
            (":2,PT", ":2,FPSb"),
            (":2,Z,more", ":2,FSZb,more"),
            (":2,aa", ":2,FSb"),
            (":1,experimental", ":2,FSb"),
            (":x:2,R", ":x:2,FSb"),
        ];
        let new = Letters { system: SystemFlag::Flagged as u8 | SystemFlag::Seen as u8, keywords: 2 };
        for (old, expected) in cases {
            assert_eq!(String::from_utf8(info_with(old.as_bytes(), new)).unwrap(), expected, "{old}");
        }
    }

    #[test]
    fn sizes_stand_in_the_base() {
        let cases = [
            ("1.M2P3.h,S=12,W=13", Some(12), Some(13)),
            ("1.h,W=13,S=12", Some(12), Some(13)),
            ("1.h", None, None),
            ("1.h,S=", None, None),
            ("1.h,S=12x", None, None),
            ("1.h,S=99999999999999999999999", None, None),
            ("1.h,S=-1,W=1", None, Some(1)),
        ];
        for (base, s, w) in cases {
            assert_eq!(
                (size_field(base.as_bytes(), b'S'), size_field(base.as_bytes(), b'W')),
                (s, w),
                "{base}"
            );
        }
    }

    #[test]
    fn files_are_numbered_by_arrival() {
        let mut names = [
            "1700000002.x",
            "zzz",
            "1700000001.M10P1.h",
            "1700000001.M9P1.h:2,S",
            "1700000001.P1.h",
            "99999999999999999999999999.h",
        ];
        names.sort_by(|a, b| arrival_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(
            names,
            [
                "zzz",
                "1700000001.P1.h",
                "1700000001.M9P1.h:2,S",
                "1700000001.M10P1.h",
                "1700000002.x",
                "99999999999999999999999999.h",
            ]
        );
    }

    #[test]
    fn unique_names_differ_and_sort_by_time() {
        let maker = NameMaker::new();
        let (first, second) = (maker.unique().unwrap(), maker.unique().unwrap());
        assert_ne!(first, second);
        assert_ne!(arrival_order(first.as_bytes(), second.as_bytes()), Ordering::Greater);
        assert!(sized(&first, u64::MAX, u64::MAX).len() + ":2,DFRST".len() + 26 < 255);
    }
}
