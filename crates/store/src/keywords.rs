//! The text of `dovecot-keywords`: which keyword each letter `a` to `z` stands for in one mailbox.

use crate::flags::{Flags, Keyword};
use crate::maildir::Letters;

/// File name in the mailbox's folder.
pub(crate) const NAME: &str = "dovecot-keywords";
/// One letter each.
pub const MAX_KEYWORDS: usize = 26;

/// The keywords of a mailbox by letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keywords([Option<Keyword>; MAX_KEYWORDS]);

impl Keywords {
    /// Reads the file: lines of number, space and name. Lines that mean nothing are skipped, as Dovecot does.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        for line in bytes.split(|&byte| byte == b'\n') {
            let Some((index, name)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            let slot = index.parse().ok().and_then(|index: usize| out.0.get_mut(index));
            if let (Some(slot), Ok(keyword)) = (slot, Keyword::parse(name)) {
                *slot = Some(keyword);
            }
        }
        out
    }

    /// The file's text.
    pub(crate) fn to_text(&self) -> String {
        let named = self.0.iter().enumerate().filter_map(|(index, name)| Some((index, name.as_ref()?)));
        let lines: Vec<String> = named.map(|(index, name)| format!("{index} {}\n", name.as_str())).collect();
        lines.concat()
    }

    /// Every named keyword, and a made-up name for letters in use that lost theirs.
    pub(crate) fn known(&self, letters_in_use: u32) -> Vec<Keyword> {
        let shown = |index: usize| self.0[index].is_some() || letters_in_use & 1 << index != 0;
        (0..MAX_KEYWORDS).filter(|index| shown(*index)).map(|index| self.name(index)).collect()
    }

    /// The flags that letters stand for.
    pub(crate) fn flags(&self, letters: Letters) -> Flags {
        let set = (0..MAX_KEYWORDS).filter(|index| letters.keywords & 1 << index != 0);
        Flags::from_parts(letters.system, set.map(|index| self.name(index)))
    }

    /// The letters for `flags`; `None` when a keyword has no letter yet.
    ///
    /// A letter without a name is found again under the name that was made up for it.
    pub(crate) fn letters(&self, flags: &Flags) -> Option<Letters> {
        let mut keywords = 0;
        for keyword in flags.keywords() {
            keywords |= 1 << self.index(keyword)?;
        }
        Some(Letters { system: flags.system_bits(), keywords })
    }

    /// The letters for `flags`, passing over keywords that have none.
    pub(crate) fn known_letters(&self, flags: &Flags) -> Letters {
        let indexes = flags.keywords().iter().filter_map(|keyword| self.index(keyword));
        Letters { system: flags.system_bits(), keywords: indexes.fold(0, |bits, index| bits | 1 << index) }
    }

    /// The letters of these that the file has no name for.
    pub(crate) fn unnamed(&self, letters: u32) -> Vec<char> {
        let unnamed = |(_, index): &(char, usize)| letters & 1 << *index != 0 && self.0[*index].is_none();
        ('a'..='z').zip(0..MAX_KEYWORDS).filter(unnamed).map(|(letter, _)| letter).collect()
    }

    fn index(&self, keyword: &Keyword) -> Option<usize> {
        (0..MAX_KEYWORDS).find(|index| self.name(*index) == *keyword)
    }

    /// Gives a letter to every keyword of `flags` that has none; `None` when the letters run out.
    ///
    /// A letter that some message carries without a name is not given away: it means something to
    /// whoever set it.
    pub(crate) fn with_letters_for(&self, flags: &Flags, letters_in_use: u32) -> Option<Self> {
        let mut out = self.clone();
        for keyword in flags.keywords() {
            if let Some(index) = out.index(keyword) {
                // The made-up name becomes a real one.
                out.0[index].get_or_insert_with(|| keyword.clone());
                continue;
            }
            let is_free = |index: &usize| out.0[*index].is_none() && letters_in_use & 1 << *index == 0;
            let free = (0..MAX_KEYWORDS).find(is_free)?;
            out.0[free] = Some(keyword.clone());
        }
        Some(out)
    }

    /// The name of a letter; `unknown-N` when the file has none, as Dovecot calls it too.
    fn name(&self, index: usize) -> Keyword {
        let made_up = || Keyword::parse(&format!("unknown-{index}")).expect("letters and digits are an atom");
        self.0[index].clone().unwrap_or_else(made_up)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn flags(names: &[&str]) -> Flags {
        Flags::from_parts(0, names.iter().map(|name| Keyword::parse(name).unwrap()))
    }

    #[test]
    fn the_file_is_read_as_dovecot_reads_it() {
        let keywords =
            Keywords::parse(b"0 $Forwarded\n2 work\nx y\n26 out\n1\n\n-1 no\n3 bad name\n\xff 4\n");
        assert_eq!(keywords.to_text(), "0 $Forwarded\n2 work\n");
        assert_eq!(Keywords::parse(keywords.to_text().as_bytes()), keywords);
    }

    #[test]
    fn a_new_keyword_takes_the_first_free_letter() {
        let keywords = Keywords::parse(b"0 a0\n2 a2\n");
        assert_eq!(keywords.letters(&flags(&["A2"])), Some(Letters { system: 0, keywords: 4 }));
        assert_eq!(keywords.letters(&flags(&["new"])), None);
        let more = keywords.with_letters_for(&flags(&["new", "newer", "a0"]), 1 << 3).unwrap();
        assert_eq!(more.to_text(), "0 a0\n1 new\n2 a2\n4 newer\n");
    }

    #[test]
    fn letters_without_a_name_keep_their_meaning() {
        let keywords = Keywords::default();
        let lost = keywords.flags(Letters { system: 0, keywords: 1 << 5 });
        assert_eq!(lost.keywords()[0].as_str(), "unknown-5");
        assert_eq!(keywords.letters(&lost), Some(Letters { system: 0, keywords: 1 << 5 }));
        assert_eq!(keywords.known(1 << 5).len(), 1);
    }

    #[test]
    fn twenty_six_is_the_end() {
        let names: Vec<String> = (0..27).map(|n| format!("k{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let full = Keywords::default().with_letters_for(&flags(&names[..26]), 0).unwrap();
        assert_eq!(full.with_letters_for(&flags(&names[26..]), 0), None);
        assert!(full.with_letters_for(&flags(&names[..26]), 0).is_some());
    }
}
