//! A concordance: the words of up to 1,024 messages, and in which of them each stands.
//!
//! On disk it has two parts, each with a checksum, that of the second over both. In front the messages and all words, each between two NULs: to look for a
//! part of a word is to look for it there. Behind, for each word in that order, the places of its messages. Only who finds a
//! word reads the part behind.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;

use hashbrown::HashTable;
use memchr::{memchr_iter, memmem};

use crate::index::sheets::Seal;
use crate::index::{sealed, unsealed};
use crate::message::Uid;
use crate::words::{Pattern, each_word};

/// UIDs of one concordance, as a power of two.
const UID_BITS: u32 = 10;
/// Messages of one concordance at most.
pub(crate) const MAX_MESSAGES: usize = 1 << UID_BITS;
/// Memory that the words of one message may take while a concordance is made; one with more is read each time.
const MAX_OF_MESSAGE: usize = 1 << 20;
/// The same of all its messages: those that would take more are read each time.
const MAX_OF_ALL: usize = 16 << 20;
const CHECKSUM: usize = 4;

/// Which concordance of a mailbox a message stands in.
pub(crate) fn number_of(uid: Uid) -> u32 {
    uid.get() >> UID_BITS
}

/// The first and the last UID that stand in the concordance of this number.
pub(crate) fn uids_of(number: u32) -> (u32, u32) {
    let first = number << UID_BITS;
    (first, first | ((1 << UID_BITS) - 1))
}

/// A message of a concordance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) uid: Uid,
    /// Of which file its words are.
    pub(crate) seal: Seal,
    /// Its words were too many, and are not here.
    pub(crate) is_unread: bool,
}

/// A concordance while it is made. It takes few allocations, however many words there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Concordance {
    messages: Vec<Listed>,
    /// All words, one behind the other.
    text: Vec<u8>,
    words: Vec<Word>,
    /// The numbers of the words, to be found by what stands in `text`. Its hashes nobody outside knows.
    numbers: HashTable<u32>,
    hashes: RandomState,
    /// A message of each word, and the number of the place before it.
    places: Vec<(u16, Option<NonZeroU32>)>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    start: u32,
    length: u8,
    /// The last message that it stands in.
    message: u16,
    /// The number of that place, from one.
    last: NonZeroU32,
}

/// The two parts on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) front: Vec<u8>,
    pub(crate) behind: Vec<u8>,
}

/// The part in front, read.
pub(crate) struct Front<'a> {
    messages: Vec<Listed>,
    /// `\0word\0word\0`
    words: &'a [u8],
    checksum: [u8; CHECKSUM],
}

/// Places of messages in one concordance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places([u64; MAX_MESSAGES / 64]);

impl Concordance {
    /// Adds a message with its texts, each in folded case.
    pub(crate) fn add<T: AsRef<str>>(&mut self, uid: Uid, seal: Seal, texts: impl IntoIterator<Item = T>) {
        let Some(place) =
            u16::try_from(self.messages.len()).ok().filter(|place| usize::from(*place) < MAX_MESSAGES)
        else {
            return;
        };
        let end = MAX_OF_ALL.min(self.taken().saturating_add(MAX_OF_MESSAGE));
        let mut is_unread = false;
        for text in texts {
            each_word(text.as_ref().as_bytes(), |word| {
                is_unread |= self.note(word, place, end).is_none();
            });
            if is_unread {
                break;
            }
        }
        self.messages.push(Listed { uid, seal, is_unread });
    }

    /// Notes that a word stands in a message, none of which is above those before; `None` where all words would take more
    /// memory than `end` then.
    fn note(&mut self, word: &[u8], message: u16, end: usize) -> Option<()> {
        let hash = self.hashes.hash_one(word);
        let number = self.numbers.find(hash, |number| self.octets(*number) == word).copied();
        let known = number.and_then(|number| self.words.get(number as usize)).copied();
        if known.is_some_and(|known| known.message == message) {
            return Some(());
        }
        if self.taken() + word.len() > end {
            return None;
        }
        self.places.push((message, known.map(|known| known.last)));
        let last = u32::try_from(self.places.len()).ok().and_then(NonZeroU32::new)?;
        if let Some((known, number)) = known.zip(number) {
            self.words[number as usize] = Word { message, last, ..known };
            return Some(());
        }
        let (start, length) = (u32::try_from(self.text.len()).ok()?, u8::try_from(word.len()).ok()?);
        let number = u32::try_from(self.words.len()).ok()?;
        self.text.extend_from_slice(word);
        self.words.push(Word { start, length, message, last });
        let Self { numbers, hashes, text, words, .. } = self;
        numbers.insert_unique(hash, number, |number| hashes.hash_one(octets(text, words, *number)));
        Some(())
    }

    fn octets(&self, number: u32) -> &[u8] {
        octets(&self.text, &self.words, number)
    }

    /// The messages that a word stands in, rising, in `out`.
    fn places(&self, word: &Word, out: &mut Vec<u16>) {
        out.clear();
        let mut next = Some(word.last);
        while let Some((message, before)) = next.and_then(|place| self.places.get(place.get() as usize - 1)) {
            out.push(*message);
            next = *before;
        }
        out.reverse();
    }

    /// Octets of memory that it takes, about.
    pub(crate) fn taken(&self) -> usize {
        self.text.len()
            + self.words.len() * (size_of::<Word>() + size_of::<u32>())
            + size_of_val(&*self.places)
            + size_of_val(&*self.messages)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn uids(&self) -> impl Iterator<Item = Uid> {
        self.messages.iter().map(|listed| listed.uid)
    }

    /// With all messages of a packed concordance that `keep` wants, as far as there is room; with none of one that is
    /// damaged.
    pub(crate) fn with(mut self, packed: &Packed, keep: impl Fn(Uid) -> bool) -> Self {
        let Some(front) = Front::read(&packed.front) else { return self };
        let Some(behind) = Behind::read(&front, &packed.behind) else { return self };
        let first = self.messages.len();
        let mut places: Vec<Option<u16>> = Vec::with_capacity(front.messages.len());
        for listed in &front.messages {
            let is_kept = self.messages.len() < MAX_MESSAGES && keep(listed.uid);
            places.push(u16::try_from(self.messages.len()).ok().filter(|_| is_kept));
            self.messages.extend(Some(*listed).filter(|_| is_kept));
        }
        for (number, word) in front.each_word().enumerate() {
            let there = behind.places(number);
            let mut kept = there.filter_map(|place| places.get(usize::from(place)).copied().flatten());
            if !kept.all(|place| self.note(word, place, MAX_OF_ALL).is_some()) {
                self.messages[first..].iter_mut().for_each(|listed| listed.is_unread = true);
                break;
            }
        }
        self
    }

    /// Packs it.
    pub(crate) fn packed(&self) -> Packed {
        let mut words: Vec<(&[u8], &Word)> =
            (0..).zip(&self.words).map(|(number, word)| (self.octets(number), word)).collect();
        words.sort_unstable_by_key(|(octets, _)| *octets);
        let mut front = count(self.messages.len()).to_vec();
        for Listed { uid, seal, is_unread } in &self.messages {
            front.extend(uid.get().to_le_bytes());
            front.extend(seal.get().to_le_bytes());
            front.push(u8::from(*is_unread));
        }
        front.push(0);
        let (mut ends, mut behind) = (Vec::with_capacity(words.len() * 4), Vec::new());
        let mut places = Vec::new();
        for (octets, word) in &words {
            front.extend_from_slice(octets);
            front.push(0);
            self.places(word, &mut places);
            let mut before = 0;
            for place in &places {
                step(place - before, &mut behind);
                before = *place;
            }
            ends.extend(count(behind.len()));
        }
        let behind = [&count(words.len())[..], &ends, &behind].concat();
        let front = sealed(front);
        Packed { behind: sealed_with(&front, behind), front }
    }
}

fn octets<'a>(text: &'a [u8], words: &[Word], number: u32) -> &'a [u8] {
    let word = words.get(number as usize);
    let span = word.map(|word| word.start as usize..word.start as usize + usize::from(word.length));
    span.and_then(|span| text.get(span)).unwrap_or_default()
}

const LISTED: usize = 4 + 4 + 1;

impl<'a> Front<'a> {
    /// `None` where it is damaged.
    pub(crate) fn read(packed: &'a [u8]) -> Option<Self> {
        let (count, rest) = unsealed(packed)?.split_first_chunk()?;
        let count =
            usize::try_from(u32::from_le_bytes(*count)).ok().filter(|count| *count <= MAX_MESSAGES)?;
        let (messages, words) = rest.split_at_checked(count * LISTED)?;
        let messages = messages.chunks_exact(LISTED).map(|listed| {
            let (uid, rest) = listed.split_first_chunk()?;
            let (seal, rest) = rest.split_first_chunk()?;
            let uid = Uid::new(u32::from_le_bytes(*uid))?;
            Some(Listed { uid, seal: Seal::from(u32::from_le_bytes(*seal)), is_unread: *rest.first()? != 0 })
        });
        let messages = messages.collect::<Option<Vec<_>>>()?;
        let is_framed = words.first() == Some(&0) && words.last() == Some(&0);
        let (_, checksum) = packed.split_last_chunk::<CHECKSUM>()?;
        is_framed.then_some(Self { messages, words, checksum: *checksum })
    }

    /// The messages, each at its place.
    pub(crate) fn messages(&self) -> &[Listed] {
        &self.messages
    }

    fn each_word(&self) -> impl Iterator<Item = &'a [u8]> {
        let inner = self.words.get(1..self.words.len() - 1).unwrap_or_default();
        inner.split(|octet| *octet == 0).filter(|word| !word.is_empty())
    }

    /// The numbers of the words that are like `pattern`, rising.
    pub(crate) fn find(&self, pattern: &Pattern) -> Vec<usize> {
        let wanted = pattern.between_nuls();
        let mut found = Vec::new();
        let (mut counted, mut number) = (0, 0);
        for at in memmem::find_iter(self.words, &wanted) {
            // The NUL in front of a word counts it: the first NUL stands in front of the word with number 0.
            let within = at + usize::from(wanted.first() == Some(&0));
            number += memchr_iter(0, &self.words[counted..within]).count();
            counted = within;
            let word = number - 1;
            if found.last() != Some(&word) {
                found.push(word);
            }
        }
        found
    }
}

/// The part behind, read.
pub(crate) struct Behind<'a> {
    /// Where the places of each word end among them.
    ends: &'a [u8],
    /// Steps from one to the next, see [`step`].
    places: &'a [u8],
}

impl<'a> Behind<'a> {
    /// `None` where it is damaged, or stands behind another front.
    pub(crate) fn read(front: &Front<'_>, packed: &'a [u8]) -> Option<Self> {
        let (octets, checksum) = packed.split_last_chunk::<CHECKSUM>()?;
        (checksum_with(front.checksum, octets) == *checksum).then_some(())?;
        let (count, rest) = octets.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (ends, places) = rest.split_at_checked(count.checked_mul(4)?)?;
        Some(Self { ends, places })
    }

    fn end(&self, number: usize) -> Option<usize> {
        let end = self.ends.get(number * 4..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*end)).ok()
    }

    /// Where the word with this number stands, rising.
    fn places(&self, number: usize) -> impl Iterator<Item = u16> {
        let start = if number == 0 { Some(0) } else { self.end(number - 1) };
        let span = start.zip(self.end(number));
        let mut rest = span.and_then(|(start, end)| self.places.get(start..end)).unwrap_or_default();
        let mut place = 0_u16;
        std::iter::from_fn(move || {
            let (first, behind) = rest.split_first()?;
            rest = behind;
            let mut step = u16::from(*first & 0x7f);
            if *first & 0x80 != 0 {
                let (second, behind) = rest.split_first()?;
                rest = behind;
                step |= u16::from(*second) << 7;
            }
            place = place.saturating_add(step);
            Some(place)
        })
    }

    /// Where any of these words stands.
    pub(crate) fn any(&self, words: &[usize]) -> Places {
        let mut places = Places::NONE;
        words.iter().flat_map(|word| self.places(*word)).for_each(|place| places.add(usize::from(place)));
        places
    }
}

/// What is counted here is bounded far below 2^32 by what it may take in memory.
fn count(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

/// One octet for what is below 128, else two; nothing reaches 2^15.
fn step(step: u16, out: &mut Vec<u8>) {
    let [low, _] = (step & 0x7f).to_le_bytes();
    let [high, _] = (step >> 7).to_le_bytes();
    if high == 0 {
        out.push(low);
    } else {
        out.extend([low | 0x80, high]);
    }
}

impl Places {
    pub(crate) const NONE: Self = Self([0; MAX_MESSAGES / 64]);
    pub(crate) const ALL: Self = Self([u64::MAX; MAX_MESSAGES / 64]);

    pub(crate) fn add(&mut self, place: usize) {
        if let Some(bits) = self.0.get_mut(place / 64) {
            *bits |= 1 << (place % 64);
        }
    }

    pub(crate) fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(bits, others)| *bits &= others);
        self
    }

    pub(crate) fn or(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(bits, others)| *bits |= others);
        self
    }
}

/// The part behind this front, with the checksum of both.
pub(crate) fn sealed_with(front: &[u8], mut behind: Vec<u8>) -> Vec<u8> {
    let of_front = front.split_last_chunk::<CHECKSUM>().map_or([0; CHECKSUM], |(_, checksum)| *checksum);
    let checksum = checksum_with(of_front, &behind);
    behind.extend(checksum);
    behind
}

fn checksum_with(front: [u8; CHECKSUM], behind: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&front);
    checksum.update(behind);
    checksum.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn concordance(messages: &[(u32, &str)]) -> Concordance {
        let mut all = Concordance::default();
        for (number, text) in messages {
            all.add(uid(*number), Seal::from(number * 10), [text]);
        }
        all
    }

    /// The UIDs of messages in whose words each pattern of `text` is.
    fn found(packed: &Packed, text: &str) -> Vec<u32> {
        let front = Front::read(&packed.front).unwrap();
        let behind = Behind::read(&front, &packed.behind).unwrap();
        let places = Pattern::all_of(text)
            .iter()
            .fold(Places::ALL, |all, pattern| all.and(&behind.any(&front.find(pattern))));
        let all = front.messages().iter().enumerate();
        all.filter(|(place, listed)| listed.is_unread || places.has(*place))
            .map(|(_, listed)| listed.uid.get())
            .collect()
    }

    #[test]
    fn messages_are_found_by_parts_of_their_words() {
        let packed = concordance(&[(7, "the invoice is paid"), (9, "an invoice, overdue"), (8, "")]).packed();
        let rows: [(&str, &[u32]); 11] = [
            ("invoice", &[7, 9]),
            ("nvoic", &[7, 9]),
            ("paid", &[7]),
            ("aid", &[7]),
            (" aid", &[]),
            ("pai ", &[]),
            ("invoice is", &[7, 9]),
            ("the inv", &[7]),
            ("overdue invoice", &[9]),
            ("the overdue", &[]),
            ("xyz", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(found(&packed, text), expected, "{text}");
        }
        let front = Front::read(&packed.front).unwrap();
        assert_eq!(front.messages()[1], Listed { uid: uid(9), seal: Seal::from(90), is_unread: false });
    }

    #[test]
    fn concordances_are_joined_and_what_is_gone_leaves_no_words() {
        let old = concordance(&[(1, "alpha common"), (2, "beta common"), (3, "gamma")]).packed();
        let joined = concordance(&[(4, "delta common")]).with(&old, |uid| uid.get() != 2).packed();
        let rows: [(&str, &[u32]); 5] =
            [("alpha", &[1]), ("beta", &[]), ("gamma", &[3]), ("delta", &[4]), ("common", &[4, 1])];
        for (text, expected) in rows {
            assert_eq!(found(&joined, text), expected, "{text}");
        }
        assert!(memmem::find(&joined.front, b"beta").is_none());
        let nothing = Concordance::default().with(&joined, |_| false);
        assert!(nothing.is_empty());
        assert_eq!(found(&nothing.packed(), "alpha"), []);
    }

    #[test]
    fn damage_is_seen_at_every_octet() {
        let packed = concordance(&[(1, "alpha"), (2, "beta")]).packed();
        for at in 0..packed.front.len() {
            let mut front = packed.front.clone();
            front[at] ^= 1;
            assert!(Front::read(&front).is_none(), "{at}");
            assert!(Front::read(&packed.front[..at]).is_none(), "{at}");
        }
        // What stands behind another front means other words.
        let other = concordance(&[(1, "alpha"), (2, "delta")]).packed();
        let front = Front::read(&packed.front).unwrap();
        assert!(
            Behind::read(&front, &packed.behind).is_some() && Behind::read(&front, &other.behind).is_none()
        );
        for at in 0..packed.behind.len() {
            let mut behind = packed.behind.clone();
            behind[at] ^= 1;
            assert!(Behind::read(&front, &behind).is_none(), "{at}");
            assert!(Behind::read(&front, &packed.behind[..at]).is_none(), "{at}");
            let with = concordance(&[(3, "gamma")]).with(&Packed { behind, ..packed.clone() }, |_| true);
            assert_eq!(with.uids().collect::<Vec<_>>(), [uid(3)]);
        }
    }

    /// Sealed as it should be and made by somebody else: an answer, whatever it is.
    #[test]
    fn nonsense_under_a_good_seal_is_no_harm() {
        let good = concordance(&[(1, "alpha common"), (2, "beta common")]).packed();
        for at in 0..good.behind.len() - CHECKSUM {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut behind = good.behind[..good.behind.len() - CHECKSUM].to_vec();
                behind[at] = value;
                let packed = Packed { behind: sealed_with(&good.front, behind), ..good.clone() };
                let front = Front::read(&packed.front).unwrap();
                let _ = Behind::read(&front, &packed.behind)
                    .map(|behind| behind.any(&[0, 1, 2, 3, usize::MAX / 8]));
                let _ = Concordance::default().with(&packed, |_| true).packed();
            }
        }
        for at in 0..good.front.len() - CHECKSUM {
            for value in [0, 1, 0xff] {
                let mut front = good.front[..good.front.len() - CHECKSUM].to_vec();
                front[at] = value;
                let front = sealed(front);
                let behind = sealed_with(&front, good.behind[..good.behind.len() - CHECKSUM].to_vec());
                let packed = Packed { front, behind };
                let _ = Concordance::default().with(&packed, |_| true).packed();
            }
        }
    }

    #[test]
    fn a_message_of_too_many_words_is_read_each_time_and_takes_no_room_from_others() {
        let flood: String = (0..40_000).map(|number| format!("word{number} ")).collect();
        let all = concordance(&[(1, "alpha"), (2, &flood), (3, "beta")]);
        assert!(all.taken() < 2 * MAX_OF_MESSAGE);
        let packed = all.packed();
        assert_eq!(found(&packed, "alpha"), [1, 2]);
        assert_eq!(found(&packed, "beta"), [2, 3]);
        assert_eq!(found(&packed, "nowhere"), [2]);
    }

    #[test]
    fn many_messages_of_many_words_take_bounded_memory() {
        let mut all = Concordance::default();
        for number in 1..=30 {
            let flood: String = (0..8_000).map(|word| format!("{number:030}{word:030} ")).collect();
            all.add(uid(number), Seal::from(0), [flood]);
        }
        assert!(all.taken() <= MAX_OF_ALL + 30 * size_of::<Listed>());
        let front = all.packed();
        let front = Front::read(&front.front).unwrap();
        let unread = front.messages().iter().filter(|listed| listed.is_unread).count();
        assert!((1..20).contains(&unread), "{unread}");
    }

    #[test]
    fn steps_of_every_width_come_back() {
        let texts: Vec<(u32, String)> =
            (1..=1_024).map(|number| (number, format!("n{}", 100 + number % 300 % 7))).collect();
        let texts: Vec<(u32, &str)> = texts.iter().map(|(number, text)| (*number, text.as_str())).collect();
        let packed = concordance(&texts).packed();
        for residue in 0..7 {
            let expected: Vec<u32> = (1..=1_024).filter(|number| number % 300 % 7 == residue).collect();
            assert_eq!(found(&packed, &format!(" n{} ", 100 + residue)), expected, "{residue}");
        }
        let two: Vec<(u32, &str)> =
            (1..=1_024).map(|number| (number, if number % 1_000 == 3 { "rare" } else { "" })).collect();
        assert_eq!(found(&concordance(&two).packed(), "rare"), [3, 1_003]);
    }
}
