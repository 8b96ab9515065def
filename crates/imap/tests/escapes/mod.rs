//! What `C\:` lines of transcripts say; tests of POP3 include this file.

/// `\r`, `\n`, `\x00`, `\{90*x}` for ninety `x`.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((octet, tail)) = rest.split_first() {
        rest = tail;
        if *octet != b'\\' {
            out.push(*octet);
            continue;
        }
        let (used, value) = match tail {
            [b'r', ..] => (1, b'\r'),
            [b'n', ..] => (1, b'\n'),
            [b'x', a, b, ..] => {
                let hex = |digit: u8| char::from(digit).to_digit(16).unwrap();
                (3, u8::try_from(hex(*a) * 16 + hex(*b)).unwrap())
            }
            [b'{', times @ ..] => {
                let end = times.iter().position(|octet| *octet == b'}').unwrap();
                let (count, repeated) = std::str::from_utf8(&times[..end]).unwrap().split_once('*').unwrap();
                out.extend(repeated.repeat(count.parse().unwrap()).bytes());
                rest = &times[end + 1..];
                continue;
            }
            _ => (1, b'\\'),
        };
        out.push(value);
        rest = &rest[used..];
    }
    out
}
