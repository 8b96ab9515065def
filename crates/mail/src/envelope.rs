//! The envelope: paths and parameters that travel outside the message.

use crate::path::{ForwardPath, ReversePath};
use crate::report::{EnvelopeId, Notify, OriginalRecipient, Return};

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
    pub recipients: Vec<Recipient>,
    /// Parameters of MAIL.
    pub parameters: MailParameters,
}

/// What one RCPT said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Whom the message is for.
    pub path: ForwardPath,
    /// `NOTIFY=`: when the sender wants a report (RFC 3461 §4.1).
    pub notify: Notify,
    /// `ORCPT=`: whom the sender wrote to, before anybody rewrote it (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
    /// The path is an account that this server found for the recipient: aliases are not asked again. Never from RCPT.
    pub resolved: bool,
    /// This server added it by a rule of its own: nobody named it, and nobody hears of it. Never from RCPT.
    pub added: bool,
}

/// The parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `BODY=` (RFC 6152 §3).
    pub body: Body,
    /// `SMTPUTF8`: addresses or header fields may hold UTF-8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `SIZE=`: octets the client announced (RFC 1870 §6.1).
    pub size: Option<u64>,
    /// `RET=`: how much of the message a failure report returns (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// `ENVID=`: the sender's own name for this transaction (RFC 3461 §4.4).
    pub envelope_id: Option<EnvelopeId>,
    /// `REQUIRETLS`: rather not at all than over an unprotected hop (RFC 8689 §2).
    pub require_tls: bool,
    /// `HOLDFOR=`, `HOLDUNTIL=`: not before then (RFC 4865 §5).
    pub hold: Option<Hold>,
    /// `AUTH=`: who first submitted the message, in the xtext of the client (RFC 4954 §5). A policy service may want to
    /// know, and gets it as it is, like Postfix's; it is repeated to no other server, and not kept.
    pub submitter: Option<Box<str>>,
    /// The content filter that gets it for all recipients, theirs here too, as Postfix's FILTER writes it. Never from MAIL.
    pub filter: Option<Box<str>>,
}

/// How long a submission waits before its first attempt (RFC 4865 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Seconds from now.
    For(u64),
    /// Seconds since 1970.
    Until(u64),
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
        Self { reverse_path, recipients: Vec::new(), parameters }
    }
}

impl Recipient {
    /// One whose parameters are those of another recipient that stands for it: the target of an alias
    /// (RFC 3461 §5.2.7).
    #[must_use]
    pub fn at(&self, path: ForwardPath) -> Self {
        Self { path, ..self.clone() }
    }
}

impl From<ForwardPath> for Recipient {
    /// Without parameters.
    fn from(path: ForwardPath) -> Self {
        Self { path, notify: Notify::default(), original: None, resolved: false, added: false }
    }
}
