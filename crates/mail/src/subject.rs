//! The base subject: what stays of a Subject field without `Re:`, `Fwd:` and list tags (RFC 5256 §2.1).

use crate::encoded_word;

/// A subject as threads and sorting see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The base subject, in the case in which it was written.
    pub base: String,
    /// Something that marks an answer or a forwarded message was taken off.
    pub is_reply: bool,
}

impl Subject {
    /// Reads an unfolded field value. Time and room grow with its length alone.
    pub fn of(value: &str) -> Self {
        let text = one_space(&encoded_word::decode(value));
        let mut stripped = Stripped { rest: &text, is_reply: false };
        loop {
            stripped.trailers();
            stripped.leaders();
            if !stripped.forward() {
                break;
            }
        }
        Self { base: stripped.rest.to_owned(), is_reply: stripped.is_reply }
    }
}

/// Tabs and runs of spaces become one space (step 1).
fn one_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            letter => out.push(letter),
        }
    }
    out
}

struct Stripped<'a> {
    rest: &'a str,
    is_reply: bool,
}

impl Stripped<'_> {
    /// Step 2: `(fwd)` and spaces at the end.
    fn trailers(&mut self) {
        loop {
            self.rest = self.rest.trim_end_matches(' ');
            match without_end(self.rest, "(fwd)") {
                Some(before) => (self.rest, self.is_reply) = (before, true),
                None => return,
            }
        }
    }

    /// Steps 3 to 5: `Re:` and its like with the tags before them, spaces, then tags, unless nothing would be left.
    fn leaders(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(' ');
            let after_tags = without_tags(self.rest);
            if let Some(after) = without_mark(after_tags) {
                (self.rest, self.is_reply) = (after, true);
                continue;
            }
            // No mark follows these tags, so none follows fewer of them: all go at once.
            self.rest = if after_tags.is_empty() { last_tag(self.rest) } else { after_tags };
            return;
        }
    }

    /// Step 6: `[fwd: subject]`.
    fn forward(&mut self) -> bool {
        let inner = without_start(self.rest, "[fwd:").and_then(|inner| inner.strip_suffix(']'));
        if let Some(inner) = inner {
            (self.rest, self.is_reply) = (inner, true);
        }
        inner.is_some()
    }
}

/// Steps over `*subj-blob`.
fn without_tags(text: &str) -> &str {
    let mut rest = text;
    while let Some(after) = without_tag(rest) {
        rest = after;
    }
    rest
}

/// The last of a row of tags: it is the base where nothing follows.
fn last_tag(text: &str) -> &str {
    let mut rest = text;
    while let Some(after) = without_tag(rest).filter(|after| !after.is_empty()) {
        rest = after;
    }
    rest
}

/// Steps over one `subj-blob`: a tag in brackets, without brackets in it, and the spaces behind it.
fn without_tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner[end..].strip_prefix(']')?.trim_start_matches(' '))
}

/// Steps over one `subj-refwd`: `re`, `fw` or `fwd`, a tag perhaps, and a colon.
fn without_mark(text: &str) -> Option<&str> {
    let word = ["fwd", "fw", "re"].into_iter().find_map(|word| without_start(text, word))?;
    let word = word.trim_start_matches(' ');
    without_tag(word).unwrap_or(word).strip_prefix(':')
}

fn without_start<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let has = text.get(..start.len())?.eq_ignore_ascii_case(start);
    has.then(|| &text[start.len()..])
}

fn without_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(end.len())?;
    let has = text.get(at..)?.eq_ignore_ascii_case(end);
    has.then(|| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_subjects_are_what_rfc_5256_makes_of_them() {
        let cases = [
            ("plain", "plain", false),
            ("", "", false),
            ("Re: hello", "hello", true),
            ("RE:hello", "hello", true),
            ("re : hello", "hello", true),
            ("Fw: Fwd: re: hello", "hello", true),
            ("Re[2]: hello", "hello", true),
            ("re [x] : hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[list] Re: hello", "hello", true),
            ("Re: [list] hello", "hello", true),
            ("Re: [list] Re: hello", "hello", true),
            ("[a][b] [c] hello", "hello", false),
            ("[a] [b] Re: [c] hello", "hello", true),
            ("[only]", "[only]", false),
            ("[a] [only]", "[only]", false),
            ("Re: [only]", "[only]", true),
            ("hello (fwd)", "hello", true),
            ("hello (FWD) (fwd) ", "hello", true),
            ("Re: hello (fwd)", "hello", true),
            ("[fwd: hello]", "hello", true),
            ("[Fwd: Re: [list] hello (fwd)] (fwd)", "hello", true),
            ("[fwd: [fwd: hello]]", "hello", true),
            // A leader with nothing behind it leaves nothing.
            ("Re:", "", true),
            ("Re: (fwd)", "", true),
            ("(fwd)", "", true),
            // Mirror images.
            ("reply: hello", "reply: hello", false),
            ("Re hello", "Re hello", false),
            ("Ré: hello", "Ré: hello", false),
            ("Re[2: hello", "Re[2: hello", false),
            ("[list hello", "[list hello", false),
            ("] hello", "] hello", false),
            ("[[a] hello", "[[a] hello", false),
            ("[fwd: hello", "[fwd: hello", false),
            ("hello [fwd: you]", "hello [fwd: you]", false),
            ("(fwd) hello", "(fwd) hello", false),
            ("hello (fwd", "hello (fwd", false),
            ("a\t b  \t c", "a b c", false),
            ("=?utf-8?q?Re:_K=C3=A4se?=", "Käse", true),
            ("=?utf-8?q?Re:?= =?utf-8?q?_a?=", "a", true),
            ("Aw: hello", "Aw: hello", false),
        ];
        for (value, base, is_reply) in cases {
            assert_eq!(Subject::of(value), Subject { base: base.to_owned(), is_reply }, "{value}");
        }
    }

    #[test]
    fn long_rows_of_marks_take_no_long_time() {
        for piece in ["[a]", "re: ", "[fwd: ", "[a]re:", "(fwd)", "[", "re[", "=?"] {
            let text = piece.repeat(100_000);
            assert!(Subject::of(&text).base.len() <= text.len(), "{piece}");
            let closed = format!("{}x{}", "[fwd:".repeat(50_000), "]".repeat(50_000));
            assert_eq!(Subject::of(&closed).base, "x");
        }
    }
}
