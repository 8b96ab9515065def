//! Net-Unicode (RFC 5198): names as they are exchanged, one spelling for each, and nothing in them that does not show.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Joins letters of several scripts, and the parts of one picture: the zero-width characters that names need.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// The one spelling of a text (RFC 5198 §3): composed, as most systems write it. `é` is one character, and the sign for
/// Ångström the letter `Å`.
pub fn composed(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// Whether a character may stand in a name that is new: no control, no mark that turns or hides what is around it, no line end, and
/// nothing that Unicode has no meaning for (RFC 5198 §2, RFC 9051 §5.1).
pub fn may_stand_in_name(c: char) -> bool {
    match c.general_category() {
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::Surrogate
        | GeneralCategory::Unassigned => false,
        GeneralCategory::Format => JOINERS.contains(&c),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_spelling() {
        let cases = [
            ("Cafe\u{301}", "Caf\u{e9}"),
            ("Caf\u{e9}", "Caf\u{e9}"),
            ("\u{212b}", "\u{c5}"),
            ("A\u{30a}", "\u{c5}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            // Compatibility forms stay apart: that would be another letter.
            ("\u{fb01}\u{ff21}", "\u{fb01}\u{ff21}"),
            ("plain", "plain"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(composed(text), expected, "{text:?}");
        }
        assert!(matches!(composed("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn letters_of_all_scripts_may_stand_in_names_and_what_does_not_show_may_not() {
        for c in "Aé한ה\u{645}\u{928}\u{94d}你\u{1f600}\u{200d}\u{200c}\u{fe0f} -_&\u{e000}".chars() {
            assert!(may_stand_in_name(c), "{c:?}");
        }
        let hidden = [
            '\0',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{fffe}',
            '\u{378}',
            '\u{e0041}',
            '\u{10ffff}',
        ];
        for c in hidden {
            assert!(!may_stand_in_name(c), "{c:?}");
        }
    }
}
