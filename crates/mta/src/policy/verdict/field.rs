//! The field that tells a verdict: folded, and read back from a copy that is tried again.

use kings_mail::{header, trace};

use super::reason::{FORGED_PATH, UNPROVEN};

/// The field that says what we thought of a message, and why.
pub(crate) const FIELD: &str = trace::VERDICT;
/// Octets of one line of the field; folded before that (RFC 5322 §2.1.1).
const LINE: usize = 78;

/// Breaks a line at blanks. Words that are too long for a line stand in one of their own.
pub(super) fn fold(text: &str) -> String {
    let (mut out, mut line) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if line > 0 && line + 1 + length > LINE {
            out.push_str("\r\n\t");
            line = 8;
        } else if line > 0 {
            out.push(' ');
            line += 1;
        }
        out.push_str(word);
        line += length;
    }
    out + "\r\n"
}

/// Whether our field in front of a message files it into the junk: for copies that are tried again.
pub(crate) fn is_junk(head: &[u8]) -> bool {
    header::first(head, FIELD).is_some_and(|field| field.text().split(';').next() == Some("junk"))
}

/// Whether our field in front of a message says that it claims to be ours and proves nothing.
pub(crate) fn is_unproven(head: &[u8]) -> bool {
    header::first(head, FIELD).is_some_and(|field| field.text().replace('\t', " ").contains(UNPROVEN))
}

/// Whether our field in front of a message says that its reverse-path is forged in our name.
pub(crate) fn has_forged_path(head: &[u8]) -> bool {
    header::first(head, FIELD).is_some_and(|field| field.text().replace('\t', " ").contains(FORGED_PATH))
}
