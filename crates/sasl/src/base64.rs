//! Base64 as SASL profiles use it: one line, standard alphabet, padding required (RFC 4648 §4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The line is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64")]
pub struct BadBase64;

/// Encodes a challenge or response.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes a challenge or response; `=` alone is the empty initial response (RFC 4954 §4).
pub fn decode(text: &[u8]) -> Result<Vec<u8>, BadBase64> {
    if text == b"=" {
        return Ok(Vec::new());
    }
    STANDARD.decode(text).map_err(|_| BadBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused_and_a_lone_equals_sign_is_empty() {
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (b"", Some(b"")),
            (b"=", Some(b"")),
            (b"AGFubgB4", Some(b"\0ann\0x")),
            (b"AGFubgB", None),
            (b"AGFu bgB4", None),
            (b"AGFubgB4\r\n", None),
            (b"====", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).ok().as_deref(), expected, "{text:?}");
        }
    }
}
