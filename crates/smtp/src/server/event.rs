//! What a session cannot decide or do alone.

use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_sasl::Turn;

#[cfg(doc)]
use super::Session;
use crate::claim::Claim;
#[cfg(doc)]
use crate::reply::Reply;

/// What the session cannot decide or do alone. Unless said otherwise, answer with [`Session::answer`] before
/// the next event is drawn.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Send what [`Session::transmit`] gives, do the handshake, then call [`Session::tls_started`]: no answer.
    StartTls,
    /// A login begins or goes on. Answer with [`Session::challenge`], or at its end with [`Session::answer`]: a
    /// positive reply logs the client in. A login that the client gives up ends without a word to you.
    Login(Turn),
    /// EHLO, HELO or LHLO, where [`Session::ask_about_hello`] wants it: after a positive answer the session gives its own, and
    /// pieces of a message that was on its way in chunks are nobody's.
    Hello {
        /// What the client calls itself.
        name: String,
        /// EHLO or LHLO.
        extended: bool,
    },
    /// A transaction begins.
    Mail(ReversePath, MailParameters),
    /// One more recipient, for the transaction of [`Session::envelope`].
    Rcpt(Recipient),
    /// DATA, or the first BDAT: may the message come? A positive answer must be [`Reply::START_MAIL`].
    Begin,
    /// A piece of the message lies in [`Session::content`]: no answer.
    Content,
    /// The message cannot be accepted any more, drop its pieces; the session refuses it at its end by itself.
    /// May come twice: no answer.
    Discard,
    /// The message is whole, its last piece lies in [`Session::content`]: answer with the final reply, or in LMTP
    /// with [`Session::answer_each`].
    End(Envelope),
    /// A trusted host says who the client is. After a positive answer it is greeted anew as that client.
    Xclient(Box<Claim>),
    /// A trusted host says where the next message came from.
    Xforward(Box<Claim>),
    /// Send what [`Session::transmit`] gives and close: no answer.
    Closed,
}
