//! Sets of addresses, as `DontSignMailTo` names recipients.

use super::{Matching, conf, wildcard};

/// Addresses, or patterns of them. The default holds none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// In lower case.
    exact: Vec<String>,
    patterns: Vec<String>,
}

impl Addresses {
    /// One entry on each line. Only with [`Matching::Wildcards`] a `*` is a pattern.
    pub fn parse(text: &str, matching: Matching) -> Self {
        let entries = conf::entries(text).map(str::to_lowercase).collect();
        match matching {
            Matching::Plain => Self { exact: entries, patterns: Vec::new() },
            Matching::Wildcards => Self { exact: Vec::new(), patterns: entries },
        }
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Whether an address is in it, as the client wrote it but for case; no domain stands for its addresses.
    pub fn contains(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        self.exact.contains(&address) || self.patterns.iter().any(|pattern| wildcard(pattern, &address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenDKIM 2.11 was seen to do.
    #[test]
    fn an_address_is_itself_and_a_pattern_only_where_they_are_asked_for() {
        let (plain, wild) = (Matching::Plain, Matching::Wildcards);
        let cases = [
            ("dave@example.net", plain, "dave@example.net", true),
            ("dave@example.net", plain, "DAVE@Example.NET", true),
            ("Dave@example.net # his", plain, "dave@example.net", true),
            ("eve@example.net\ndave@example.net", plain, "dave@example.net", true),
            ("dave@example.net", plain, "eve@example.net", false),
            ("dave@example.net", plain, "\"dave\"@example.net", false),
            ("example.net", plain, "dave@example.net", false),
            (".example.net", plain, "dave@sub.example.net", false),
            ("*@example.net", plain, "dave@example.net", false),
            ("*@example.net", wild, "dave@example.net", true),
            ("*@example.net", wild, "dave@example.com", false),
            ("", plain, "dave@example.net", false),
            ("", wild, "", false),
        ];
        for (text, matching, address, expected) in cases {
            let set = Addresses::parse(text, matching);
            assert_eq!(set.contains(address), expected, "{text} {address}");
            assert_eq!(set.is_empty(), text.is_empty(), "{text}");
        }
    }
}
