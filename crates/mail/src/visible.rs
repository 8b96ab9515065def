//! Foreign text on its way to a terminal or a log: what would act there, or turn or hide what follows, is taken out.

/// Whether a character does more than show: a control, or a mark that turns the direction of the text after it or hides in
/// it (Unicode's bidirectional and zero-width characters).
pub fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a name in Unicode may have this for a dot beside `.` itself: the full stops of other scripts.
pub fn is_full_stop(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

/// A character of an address as its reader takes it: other signs for `@`, the dot and ASCII as these, and none for those
/// without width.
pub fn as_seen(c: char) -> Option<char> {
    match c {
        c if is_active(c) && !c.is_whitespace() => None,
        '\u{2024}' => Some('.'),
        c if is_full_stop(c) => Some('.'),
        // Full-width forms of ASCII, and the small `@`.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{fe6b}' => Some('@'),
        _ => Some(c),
    }
}

/// Text as it is shown where a mark turns the letters behind it around (U+202E), up to where that ends (U+202C) or the name
/// does, which programs show on its own; `None` where nothing is turned.
pub fn turned(text: &str) -> Option<String> {
    let (before, rest) = text.split_once('\u{202e}')?;
    let mut out = before.to_owned();
    for part in rest.split('\u{202e}') {
        let end = part.find(['\u{202c}', '"', '<']).unwrap_or(part.len());
        out.extend(part[..end].chars().rev());
        out.push_str(&part[end..]);
    }
    Some(out)
}

/// Text as one line: a blank for each line end, tab and the like, a replacement character (U+FFFD) for each other one that
/// [`is_active`].
pub fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c.is_whitespace() { ' ' } else { shown(c) }).collect()
}

/// The same of several lines, whose line ends and tabs stay.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { shown(c) }).collect()
}

fn shown(c: char) -> char {
    if is_active(c) { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_a_mark_turns_around_are_read_as_they_are_shown() {
        let cases = [
            ("\"b\u{202e}gro.x@ssob\" <joe@y>", Some("\"bboss@x.org\" <joe@y>")),
            ("\u{202e}gro.x@b\u{202c} and \u{202e}ba", Some("b@x.org\u{202c} and ab")),
            ("a\u{202e}", Some("a")),
            ("a\u{202d}b\u{202c}", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(turned(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_acts_is_replaced_and_letters_of_all_scripts_stay() {
        assert_eq!(
            line("a\u{1b}[31m\r\nb\u{202e}c\u{200f}\u{feff}\u{9b}"),
            "a\u{fffd}[31m  b\u{fffd}c\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(lines("a\tb\r\nc\u{2067}\n"), "a\tb\u{fffd}\nc\u{fffd}\n");
        let honest = "Grüße, \u{5e9}\u{5dc}\u{5d5}\u{5dd}, \u{645}\u{631}\u{62d}\u{628}\u{627}, \u{4f60}\u{597d} \u{1f600}";
        assert_eq!((line(honest).as_str(), lines(honest).as_str()), (honest, honest));
    }
}
