//! Long lines of a header, folded where there is a blank.

use super::MAX_LINE;

/// The header with each line over [`MAX_LINE`] folded in front of its last blank before that (RFC 5322 §2.2.3): unfolded it
/// is the same. A word that is longer, and the name of the field with what follows it, stay on one line.
pub(super) fn fold(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + header.len() / MAX_LINE * 2 + 2);
    for line in header.split_inclusive(|&octet| octet == b'\n') {
        let mut rest = line;
        while rest.len() > MAX_LINE + 2 || text_of(rest).len() > MAX_LINE {
            let Some(at) = last_blank(text_of(rest)) else { break };
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"\r\n");
            rest = &rest[at..];
        }
        out.extend_from_slice(rest);
    }
    out
}

fn text_of(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The last blank that a line may be folded in front of: something stands before it beside the name of the field, and
/// something behind it, or one of the two lines would be empty to its reader.
fn last_blank(line: &[u8]) -> Option<usize> {
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let end = line.len() - line.iter().rev().take_while(|octet| is_blank(octet)).count();
    let name = if line.first().is_some_and(is_blank) {
        0
    } else {
        line.iter().position(|&octet| octet == b':')? + 1
    };
    let start = name + line[name..].iter().take_while(|octet| is_blank(octet)).count();
    let places = start..end.min(MAX_LINE + 1);
    line.get(places.clone())?.iter().rposition(is_blank).map(|at| places.start + at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::header::unfold;

    #[test]
    fn a_long_line_is_folded_at_blanks_and_reads_the_same() {
        let word = "x".repeat(100);
        let many = format!("{word} ").repeat(40);
        let cases = [
            (format!("References: {many}\r\n"), true),
            (format!("References: {many}\r\nSubject: short\r\n folded\r\n"), true),
            (format!("X: a\r\n\t{many}\r\n"), true),
            (format!("Subject: {word}\r\n"), true),
            (format!("Subject: {}\r\n", "x".repeat(989)), true),
            (format!("Subject: {}\r\n", "x".repeat(990)), false),
            (format!("Subject: {}\r\n", "x".repeat(2_000)), false),
            (format!("Subject: {} {word}\r\n", "x".repeat(2_000)), false),
            (format!("Subject: {word}{}\r\n", " ".repeat(2_000)), false),
            (many.clone(), false),
        ];
        for (header, fits) in cases {
            let folded = fold(header.as_bytes());
            let lines: Vec<&[u8]> = folded.split(|&octet| octet == b'\n').collect();
            assert_eq!(lines.iter().all(|line| text_of(line).len() <= MAX_LINE), fits, "{header:.40}");
            assert_eq!(unfold(&folded), unfold(header.as_bytes()), "{header:.40}");
            assert!(lines.iter().rev().skip(1).all(|line| !line.trim_ascii().is_empty()), "{header:.40}");
            assert_eq!(fold(&folded), folded, "{header:.40}");
        }
    }
}
