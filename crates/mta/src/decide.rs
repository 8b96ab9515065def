//! `trait Decide`: what a listener's kind of session decides, apart from how the dialogue goes.

use std::future::Future;

use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_net::Stream;
use kings_sasl::{Mechanisms, Turn};
use kings_smtp::claim::Claim;
use kings_smtp::reply::Reply;
use kings_smtp::server::Client;

/// What is known of the other side.
pub(crate) struct Peer<'a> {
    /// What it said of itself.
    pub(crate) client: &'a Client,
    /// TLS version and cipher suite, for the trace field.
    pub(crate) tls: Option<String>,
}

/// What a login goes on with.
pub(crate) struct Challenge(pub(crate) Vec<u8>);

/// The answer to a whole message.
pub(crate) enum Final {
    /// One reply; in LMTP it is everybody's.
    Same(Reply),
    /// One for each recipient, in their order (RFC 2033 §4.2).
    Each(Vec<Reply>),
}

/// Answers the events of one SMTP session, in their order. Port 25, submission and LMTP differ only in this.
///
/// Every answer is a reply; a positive one lets the session go on.
pub(crate) trait Decide: Send {
    /// What to log in with, once TLS is on. Nothing, where nobody logs in.
    fn mechanisms(&mut self, _: &Stream) -> Mechanisms {
        Mechanisms::default()
    }

    /// A login begins or goes on: a challenge, or the reply that ends it.
    fn log_in(&mut self, turn: Turn) -> impl Future<Output = Result<Reply, Challenge>> + Send;

    /// The client says its name, with EHLO where `extended`. Asked only where the session is told to.
    fn hello(&mut self, _: &str, _extended: bool, _: &Peer<'_>) -> impl Future<Output = Reply> + Send {
        std::future::ready(Reply::OK)
    }

    /// A transaction begins.
    fn mail(
        &mut self,
        path: &ReversePath,
        parameters: MailParameters,
        peer: &Peer<'_>,
    ) -> impl Future<Output = Reply> + Send;

    /// One more recipient of the transaction so far.
    fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> impl Future<Output = Reply> + Send;

    /// The message wants to come.
    fn begin(&mut self, envelope: &Envelope) -> impl Future<Output = Reply> + Send;

    /// A piece of it. A failure to keep it is told at [`Decide::end`].
    fn content(&mut self, piece: &[u8]) -> impl Future<Output = ()> + Send;

    /// It will be refused: forget the pieces.
    fn discard(&mut self);

    /// It is whole: take responsibility, or do not.
    fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> impl Future<Output = Final> + Send;

    /// How many commands of this session were refused for good so far.
    fn faults(&mut self, _so_far: usize) {}

    /// A trusted host says who the client is: all that is decided from here on is decided about that one.
    fn become_other(&mut self, _: &Claim) -> Reply {
        Reply::NOT_TRUSTED
    }

    /// A trusted host says where the next message came from.
    fn forwarded(&mut self, _: &Claim) -> Reply {
        Reply::NOT_TRUSTED
    }
}
