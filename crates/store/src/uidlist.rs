//! The text of `dovecot-uidlist`, version 3: which UID each file has.
//!
//! ```text
//! 3 V1795479510 N0000000003 G5176b62dd4d7046bf65c000083ecc375
//! 1 :1795479508.M845978P23800.host,S=23,W=27
//! 2 G0123456789abcdef W27 :1795479508.M882113P23801.host
//! ```
//!
//! `V` is the UIDVALIDITY, `N` a UIDNEXT that was true when it was written, `G` the mailbox's own name.
//! A message's line holds its UID, extensions of one letter and a value, and the base of its file name.
//! What is not understood is kept. Dovecot appends lines and rewrites the file now and then.
//!
//! Kings writes `N` with ten digits, so that it can be raised in place with every append: a file that
//! lost its tail then still says which UIDs have been given away.

use std::collections::HashMap;
use std::ops::Range;

use crate::dir::is_component;
use crate::maildir;

/// File name in the mailbox's folder.
pub(crate) const NAME: &str = "dovecot-uidlist";
/// UIDs end here: Dovecot takes 2^32-1 for "none".
pub(crate) const MAX_UID: u32 = u32::MAX - 1;
/// Digits of `N` as written here: as many as the largest UID has.
const NEXT_DIGITS: usize = 10;

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// UIDVALIDITY; 0 while nothing is known.
    pub(crate) validity: u32,
    /// Every UID given so far is lower.
    pub(crate) next: u32,
    /// The mailbox's GUID, 32 hexadecimal digits, once it has one.
    pub(crate) guid: Option<String>,
    /// Unknown fields, joined by spaces.
    pub(crate) further: Vec<u8>,
}

/// One message's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 1 to [`MAX_UID`].
    pub(crate) uid: u32,
    /// Extensions as they stand, joined by spaces; `None` when there are none, as is usual.
    pub(crate) extensions: Option<Box<[u8]>>,
    /// The file name up to its first colon.
    pub(crate) base: Box<[u8]>,
}

/// How far a file can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// As its writer left it; lines may be appended.
    Whole,
    /// Right, but to be written anew before anything is appended: an old version, an unfinished last
    /// line, a file that was given a second UID.
    Rewrite,
    /// Not what any writer leaves. The UIDs in it may mean other messages than they did.
    Damaged,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The first line, as far as it could be read.
    pub(crate) header: Header,
    /// The readable messages by rising UID.
    pub(crate) entries: Vec<Entry>,
    /// Whether the above can be believed.
    pub(crate) health: Health,
    /// Where the digits of `N` stand.
    pub(crate) next_digits: Option<Range<usize>>,
}

impl Entry {
    /// The value of an extension, such as `W` for the size of the CRLF form.
    pub(crate) fn extension(&self, key: u8) -> Option<&[u8]> {
        let fields = self.extensions.as_deref()?.split(|&byte| byte == b' ');
        fields.into_iter().find_map(|field| field.strip_prefix(&[key]))
    }

    /// Sets an extension, keeping the others.
    pub(crate) fn set_extension(&mut self, key: u8, value: u64) {
        let fields = self.extensions.as_deref().unwrap_or_default().split(|&byte| byte == b' ');
        let mut kept: Vec<Vec<u8>> =
            fields.filter(|field| field.first().is_some_and(|&k| k != key)).map(<[u8]>::to_vec).collect();
        kept.push(format!("{}{value}", char::from(key)).into_bytes());
        self.extensions = Some(kept.join(&b' ').into());
    }

    /// Appends the line.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.uid.to_string().as_bytes());
        if let Some(extensions) = &self.extensions {
            out.push(b' ');
            out.extend_from_slice(extensions);
        }
        out.extend_from_slice(b" :");
        out.extend_from_slice(&self.base);
        out.push(b'\n');
    }
}

impl Header {
    /// Appends the line.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("3 V{} N{:0NEXT_DIGITS$}", self.validity, self.next).as_bytes());
        if let Some(guid) = &self.guid {
            out.extend_from_slice(format!(" G{guid}").as_bytes());
        }
        if !self.further.is_empty() {
            out.push(b' ');
            out.extend_from_slice(&self.further);
        }
        out.push(b'\n');
    }
}

/// Where the digits of `N` stand in the first line of a file.
pub(crate) fn header_digits(bytes: &[u8]) -> Option<Range<usize>> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    parse(&bytes[..=end]).next_digits
}

/// The version of a list that a later Dovecot wrote: a first line like that of version 3, with a higher number.
pub(crate) fn later_version(bytes: &[u8]) -> Option<u32> {
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    let space = line.iter().position(|&byte| byte == b' ')?;
    let version = number(&line[..space]).filter(|&version| version > 3)?;
    let as_known = [b"3".as_slice(), &line[space..], b"\n"].concat();
    (parse(&as_known).health != Health::Damaged).then_some(version)
}

/// Reads a file. Nothing in it makes this fail: what is wrong shows in [`Parsed::health`].
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut parsed =
        Parsed { header: Header::default(), entries: Vec::new(), health: Health::Whole, next_digits: None };
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let Some(version) = header.strip_suffix(b"\n").and_then(|line| parsed.read_header(line)) else {
        parsed.health = Health::Damaged;
        return parsed;
    };
    parsed.read_entries(lines, version);
    parsed.drop_second_uids();
    parsed
}

/// The versions in the field: 3, and 1 of early Dovecot and of Courier's `courierimapuiddb`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Three,
}

impl Parsed {
    /// Reads the first line; `None` when it is not one.
    fn read_header(&mut self, line: &[u8]) -> Option<Version> {
        let version = match line.get(..2)? {
            b"3 " => Version::Three,
            b"1 " => Version::One,
            _ => return None,
        };
        let mut at = 2;
        for (place, field) in line[2..].split(|&byte| byte == b' ').enumerate() {
            match version {
                Version::One => self.read_plain_field(place, field)?,
                Version::Three => self.read_field(at, field)?,
            }
            at += field.len() + 1;
        }
        if version == Version::One || self.header.guid.is_none() {
            self.health = Health::Rewrite;
        }
        (self.header.validity != 0 && self.header.next != 0).then_some(version)
    }

    /// `V`, `N`, `G` or something to keep; `at` is where the field starts in the file.
    fn read_field(&mut self, at: usize, field: &[u8]) -> Option<()> {
        match field.split_first() {
            None => {}
            Some((b'V', value)) => self.header.validity = number(value)?,
            Some((b'N', value)) => {
                self.header.next = number(value)?;
                self.next_digits = Some(at + 1..at + 1 + value.len());
            }
            Some((b'G', value)) => {
                let text = std::str::from_utf8(value).ok().filter(|text| is_guid(text))?;
                self.header.guid = Some(text.to_owned());
            }
            Some(_) => {
                if !self.header.further.is_empty() {
                    self.header.further.push(b' ');
                }
                self.header.further.extend_from_slice(field);
            }
        }
        Some(())
    }

    /// Version 1 has only UIDVALIDITY and UIDNEXT, by place.
    fn read_plain_field(&mut self, place: usize, field: &[u8]) -> Option<()> {
        match place {
            0 => self.header.validity = number(field)?,
            1 => self.header.next = number(field)?,
            _ => {}
        }
        Some(())
    }

    /// Reads messages until the first line that no writer leaves.
    ///
    /// A last line without its end is an append that was cut short: its UID was shown to nobody, because
    /// an append is on disk before its UIDs are used.
    fn read_entries<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>, version: Version) {
        let mut last = 0;
        for line in lines {
            let Some(line) = line.strip_suffix(b"\n") else {
                self.health = Health::Rewrite;
                break;
            };
            match entry(line, version).filter(|entry| entry.uid > last) {
                Some(entry) => {
                    last = entry.uid;
                    self.entries.push(entry);
                }
                None => {
                    self.health = Health::Damaged;
                    break;
                }
            }
        }
        self.header.next = self.header.next.max(last.saturating_add(1));
    }

    /// A file that came back after it was gone has a second line with a new UID; the later one counts,
    /// as for Dovecot.
    fn drop_second_uids(&mut self) {
        let mut latest: HashMap<&[u8], u32> = HashMap::with_capacity(self.entries.len());
        for entry in &self.entries {
            latest.insert(&entry.base, entry.uid);
        }
        if latest.len() == self.entries.len() {
            return;
        }
        let keep: Vec<bool> =
            self.entries.iter().map(|entry| latest.get(&*entry.base) == Some(&entry.uid)).collect();
        let mut keep = keep.into_iter();
        self.entries.retain(|_| keep.next().unwrap_or_default());
        if self.health == Health::Whole {
            self.health = Health::Rewrite;
        }
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Plain digits.
fn number(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// `UID[ extension]... :base`, in version 1 `UID base`.
fn entry(line: &[u8], version: Version) -> Option<Entry> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let uid = number(&line[..space]).filter(|uid| (1..=MAX_UID).contains(uid))?;
    let mut rest = line[space..].trim_ascii_start();
    let mut extensions: Vec<&[u8]> = Vec::new();
    while version == Version::Three && *rest.first()? != b':' {
        let end = rest.iter().position(|&byte| byte == b' ')?;
        extensions.push(&rest[..end]);
        rest = rest[end..].trim_ascii_start();
    }
    let name = if version == Version::Three { &rest[1..] } else { rest };
    let (base, _) = maildir::split(name);
    let fits = is_component(base) && !base.contains(&b'\r');
    let extensions = (!extensions.is_empty()).then(|| extensions.join(&b' ').into());
    fits.then(|| Entry { uid, extensions, base: base.into() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const GUID: &str = "5176b62dd4d7046bf65c000083ecc375";

    fn sample() -> Vec<u8> {
        format!("3 V1795479510 N3 G{GUID} Xkept\n1 :a.h,S=23,W=27\n2 Gabc W27 Zodd :b c.h\n7 :d.h\n")
            .into_bytes()
    }

    #[test]
    fn what_dovecot_wrote_is_read() {
        let parsed = parse(&sample());
        assert_eq!(parsed.health, Health::Whole);
        assert_eq!(parsed.header.validity, 1_795_479_510);
        assert_eq!(parsed.header.next, 8, "the last line counts more than an old header");
        assert_eq!(parsed.header.guid.as_deref(), Some(GUID));
        assert_eq!(parsed.header.further, b"Xkept");
        assert_eq!(parsed.next_digits, Some(15..16));
        let bases: Vec<&[u8]> = parsed.entries.iter().map(|entry| &*entry.base).collect();
        assert_eq!(bases, [b"a.h,S=23,W=27".as_slice(), b"b c.h", b"d.h"]);
        assert_eq!(parsed.entries[1].extension(b'W'), Some(b"27".as_slice()));
        assert_eq!(parsed.entries[1].extension(b'P'), None);
    }

    #[test]
    fn what_is_not_understood_is_written_back() {
        let parsed = parse(&sample());
        let mut out = Vec::new();
        parsed.header.write_to(&mut out);
        parsed.entries.iter().for_each(|entry| entry.write_to(&mut out));
        let again = String::from_utf8(out.clone()).unwrap();
        assert_eq!(again, String::from_utf8(sample()).unwrap().replace(" N3 ", " N0000000008 "));
        assert_eq!(parse(&out).entries, parsed.entries);
        assert_eq!(header_digits(&out), Some(15..25));
    }

    #[test]
    fn extensions_are_set_beside_the_others() {
        let mut entry = parse(&sample()).entries[1].clone();
        entry.set_extension(b'W', 30);
        entry.set_extension(b'S', 28);
        assert_eq!(entry.extensions.as_deref(), Some(b"Gabc Zodd W30 S28".as_slice()));
    }

    #[test]
    fn files_are_believed_as_far_as_a_writer_could_have_left_them() {
        use Health::{Damaged, Rewrite, Whole};
        let head = format!("3 V5 N9 G{GUID}\n");
        let cases = [
            (String::new(), Damaged, 0),
            ("3 V5 N9".into(), Damaged, 0),
            ("3 V5 N9\n".into(), Rewrite, 0),
            ("3 V0 N9\n".into(), Damaged, 0),
            ("3 V5\n".into(), Damaged, 0),
            ("3 Vx N9\n".into(), Damaged, 0),
            ("3 V99999999999 N9\n".into(), Damaged, 0),
            ("3 V5 N9 Gshort\n".into(), Damaged, 0),
            ("4 V5 N9\n".into(), Damaged, 0),
            ("garbage\n".into(), Damaged, 0),
            ("1 5 9\n1 a\n2 b:2,S\n".into(), Rewrite, 2),
            ("1 5\n".into(), Damaged, 0),
            (head.clone(), Whole, 0),
            (format!("{head}1 :a\n2 :b\n"), Whole, 2),
            (format!("{head}1 :a:2,S\n"), Whole, 1),
            (format!("{head}1 :a\n2 :b"), Rewrite, 1),
            (format!("{head}1 :a\n\0\0\0\0"), Rewrite, 1),
            (format!("{head}1 :a\n2"), Rewrite, 1),
            (format!("{head}1 :a\n1 :b\n"), Damaged, 1),
            (format!("{head}2 :a\n1 :b\n"), Damaged, 1),
            (format!("{head}0 :a\n"), Damaged, 0),
            (format!("{head}4294967295 :a\n"), Damaged, 0),
            (format!("{head}-1 :a\n"), Damaged, 0),
            (format!("{head}1 a\n"), Damaged, 0),
            (format!("{head}1 :\n"), Damaged, 0),
            (format!("{head}1 :../a\n"), Damaged, 0),
            (format!("{head}1 :a\0b\n"), Damaged, 0),
            (format!("{head}\n1 :a\n"), Damaged, 0),
            (format!("{head}1 :a\n3 :b\n5 :a\n"), Rewrite, 2),
        ];
        for (text, health, entries) in cases {
            let parsed = parse(text.as_bytes());
            assert_eq!((parsed.health, parsed.entries.len()), (health, entries), "{text:?}");
        }
    }

    #[test]
    fn a_file_with_two_uids_has_the_later_one() {
        let parsed = parse(format!("3 V5 N9 G{GUID}\n1 :a\n3 :b\n5 :a\n").as_bytes());
        let pairs: Vec<(u32, &[u8])> = parsed.entries.iter().map(|e| (e.uid, &*e.base)).collect();
        assert_eq!(pairs, [(3, b"b".as_slice()), (5, b"a")]);
        assert_eq!(parsed.header.next, 9);
    }

    #[test]
    fn a_cut_file_never_gives_a_uid_another_meaning() {
        let mut whole = Vec::new();
        Header { validity: 5, next: 124, guid: Some(GUID.into()), further: Vec::new() }.write_to(&mut whole);
        for uid in [1, 12, 123] {
            Entry { uid, extensions: None, base: format!("{uid}.host").into_bytes().into() }
                .write_to(&mut whole);
        }
        for cut in 0..=whole.len() {
            let parsed = parse(&whole[..cut]);
            if parsed.health == Health::Damaged {
                continue;
            }
            assert_eq!((parsed.header.validity, parsed.header.next), (5, 124), "cut at {cut}");
            for entry in parsed.entries {
                assert_eq!(&*entry.base, format!("{}.host", entry.uid).as_bytes(), "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            parse(&bytes);
        }

        #[test]
        fn mutated_files_keep_their_invariants(at in 0_usize..100, byte in any::<u8>()) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = byte;
            let parsed = parse(&bytes);
            prop_assert!(parsed.entries.is_sorted_by(|a, b| a.uid < b.uid));
            prop_assert!(parsed.entries.iter().all(|entry| entry.uid < parsed.header.next));
        }
    }
}
