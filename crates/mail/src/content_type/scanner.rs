//! Reads the tokens of a MIME field, forgiving what senders get wrong.

use crate::charset;
use crate::transfer::is_token_octet;

/// Reads a structured MIME field from front to back, each octet once.
pub(crate) struct Scanner<'a> {
    pub(crate) rest: &'a [u8],
}

impl Scanner<'_> {
    /// A token in lower case (RFC 2045 §5.1), without the space and comments before it.
    pub(crate) fn token(&mut self) -> Option<String> {
        self.skip_space();
        let length = self.rest.iter().take_while(|&&octet| is_token_octet(octet)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then(|| charset::guess(token).to_ascii_lowercase())
    }

    pub(crate) fn mark(&mut self, mark: u8) -> Option<()> {
        self.skip_space();
        self.rest = self.rest.strip_prefix(&[mark])?;
        Some(())
    }

    /// Whether nothing follows, or the first parameter does.
    pub(crate) fn is_at_end_or_parameters(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty() || self.rest.starts_with(b";")
    }

    /// Steps over white space, line ends and comments (RFC 822 §3.4.3; RFC 2045 §5.1 allows them here).
    fn skip_space(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if !self.rest.starts_with(b"(") {
                return;
            }
            self.skip_comment();
        }
    }

    /// Counts instead of recursing: nesting costs no stack. An unclosed comment takes everything.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some((&octet, tail)) = self.rest.split_first() {
            self.rest = tail;
            match octet {
                b'\\' => self.rest = tail.get(1..).unwrap_or_default(),
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A quoted string whose opening quote is read already; unclosed, it takes everything.
    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((&octet, tail)) = self.rest.split_first() {
            self.rest = tail;
            let literal = match (octet, tail.split_first()) {
                (b'"', _) => break,
                (b'\\', Some((&escaped, after))) => {
                    self.rest = after;
                    escaped
                }
                _ => octet,
            };
            if !b"\r\n\0".contains(&literal) {
                out.push(literal);
            }
        }
        out
    }

    /// A value without quotes: up to the next `;` or comment, because `name=my file.pdf` and
    /// `boundary=a=b` are common, though RFC 2045 §5.1 wants quotes there.
    fn unquoted(&mut self) -> Vec<u8> {
        let length = self.rest.iter().take_while(|octet| !b";(".contains(octet)).count();
        let (value, rest) = self.rest.split_at(length);
        self.rest = rest;
        value.trim_ascii().iter().copied().filter(|octet| !b"\r\n\0".contains(octet)).collect()
    }

    /// Steps behind the next `;` that is in no quotes and no comment.
    fn next_parameter(&mut self) -> Option<()> {
        while let Some((&octet, tail)) = self.rest.split_first() {
            match octet {
                b'(' => self.skip_comment(),
                b'"' => {
                    self.rest = tail;
                    self.quoted();
                }
                _ => self.rest = tail,
            }
            if octet == b';' {
                return Some(());
            }
        }
        None
    }
}

/// The parameters that follow, as (name in lower case, value without quotes).
impl Iterator for Scanner<'_> {
    type Item = (String, Vec<u8>);

    fn next(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            self.next_parameter()?;
            let Some(name) = self.token() else { continue };
            if self.mark(b'=').is_none() {
                continue;
            }
            self.skip_space();
            let value = if self.mark(b'"').is_some() { self.quoted() } else { self.unquoted() };
            return Some((name, value));
        }
    }
}
