//! The mechanisms by their registered names, and lists of them.

use crate::scram::Hash;

/// A mechanism by its registered name (RFC 4422 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// Who holds the key of a client certificate (RFC 4422 §A).
    External,
    /// A proof of the password, bound to the TLS connection if `plus` (RFC 5802 §4).
    Scram {
        /// The hash that names it.
        hash: Hash,
        /// With channel binding (RFC 5802 §6).
        plus: bool,
    },
    /// One message with both names and the password (RFC 4616 §2).
    Plain,
    /// Two prompts, as Outlook still wants it (draft-murchison-sasl-login-00; never an RFC).
    Login,
    /// A bearer token (RFC 7628 §3).
    OAuthBearer,
    /// A bearer token as Google and Microsoft had it before there was an RFC.
    XOAuth2,
    /// A digest of the password and a challenge (RFC 2195 §2).
    CramMd5,
}

impl Mechanism {
    /// All there are, best first: clients that take the first they know take the best.
    pub const ALL: [Self; 10] = [
        Self::External,
        Self::Scram { hash: Hash::Sha256, plus: true },
        Self::Scram { hash: Hash::Sha1, plus: true },
        Self::Scram { hash: Hash::Sha256, plus: false },
        Self::Scram { hash: Hash::Sha1, plus: false },
        Self::Plain,
        Self::Login,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::CramMd5,
    ];

    /// Finds a mechanism by name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        self.capability().trim_start_matches("AUTH=")
    }

    /// The name as IMAP's CAPABILITY lists it (RFC 3501 §6.1.1).
    pub fn capability(self) -> &'static str {
        match self {
            Self::External => "AUTH=EXTERNAL",
            Self::Scram { hash: Hash::Sha256, plus: true } => "AUTH=SCRAM-SHA-256-PLUS",
            Self::Scram { hash: Hash::Sha1, plus: true } => "AUTH=SCRAM-SHA-1-PLUS",
            Self::Scram { hash: Hash::Sha256, plus: false } => "AUTH=SCRAM-SHA-256",
            Self::Scram { hash: Hash::Sha1, plus: false } => "AUTH=SCRAM-SHA-1",
            Self::Plain => "AUTH=PLAIN",
            Self::Login => "AUTH=LOGIN",
            Self::OAuthBearer => "AUTH=OAUTHBEARER",
            Self::XOAuth2 => "AUTH=XOAUTH2",
            Self::CramMd5 => "AUTH=CRAM-MD5",
        }
    }
}

/// A set of mechanisms, in the order of [`Mechanism::ALL`] whatever order they came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms(u16);

impl Mechanisms {
    /// Those that need nothing but a password, stored in whatever way.
    pub const PASSWORD: Self = Self(bit(Mechanism::Plain) | bit(Mechanism::Login));

    /// Whether it holds this one.
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & bit(mechanism) != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Best first.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |mechanism| self.contains(*mechanism))
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        Self(mechanisms.into_iter().fold(0, |set, mechanism| set | bit(mechanism)))
    }
}

const fn bit(mechanism: Mechanism) -> u16 {
    1 << match mechanism {
        Mechanism::External => 0,
        Mechanism::Scram { hash: Hash::Sha256, plus: true } => 1,
        Mechanism::Scram { hash: Hash::Sha1, plus: true } => 2,
        Mechanism::Scram { hash: Hash::Sha256, plus: false } => 3,
        Mechanism::Scram { hash: Hash::Sha1, plus: false } => 4,
        Mechanism::Plain => 5,
        Mechanism::Login => 6,
        Mechanism::OAuthBearer => 7,
        Mechanism::XOAuth2 => 8,
        Mechanism::CramMd5 => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_is_found_by_its_name_and_has_a_place_of_its_own() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(&mechanism.name().to_lowercase()), Some(mechanism));
            let alone: Mechanisms = [mechanism].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [mechanism]);
        }
        for unknown in ["", "GSSAPI", "PLAIN ", "SCRAM-SHA-512", "AUTH=PLAIN"] {
            assert_eq!(Mechanism::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_list_is_in_order_of_preference() {
        let list: Mechanisms = [Mechanism::Login, Mechanism::Plain].into_iter().collect();
        assert_eq!(list, Mechanisms::PASSWORD);
        assert_eq!(list.iter().map(Mechanism::name).collect::<Vec<_>>(), ["PLAIN", "LOGIN"]);
        assert!(Mechanisms::default().is_empty() && !list.is_empty());
    }
}
