//! The words of a text, and what of them must be there where a given text is: what the concordance of a mailbox is made of.
//!
//! A word is a run of ASCII letters, digits and octets above ASCII, in a text whose case is folded. So every text is
//! words with something else between them, and a text that stands within another one cuts at most its first and last word.

/// Shortest word that counts, in octets.
const MIN_WORD: usize = 3;
/// A longer word counts as pieces of this length, each of which begins [`STRIDE`] behind the one before, and the last ends
/// with the word. So everything of at most [`STRIDE`] octets in it stands in one of them.
pub(crate) const MAX_WORD: usize = 64;
const STRIDE: usize = MAX_WORD / 2;
/// Words of one text that are looked for at most; each is looked for in all words of a concordance.
const MAX_PATTERNS: usize = 8;

/// Hands each word of `text` to `take`, those that stand there twice twice.
pub(crate) fn each_word<'a>(text: &'a [u8], mut take: impl FnMut(&'a [u8])) {
    for word in runs(text).map(|(start, end)| &text[start..end]) {
        if word.len() <= MAX_WORD {
            take(word);
            continue;
        }
        let last = word.len() - MAX_WORD;
        let starts = (0..last).step_by(STRIDE).chain([last]);
        starts.for_each(|start| take(&word[start..start + MAX_WORD]));
    }
}

/// The runs of at least [`MIN_WORD`] octets, from where to where.
fn runs(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    let runs = std::iter::from_fn(move || {
        let start = at + text.get(at..)?.iter().position(|octet| is_of_word(*octet))?;
        let length = text[start..].iter().position(|octet| !is_of_word(*octet));
        at = length.map_or(text.len(), |length| start + length);
        Some((start, at))
    });
    runs.filter(|(start, end)| end - start >= MIN_WORD)
}

fn is_of_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || !octet.is_ascii()
}

/// What one word of a text must be like, where a text that is looked for stands in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    octets: Vec<u8>,
    starts: bool,
    ends: bool,
}

impl Pattern {
    /// Those of a text in folded case, all of which a message has that has the text; none where any message may have it.
    pub(crate) fn all_of(text: &str) -> Vec<Self> {
        let text = text.as_bytes();
        let pattern = |(start, end): (usize, usize)| {
            let octets = &text[start..end];
            if octets.len() > STRIDE {
                return Self { octets: octets[..STRIDE].to_vec(), starts: false, ends: false };
            }
            Self { octets: octets.to_vec(), starts: start > 0, ends: end < text.len() }
        };
        let mut all: Vec<Self> = runs(text).map(pattern).collect();
        // The longest tell most; of a text that is said again and again each says the same.
        all.sort_unstable_by(|a, b| b.octets.len().cmp(&a.octets.len()).then_with(|| a.cmp(b)));
        all.dedup();
        all.truncate(MAX_PATTERNS);
        all
    }

    /// What to look for among words each of which stands between two NULs.
    pub(crate) fn between_nuls(&self) -> Vec<u8> {
        let nul = |is_there: bool| if is_there { &b"\0"[..] } else { b"" };
        [nul(self.starts), &self.octets, nul(self.ends)].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(text.as_bytes(), |word| words.push(String::from_utf8_lossy(word).into_owned()));
        words
    }

    #[test]
    fn words_are_runs_of_letters_digits_and_whatever_is_beyond_ascii() {
        let rows: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("to be or not to be", &["not"]),
            ("invoice-2024_07, paid", &["invoice", "2024", "paid"]),
            ("gr\u{fc}\u{df}e, \u{4f60}", &["gr\u{fc}\u{df}e", "\u{4f60}"]),
            ("don't", &["don"]),
            ("a\0bcd\r\nefg", &["bcd", "efg"]),
            ("same same", &["same", "same"]),
        ];
        for (text, expected) in rows {
            assert_eq!(words(text), expected, "{text:?}");
        }
        let long: String = ('a'..='z').cycle().take(100).collect();
        assert_eq!(words(&long), [&long[..64], &long[32..96], &long[36..]]);
        assert_eq!(words(&long[..64]), [&long[..64]]);
        assert_eq!(words(&long[..65]), [&long[..64], &long[1..65]]);
    }

    #[test]
    fn the_edges_of_a_text_may_lie_within_words() {
        let rows: [(&str, &[&str]); 9] = [
            ("oic", &["oic"]),
            (" oic", &["\0oic"]),
            ("oic.", &["oic\0"]),
            ("(oic)", &["\0oic\0"]),
            ("the invoice is paid", &["\0invoice\0", "\0paid", "the\0"]),
            ("paid paid paid paid", &["paid\0", "\0paid", "\0paid\0"]),
            (
                " one two three four five six seven eight nine ten ",
                &[
                    "\0eight\0",
                    "\0seven\0",
                    "\0three\0",
                    "\0five\0",
                    "\0four\0",
                    "\0nine\0",
                    "\0one\0",
                    "\0six\0",
                ],
            ),
            ("a b", &[]),
            ("-", &[]),
        ];
        for (text, expected) in rows {
            let patterns: Vec<Vec<u8>> = Pattern::all_of(text).iter().map(Pattern::between_nuls).collect();
            assert_eq!(patterns, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>(), "{text:?}");
        }
        let long = "x".repeat(33);
        assert_eq!(Pattern::all_of(&format!(" {long} "))[0].between_nuls(), long.as_bytes()[..32]);
    }

    proptest! {
        /// What the patterns of a text want is there wherever the text is.
        #[test]
        fn a_text_within_another_one_has_all_its_patterns_there(
            text in "([a-d]{0,40}[ .\u{e4}\u{4f60}]{0,2}){1,8}",
            from in any::<prop::sample::Index>(),
            length in 0..200_usize,
        ) {
            let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            prop_assume!(!starts.is_empty());
            let rest = &text[*from.get(&starts)..];
            let part: String = rest.chars().take(length).collect();
            let mut all = vec![0];
            each_word(text.as_bytes(), |word| {
                all.extend_from_slice(word);
                all.push(0);
            });
            for pattern in Pattern::all_of(&part) {
                let wanted = pattern.between_nuls();
                prop_assert!(
                    memchr::memmem::find(&all, &wanted).is_some(),
                    "{part:?} in {text:?}: {:?}", String::from_utf8_lossy(&wanted)
                );
            }
        }
    }
}
