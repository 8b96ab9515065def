//! How much TLS a next hop must offer.

use kings_smtp::client::StartTls;
use kings_tls::Trust;

/// What must be true of a connection before mail goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Clear text.
    None,
    /// TLS when it is offered and works, clear text otherwise (RFC 7435 §3).
    May,
    /// TLS with any certificate, or no delivery.
    Encrypt,
    /// TLS with a certificate for the host's name from a trusted authority, or no delivery.
    Verify,
}

impl Level {
    pub(crate) fn start_tls(self) -> StartTls {
        match self {
            Self::None => StartTls::Never,
            Self::May => StartTls::IfOffered,
            Self::Encrypt | Self::Verify => StartTls::Required,
        }
    }

    pub(crate) fn trust(self) -> Trust {
        match self {
            Self::None | Self::May | Self::Encrypt => Trust::Anyone,
            Self::Verify => Trust::Authorities,
        }
    }

    /// Whether clear text will do after a handshake that failed.
    pub(crate) fn allows_clear_text(self) -> bool {
        self <= Self::May
    }
}
