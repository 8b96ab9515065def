//! Authentication-Results (RFC 8601): the one field that we write, and those of others that pass for it.

mod read;

use std::fmt::Write as _;

use kings_mail::domain::Domain;
use kings_mail::header;
use kings_mail::visible::is_full_stop;

pub use read::{MAX_STATEMENTS, Statement, read};

use crate::dkim;

/// The name of the field.
pub const FIELD: &str = "Authentication-Results";
/// Octets of a line before it is folded (RFC 5322 §2.1.1).
const LINE: usize = 78;
/// Octets of a comment or value that are shown; the rest says nothing to anybody.
const MAX_TEXT: usize = 200;

/// What one method said about a message (RFC 8601 §2.2, `resinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodResult {
    /// `spf`, `dkim`, `dmarc`, ... of the registry (RFC 8601 §2.7).
    pub method: &'static str,
    /// `pass`, `fail`, ...
    pub result: &'static str,
    /// Why, for people.
    pub comment: Option<String>,
    /// What was judged: `smtp.mailfrom`, `header.d`, ...
    pub properties: Vec<(&'static str, String)>,
}

impl MethodResult {
    /// A result with nothing beside it.
    pub fn new(method: &'static str, result: &'static str) -> Self {
        Self { method, result, comment: None, properties: Vec::new() }
    }

    /// With a reason for people.
    #[must_use]
    pub fn because(mut self, comment: &(impl ToString + ?Sized)) -> Self {
        self.comment = Some(comment.to_string());
        self
    }

    /// With something that was judged.
    #[must_use]
    pub fn about(mut self, property: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.properties.push((property, value.to_string()));
        self
    }

    /// The words of one result, each of which may stand at the start of a line.
    fn words(&self) -> Vec<String> {
        let mut words = vec![format!("{}={}", self.method, self.result)];
        words.extend(self.comment.as_deref().map(comment));
        words.extend(self.properties.iter().map(|(name, text)| format!("{name}={}", value(text))));
        words
    }
}

/// The results of a report, one for each signature; `none` where there is none (RFC 8601 §2.7.1).
pub fn of_dkim(report: &dkim::Report) -> Vec<MethodResult> {
    if report.signatures.is_empty() {
        return vec![MethodResult::new("dkim", report.word().as_str())];
    }
    let one = |checked: &dkim::Checked| {
        let result = MethodResult::new("dkim", checked.verdict.word().as_str()).because(&checked.verdict);
        let Some(claim) = &checked.claim else { return result };
        result
            .about("header.d", &claim.domain)
            .about("header.i", &claim.identity)
            .about("header.s", &claim.selector)
            .about("header.a", claim.algorithm.as_str())
            .about("header.b", &claim.start)
    };
    let more = (report.ignored > 0).then(|| {
        MethodResult::new("dkim", dkim::Word::Policy.as_str())
            .because(&format!("{} more signatures, not looked at", report.ignored))
    });
    report.signatures.iter().map(one).chain(more).collect()
}

/// The whole field with its line end. `authserv_id` is our name.
pub fn field(authserv_id: &Domain, results: &[MethodResult]) -> String {
    let mut out = format!("{FIELD}: {authserv_id}");
    if results.is_empty() {
        out.push_str("; none\r\n");
        return out;
    }
    for result in results {
        out.push_str(";\r\n\t");
        let mut line = 8;
        for (number, word) in result.words().iter().enumerate() {
            if number > 0 && line + 1 + word.len() > LINE {
                out.push_str("\r\n\t ");
                line = 9;
            } else if number > 0 {
                out.push(' ');
                line += 1;
            }
            out.push_str(word);
            line += word.len();
        }
    }
    out + "\r\n"
}

/// Text of others as it may stand in a field: printable ASCII on one line, shortened.
fn printable(text: &str) -> String {
    let safe = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(MAX_TEXT).map(safe).collect()
}

/// `(text)` with what would end the comment quoted (RFC 5322 §3.2.2).
fn comment(text: &str) -> String {
    let mut out = String::from("(");
    for c in printable(text).chars() {
        if matches!(c, '(' | ')' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out + ")"
}

/// A value: as it is where it is a token or an address of tokens, else quoted (RFC 8601 §2.2 `pvalue`, RFC 2045 §5.1).
fn value(text: &str) -> String {
    let text = printable(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out + "\""
}

/// Whether the value of an Authentication-Results field that came from outside says that we wrote it (RFC 8601 §5): in
/// any case, folded, with comments, quoted, with a version, with characters in it that nobody sees. What cannot be read
/// and has our name in it counts as well.
pub fn claims_to_be(ours: &Domain, value: &[u8]) -> bool {
    let glued = glued(value);
    is_in_name_of(ours, &header::unfold(value)) || is_in_name_of(ours, &header::unfold(&glued))
}

/// The value for a reader that drops the white space of a fold with its line end, and so glues a name that was cut there.
fn glued(value: &[u8]) -> Vec<u8> {
    let mut glued = Vec::with_capacity(value.len());
    let mut folds = false;
    for &octet in value {
        folds = b"\r\n".contains(&octet) || (folds && b" \t".contains(&octet));
        if !folds {
            glued.push(octet);
        }
    }
    glued
}

fn is_in_name_of(ours: &Domain, text: &str) -> bool {
    let is_ours = |id: &str| Domain::parse(id).is_ok_and(|id| id == *ours);
    let as_written = match authserv_id(text) {
        Some(id) => is_ours(&id),
        None => text.to_lowercase().contains(&ours.to_string()),
    };
    as_written || skip_comments(text).is_some_and(|text| is_ours(&visible_id(text)))
}

/// The id of a field of somebody else, in lower case; `None` where it cannot be read.
pub fn written_by(value: &[u8]) -> Option<String> {
    authserv_id(&header::unfold(value)).map(|id| id.to_ascii_lowercase())
}

/// The id as somebody may see or clean it: letters, digits, hyphens and what stands for a dot, nothing else.
fn visible_id(text: &str) -> String {
    let mut id = String::new();
    for (at, c) in text.char_indices() {
        match c {
            '.' => id.push('.'),
            c if is_full_stop(c) => id.push('.'),
            '-' => id.push('-'),
            c if c.is_alphanumeric() => id.push(c),
            ' ' | '\t' if id.ends_with('.') || text[at..].trim_start().starts_with('.') => {}
            // An id ends here.
            ' ' | '\t' | ';' | '/' | '=' | ',' | '(' if !id.is_empty() => break,
            _ => {}
        }
    }
    id
}

/// A message without the fields that claim to be ours, and without the lines that a careless reader could take for one;
/// `None` where there is none. Everything else keeps its octets.
pub fn without_forged(ours: &Domain, message: &[u8]) -> Option<Vec<u8>> {
    header::without_lookalikes(message, |line| line.is(FIELD) && claims_to_be(ours, line.value))
}

/// The id of the field without the comments and white space in it; `None` where it cannot be read.
///
/// The grammar wants one token or one quoted string (RFC 8601 §2.2). Readers that take it for an obsolete domain (RFC
/// 5322 §4.4) allow comments and space around its dots, and those of RFC 5451 end it at a slash: whatever any of them
/// takes for our name counts.
fn authserv_id(text: &str) -> Option<String> {
    let mut rest = skip_comments(text)?;
    let mut id = String::new();
    loop {
        let (piece, behind) = word(rest)?;
        id.push_str(&piece);
        rest = skip_comments(behind)?;
        let goes_on = rest.starts_with('.') || id.ends_with('.');
        if !goes_on || rest.is_empty() || rest.starts_with(';') {
            return Some(id.trim_end_matches('.').to_owned());
        }
    }
}

/// One token, or one quoted string without its quotes and the white space in it, which no name has.
fn word(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let is_part = |c: char| !c.is_ascii() || (c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c));
        let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((out, &quoted[at + 1..])),
            (_, '\\') => out.push(characters.next()?.1),
            (_, c) if c.is_whitespace() => {}
            (_, c) => out.push(c),
        }
    }
}

/// What follows white space and comments, which nest; `None` where one does not end.
fn skip_comments(text: &str) -> Option<&str> {
    let (mut depth, mut escaped) = (0_u32, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if depth > 0 => escaped = true,
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 || c.is_whitespace() => {}
            _ => return Some(&text[at..]),
        }
    }
    (depth == 0).then_some("")
}

/// What Received-SPF says of a check (RFC 7208 §9.1), beside the result itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSpf<'a> {
    /// `pass`, `fail`, ...
    pub result: &'a str,
    /// Why, for people.
    pub comment: String,
    /// Key and value in the order of the field: `client-ip`, `envelope-from`, `helo`, `identity`, `receiver`, ...
    pub pairs: Vec<(&'static str, String)>,
}

impl ReceivedSpf<'_> {
    /// The whole field with its line end.
    pub fn field(&self) -> String {
        let mut out = format!("Received-SPF: {} {}", self.result, comment(&self.comment));
        for (number, (key, text)) in self.pairs.iter().enumerate() {
            let end = if number + 1 < self.pairs.len() { ";" } else { "" };
            let _ = write!(out, "\r\n\t{key}={}{end}", value(text));
        }
        out + "\r\n"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ours() -> Domain {
        Domain::parse("mail.example.org").unwrap()
    }

    #[test]
    fn one_field_says_all_in_order() {
        let results = [
            MethodResult::new("spf", "pass").because("matched ip4").about("smtp.mailfrom", "example.net"),
            MethodResult::new("dmarc", "fail").about("header.from", "example.com"),
        ];
        assert_eq!(
            field(&ours(), &results),
            "Authentication-Results: mail.example.org;\r\n\tspf=pass (matched ip4) smtp.mailfrom=example.net;\r\n\tdmarc=fail header.from=example.com\r\n"
        );
        assert_eq!(field(&ours(), &[]), "Authentication-Results: mail.example.org; none\r\n");
    }

    #[test]
    fn nothing_of_others_breaks_out_of_its_place() {
        let nasty = "a) dkim=pass\r\nX: \\(b\u{e4}";
        let text = field(
            &ours(),
            &[MethodResult::new("spf", "fail").because(nasty).about("smtp.helo", "x\";y\\ z")],
        );
        assert_eq!(
            text,
            "Authentication-Results: mail.example.org;\r\n\tspf=fail (a\\) dkim=pass??X: \\\\\\(b?) smtp.helo=\"x\\\";y\\\\ z\"\r\n"
        );
        let long = "x".repeat(10_000);
        let text =
            field(&ours(), &[MethodResult::new("spf", "fail").because(&long).about("smtp.helo", &long)]);
        assert!(text.len() < 600 && text.lines().all(|line| line.len() < 300), "{text}");
        assert_eq!(value(""), "\"\"");
    }

    #[test]
    fn fields_in_our_name_are_found_however_they_are_written() {
        let forged = [
            " mail.example.org; spf=pass",
            "mail.example.org",
            " MAIL.Example.ORG 1; dkim=pass",
            "\r\n\tmail.example.org\r\n\t;spf=pass",
            " (nested (comment) \\) here) mail.example.org; none",
            " \"mail.example.org\"; none",
            " \"mail.\\example.org\" ; none",
            " mail.example.org.; none",
            " mail.example.org(comment); none",
            " (never closed mail.example.org; none",
            " \"never closed mail.example.org; none",
            " mail.example.org/1; none",
            " mail.example.org=x; none",
            " mail.example.org, mx.example.net; none",
            " mail (x). example\r\n .(y) org; none",
            " \"mail\".\"example.org\"; none",
            " \"mail.example\r\n .org\"; none",
            " =?utf-8?q?mail.example.org?=; none",
            "\0 mail.example.org; none",
            " mail\u{ff0e}example\u{3002}org; none",
            " m\u{ad}ail.exam\u{200b}ple.org; none",
            " ma\u{1}il.example\u{b}.org; none",
            " \u{feff}mail.example.org\u{a0}; none",
            " \"m\"\"ail.example.org\"; none",
            " \u{ff4d}ail.example.org; none",
            " mail.exam\r\n ple.org; none",
            " mail.exam\n\t \r\n ple.o\r\n\trg; none",
            " \"mail.exam\r\n ple.org\"; none",
            " m\r\n ail.example.org (x)\r\n 1; none",
        ];
        for text in forged {
            assert!(claims_to_be(&ours(), text.as_bytes()), "{text:?}");
        }
        // Latin-1 for a blank that does not break.
        assert!(claims_to_be(&ours(), b" \xa0mail.example\xa0.org; none"));
        let others = [
            " mx.example.net; spf=pass smtp.mailfrom=mail.example.org",
            " mail.example.org.evil.example; none",
            " mail.example.org . evil.example; none",
            " mail-example.org; none",
            " 1; mail.example.org=pass",
            " xmail.example.org; none",
            " (mail.example.org) mx.example.net; none",
            "",
            " ;",
            " (open; none",
            " mail\u{b7}example.org; none",
            " m\u{e4}il.example.org; none",
            " mail\u{ff0e}example\u{ff0e}org.evil.example; none",
            " mail example.org; none",
            " mail.exam ple.org; none",
            " mx.example.net;\r\n mail.example.org",
            " mx.example.net\r\n mail.example.org; none",
            " mail.example.org\r\n .evil.example; none",
        ];
        for text in others {
            assert!(!claims_to_be(&ours(), text.as_bytes()), "{text:?}");
        }
        let unicode = Domain::parse("xn--mnchen-3ya.example").unwrap();
        assert!(claims_to_be(&unicode, "M\u{fc}nchen.example; none".as_bytes()));
    }

    #[test]
    fn forged_fields_go_and_everything_else_stays() {
        let message = b"Subject: x\r\nauthentication-results : MAIL.example.org;\r\n\tspf=pass\r\nAuthentication-Results: mx.example.net; none\r\n\
                        junk\r\nAuthentication-Results: mail.example.org; none\r\n\r\nAuthentication-Results: mail.example.org; none\r\n";
        let kept = without_forged(&ours(), message).unwrap();
        assert_eq!(
            String::from_utf8(kept.clone()).unwrap(),
            "Subject: x\r\nAuthentication-Results: mx.example.net; none\r\njunk\r\n\r\nAuthentication-Results: mail.example.org; none\r\n"
        );
        assert_eq!(without_forged(&ours(), &kept), None);
        let dressed = b"Authentication-Results\x0b: mail.example.org; none\r\nAuthentication\xa0-Results: mail.example.org; none\r\n\r\n";
        assert_eq!(without_forged(&ours(), dressed), Some(b"\r\n".to_vec()));
        assert_eq!(without_forged(&ours(), b"Authentication-Results: mail.example.org"), Some(Vec::new()));
    }

    #[test]
    fn received_spf_has_a_pair_on_each_line() {
        let field = ReceivedSpf {
            result: "softfail",
            comment: "matched ~all".to_owned(),
            pairs: vec![("client-ip", "2001:db8::1".to_owned()), ("helo", "mx.example.net".to_owned())],
        };
        assert_eq!(
            field.field(),
            "Received-SPF: softfail (matched ~all)\r\n\tclient-ip=\"2001:db8::1\";\r\n\thelo=mx.example.net\r\n"
        );
    }
}
