//! The `name=value; name=value` lists that signatures and keys are written in.

use std::ops::Range;

/// Most tags of one list. RFC 6376 §3.5 knows 14, and nothing in use has twice as many.
pub(crate) const MAX_TAGS: usize = 64;

/// The text is not a list of tags (RFC 6376 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTags {
    /// Control characters, or octets that are not UTF-8 (RFC 8616 §6 allows the latter nowhere).
    #[error("octets that are not text")]
    NotText,
    /// A piece between two semicolons that is not `name=value`.
    #[error("something that is not a tag")]
    NotATag,
    /// The same name again: "the entire tag-list is invalid".
    #[error("the tag {0}= is there twice")]
    Duplicate(String),
    /// Over 64 tags.
    #[error("more than {MAX_TAGS} tags")]
    TooMany,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    pub(crate) name: &'a str,
    /// Without the white space around it; folding inside it stays.
    pub(crate) value: &'a str,
    /// Where everything between `=` and `;` stands in the list, white space too.
    pub(crate) range: Range<usize>,
}

/// A list in which no name stands twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tags<'a>(Vec<Tag<'a>>);

impl<'a> Tags<'a> {
    pub(crate) fn parse(list: &'a [u8]) -> Result<Self, BadTags> {
        let text = std::str::from_utf8(list).map_err(|_| BadTags::NotText)?;
        if text.bytes().any(|octet| octet.is_ascii_control() && !is_space(octet)) {
            return Err(BadTags::NotText);
        }
        let mut tags: Vec<Tag<'a>> = Vec::new();
        let mut start = 0;
        for piece in text.split_inclusive(';') {
            let end = start + piece.len();
            let specification = piece.strip_suffix(';');
            // One semicolon may end the list.
            if specification.is_some() || !trim(piece).is_empty() {
                let tag = tag(specification.unwrap_or(piece), start)?;
                if tags.iter().any(|other| other.name == tag.name) {
                    return Err(BadTags::Duplicate(tag.name.to_owned()));
                }
                tags.push(tag);
            }
            if tags.len() > MAX_TAGS {
                return Err(BadTags::TooMany);
            }
            start = end;
        }
        Ok(Self(tags))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.tag(name).map(|tag| tag.value)
    }

    pub(crate) fn tag(&self, name: &str) -> Option<&Tag<'a>> {
        self.0.iter().find(|tag| tag.name == name)
    }

    /// The name that stands first; keys have a rule about it (RFC 6376 §3.6.1).
    pub(crate) fn first(&self) -> Option<&'a str> {
        self.0.first().map(|tag| tag.name)
    }
}

fn tag(specification: &str, start: usize) -> Result<Tag<'_>, BadTags> {
    let (name, value) = specification.split_once('=').ok_or(BadTags::NotATag)?;
    let range = start + name.len() + 1..start + specification.len();
    let name = trim(name);
    let letter = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(letter);
    well_formed.then(|| Tag { name, value: trim(value), range }).ok_or(BadTags::NotATag)
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// The value without any white space: base64 and lists may be folded anywhere (RFC 6376 §3.5).
pub(crate) fn compact(value: &str) -> String {
    value.chars().filter(|c| ![' ', '\t', '\r', '\n'].contains(c)).collect()
}

/// The items of a list parted by colons, each without white space around it.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    #[test]
    fn lists_are_read_like_this() {
        let cases: [(&str, Result<Pairs, BadTags>); 15] = [
            ("", Ok(&[])),
            (" \r\n ", Ok(&[])),
            ("a=1", Ok(&[("a", "1")])),
            ("a=1;", Ok(&[("a", "1")])),
            (" a = 1 ;\r\n\tb_2=x y;\r\n ", Ok(&[("a", "1"), ("b_2", "x y")])),
            ("a=;b==", Ok(&[("a", ""), ("b", "=")])),
            ("a=1;A=2", Ok(&[("a", "1"), ("A", "2")])),
            ("a=1;b=2; a=1", Err(BadTags::Duplicate("a".into()))),
            ("a=1;;", Err(BadTags::NotATag)),
            ("a=1;;b=2", Err(BadTags::NotATag)),
            ("a", Err(BadTags::NotATag)),
            ("=1", Err(BadTags::NotATag)),
            ("1a=1", Err(BadTags::NotATag)),
            ("a b=1", Err(BadTags::NotATag)),
            ("a=\0", Err(BadTags::NotText)),
        ];
        for (list, expected) in cases {
            let found = Tags::parse(list.as_bytes());
            let found = found.map(|tags| tags.0.iter().map(|tag| (tag.name, tag.value)).collect::<Vec<_>>());
            assert_eq!(found, expected.map(<[_]>::to_vec), "{list:?}");
        }
        assert_eq!(Tags::parse(b"a=\xff"), Err(BadTags::NotText));
    }

    #[test]
    fn a_list_without_end_is_given_up() {
        let list: String = (0..=MAX_TAGS).map(|number| format!("t{number}=;")).collect();
        assert_eq!(Tags::parse(list.as_bytes()), Err(BadTags::TooMany));
        let list: String = (0..MAX_TAGS).map(|number| format!("t{number}=;")).collect();
        assert!(Tags::parse(list.as_bytes()).is_ok());
    }

    #[test]
    fn the_place_of_a_value_includes_its_white_space() {
        let list = b"a=1; b = x\r\n y ;c=";
        let tags = Tags::parse(list).expect("a list");
        let place = |name| &list[tags.tag(name).expect("a tag").range.clone()];
        assert_eq!((place("a"), place("b"), place("c")), (&b"1"[..], &b" x\r\n y "[..], &b""[..]));
    }
}
