//! Password hashes as Dovecot writes them: check one, make one.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use kings_sasl::scram::{Hash, Keys, MIN_ITERATIONS};
use kings_sasl::{CramKeys, Secret};
use sha_crypt::ShaCrypt;

/// Schemes that [`hash_password`] makes, the usual one first.
pub const NEW_SCHEMES: [&str; 7] =
    ["ARGON2ID", "SCRAM-SHA-256", "SCRAM-SHA-1", "SHA512-CRYPT", "BLF-CRYPT", "CRAM-MD5", "PLAIN"];
/// Octets of a salt of SCRAM, as Dovecot makes them.
const SCRAM_SALT: usize = 16;
/// Octets of a salt of SHA-crypt: the 16 characters that crypt(3) reads, in its base64. Longer ones it cuts.
const CRYPT_SALT: usize = 12;

/// The second field of a passwd-file line for a password, such as `{SCRAM-SHA-256}4096,...`; `None` for a scheme that is not
/// one of [`NEW_SCHEMES`]. Slow by design: some tens of milliseconds.
pub fn hash_password(scheme: &str, password: &Secret) -> Option<String> {
    StoredPassword::create_as(scheme, password).map(|stored| stored.field())
}

/// A stored password: scheme and hash, as in `{ARGON2ID}$argon2id$...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredPassword {
    scheme: Scheme,
    hash: Secret,
    /// What SCRAM and CRAM-MD5 need, read from `hash`.
    keys: Option<ProofKeys>,
}

/// Keys that a proof is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ProofKeys {
    Scram(Keys),
    Cram(CramKeys),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    /// Clear text, for tests.
    Plain,
    /// `$5$` and `$6$` (Drepper, SHA-crypt.txt).
    ShaCrypt,
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt,
    /// `$argon2id$` and `$argon2i$` (RFC 9106).
    Argon2,
    /// `ITERATIONS,SALT,STORED-KEY,SERVER-KEY` (RFC 5802 §5.1).
    ScramSha1,
    /// The same (RFC 7677).
    ScramSha256,
    /// MD5's states behind the padded keys (RFC 2195).
    CramMd5,
}

/// The field holds nothing that a password can be checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPassword {
    #[error(
        "password scheme is unknown; known are ARGON2ID, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT, CRYPT, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5 and PLAIN"
    )]
    UnknownScheme,
    #[error("password has no {{SCHEME}} before it")]
    NoScheme,
    #[error("password hash does not fit its scheme")]
    Malformed,
}

impl StoredPassword {
    /// Parses the second field of a passwd-file line: `{SCHEME}hash`, or a hash of crypt(3) alone. An empty field, `!` and `*` are not passwords:
    /// the caller treats them as "no login" before.
    pub(crate) fn parse(field: &str) -> Result<Self, BadPassword> {
        // Dovecot's default for a passwd-file.
        let (name, hash) = match field.strip_prefix('{') {
            Some(rest) => rest.split_once('}').ok_or(BadPassword::NoScheme)?,
            None if field.starts_with('$') => ("CRYPT", field),
            None => return Err(BadPassword::NoScheme),
        };
        let prefixes: &[&str] = match name.to_ascii_uppercase().as_str() {
            "PLAIN" | "CLEAR" | "CLEARTEXT" => {
                return Ok(Self::new(Scheme::Plain, hash, None));
            }
            "SCRAM-SHA-1" => return Self::scram(Scheme::ScramSha1, Hash::Sha1, hash),
            "SCRAM-SHA-256" => return Self::scram(Scheme::ScramSha256, Hash::Sha256, hash),
            "CRAM-MD5" => {
                let keys = CramKeys::parse(hash).ok_or(BadPassword::Malformed)?;
                return Ok(Self::new(Scheme::CramMd5, hash, Some(ProofKeys::Cram(keys))));
            }
            "ARGON2ID" | "ARGON2I" => &["$argon2"],
            "BLF-CRYPT" => &["$2"],
            "SHA256-CRYPT" => &["$5$"],
            "SHA512-CRYPT" => &["$6$"],
            "CRYPT" => &["$5$", "$6$", "$2"],
            _ => return Err(BadPassword::UnknownScheme),
        };
        if !prefixes.iter().any(|prefix| hash.starts_with(prefix)) {
            return Err(BadPassword::Malformed);
        }
        let scheme = match hash.as_bytes()[1] {
            b'a' => Scheme::Argon2,
            b'2' => Scheme::Bcrypt,
            _ => Scheme::ShaCrypt,
        };
        Ok(Self::new(scheme, hash, None))
    }

    fn new(scheme: Scheme, hash: impl Into<String>, keys: Option<ProofKeys>) -> Self {
        Self { scheme, hash: Secret::new(hash), keys }
    }

    fn scram(scheme: Scheme, hash: Hash, field: &str) -> Result<Self, BadPassword> {
        let keys = Keys::parse(hash, field).ok_or(BadPassword::Malformed)?;
        Ok(Self::new(scheme, field, Some(ProofKeys::Scram(keys))))
    }

    /// Hashes with the scheme for new passwords, Argon2id with the parameters of RFC 9106's library default.
    ///
    /// Slow by design: some tens of milliseconds and 19 MB.
    pub(crate) fn create(password: &Secret) -> Self {
        let hash: argon2::PasswordHash = Argon2::default()
            .hash_password(password.expose().as_bytes())
            .expect("default parameters are valid and the system has random bytes");
        Self::new(Scheme::Argon2, hash.to_string(), None)
    }

    /// Hashes with a scheme by name, as `doveadm pw -s` does; `None` for one that is unknown.
    ///
    /// Slow by design, as [`StoredPassword::create`].
    fn create_as(scheme: &str, password: &Secret) -> Option<Self> {
        let text = password.expose();
        let scram = |scheme, hash| {
            let mut salt = [0; SCRAM_SALT];
            getrandom::fill(&mut salt).ok()?;
            let keys = Keys::derive(hash, text, &salt, MIN_ITERATIONS);
            Some(Self::new(scheme, keys.field(), Some(ProofKeys::Scram(keys))))
        };
        match scheme.to_ascii_uppercase().as_str() {
            "ARGON2ID" => Some(Self::create(password)),
            "SHA512-CRYPT" => {
                let mut salt = [0; CRYPT_SALT];
                getrandom::fill(&mut salt).ok()?;
                let hash = ShaCrypt::default().hash_password_with_salt(text.as_bytes(), &salt).ok()?;
                Some(Self::new(Scheme::ShaCrypt, hash.to_string(), None))
            }
            "BLF-CRYPT" => {
                Some(Self::new(Scheme::Bcrypt, bcrypt::hash(text, bcrypt::DEFAULT_COST).ok()?, None))
            }
            "SCRAM-SHA-256" => scram(Scheme::ScramSha256, Hash::Sha256),
            "SCRAM-SHA-1" => scram(Scheme::ScramSha1, Hash::Sha1),
            "CRAM-MD5" => {
                let keys = CramKeys::derive(text);
                Some(Self::new(Scheme::CramMd5, keys.to_hex(), Some(ProofKeys::Cram(keys))))
            }
            "PLAIN" => Some(Self::new(Scheme::Plain, text, None)),
            _ => None,
        }
    }

    /// The password itself, where it is stored in clear.
    pub(crate) fn clear_text(&self) -> Option<&Secret> {
        (self.scheme == Scheme::Plain).then_some(&self.hash)
    }

    /// Its SCRAM keys of this hash, where they are stored.
    pub(crate) fn scram_keys(&self, hash: Hash) -> Option<&Keys> {
        match &self.keys {
            Some(ProofKeys::Scram(keys)) if keys.hash() == hash => Some(keys),
            _ => None,
        }
    }

    /// Its keys for CRAM-MD5, stored or made.
    pub(crate) fn cram_keys(&self) -> Option<CramKeys> {
        match &self.keys {
            Some(ProofKeys::Cram(keys)) => Some(keys.clone()),
            _ => self.clear_text().map(|password| CramKeys::derive(password.expose())),
        }
    }

    /// Whether a SCRAM exchange with this hash can be checked against it.
    pub(crate) fn can_use(&self, hash: Hash) -> bool {
        self.clear_text().is_some() || self.scram_keys(hash).is_some()
    }

    /// The name of its scheme, as Dovecot writes it.
    pub(crate) fn scheme_name(&self) -> &'static str {
        match (self.scheme, self.hash.expose()) {
            (Scheme::Plain, _) => "PLAIN",
            (Scheme::ScramSha1, _) => "SCRAM-SHA-1",
            (Scheme::ScramSha256, _) => "SCRAM-SHA-256",
            (Scheme::CramMd5, _) => "CRAM-MD5",
            (Scheme::ShaCrypt, hash) if hash.starts_with("$5$") => "SHA256-CRYPT",
            (Scheme::ShaCrypt, _) => "SHA512-CRYPT",
            (Scheme::Bcrypt, _) => "BLF-CRYPT",
            (Scheme::Argon2, hash) if hash.starts_with("$argon2i$") => "ARGON2I",
            (Scheme::Argon2, _) => "ARGON2ID",
        }
    }

    /// The text of the passwd-file field.
    pub(crate) fn field(&self) -> String {
        format!("{{{}}}{}", self.scheme_name(), self.hash.expose())
    }

    /// Whether [`StoredPassword::matches`] takes long.
    pub(crate) fn is_slow(&self) -> bool {
        !matches!(self.scheme, Scheme::Plain | Scheme::CramMd5)
    }

    /// Whether this is the password. Slow by design; a damaged hash matches nothing.
    pub(crate) fn matches(&self, password: &Secret) -> bool {
        let (hash, offered) = (self.hash.expose(), password.expose());
        match self.scheme {
            Scheme::ScramSha1 | Scheme::ScramSha256 | Scheme::CramMd5 => match &self.keys {
                Some(ProofKeys::Scram(keys)) => keys.belong_to(offered),
                Some(ProofKeys::Cram(keys)) => keys.belong_to(offered),
                None => false,
            },
            Scheme::Plain => constant_time_equal(hash.as_bytes(), offered.as_bytes()),
            Scheme::ShaCrypt => ShaCrypt::default().verify_password(offered.as_bytes(), hash).is_ok(),
            Scheme::Bcrypt => bcrypt::verify(offered, hash).unwrap_or(false),
            Scheme::Argon2 => Argon2::default().verify_password(offered.as_bytes(), hash).is_ok(),
        }
    }

    /// Accounts of one class cost the same to check: scheme and its cost parameters, without salt and hash.
    pub(crate) fn cost_class(&self) -> (Scheme, String) {
        if let Some(ProofKeys::Scram(keys)) = &self.keys {
            return (self.scheme, keys.iterations().to_string());
        }
        let kept = match self.scheme {
            Scheme::Plain | Scheme::CramMd5 | Scheme::ScramSha1 | Scheme::ScramSha256 => 0,
            Scheme::ShaCrypt | Scheme::Bcrypt => 3,
            Scheme::Argon2 => 4,
        };
        (self.scheme, self.hash.expose().split('$').take(kept).collect::<Vec<_>>().join("$"))
    }
}

/// Looks at every byte of the offer, so that the time tells nothing but its length.
fn constant_time_equal(known: &[u8], offered: &[u8]) -> bool {
    let mut difference = u8::from(known.len() != offered.len());
    for (place, byte) in offered.iter().enumerate() {
        difference |= byte ^ known.get(place).copied().unwrap_or(!byte);
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Hashes of "secret" as `doveadm pw` 2.3 makes them.
    const HASHES: [&str; 9] = [
        "{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56",
        "{SCRAM-SHA-256}4096,kM+iCEcDQFxrR/lzXVGYhQ==,G5aIXaQi5Sc29e8FuHPYrqJwqvHD7bH/vNDofuwUsbk=,P6cJf8FT5VWS68xOz1Sg9Mgy8w6GBVBGAhR1ltmvQ4Y=",
        "{SCRAM-SHA-1}4096,lCUeGO6fAucnsBzCU+Lt4g==,emqZELtrNaH+fBj6TwJDQR4tJrQ=,7eDtJzB6Qr5Ywxjy5SJr3o4RBC4=",
        "{PLAIN}secret",
        "{ARGON2I}$argon2i$v=19$m=32768,t=3,p=1$iCHZksf5EkH4O06J10oCkQ$461f9/cO/8tRabGkhQOrtkCg0TKhSvtaNjEDRq1CMSo",
        "{BLF-CRYPT}$2y$05$dKQwIre5M1dKlhgsZfMMiuywiMpIDo8sXPE4XZeZ.bJvZ.0TJ92ny",
        "{SHA512-CRYPT}$6$jmeQmYqHQUwGf.lE$0WtwuWSSGh5K7D9O//QVzRJ3eskDmuUGs.mYEzhfSg/8Y1MUmgoE8mLOm2Eud72BhDJGHRfgRfQiOI0RgJdqG1",
        "{SHA256-CRYPT}$5$J5Y22Jh6fDlxoFBW$ni2jfIMqVu0nlxRxgT6BcbcNsmvuqrQHrBBHJp8xQK0",
        "{CRYPT}$5$J5Y22Jh6fDlxoFBW$ni2jfIMqVu0nlxRxgT6BcbcNsmvuqrQHrBBHJp8xQK0",
    ];

    #[test]
    fn every_scheme_that_is_made_is_read_and_lets_in_its_password_alone() {
        let (right, wrong) = (Secret::new("p\u{e4}ss word"), Secret::new("pass word"));
        for scheme in NEW_SCHEMES {
            let field = hash_password(&scheme.to_lowercase(), &right).unwrap();
            assert!(field.starts_with(&format!("{{{scheme}}}")), "{scheme}");
            let stored = StoredPassword::parse(&field).unwrap();
            assert!(stored.matches(&right) && !stored.matches(&wrong), "{scheme}");
        }
        assert_eq!(hash_password("MD5", &right), None);
        // Two of the same are never alike, so that nobody sees who has the same password.
        for scheme in &NEW_SCHEMES[..5] {
            assert_ne!(hash_password(scheme, &right), hash_password(scheme, &right), "{scheme}");
        }
    }

    #[test]
    fn hashes_made_by_dovecot_match_their_password_and_no_other() {
        for field in HASHES {
            let stored = StoredPassword::parse(field).unwrap();
            assert!(stored.matches(&Secret::new("secret")), "{field}");
            for wrong in ["", "Secret", "secret ", "secre"] {
                assert!(!stored.matches(&Secret::new(wrong)), "{field} {wrong}");
            }
        }
    }

    #[test]
    fn fields_without_a_usable_hash_are_refused() {
        let cases = [
            ("secret", BadPassword::NoScheme),
            ("{SSHA512}abc", BadPassword::UnknownScheme),
            ("{ARGON2ID}$2y$05$x", BadPassword::Malformed),
            ("{SHA512-CRYPT}$5$x$y", BadPassword::Malformed),
            ("{BLF-CRYPT}", BadPassword::Malformed),
            ("{CRYPT}abJnggxhB/yWI", BadPassword::Malformed),
            ("{SCRAM-SHA-256}4096,AAAA,AAAA,AAAA", BadPassword::Malformed),
            ("{CRAM-MD5}cd3b", BadPassword::Malformed),
        ];
        for (field, expected) in cases {
            assert_eq!(StoredPassword::parse(field), Err(expected), "{field}");
        }
    }

    #[test]
    fn a_new_password_reads_back_and_matches_only_itself() {
        let created = StoredPassword::create(&Secret::new("tr0ub4dor"));
        let read = StoredPassword::parse(&created.field()).unwrap();
        assert_eq!(read, created);
        assert!(read.matches(&Secret::new("tr0ub4dor")));
        assert!(!read.matches(&Secret::new("tr0ub4do")));
    }

    #[test]
    fn damaged_hashes_match_nothing() {
        for field in [
            "{SHA512-CRYPT}$6$salt$",
            "{SHA256-CRYPT}$5$",
            "{BLF-CRYPT}$2y$05$short",
            "{ARGON2ID}$argon2id$v=19$m=1",
        ] {
            assert!(!StoredPassword::parse(field).unwrap().matches(&Secret::new("")), "{field}");
        }
    }

    #[test]
    fn cost_classes_ignore_salt_and_hash() {
        let class = |field: &str| StoredPassword::parse(field).unwrap().cost_class();
        assert_eq!(class("{BLF-CRYPT}$2y$05$aaaa"), class("{BLF-CRYPT}$2y$05$bbbb"));
        assert_ne!(class("{BLF-CRYPT}$2y$05$aaaa"), class("{BLF-CRYPT}$2y$12$aaaa"));
        assert_eq!(
            class("{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$a$b"),
            class("{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$c$d")
        );
        assert_eq!(class("{PLAIN}a"), class("{PLAIN}b"));
    }
}
