//! Where addresses stand in a field, so that one can be put in the place of another and all else stays as it is.

use std::ops::Range;

/// The places of the addresses of a field that are written without white space or comments within: `ann@x.example`, and what is
/// in angle brackets, without a route. Display names, comments and groups lie between them.
///
/// ```
/// let field = b" Ann (at x@y.example) <ann@x.example>, joe@x.example\r\n";
/// let found = kings_mail::address_list::places(field);
/// let found: Vec<&[u8]> = found.into_iter().map(|place| &field[place]).collect();
/// assert_eq!(found, [&b"ann@x.example"[..], b"joe@x.example"]);
/// ```
pub fn places(value: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut entry = Entry::default();
    let mut at = 0;
    while at < value.len() {
        let end = match value[at] {
            b'"' => behind(value, at, b'"'),
            b'[' => behind(value, at, b']'),
            b'(' => behind_comment(value, at),
            b'<' => behind_bracket(value, at),
            _ => at + 1,
        };
        match value[at] {
            b',' | b';' => places.extend(std::mem::take(&mut entry).place(value)),
            // Behind the name of a group.
            b':' => entry = Entry::default(),
            b'<' => entry.bracketed = Some(inside(value, at + 1..end)),
            b'(' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => entry.word(at..end),
        }
        at = end;
    }
    places.extend(entry.place(value));
    places
}

/// What one entry of the list has shown so far.
#[derive(Default)]
struct Entry {
    bare: Option<Range<usize>>,
    /// There is white space or a comment within it.
    is_parted: bool,
    bracketed: Option<Range<usize>>,
}

impl Entry {
    fn word(&mut self, word: Range<usize>) {
        match &mut self.bare {
            Some(bare) => {
                self.is_parted |= bare.end != word.start;
                bare.end = word.end;
            }
            None => self.bare = Some(word),
        }
    }

    fn place(self, value: &[u8]) -> Option<Range<usize>> {
        let place = self.bracketed.or(self.bare.filter(|_| !self.is_parted))?;
        let text = &value[place.clone()];
        let is_whole = text.contains(&b'@') && !text.iter().any(|octet| b"<>\r\n\t ".contains(octet));
        is_whole.then_some(place)
    }
}

/// Behind the `close` that ends what opens at `at`; a backslash takes the meaning from what follows it.
fn behind(value: &[u8], at: usize, close: u8) -> usize {
    let mut at = at + 1;
    while at < value.len() {
        match value[at] {
            b'\\' => at += 1,
            octet if octet == close => return at + 1,
            _ => {}
        }
        at += 1;
    }
    value.len()
}

fn behind_comment(value: &[u8], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0_usize);
    while at < value.len() {
        match value[at] {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth == 1 => return at + 1,
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    value.len()
}

fn behind_bracket(value: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < value.len() {
        at = match value[at] {
            b'>' => return at + 1,
            b'"' => behind(value, at, b'"'),
            b'(' => behind_comment(value, at),
            _ => at + 1,
        };
    }
    value.len()
}

/// The address in brackets, without its route and the white space around it.
fn inside(value: &[u8], within: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = within;
    if value[start..end].ends_with(b">") {
        end -= 1;
    }
    if value[start..end].starts_with(b"@")
        && let Some(colon) = value[start..end].iter().position(|&octet| octet == b':')
    {
        start += colon + 1;
    }
    let text = &value[start..end];
    start += text.len() - text.trim_ascii_start().len();
    end -= text.len() - text.trim_ascii_end().len();
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_where_people_write_them() {
        let cases: [(&str, &[&str]); 18] = [
            ("", &[]),
            (" ann@x.example\r\n", &["ann@x.example"]),
            (" Ann <ann@x.example>\r\n", &["ann@x.example"]),
            (" \"x@y.example, Ann\" <ann@x.example>", &["ann@x.example"]),
            (" ann@x.example (joe@x.example), < joe@x.example >", &["ann@x.example", "joe@x.example"]),
            (" a@x.example,\r\n\tb@x.example", &["a@x.example", "b@x.example"]),
            (
                " team: a@x.example, B <b@x.example>; c@x.example",
                &["a@x.example", "b@x.example", "c@x.example"],
            ),
            (" <@r.example,@s.example:ann@x.example>", &["ann@x.example"]),
            // One with a space in its quotes stays as it is.
            (" \"a b\"@x.example, <\"c.d\"@x.example>", &["\"c.d\"@x.example"]),
            (" ann@[192.0.2.1], joe@[IPv6:::1]", &["ann@[192.0.2.1]", "joe@[IPv6:::1]"]),
            (" ((a@x.example) b@x.example) c@x.example", &["c@x.example"]),
            // None of these is written in one piece, or at all.
            (" ann @ x.example", &[]),
            (" ann(c)@x.example", &[]),
            (" <ann @x.example>", &[]),
            (" ann, <>, undisclosed:;", &[]),
            // No address, as whoever reads it as one will say.
            (" \"ann@x.example", &["\"ann@x.example"]),
            (" (ann@x.example", &[]),
            (" <ann@x.example", &["ann@x.example"]),
        ];
        for (value, expected) in cases {
            let found: Vec<&str> = places(value.as_bytes()).into_iter().map(|place| &value[place]).collect();
            assert_eq!(found, expected, "{value:?}");
        }
    }
}
