//! `trait Decide`: what a listener's kind of session decides, apart from how the dialogue goes.

use std::future::Future;

use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_sasl::Credentials;
use kings_smtp::reply::Reply;
use kings_smtp::server::Client;

/// What is known of the other side when a message is whole.
pub(crate) struct Peer<'a> {
    /// What it said of itself.
    pub(crate) client: &'a Client,
    /// TLS version and cipher suite, for the trace field.
    pub(crate) tls: Option<String>,
}

/// Answers the events of one SMTP session, in their order. Port 25 and submission differ only in this.
///
/// Every answer is a reply; a positive one lets the session go on.
pub(crate) trait Decide: Send {
    /// Somebody claims to be somebody.
    fn log_in(&mut self, credentials: Credentials) -> impl Future<Output = Reply> + Send;

    /// A transaction begins.
    fn mail(&mut self, path: &ReversePath, parameters: MailParameters) -> impl Future<Output = Reply> + Send;

    /// One more recipient of the transaction so far.
    fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> impl Future<Output = Reply> + Send;

    /// The message wants to come.
    fn begin(&mut self) -> impl Future<Output = Reply> + Send;

    /// A piece of it. A failure to keep it is told at [`Decide::end`].
    fn content(&mut self, piece: &[u8]) -> impl Future<Output = ()> + Send;

    /// It will be refused: forget the pieces.
    fn discard(&mut self);

    /// It is whole: take responsibility, or do not.
    fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> impl Future<Output = Reply> + Send;
}
