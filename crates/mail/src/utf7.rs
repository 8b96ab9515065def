//! Modified UTF-7: how mailbox names travel in IMAP and stand on disk (RFC 3501 §5.1.3).

/// The text is not modified UTF-7, or not in its only permitted form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mailbox name in modified UTF-7")]
pub struct BadUtf7;

/// Writes `name` in modified UTF-7. Every name has exactly one such form.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_direct(c) != is_direct(first)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        if is_direct(first) {
            out.push_str(&run.replace('&', "&-"));
        } else {
            shifted(run, &mut out);
        }
        rest = tail;
    }
    out
}

/// Characters that represent themselves, `&` as `&-` (RFC 3501 §5.1.3).
fn is_direct(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// Appends `&`, the UTF-16 of `run` in base64 with `,` for `/`, and `-`.
fn shifted(run: &str, out: &mut String) {
    out.push('&');
    let mut bits = 0_u32;
    let mut count = 0_u32;
    for unit in run.encode_utf16() {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(letter(bits >> count));
        }
    }
    if count > 0 {
        out.push(letter(bits << (6 - count)));
    }
    out.push('-');
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

fn letter(bits: u32) -> char {
    char::from(ALPHABET[(bits & 0x3f) as usize])
}

/// Reads modified UTF-7 strictly: only what [`encode`] writes is accepted.
///
/// A lenient reader would let one mailbox have many names: `&AGE-` for `a`, padding bits that are not
/// zero, two shifts where one suffices. All of them are refused, and so are lone surrogates, an unclosed
/// shift, and any octet that is not printable ASCII.
pub fn decode(name: &str) -> Result<String, BadUtf7> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    let mut after_shift = false;
    while let Some(c) = rest.chars().next() {
        if let Some(shifted) = rest.strip_prefix('&') {
            let (base64, tail) = shifted.split_once('-').ok_or(BadUtf7)?;
            if base64.is_empty() {
                out.push('&');
            } else if after_shift {
                return Err(BadUtf7);
            } else {
                unshifted(base64, &mut out)?;
            }
            after_shift = !base64.is_empty();
            rest = tail;
        } else if is_direct(c) {
            out.push(c);
            after_shift = false;
            rest = &rest[1..];
        } else {
            return Err(BadUtf7);
        }
    }
    Ok(out)
}

fn unshifted(base64: &str, out: &mut String) -> Result<(), BadUtf7> {
    let mut units = Vec::with_capacity(base64.len() * 6 / 16);
    let mut bits = 0_u32;
    let mut count = 0_u32;
    for octet in base64.bytes() {
        bits = bits << 6 | u32::from(value(octet).ok_or(BadUtf7)?);
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count & 0xffff) as u16);
        }
    }
    if count >= 6 || bits & ((1 << count) - 1) != 0 {
        return Err(BadUtf7);
    }
    for decoded in char::decode_utf16(units) {
        let c = decoded.map_err(|_| BadUtf7)?;
        if is_direct(c) {
            return Err(BadUtf7);
        }
        out.push(c);
    }
    Ok(())
}

fn value(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b',' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_exactly_one_encoded_form() {
        let cases = [
            ("", ""),
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("a&b", "a&-b"),
            ("&", "&-"),
            ("&&-", "&-&--"),
            ("ä&ö", "&AOQ-&-&APY-"),
            ("😀", "&2D3eAA-"),
            ("tab\there", "tab&AAk-here"),
            ("\u{7f}", "&AH8-"),
        ];
        for (name, encoded) in cases {
            assert_eq!(encode(name), encoded, "{name}");
            assert_eq!(decode(encoded).as_deref(), Ok(name), "{encoded}");
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        let cases = [
            ("&", "unclosed shift"),
            ("&APw", "unclosed shift"),
            ("&AGE-", "an encoded ASCII letter"),
            ("&ACY-", "an encoded ampersand"),
            ("&APwAYQ-", "a letter behind a real character"),
            ("&U,BTFw-&ZeVnLIqe-", "a superfluous shift, the example of RFC 3501 §5.1.3"),
            ("&AP-", "half a character"),
            ("&A-", "less than half"),
            ("&APx-", "padding bits that are not zero"),
            ("&APwA-", "a padding sextet"),
            ("&APw=-", "padding characters"),
            ("&AP/8-", "the slash of plain base64"),
            ("&2D0-", "a lone high surrogate"),
            ("&3gA-", "a lone low surrogate"),
            ("&3gDYPQ-", "surrogates in the wrong order"),
            ("ü", "raw UTF-8"),
            ("a\tb", "a raw control character"),
            ("a\u{7f}", "a raw DEL"),
        ];
        for (encoded, why) in cases {
            assert_eq!(decode(encoded), Err(BadUtf7), "{encoded}: {why}");
        }
    }

    proptest! {
        #[test]
        fn every_name_round_trips(name: String) {
            let encoded = encode(&name);
            prop_assert!(encoded.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
            prop_assert_eq!(decode(&encoded), Ok(name));
        }

        #[test]
        fn what_decodes_is_what_encoding_writes(encoded in "[&A-Za-e0-9+,-]{0,24}") {
            if let Ok(name) = decode(&encoded) {
                prop_assert_eq!(encode(&name), encoded);
            }
        }
    }
}
