//! The envelope: paths and parameters that travel outside the message.

use crate::path::{ForwardPath, ReversePath};

/// Most recipients one transaction may carry (RFC 5321 §4.5.3.1.8 asks for at least 100).
pub const MAX_RECIPIENTS: usize = 1_000;
/// Most Received fields before a message counts as looping (RFC 5321 §6.3).
pub const MAX_RECEIVED_FIELDS: usize = 100;

/// What MAIL and RCPT said (RFC 5321 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Argument of MAIL.
    pub reverse_path: ReversePath,
    /// Accepted arguments of RCPT, in order.
    pub forward_paths: Vec<ForwardPath>,
    /// Parameters of MAIL.
    pub parameters: MailParameters,
}

/// The parameters of MAIL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `BODY=` (RFC 6152 §3).
    pub body: Body,
    /// `SMTPUTF8`: addresses or header fields may hold UTF-8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `SIZE=`: octets the client announced (RFC 1870 §6.1).
    pub size: Option<u64>,
}

/// Which octets the content may hold (RFC 6152 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Lines of US-ASCII.
    #[default]
    SevenBit,
    /// Lines of any octets but CR, LF and NUL.
    EightBitMime,
}

impl Envelope {
    /// An envelope without recipients yet.
    pub fn new(reverse_path: ReversePath, parameters: MailParameters) -> Self {
        Self { reverse_path, forward_paths: Vec::new(), parameters }
    }
}
