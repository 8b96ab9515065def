//! Tokens of an address list (RFC 5322 §3.2), as slices of the field.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run of anything that is not special; RFC 5322 §3.2.3 with dots, and more.
    Atom,
    /// `"..."`
    Quoted,
    /// `[...]`
    Literal,
    /// `(...)`
    Comment,
    /// One of `< > @ , ; :`, stray `) ]`, and `" ( [` that nothing closes.
    Special,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// With its quotes or brackets.
    pub(super) raw: &'a str,
    /// Whether white space or a comment stands before it.
    pub(super) spaced: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, special: &str) -> bool {
        self.kind == Kind::Special && self.raw == special
    }

    /// The meaning: quotes and backslashes resolved.
    pub(super) fn text(&self) -> String {
        match self.kind {
            Kind::Quoted => unescape(self.raw.strip_prefix('"').unwrap_or(self.raw), '"'),
            Kind::Comment => unescape(self.raw.strip_prefix('(').unwrap_or(self.raw), ')'),
            _ => self.raw.to_owned(),
        }
    }
}

/// Resolves backslashes and drops the closing mark, which is the last character unless it is missing.
fn unescape(inside: &str, close: char) -> String {
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            _ if c == close && chars.peek().is_none() => {}
            _ => out.push(c),
        }
    }
    out
}

/// Splits an unfolded value into tokens (RFC 5322 §3.2), each octet read once. What is not closed goes to the end.
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    split(text, false)
}

/// The same for a reader who takes a mark that opens what is never closed for a stray one. Each octet is read twice at
/// most: after the first such mark, others of its kind are not looked at again.
pub(super) fn lex_mended(text: &str) -> Vec<Token<'_>> {
    split(text, true)
}

fn split(text: &str, mends: bool) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut stray: Vec<char> = Vec::new();
    let mut rest = text;
    let mut spaced = false;
    while let Some(c) = rest.chars().next() {
        if matches!(c, ' ' | '\t') {
            spaced = true;
            rest = &rest[1..];
            continue;
        }
        let (kind, length, closed) = match c {
            _ if stray.contains(&c) => (Kind::Special, 1, true),
            '"' => enclosed(Kind::Quoted, rest, '"'),
            '[' => enclosed(Kind::Literal, rest, ']'),
            '(' => comment(rest),
            '<' | '>' | '@' | ',' | ';' | ':' | ')' | ']' => (Kind::Special, 1, true),
            _ => (Kind::Atom, rest.find(ends_atom).unwrap_or(rest.len()), true),
        };
        if mends && !closed {
            stray.push(c);
            continue;
        }
        let (raw, tail) = rest.split_at(length);
        tokens.push(Token { kind, raw, spaced });
        spaced = kind == Kind::Comment;
        rest = tail;
    }
    tokens
}

fn ends_atom(c: char) -> bool {
    matches!(c, ' ' | '\t' | '"' | '(' | ')' | '<' | '>' | '@' | ',' | ';' | ':' | '[' | ']')
}

/// Kind, length and whether it is closed, of a token that ends at the first unescaped `close`.
fn enclosed(kind: Kind, text: &str, close: char) -> (Kind, usize, bool) {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == close => return (kind, at + 1, true),
            _ => {}
        }
    }
    (kind, text.len(), false)
}

/// Counts parentheses instead of recursing, so that nesting costs no stack.
fn comment(text: &str) -> (Kind, usize, bool) {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (Kind::Comment, at + 1, true);
        }
    }
    (Kind::Comment, text.len(), false)
}
