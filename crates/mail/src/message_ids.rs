//! Message identifiers in Message-ID, References and In-Reply-To, in the one form in which they compare (RFC 5256 §3).

/// Longest identifier, in octets: a line has 998 (RFC 5322 §2.1.1).
pub const MAX_ID: usize = 998;

/// The identifiers of a field value in order, without their angle brackets. What is none is stepped over.
///
/// Quotes around the left side go where they say nothing (RFC 5256 §3: normalised forms compare); white space inside is
/// what folding left behind. Time grows with the length alone.
pub fn parse(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut ids = Ids { value, at: 0, has_comments: true };
    std::iter::from_fn(move || ids.next_id())
}

struct Ids<'a> {
    value: &'a [u8],
    at: usize,
    /// No comment was found to be without end yet.
    has_comments: bool,
}

impl Ids<'_> {
    fn next_id(&mut self) -> Option<Vec<u8>> {
        while let Some(octet) = self.value.get(self.at) {
            self.at += 1;
            match octet {
                b'<' => {
                    if let Some(id) = self.id() {
                        return Some(id);
                    }
                }
                b'(' if self.has_comments => self.comment(),
                _ => {}
            }
        }
        None
    }

    /// Steps over a comment (RFC 5322 §3.2.2): identifiers in it are none. One without end is none.
    fn comment(&mut self) {
        let mut depth = 1;
        let mut at = self.at;
        while let Some(octet) = self.value.get(at) {
            at += 1;
            match octet {
                b'\\' => at += 1,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = at;
                return;
            }
        }
        self.has_comments = false;
    }

    /// Reads to `>`; another `<` begins anew.
    fn id(&mut self) -> Option<Vec<u8>> {
        let mut id = Vec::new();
        let mut is_quoted = false;
        // Where the left side ends: an `@` in quotes is part of it.
        let mut at_sign = None;
        while let Some(&octet) = self.value.get(self.at) {
            self.at += 1;
            match octet {
                b'"' => is_quoted = !is_quoted,
                b'\\' if is_quoted => {
                    id.extend(self.value.get(self.at));
                    self.at += 1;
                }
                b'<' if !is_quoted => (id, at_sign) = (Vec::new(), None),
                b'>' if !is_quoted => {
                    let is_id = at_sign.is_some_and(|at| at > 0 && at + 1 < id.len()) && id.len() <= MAX_ID;
                    return is_id.then_some(id);
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => {}
                octet => {
                    if octet == b'@' && !is_quoted {
                        at_sign = Some(id.len());
                    }
                    id.push(octet);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_found_in_whatever_stands_around_them() {
        let cases: [(&str, &[&str]); 17] = [
            ("<a@b>", &["a@b"]),
            (" <a@b>\r\n <c@d>\t<e@f> ", &["a@b", "c@d", "e@f"]),
            ("<a@b><c@d>", &["a@b", "c@d"]),
            ("Your message of \"today\" <a@b>", &["a@b"]),
            ("(see <x@y>) <a@b>", &["a@b"]),
            ("(one (two) <x@y>) <a@b> (", &["a@b"]),
            ("(open <a@b>", &["a@b"]),
            ("<\"a\"@b>", &["a@b"]),
            ("<\"a b\\\"@c\"@d>", &["ab\"@c@d"]),
            ("<a\r\n b@c>", &["ab@c"]),
            ("<<a@b>", &["a@b"]),
            ("<a@[127.0.0.1]>", &["a@[127.0.0.1]"]),
            ("<a>", &[]),
            ("<@b> <a@> <>", &[]),
            ("<a@b", &[]),
            ("a@b", &[]),
            ("", &[]),
        ];
        for (value, expected) in cases {
            let found: Vec<_> = parse(value.as_bytes()).collect();
            assert_eq!(
                found,
                expected.iter().map(|id| id.as_bytes().to_vec()).collect::<Vec<_>>(),
                "{value}"
            );
        }
    }

    #[test]
    fn many_and_long_ones_take_no_long_time() {
        let many = "<a@b>".repeat(100_000);
        assert_eq!(parse(many.as_bytes()).count(), 100_000);
        for piece in ["(", "<", "\"", "<\"", "(\\"] {
            assert_eq!(parse(piece.repeat(200_000).as_bytes()).count(), 0, "{piece}");
        }
        assert_eq!(parse(format!("<{}@b>", "a".repeat(MAX_ID)).as_bytes()).count(), 0);
    }
}
