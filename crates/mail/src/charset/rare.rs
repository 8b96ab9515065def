//! UTF-32 and EBCDIC, which no mail has and some programs read: for what these show, never for what we show.

/// The text of octets in UTF-32, in the order that the first of them shows: no character begins with anything but 0.
pub(super) fn utf32(octets: &[u8]) -> String {
    let is_big = octets.first() == Some(&0);
    let number = |four: &[u8; 4]| if is_big { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) };
    let (fours, _) = octets.as_chunks();
    let text = fours.iter().map(|four| char::from_u32(number(four)).unwrap_or(char::REPLACEMENT_CHARACTER));
    text.filter(|c| *c != '\u{feff}').collect()
}

/// Whether a label in small letters is of one of the character sets that programs know as EBCDIC of Western letters.
pub(super) fn is_ebcdic(label: &str) -> bool {
    let number = ["cp", "ibm-", "ibm"].iter().find_map(|start| label.strip_prefix(start));
    let is_latin =
        |number: &str| ["37", "500", "1047", "1140", "1148"].contains(&number.trim_start_matches('0'));
    label.starts_with("ebcdic-") || number.is_some_and(is_latin)
}

/// The letters, digits and signs of addresses that these sets have in common.
pub(super) fn ebcdic(octets: &[u8]) -> String {
    let from = |first: u8, start: u8, octet: u8| char::from(first + (octet - start));
    let letter = |octet: &u8| match *octet {
        octet @ 0x81..=0x89 => from(b'a', 0x81, octet),
        octet @ 0x91..=0x99 => from(b'j', 0x91, octet),
        octet @ 0xa2..=0xa9 => from(b's', 0xa2, octet),
        octet @ 0xc1..=0xc9 => from(b'A', 0xc1, octet),
        octet @ 0xd1..=0xd9 => from(b'J', 0xd1, octet),
        octet @ 0xe2..=0xe9 => from(b'S', 0xe2, octet),
        octet @ 0xf0..=0xf9 => from(b'0', 0xf0, octet),
        0x40 => ' ',
        0x4b => '.',
        0x4c => '<',
        0x4e => '+',
        0x60 => '-',
        0x6b => ',',
        0x6d => '_',
        0x6e => '>',
        0x7c => '@',
        0x7f => '"',
        _ => char::REPLACEMENT_CHARACTER,
    };
    octets.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_order_of_octets_is_text_with_a_mark_and_without() {
        for mark in ["", "\u{feff}"] {
            let text = format!("{mark}b\u{1f600}@x");
            let little: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
            let big: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
            assert_eq!((utf32(&little).as_str(), utf32(&big).as_str()), ("b\u{1f600}@x", "b\u{1f600}@x"));
        }
        assert_eq!(utf32(b"a\0\0\0\xff\xff\xff\xffb\0"), "a\u{fffd}");
        assert_eq!(utf32(b""), "");
    }

    #[test]
    fn an_address_in_ebcdic_is_read_and_its_other_signs_are_not() {
        let octets = b"\x82\x96\xa2\xa2\x7c\xc5\xa7\x81\x94\x97\x93\x85\x60\xf1\x4b\x96\x99\x87\x00\xff";
        assert_eq!(ebcdic(octets), "boss@Example-1.org\u{fffd}\u{fffd}");
        for (label, expected) in [
            ("cp037", true),
            ("ibm037", true),
            ("ibm-1047", true),
            ("ebcdic-cp-us", true),
            ("cp1252", false),
            ("ibm866", false),
        ] {
            assert_eq!(is_ebcdic(label), expected, "{label}");
        }
    }
}
