//! Whether two texts say the same, by the words they share.

use std::collections::BTreeSet;

/// Most different words of a text that are compared.
const MAX_WORDS: usize = 5_000;
/// Below so many words a text says too little to be compared.
const FEW: usize = 10;

/// Words of a text, without the links in it.
fn words(text: &str) -> BTreeSet<String> {
    let is_link = |token: &&str| token.contains("://") || token.contains('@');
    let words = text.split_whitespace().filter(|token| !is_link(token)).flat_map(|token| {
        token.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().nth(1).is_some())
    });
    let mut found = BTreeSet::new();
    for word in words {
        found.insert(word.to_lowercase());
        if found.len() >= MAX_WORDS {
            break;
        }
    }
    found
}

/// How many words the two have in common, of how many of the longer one; `None` where neither says much.
pub(super) fn shared(one: &str, other: &str) -> Option<(usize, usize)> {
    let (one, other) = (words(one), words(other));
    let most = one.len().max(other.len());
    (most >= FEW).then(|| (one.intersection(&other).count(), most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_not_compared_and_links_are_no_words() {
        assert_eq!(shared("Hello Ann", "Good bye"), None);
        let long = "one two three four five six seven eight nine ten https://a.example/eleven";
        assert_eq!(shared(long, "ONE, two; (three)"), Some((3, 10)));
        assert_eq!(shared(long, long), Some((10, 10)));
    }
}
