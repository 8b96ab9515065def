//! `i;unicode-casemap` (RFC 5051): text mapped so that its octets compare as readers expect, whatever its case.

use unicode_normalization::char::decompose_compatible;

/// Maps `text` (RFC 5051 §2): each character in title case, then decomposed. Two texts are equal, or in order, as these are.
///
/// Ends behind the first character that reaches `most` octets: what is kept of a text has a limit.
pub fn unicode_casemap(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    let mut rest = text;
    while out.len() < most {
        let ascii = rest.bytes().position(|octet| !octet.is_ascii()).unwrap_or(rest.len());
        let (plain, others) = rest.split_at(ascii.min(most - out.len()));
        let start = out.len();
        out.push_str(plain);
        out[start..].make_ascii_uppercase();
        let mut letters = others.chars();
        let Some(letter) = letters.next().filter(|_| out.len() < most) else { break };
        decompose_compatible(title_case(letter), |letter| out.push(letter));
        rest = letters.as_str();
    }
    out
}

/// Simple title case, one character for one, as `UnicodeData.txt` has it. The standard library knows only the full upper
/// case, which differs for the few that are named here.
fn title_case(letter: char) -> char {
    match letter {
        // Digraphs with a title case of their own.
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        // Georgian letters are their own title case.
        'ა'..='ჿ' => letter,
        // Greek with iota: in full upper case these would be two letters.
        'ᾀ'..='ᾇ' | 'ᾐ'..='ᾗ' | 'ᾠ'..='ᾧ' => moved(letter, 8),
        'ᾳ' | 'ῃ' | 'ῳ' => moved(letter, 9),
        _ => {
            let mut upper = letter.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(upper), None) => upper,
                _ => letter,
            }
        }
    }
}

fn moved(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_goes_and_letters_stay_apart() {
        let cases = [
            ("abc", "ABC"),
            ("[a_b]", "[A_B]"),
            ("Käse", "KA\u{308}SE"),
            ("KÄSE", "KA\u{308}SE"),
            ("ß", "ß"),
            ("ŉ", "ʼn"),
            ("ﬁn", "fiN"),
            ("ǆ", "Dz\u{30c}"),
            ("Ǆ", "Dz\u{30c}"),
            ("აბ", "აბ"),
            ("ᾳ", "Α\u{345}"),
            ("ᾀ", "Α\u{313}\u{345}"),
            ("한", "\u{1112}\u{1161}\u{11ab}"),
            ("Ａ", "A"),
            ("я", "Я"),
        ];
        for (text, mapped) in cases {
            assert_eq!(unicode_casemap(text, 100), mapped, "{text}");
        }
        assert_ne!(unicode_casemap("ss", 100), unicode_casemap("ß", 100));
    }

    #[test]
    fn what_is_kept_ends_behind_the_character_that_reaches_the_limit() {
        assert_eq!(unicode_casemap("abcdef", 3), "ABC");
        assert_eq!(unicode_casemap("ab한", 3), "AB\u{1112}\u{1161}\u{11ab}");
        assert_eq!(unicode_casemap("", 3), "");
    }
}
