//! What is made up for a login that has no keys, so that nobody can tell it from one that has.

use aws_lc_rs::hmac;
use kings_sasl::Secret;
use kings_sasl::scram::{Hash, Keys};

/// Rounds where the password is known in clear, as Dovecot has them (RFC 7677 §4: at least 4,096).
const ITERATIONS: u32 = 4_096;
/// Octets of a salt, as Dovecot makes them.
const SALT: usize = 16;
/// Random octets of a nonce: 24 printable characters.
const NONCE: usize = 18;

/// The same for the same name, in this installation alone.
pub(crate) struct Seed(Vec<u8>);

impl Seed {
    pub(crate) fn new(secret: &Secret, hash: Hash, name: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Self(hmac::sign(&key, format!("{hash:?} {name}").as_bytes()).as_ref().to_vec())
    }

    /// Keys of a password in clear, under a salt of the name.
    pub(crate) fn derive(&self, hash: Hash, password: &Secret) -> Keys {
        Keys::derive(hash, password.expose(), self.fake(hash).salt(), ITERATIONS)
    }

    /// What [`Seed::derive`] would give, to the eye of a stranger.
    pub(crate) fn fake(&self, hash: Hash) -> Keys {
        Keys::fake(hash, &self.0, SALT, ITERATIONS)
    }

    /// What an account like this one would have.
    pub(crate) fn like(&self, keys: &Keys) -> Keys {
        Keys::fake(keys.hash(), &self.0, keys.salt().len(), keys.iterations())
    }
}

/// Text that was never used before, of characters that every mechanism takes.
pub(crate) fn nonce() -> Result<String, getrandom::Error> {
    let mut random = [0; NONCE];
    getrandom::fill(&mut random)?;
    Ok(kings_sasl::encode(&random))
}
