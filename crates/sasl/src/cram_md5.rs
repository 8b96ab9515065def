//! CRAM-MD5 (RFC 2195): a keyed digest of a challenge, and the form in which Dovecot stores its key.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::block_api::compress;

/// A block of MD5, which is also the longest key that HMAC takes as it is (RFC 2104 §2).
const BLOCK: usize = 64;
/// MD5's state before its first block (RFC 1321 §3.3).
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// What it takes to check a digest: MD5's states behind the two padded keys of HMAC. Enough to log in with
/// CRAM-MD5 as the owner, but not the password.
#[derive(Clone, PartialEq, Eq)]
pub struct CramKeys {
    outer: [u32; 4],
    inner: [u32; 4],
}

impl CramKeys {
    /// From the password.
    pub fn derive(password: &str) -> Self {
        let mut key = [0; BLOCK];
        let bytes = password.as_bytes();
        if bytes.len() > BLOCK {
            key[..16].copy_from_slice(&to_bytes(finish(START, bytes, 0)));
        } else {
            key[..bytes.len()].copy_from_slice(bytes);
        }
        let state = |pad: u8| {
            let mut state = START;
            compress(&mut state, &[key.map(|byte| byte ^ pad)]);
            state
        };
        Self { outer: state(0x5c), inner: state(0x36) }
    }

    /// Reads Dovecot's 64 hexadecimal digits: outer state, then inner.
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let word = |at: usize| u32::from_str_radix(&hex[at * 8..at * 8 + 8], 16).ok().map(u32::swap_bytes);
        Some(Self {
            outer: [word(0)?, word(1)?, word(2)?, word(3)?],
            inner: [word(4)?, word(5)?, word(6)?, word(7)?],
        })
    }

    /// What [`CramKeys::parse`] reads.
    pub fn to_hex(&self) -> String {
        hex(&[to_bytes(self.outer), to_bytes(self.inner)].concat())
    }

    /// The digest that answers a challenge, in lower-case hexadecimal digits.
    pub fn digest(&self, challenge: &[u8]) -> String {
        let inner = to_bytes(finish(self.inner, challenge, BLOCK));
        hex(&to_bytes(finish(self.outer, &inner, BLOCK)))
    }

    /// Whether this is the answer to the challenge; takes the same time for every wrong one.
    pub fn verify(&self, challenge: &[u8], digest: &str) -> bool {
        verify_slices_are_equal(self.digest(challenge).as_bytes(), digest.as_bytes()).is_ok()
    }

    /// Whether these are the keys of that password.
    pub fn belong_to(&self, password: &str) -> bool {
        verify_slices_are_equal(self.to_hex().as_bytes(), Self::derive(password).to_hex().as_bytes()).is_ok()
    }
}

impl std::fmt::Debug for CramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CramKeys(..)")
    }
}

/// Reads `NAME DIGEST`; names may hold spaces, digests do not (RFC 2195 §2).
pub(crate) fn split_response(response: &str) -> Option<(&str, &str)> {
    let (login, digest) = response.rsplit_once(' ')?;
    let is_digest =
        digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_digest && !login.is_empty()).then_some((login, digest))
}

/// MD5 from a state on, `before` octets into the message, to its end (RFC 1321 §3).
fn finish(mut state: [u32; 4], rest: &[u8], before: usize) -> [u32; 4] {
    let mut padded = rest.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    if padded.len() - rest.len() < 9 {
        padded.resize(padded.len() + BLOCK, 0);
    }
    let bits = ((rest.len() + before) as u64).wrapping_mul(8);
    let length_at = padded.len() - 8;
    padded[length_at..].copy_from_slice(&bits.to_le_bytes());
    let (blocks, _) = padded.as_chunks::<BLOCK>();
    compress(&mut state, blocks);
    state
}

fn to_bytes(state: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (four, word) in bytes.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let keys = CramKeys::derive("tanstaaftanstaaf");
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(keys.digest(challenge), "b913a602c7eda7a495b4e6e7334d3890");
        assert!(keys.verify(challenge, "b913a602c7eda7a495b4e6e7334d3890"));
        assert!(!keys.verify(challenge, "b913a602c7eda7a495b4e6e7334d3891"));
        assert!(!keys.verify(b"another", "b913a602c7eda7a495b4e6e7334d3890"));
        assert!(!keys.verify(challenge, ""));
    }

    /// RFC 2202 §2, test 6: a key longer than a block.
    #[test]
    fn long_keys_are_hashed_first() {
        let key = "\u{2a}".repeat(80);
        let short = CramKeys::derive(&key[..64]);
        assert_ne!(CramKeys::derive(&key), short);
        assert!(CramKeys::derive(&key).belong_to(&key) && !short.belong_to(&key));
    }

    /// `doveadm pw -s CRAM-MD5 -p secret` of Dovecot 2.3.
    #[test]
    fn dovecots_form_reads_back() {
        let hex = CramKeys::derive("secret").to_hex();
        assert_eq!(hex, "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56");
        assert_eq!(CramKeys::parse(&hex), Some(CramKeys::derive("secret")));
        for broken in ["", &hex[1..], &format!("{}g", &hex[1..]), &format!("{}é", &hex[2..])] {
            assert_eq!(CramKeys::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn padding_is_right_at_every_length() {
        // MD5 of nothing and of the letters of RFC 1321 §A.5, and lengths around the block.
        assert_eq!(hex(&to_bytes(finish(START, b"", 0))), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(&to_bytes(finish(START, b"message digest", 0))), "f96b697d7cb7938d525a2f31aaf161d0");
        let eighty = b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hex(&to_bytes(finish(START, eighty, 0))), "57edf4a22be3c955ac49da2e2107b67a");
        let sixty_two = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        assert_eq!(hex(&to_bytes(finish(START, sixty_two, 0))), "d174ab98d277d9f5a5611c2c9f419d9f");
    }

    #[test]
    fn responses_are_a_name_and_a_digest() {
        let digest = "b913a602c7eda7a495b4e6e7334d3890";
        let whole = format!("tim smith {digest}");
        assert_eq!(split_response(&whole), Some(("tim smith", digest)));
        for broken in [
            "",
            "tim",
            digest,
            &format!(" {digest}"),
            &format!("tim {}", &digest[1..]),
            "tim B913A602C7EDA7A495B4E6E7334D3890",
        ] {
            assert_eq!(split_response(broken), None, "{broken}");
        }
    }
}
