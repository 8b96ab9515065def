//! Canonical forms: what of a field or a body a signature covers (RFC 6376 §3.4).

use aws_lc_rs::digest::{Context, Digest, SHA256};
use memchr::memchr;

/// How much a message may change on its way without breaking the signature (RFC 6376 §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Canonicalization {
    /// Almost nothing. What counts where a signature does not say.
    #[default]
    Simple,
    /// White space, folding, and the case of field names.
    Relaxed,
}

impl Canonicalization {
    /// As `c=` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }

    /// Reads a name of `c=`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Simple, Self::Relaxed].into_iter().find(|form| text.eq_ignore_ascii_case(form.as_str()))
    }

    /// Appends a header field, given raw, with its CRLF if that was there (RFC 6376 §3.4.1, §3.4.2).
    pub(crate) fn field(self, raw: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Simple => out.extend_from_slice(raw),
            Self::Relaxed => relaxed_field(raw, out),
        }
    }
}

fn is_wsp(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

fn relaxed_field(raw: &[u8], out: &mut Vec<u8>) {
    let (content, end) = raw.strip_suffix(b"\r\n").map_or((raw, &b""[..]), |content| (content, b"\r\n"));
    let colon = memchr(b':', content).unwrap_or(content.len());
    let (name, value) = content.split_at(colon);
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    let Some(value) = value.strip_prefix(b":") else { return };
    out.push(b':');
    let start = out.len();
    let mut gap = false;
    let mut rest = value;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        match octet {
            b' ' | b'\t' => gap = true,
            b'\r' if tail.first() == Some(&b'\n') => rest = &tail[1..],
            octet => {
                if gap && out.len() > start {
                    out.push(b' ');
                }
                gap = false;
                out.push(octet);
            }
        }
    }
    out.extend_from_slice(end);
}

/// Octets that wait for the digest at most: one call for many words.
const BUFFER: usize = 4 * 1024;

/// Hashes the canonical form of a body while it arrives.
///
/// LF without CR ends a line and counts as CRLF, which is what leaves this machine; a CR elsewhere is content.
pub(crate) struct BodyHasher {
    form: Canonicalization,
    /// Octets still to be hashed, where the signature covers the beginning alone (`l=`).
    left: Option<u64>,
    digest: Context,
    buffer: Vec<u8>,
    /// Line ends that count only if a line with content follows.
    line_ends: u64,
    /// Canonical octets so far, those beyond `l=` too.
    length: u64,
    /// A CR that ended the last piece.
    cr: bool,
    /// White space that counts only if something follows on the same line.
    gap: bool,
}

/// What came of hashing a body.
pub(crate) struct BodyHash {
    pub(crate) hash: Digest,
    /// Octets of the whole canonical body.
    pub(crate) length: u64,
}

impl BodyHasher {
    pub(crate) fn new(form: Canonicalization, limit: Option<u64>) -> Self {
        Self {
            form,
            left: limit,
            digest: Context::new(&SHA256),
            buffer: Vec::with_capacity(BUFFER),
            line_ends: 0,
            length: 0,
            cr: false,
            gap: false,
        }
    }

    /// Takes the next octets of the body, as many or few as there are.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if std::mem::take(&mut self.cr) {
            match piece.strip_prefix(b"\n") {
                Some(rest) => {
                    self.end_line();
                    piece = rest;
                }
                None => self.content(b"\r"),
            }
        }
        while let Some(at) = memchr(b'\n', piece) {
            let line = &piece[..at];
            self.content(line.strip_suffix(b"\r").unwrap_or(line));
            self.end_line();
            piece = &piece[at + 1..];
        }
        if let Some(rest) = piece.strip_suffix(b"\r") {
            self.cr = true;
            piece = rest;
        }
        self.content(piece);
    }

    /// The body is whole.
    pub(crate) fn finish(mut self) -> BodyHash {
        if std::mem::take(&mut self.cr) {
            self.content(b"\r");
        }
        // RFC 6376 §3.4.3: a body without content is one CRLF; §3.4.4: it is nothing. Otherwise both end in one.
        if self.length > 0 || self.form == Canonicalization::Simple {
            self.emit(b"\r\n");
        }
        self.flush();
        BodyHash { hash: self.digest.finish(), length: self.length }
    }

    /// Content of one line, or a part of it.
    fn content(&mut self, text: &[u8]) {
        match self.form {
            Canonicalization::Simple => self.visible(text),
            Canonicalization::Relaxed => self.words(text),
        }
    }

    fn words(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            let word = rest.iter().position(|&octet| is_wsp(octet)).unwrap_or(rest.len());
            if word > 0 {
                if std::mem::take(&mut self.gap) {
                    self.visible(b" ");
                }
                self.visible(&rest[..word]);
                rest = &rest[word..];
            }
            let white = rest.iter().position(|&octet| !is_wsp(octet)).unwrap_or(rest.len());
            self.gap |= white > 0;
            rest = &rest[white..];
        }
    }

    fn end_line(&mut self) {
        self.gap = false;
        self.line_ends += 1;
    }

    fn visible(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.emit(b"\r\n");
        }
        self.emit(text);
    }

    fn emit(&mut self, text: &[u8]) {
        self.length += text.len() as u64;
        let mut counted = text;
        if let Some(left) = &mut self.left {
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(text.len());
            counted = &text[..take];
            *left -= take as u64;
        }
        if counted.len() + self.buffer.len() > BUFFER {
            self.flush();
        }
        if counted.len() > BUFFER {
            self.digest.update(counted);
        } else {
            self.buffer.extend_from_slice(counted);
        }
    }

    fn flush(&mut self) {
        self.digest.update(&self.buffer);
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::digest;
    use proptest::prelude::*;

    use super::Canonicalization::{Relaxed, Simple};
    use super::*;

    fn field(form: Canonicalization, raw: &str) -> String {
        let mut out = Vec::new();
        form.field(raw.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn fields_become_canonical() {
        // The first two are the examples of RFC 6376 §3.4.5.
        let cases = [
            ("A: X\r\n", "a:X\r\n"),
            ("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"),
            ("SUBJect: AbC\r\n", "subject:AbC\r\n"),
            ("X:\r\n", "x:\r\n"),
            ("X: \r\n \t\r\n", "x:\r\n"),
            ("X:\r\n a\r\n", "x:a\r\n"),
            ("X: a:b : c\r\n", "x:a:b : c\r\n"),
            ("X: a\rb", "x:a\rb"),
        ];
        for (raw, relaxed) in cases {
            assert_eq!(field(Relaxed, raw), relaxed, "{raw:?}");
            assert_eq!(field(Simple, raw), raw, "{raw:?}");
        }
    }

    fn hash(form: Canonicalization, limit: Option<u64>, body: &str, piece: usize) -> (Vec<u8>, u64) {
        let mut hasher = BodyHasher::new(form, limit);
        body.as_bytes().chunks(piece).for_each(|piece| hasher.push(piece));
        let BodyHash { hash, length } = hasher.finish();
        (hash.as_ref().to_vec(), length)
    }

    #[test]
    fn bodies_become_canonical() {
        // The first is the example of RFC 6376 §3.4.5.
        let cases = [
            (" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"),
            ("", "\r\n", ""),
            ("\r\n\r\n", "\r\n", ""),
            (" \r\n\t\r\n", " \r\n\t\r\n", ""),
            ("\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"),
            ("a\nb\n\n", "a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\r", "a\r\r\n", "a\r\r\n"),
            ("a\r\r\nb\rc", "a\r\r\nb\rc\r\n", "a\r\r\nb\rc\r\n"),
            ("a \rb \r\n", "a \rb \r\n", "a \rb\r\n"),
            ("a\r\n \r\nb", "a\r\n \r\nb\r\n", "a\r\n\r\nb\r\n"),
        ];
        for (body, simple, relaxed) in cases {
            for (form, expected) in [(Simple, simple), (Relaxed, relaxed)] {
                for piece in [1, 2, 3, 1_000] {
                    let found = hash(form, None, body, piece);
                    let wanted = digest(&SHA256, expected.as_bytes()).as_ref().to_vec();
                    assert_eq!(found, (wanted, expected.len() as u64), "{form:?} {body:?} {piece}");
                }
            }
        }
    }

    #[test]
    fn a_limit_cuts_the_canonical_form() {
        for (limit, expected) in [(0, ""), (3, "a b"), (4, "a b\r"), (99, "a b\r\nc\r\n")] {
            let found = hash(Relaxed, Some(limit), "a  b \r\nc\r\n\r\n", 2);
            let wanted = digest(&SHA256, expected.as_bytes()).as_ref().to_vec();
            assert_eq!(found, (wanted, 8), "{limit}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(body in r"[ab \t\r\n]{0,40}", piece in 1_usize..9, limit in 0_u64..30) {
            for form in [Simple, Relaxed] {
                prop_assert_eq!(hash(form, None, &body, piece), hash(form, None, &body, 1_000));
                prop_assert_eq!(hash(form, Some(limit), &body, piece), hash(form, Some(limit), &body, 1_000));
            }
        }
    }
}
