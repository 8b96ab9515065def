//! What a server keeps instead of a password (RFC 5802 §5.1), in Dovecot's form.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::pbkdf2;

use super::{Hash, prepare};
use crate::base64::{decode, encode};

/// Fewest rounds that a client of ours agrees to (RFC 7677 §4).
pub const MIN_ITERATIONS: u32 = 4_096;
/// Most rounds in a stored password or from a server: a second of work, so that nobody can ask for a day of it.
pub const MAX_ITERATIONS: u32 = 1_000_000;
/// Longest salt, in octets; 16 are usual.
const MAX_SALT: usize = 256;

/// Salt, rounds and both keys of one password. Who has them can check a proof, but cannot make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    hash: Hash,
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Keys {
    /// Computes the keys of a password. Slow by design: a millisecond for 4,096 rounds.
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(hash, password, salt, iterations);
        let stored_key = hash.digest(&client_key(hash, &salted));
        let server_key = hash.hmac(&salted, b"Server Key");
        Self { hash, salt: salt.to_vec(), iterations, stored_key, server_key }
    }

    /// Keys that no password has, for a name that nobody has: `seed` is secret and the same for the same name, so
    /// that the answer never changes. `salt` octets long, as many rounds as others have.
    pub fn fake(hash: Hash, seed: &[u8], salt: usize, iterations: u32) -> Self {
        let part = |label: &[u8]| Hash::Sha256.hmac(seed, label);
        let mut salt_bytes = [part(b"salt"), part(b"more salt")].concat();
        salt_bytes.truncate(salt);
        let [mut stored_key, mut server_key] = [part(b"stored key"), part(b"server key")];
        stored_key.truncate(hash.len());
        server_key.truncate(hash.len());
        Self { hash, salt: salt_bytes, iterations, stored_key, server_key }
    }

    /// Reads `ITERATIONS,SALT,STORED-KEY,SERVER-KEY`, all but the number in base64.
    pub fn parse(hash: Hash, field: &str) -> Option<Self> {
        let mut parts = field.split(',');
        let iterations = parts.next()?.parse().ok().filter(|count| (1..=MAX_ITERATIONS).contains(count))?;
        let mut bytes = || parts.next().and_then(|part| decode(part.as_bytes()).ok());
        let (salt, stored_key, server_key) = (bytes()?, bytes()?, bytes()?);
        let fits = stored_key.len() == hash.len() && server_key.len() == hash.len();
        let is_whole = fits && (1..=MAX_SALT).contains(&salt.len()) && parts.next().is_none();
        is_whole.then_some(Self { hash, salt, iterations, stored_key, server_key })
    }

    /// What [`Keys::parse`] reads.
    pub fn field(&self) -> String {
        let Self { salt, iterations, stored_key, server_key, .. } = self;
        format!("{iterations},{},{},{}", encode(salt), encode(stored_key), encode(server_key))
    }

    /// Whether these are the keys of that password: as slow as [`Keys::derive`].
    pub fn belong_to(&self, password: &str) -> bool {
        let other = Self::derive(self.hash, password, &self.salt, self.iterations);
        verify_slices_are_equal(&self.stored_key, &other.stored_key).is_ok()
    }

    /// The hash.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The salt, which every client that names the account hears.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The rounds.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether the client's proof shows that it knows the password (RFC 5802 §3).
    pub(super) fn verify(&self, auth_message: &[u8], proof: &[u8]) -> bool {
        let signature = self.hash.hmac(&self.stored_key, auth_message);
        let client_key = xor(&signature, proof);
        proof.len() == self.hash.len()
            && verify_slices_are_equal(&self.hash.digest(&client_key), &self.stored_key).is_ok()
    }

    /// What proves to the client that we know the password, too.
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> Vec<u8> {
        self.hash.hmac(&self.server_key, auth_message)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?}, ..)", self.hash)
    }
}

/// `Hi(password, salt, i)` of RFC 5802 §2.2.
pub(super) fn salted_password(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut salted = vec![0; hash.len()];
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(hash.pbkdf2(), rounds, salt, prepare(password).as_bytes(), &mut salted);
    salted
}

pub(super) fn client_key(hash: Hash, salted_password: &[u8]) -> Vec<u8> {
    hash.hmac(salted_password, b"Client Key")
}

pub(super) fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `doveadm pw -s SCRAM-SHA-256 -p secret` and the like, of Dovecot 2.3.
    const DOVECOT: [(Hash, &str); 2] = [
        (
            Hash::Sha256,
            "4096,kM+iCEcDQFxrR/lzXVGYhQ==,G5aIXaQi5Sc29e8FuHPYrqJwqvHD7bH/vNDofuwUsbk=,P6cJf8FT5VWS68xOz1Sg9Mgy8w6GBVBGAhR1ltmvQ4Y=",
        ),
        (
            Hash::Sha1,
            "4096,lCUeGO6fAucnsBzCU+Lt4g==,emqZELtrNaH+fBj6TwJDQR4tJrQ=,7eDtJzB6Qr5Ywxjy5SJr3o4RBC4=",
        ),
    ];

    #[test]
    fn keys_made_by_dovecot_are_those_of_their_password() {
        for (hash, field) in DOVECOT {
            let keys = Keys::parse(hash, field).expect("a whole field");
            assert!(keys.belong_to("secret") && !keys.belong_to("Secret"), "{hash:?}");
            assert_eq!(Keys::derive(hash, "secret", keys.salt(), 4_096), keys);
            assert_eq!(keys.field(), field);
        }
    }

    #[test]
    fn broken_fields_are_refused() {
        let (hash, whole) = DOVECOT[1];
        let cases = [
            String::new(),
            whole.replacen("4096", "0", 1),
            whole.replacen("4096", "1000001", 1),
            whole.replacen("4096", "-1", 1),
            whole.replacen("lCUeGO6fAucnsBzCU+Lt4g==", "", 1),
            whole.replacen("7eDt", "7eD", 1),
            format!("{whole},"),
            whole.rsplit_once(',').expect("four parts").0.to_owned(),
        ];
        for field in cases {
            assert_eq!(Keys::parse(hash, &field), None, "{field}");
        }
        assert_eq!(Keys::parse(Hash::Sha256, whole), None);
    }

    #[test]
    fn passwords_that_look_alike_are_the_same_and_odd_ones_still_work() {
        let keys = |password| Keys::derive(Hash::Sha1, password, b"salt", 2);
        // RFC 4013 §3: the soft hyphen is mapped to nothing, U+2168 to IX.
        assert_eq!(keys("I\u{ad}X"), keys("IX"));
        assert_eq!(keys("\u{2168}"), keys("IX"));
        assert_ne!(keys("a\u{7}"), keys("a"));
    }

    #[test]
    fn fake_keys_are_the_same_for_the_same_seed_and_look_like_real_ones() {
        let fake = |seed: &[u8]| Keys::fake(Hash::Sha256, seed, 16, 4_096);
        assert_eq!(fake(b"a"), fake(b"a"));
        assert_ne!(fake(b"a").salt(), fake(b"b").salt());
        assert_eq!(Keys::parse(Hash::Sha256, &fake(b"a").field()), Some(fake(b"a")));
    }
}
