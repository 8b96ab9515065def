//! Base64 as tags carry it: folded anywhere, padded or not.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::tags::compact;

/// Lenient about padding, as other verifiers are: a signature that decodes to other octets fails anyway.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes a tag's value; `None` where that is not base64.
pub(crate) fn decode(value: &str) -> Option<Vec<u8>> {
    ENGINE.decode(compact(value)).ok()
}

/// Encodes on one line, padded.
pub(crate) fn encode(octets: impl AsRef<[u8]>) -> String {
    ENGINE.encode(octets)
}
