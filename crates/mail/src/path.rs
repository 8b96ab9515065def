//! Reverse-path and forward-path: the arguments of MAIL and RCPT.

use std::fmt;

use crate::address::{Address, BadAddress};

/// Where delivery failures go. `Null` is `<>`, the sender of bounces (RFC 5321 §4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nobody; a failure of this message is not reported.
    Null,
    /// A mailbox that takes failure reports.
    Address(Address),
}

/// One recipient of the envelope (RFC 5321 §4.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain, in any case: every server has one (RFC 5321 §4.5.1).
    Postmaster,
    /// A mailbox.
    Address(Address),
}

impl ReversePath {
    /// Parses the text between the angle brackets; empty is [`ReversePath::Null`].
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.is_empty() { Ok(Self::Null) } else { Address::parse(text).map(Self::Address) }
    }

    /// The address, unless this is the null reverse-path.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Whether it can travel only with SMTPUTF8.
    pub fn needs_smtputf8(&self) -> bool {
        self.address().is_some_and(Address::needs_smtputf8)
    }
}

impl ForwardPath {
    /// Parses the text between the angle brackets.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(Self::Postmaster);
        }
        Address::parse(text).map(Self::Address)
    }

    /// Whether it can travel only with SMTPUTF8.
    pub fn needs_smtputf8(&self) -> bool {
        matches!(self, Self::Address(address) if address.needs_smtputf8())
    }
}

impl fmt::Display for ReversePath {
    /// With angle brackets, as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    /// With angle brackets, as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_reverse_path_is_not_an_empty_address() {
        assert_eq!(ReversePath::parse(""), Ok(ReversePath::Null));
        assert_eq!(ReversePath::Null.to_string(), "<>");
        assert!(ForwardPath::parse("").is_err());
        assert_eq!(ForwardPath::parse("POSTmaster"), Ok(ForwardPath::Postmaster));
    }
}
