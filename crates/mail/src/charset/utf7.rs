//! UTF-7 of mail (RFC 2152), read as its readers do: for what some programs show, never for what we show.

/// The text of octets in UTF-7. What is no base64 ends a shift, and what is left over in one is dropped.
pub(super) fn decode(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'+' {
            out.push(if first.is_ascii() { char::from(first) } else { char::REPLACEMENT_CHARACTER });
            continue;
        }
        let end = rest.iter().position(|octet| value(*octet).is_none()).unwrap_or(rest.len());
        let (shifted, behind) = rest.split_at(end);
        let closed = behind.strip_prefix(b"-");
        rest = closed.unwrap_or(behind);
        if shifted.is_empty() {
            out.push('+');
        } else {
            out.extend(char::decode_utf16(units(shifted)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
    }
    out
}

/// The UTF-16 that base64 without padding holds.
fn units(shifted: &[u8]) -> Vec<u16> {
    let (mut bits, mut count, mut units) = (0_u32, 0_u32, Vec::with_capacity(shifted.len() * 6 / 16));
    for value in shifted.iter().filter_map(|octet| value(*octet)) {
        bits = bits << 6 | value;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count & 0xffff) as u16);
        }
    }
    units
}

fn value(octet: u8) -> Option<u32> {
    let value = match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shifted_and_what_is_not_becomes_text() {
        let cases: [(&[u8], &str); 10] = [
            // The examples of RFC 2152.
            (b"A+ImIDkQ.", "A\u{2262}\u{391}."),
            (b"Hi Mom -+Jjo--!", "Hi Mom -\u{263a}-!"),
            (b"+ZeVnLIqe-", "\u{65e5}\u{672c}\u{8a9e}"),
            (b"Item 3 is +AKM-1.", "Item 3 is \u{a3}1."),
            (b"1 +- 1", "1 + 1"),
            (b"ceo+AEA-bank.test", "ceo@bank.test"),
            (b"ceo+AEA", "ceo@"),
            (b"+", "+"),
            (b"+2D0-", "\u{fffd}"),
            (b"\xe4", "\u{fffd}"),
        ];
        for (octets, expected) in cases {
            assert_eq!(decode(octets), expected, "{octets:?}");
        }
    }
}
