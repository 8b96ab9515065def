//! What filters do to a message: header fields, body, sender and recipients.

use std::io::Read;
use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::charset;
use kings_mail::envelope::{Envelope, MAX_RECIPIENTS, Recipient};
use kings_mail::header::{self, Fields};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_milter::Change;
use kings_smtp::reply::Reply;
use kings_store::{Incoming, Store, StoreError};
use tracing::warn;

use super::Filtered;
use crate::core::{blocking, for_each_piece};
use crate::intake;

/// A value as filters are told it: lines end in LF alone, the last line end is gone, and so is one leading blank
/// unless they keep it.
pub(super) fn told_value(value: &[u8], keep_space: bool) -> Vec<u8> {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let value = if keep_space { value } else { value.strip_prefix(b" ").unwrap_or(value) };
    let mut told = Vec::with_capacity(value.len());
    for (at, octet) in value.iter().enumerate() {
        if !(*octet == b'\r' && value.get(at + 1) == Some(&b'\n')) {
            told.push(*octet);
        }
    }
    told
}

/// A field in a filter's words, as it stands in a message: folded lines end in CRLF, and nothing in it can end the
/// field or the header early. `None` for a name that no field can have.
fn field(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let is_name = !name.is_empty() && name.iter().all(|octet| octet.is_ascii_graphic() && *octet != b':');
    if !is_name {
        return None;
    }
    let mut field = [name, b":"].concat();
    for (number, line) in value.split(|octet| *octet == b'\n').enumerate() {
        let line: Vec<u8> = line.iter().copied().filter(|octet| !b"\r\0".contains(octet)).collect();
        let is_folded = line.first().is_some_and(|first| b" \t".contains(first));
        if number > 0 {
            // An empty line would end the header.
            if line.trim_ascii().is_empty() {
                continue;
            }
            field.extend_from_slice(b"\r\n");
        }
        if !is_folded && (number > 0 || !line.is_empty()) {
            field.push(b' ');
        }
        field.extend_from_slice(&line);
    }
    field.extend_from_slice(b"\r\n");
    Some(field)
}

/// The header of a message while it is changed: its fields, each with its name, and lines that are none.
struct Head {
    fields: Vec<(String, Vec<u8>)>,
    /// From the empty line on.
    rest: Vec<u8>,
}

impl Head {
    fn parse(head: &[u8]) -> Self {
        let end = header::header_end(head);
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        let mut at = 0;
        for field in Fields::new(&head[..end]) {
            let start = field.raw.as_ptr() as usize - head.as_ptr() as usize;
            if start > at {
                fields.push((String::new(), head[at..start].to_vec()));
            }
            fields.push((field.name.to_owned(), field.raw.to_vec()));
            at = start + field.raw.len();
        }
        Self { fields, rest: head[at..].to_vec() }
    }

    fn with(mut self, changes: &[Change]) -> Self {
        for change in changes {
            self.apply(change);
        }
        self
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::AddHeader(name, value) => self.insert(self.fields.len(), name, value),
            Change::InsertHeader(at, name, value) => {
                // As sendmail counts: the first field is number 1, and 0 is before it as well.
                let at = usize::try_from(at.saturating_sub(1)).unwrap_or(usize::MAX);
                self.insert(at.min(self.fields.len()), name, value);
            }
            Change::ChangeHeader(number, name, value) => self.change(*number, name, value),
            _ => {}
        }
    }

    fn insert(&mut self, at: usize, name: &[u8], value: &[u8]) {
        let Some(field) = field(name, value) else { return };
        self.end_last_line();
        self.fields.insert(at, (String::from_utf8_lossy(name).into_owned(), field));
    }

    /// A message that is all header may be cut in its last line: what comes now is another one.
    fn end_last_line(&mut self) {
        if let Some((_, last)) = self.fields.last_mut().filter(|(_, last)| !last.ends_with(b"\n")) {
            last.extend_from_slice(b"\r\n");
        }
    }

    /// The `number`th field of this name, from 1 (and 0 means 1). One that is not there is added.
    fn change(&mut self, number: u32, name: &[u8], value: &[u8]) {
        let wanted = usize::try_from(number.max(1) - 1).unwrap_or(usize::MAX);
        let named = |(_, (of, _)): &(usize, &(String, Vec<u8>))| of.as_bytes().eq_ignore_ascii_case(name);
        let found = self.fields.iter().enumerate().filter(named).nth(wanted).map(|(at, _)| at);
        match (found, field(name, value)) {
            (Some(at), _) if value.is_empty() => drop(self.fields.remove(at)),
            (Some(at), Some(field)) => self.fields[at].1 = field,
            (None, Some(_)) if !value.is_empty() => self.insert(self.fields.len(), name, value),
            _ => {}
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        self.fields.into_iter().flat_map(|(_, raw)| raw).chain(self.rest).collect()
    }
}

fn is_of_header(change: &Change) -> bool {
    matches!(change, Change::AddHeader(..) | Change::InsertHeader(..) | Change::ChangeHeader(..))
}

impl Filtered {
    /// The message with a filter's changes.
    pub(super) async fn changed(mut self, store: &Store, changes: Vec<Change>) -> Result<Self, Reply> {
        for change in &changes {
            self.change_envelope(change);
        }
        if self.envelope.recipients.is_empty() {
            self.discard = true;
        }
        let replaces_body = changes.iter().any(|change| matches!(change, Change::ReplaceBody(_)));
        if !replaces_body && !changes.iter().any(is_of_header) {
            return Ok(self);
        }
        let head = Head::parse(self.content.head()).with(&changes);
        let (content, store) = (self.content.clone(), store.clone());
        let body = replaces_body.then(|| new_body(changes));
        let rewritten = blocking(move || rewrite(&store, &content, head, body.as_deref())).await;
        self.content = Arc::new(rewritten.map_err(|error| intake::refusal(&error))?);
        Ok(self)
    }

    fn change_envelope(&mut self, change: &Change) {
        let Envelope { reverse_path, recipients, .. } = &mut self.envelope;
        match change {
            Change::AddRecipient(path, _) => match forward_path(path) {
                Some(path) if recipients.len() < MAX_RECIPIENTS => {
                    if !recipients.iter().any(|known| known.path == path) {
                        recipients.push(Recipient::from(path));
                    }
                }
                Some(_) | None => {
                    warn!(path = %charset::guess(path), "a filter adds a recipient that cannot be");
                }
            },
            Change::DeleteRecipient(path) => {
                if let Some(path) = forward_path(path) {
                    recipients.retain(|known| known.path != path);
                }
            }
            Change::ChangeSender(path, _) => match sender(path) {
                Some(path) => *reverse_path = path,
                None => warn!(path = %charset::guess(path), "a filter names a sender that cannot be"),
            },
            Change::Quarantine(reason) => {
                self.quarantine = Some(charset::guess(reason).chars().filter(|c| !c.is_control()).collect());
            }
            _ => {}
        }
    }
}

/// Filters write addresses with and without their brackets.
fn bare(path: &[u8]) -> Option<&str> {
    let path = std::str::from_utf8(path).ok()?.trim();
    Some(path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path))
}

fn forward_path(path: &[u8]) -> Option<ForwardPath> {
    Address::parse(bare(path)?).ok().map(ForwardPath::Address)
}

fn sender(path: &[u8]) -> Option<ReversePath> {
    match bare(path)? {
        "" => Some(ReversePath::Null),
        address => Address::parse(address).ok().map(ReversePath::Address),
    }
}

fn new_body(changes: Vec<Change>) -> Vec<u8> {
    let pieces = changes.into_iter().filter_map(|change| match change {
        Change::ReplaceBody(piece) => Some(piece),
        _ => None,
    });
    with_crlf(&pieces.collect::<Vec<_>>().concat())
}

/// Lines that end in LF alone end in CRLF; a CR elsewhere and a NUL, which we accept from nobody, are left out.
fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for octet in body {
        match octet {
            b'\r' | b'\0' => {}
            b'\n' => out.extend_from_slice(b"\r\n"),
            octet => out.push(*octet),
        }
    }
    out
}

/// A copy with another head, and another body where there is one. Blocking.
fn rewrite(
    store: &Store,
    content: &Incoming,
    mut head: Head,
    body: Option<&[u8]>,
) -> Result<Incoming, StoreError> {
    let mut copy = store.begin()?;
    let old_head = content.head();
    match body {
        Some(body) => {
            head.end_last_line();
            head.rest = b"\r\n".to_vec();
            copy.write(&head.into_bytes())?;
            copy.write(body)?;
        }
        None => {
            copy.write(&head.into_bytes())?;
            let mut reader = content.reader();
            std::io::copy(&mut reader.by_ref().take(old_head.len() as u64), &mut std::io::sink())?;
            for_each_piece(reader, |piece| copy.write(piece))?;
        }
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(head: &str, changes: &[Change]) -> String {
        let head = Head::parse(head.as_bytes()).with(changes);
        String::from_utf8_lossy(&head.into_bytes()).into_owned()
    }

    const HEAD: &str = "From: a\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\n\r\nbody";

    #[test]
    fn an_untouched_head_keeps_its_octets() {
        for head in [HEAD, "", "\r\nbody", "X: y", "junk\r\nmore junk\r\n\r\n", "X: y\nY: z\n\nbody"] {
            assert_eq!(edited(head, &[]), head);
        }
        let add = [Change::AddHeader(b"Z".to_vec(), b"z".to_vec())];
        assert_eq!(edited("X: y", &add), "X: y\r\nZ: z\r\n");
        assert_eq!(edited("X: y\n\nbody", &add), "X: y\nZ: z\r\n\nbody");
    }

    #[test]
    fn fields_are_added_changed_and_removed_by_their_number() {
        let value = || b"new".to_vec();
        let name = || b"X".to_vec();
        let cases: [(Change, &str); 9] = [
            (
                Change::AddHeader(name(), value()),
                "From: a\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\nX: new\r\n\r\nbody",
            ),
            (
                Change::InsertHeader(0, name(), value()),
                "X: new\r\nFrom: a\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\n\r\nbody",
            ),
            (
                Change::InsertHeader(1, name(), value()),
                "X: new\r\nFrom: a\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\n\r\nbody",
            ),
            (
                Change::InsertHeader(2, name(), value()),
                "From: a\r\nX: new\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\n\r\nbody",
            ),
            (
                Change::InsertHeader(99, name(), value()),
                "From: a\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\nX: new\r\n\r\nbody",
            ),
            (
                Change::ChangeHeader(2, name(), value()),
                "From: a\r\nX: 1\r\nnot a field\r\nX: new\r\nTo: b\r\n\r\nbody",
            ),
            (
                Change::ChangeHeader(1, name(), Vec::new()),
                "From: a\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\n\r\nbody",
            ),
            (
                Change::ChangeHeader(3, name(), value()),
                "From: a\r\nX: 1\r\nnot a field\r\nx : 2\r\n\tmore\r\nTo: b\r\nX: new\r\n\r\nbody",
            ),
            (Change::ChangeHeader(3, name(), Vec::new()), HEAD),
        ];
        for (change, expected) in cases {
            assert_eq!(edited(HEAD, std::slice::from_ref(&change)), expected, "{change:?}");
        }
    }

    #[test]
    fn no_filter_ends_a_field_or_the_header_early() {
        let add = |name: &str, value: &str| edited("\r\n", &[Change::AddHeader(name.into(), value.into())]);
        assert_eq!(add("X", "a\n\tb"), "X: a\r\n\tb\r\n\r\n");
        assert_eq!(add("X", " a\r\n b"), "X: a\r\n b\r\n\r\n");
        assert_eq!(add("X", "a\nBcc: all"), "X: a\r\n Bcc: all\r\n\r\n");
        assert_eq!(add("X", "a\n\n\r\nbody"), "X: a\r\n body\r\n\r\n");
        assert_eq!(add("X", "a\rb\0c"), "X: abc\r\n\r\n");
        assert_eq!(add("X", ""), "X:\r\n\r\n");
        for name in ["", "X:Y", "X\r\nY", "X Y", "\u{e4}"] {
            assert_eq!(add(name, "a"), "\r\n");
        }
    }

    #[test]
    fn values_are_told_as_filters_expect_them() {
        assert_eq!(told_value(b" one\r\n\ttwo\r\n", false), b"one\n\ttwo");
        assert_eq!(told_value(b" one\r\n\ttwo\r\n", true), b" one\n\ttwo");
        assert_eq!(told_value(b"  x\n", false), b" x");
        assert_eq!(told_value(b"a\rb\r\n", false), b"a\rb");
    }

    #[test]
    fn a_new_body_has_the_line_ends_of_mail() {
        let pieces = ["a\r", "\nb\nc\r", "\r\nd\0"].map(|piece| Change::ReplaceBody(piece.into()));
        assert_eq!(new_body(pieces.into()), b"a\r\nb\r\nc\r\nd");
    }
}
