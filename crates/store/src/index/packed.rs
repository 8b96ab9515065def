//! How notes about messages are packed into the index: records of one width, and a checksum behind them.

use crate::flags::Flags;
use crate::history::Removal;
use crate::message::{Message, ModSeq, Uid};

/// What is kept of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) uid: Uid,
    pub(crate) modseq: ModSeq,
    pub(crate) flags: Digest,
}

/// Tells whether flags are still those that were noted: system flags as they are, keywords as a checksum of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    system: u8,
    keywords: u32,
}

const NOTED: usize = 4 + 8 + 1 + 4;
const REMOVAL: usize = 4 + 8;
const CHECKSUM: usize = 4;

impl Digest {
    pub(crate) fn of(flags: &Flags) -> Self {
        let mut keywords = crc32fast::Hasher::new();
        for keyword in flags.keywords() {
            keywords.update(keyword.as_str().to_ascii_lowercase().as_bytes());
            keywords.update(b" ");
        }
        Self { system: flags.system_bits(), keywords: keywords.finalize() }
    }
}

impl Noted {
    pub(crate) fn of(message: &Message) -> Self {
        Self { uid: message.uid, modseq: message.modseq, flags: Digest::of(&message.flags) }
    }
}

/// Packs notes.
pub(crate) fn messages<'a>(notes: impl Iterator<Item = &'a Message>) -> Vec<u8> {
    let mut out = Vec::new();
    for Noted { uid, modseq, flags } in notes.map(Noted::of) {
        out.extend(uid.get().to_le_bytes());
        out.extend(modseq.get().to_le_bytes());
        out.push(flags.system);
        out.extend(flags.keywords.to_le_bytes());
    }
    sealed(out)
}

/// Packs removals.
pub(crate) fn removals(removals: &[Removal]) -> Vec<u8> {
    let mut out = Vec::with_capacity(removals.len() * REMOVAL + CHECKSUM);
    for Removal { uid, modseq } in removals {
        out.extend(uid.get().to_le_bytes());
        out.extend(modseq.get().to_le_bytes());
    }
    sealed(out)
}

/// Unpacks notes; `None` when they are damaged.
pub(crate) fn read_messages(packed: &[u8]) -> Option<Vec<Noted>> {
    records::<NOTED>(packed)?
        .map(|record| {
            let mut record = Reader(record);
            let (uid, modseq) = (record.uid()?, record.modseq()?);
            let flags =
                Digest { system: record.take::<1>()?[0], keywords: u32::from_le_bytes(record.take()?) };
            Some(Noted { uid, modseq, flags })
        })
        .collect()
}

/// Unpacks removals; `None` when they are damaged.
pub(crate) fn read_removals(packed: &[u8]) -> Option<Vec<Removal>> {
    records::<REMOVAL>(packed)?
        .map(|record| {
            let mut record = Reader(record);
            Some(Removal { uid: record.uid()?, modseq: record.modseq()? })
        })
        .collect()
}

/// With a checksum behind it.
pub(crate) fn sealed(mut out: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&out);
    out.extend(checksum.to_le_bytes());
    out
}

fn records<const WIDTH: usize>(packed: &[u8]) -> Option<std::slice::ChunksExact<'_, u8>> {
    let records = unsealed(packed)?;
    records.len().is_multiple_of(WIDTH).then(|| records.chunks_exact(WIDTH))
}

/// What stands before a checksum that is right.
pub(crate) fn unsealed(sealed: &[u8]) -> Option<&[u8]> {
    let (octets, checksum) = sealed.split_last_chunk::<CHECKSUM>()?;
    (crc32fast::hash(octets).to_le_bytes() == *checksum).then_some(octets)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.0.split_first_chunk::<COUNT>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn uid(&mut self) -> Option<Uid> {
        self.take().map(u32::from_le_bytes).and_then(Uid::new)
    }

    fn modseq(&mut self) -> Option<ModSeq> {
        self.take().map(u64::from_le_bytes).filter(|number| *number > 0).map(ModSeq::new)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::flags::{Keyword, SystemFlag};

    fn message(uid: u32, modseq: u64, flags: Flags) -> Message {
        let (uid, modseq) = (Uid::new(uid).unwrap(), ModSeq::new(modseq));
        Message { uid, flags, internal_date: 0, size: 0, arrived_new: false, modseq }
    }

    #[test]
    fn notes_come_back_and_damage_is_seen_at_every_octet() {
        let mut flags = Flags::default().with(SystemFlag::Seen);
        flags.insert_keyword(Keyword::parse("Work").unwrap());
        let all = [message(1, 7, Flags::default()), message(u32::MAX, i64::MAX as u64, flags)];
        let packed = messages(all.iter());
        assert_eq!(read_messages(&packed).unwrap(), all.each_ref().map(Noted::of));
        let gone = [Removal { uid: Uid::new(3).unwrap(), modseq: ModSeq::new(9) }];
        assert_eq!(read_removals(&removals(&gone)).unwrap(), gone);
        assert_eq!(read_removals(&removals(&[])).unwrap(), []);
        for place in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[place] ^= 4;
            assert_eq!(read_messages(&damaged), None, "{place}");
            assert_eq!(read_messages(&packed[..place]), None, "{place}");
        }
        assert_eq!(read_messages(&sealed(vec![0; NOTED])), None, "no message has the UID 0");
    }

    #[test]
    fn a_digest_tells_flags_apart_but_not_the_case_of_keywords() {
        let with = |words: &[&str]| {
            let mut flags = Flags::default();
            for word in words {
                flags.insert_keyword(Keyword::parse(word).unwrap());
            }
            Digest::of(&flags)
        };
        assert_eq!(with(&["Work", "home"]), with(&["HOME", "work"]));
        assert_ne!(with(&["work"]), with(&["work", "home"]));
        assert_ne!(with(&["ab", "c"]), with(&["a", "bc"]));
        assert_ne!(with(&[]), Digest::of(&Flags::default().with(SystemFlag::Draft)));
    }
}
