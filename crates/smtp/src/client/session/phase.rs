//! Which answer a client session waits for, and how long.

use std::time::Duration;

use kings_sasl as sasl;

use crate::data::Encoder;

/// How long to wait for the answer to each command (RFC 5321 §4.5.3.2). The wait after the final dot is the
/// longest: whoever gives up there sends the message twice.
mod patience {
    use std::time::Duration;

    pub(super) const COMMAND: Duration = Duration::from_mins(5);
    pub(super) const DATA: Duration = Duration::from_mins(2);
    pub(super) const FINAL_DOT: Duration = Duration::from_mins(10);
    /// Nothing depends on the answer to QUIT.
    pub(super) const QUIT: Duration = Duration::from_secs(5);
}

/// Which answer we wait for.
#[derive(Debug)]
pub(super) enum Phase {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// The handshake goes on.
    Handshake,
    Login(sasl::Client),
    /// The server asked for more than the mechanism has, and we gave up with `*` (RFC 4954 §4).
    LoginCancelled,
    /// Nothing is asked.
    Idle,
    Mail,
    /// The recipient at this place.
    Rcpt(usize),
    Data,
    /// The content, or a chunk of it, is being sent.
    Content(Sending),
    /// A chunk that is not the last; the next one begins here.
    Chunk(u64),
    /// The whole message.
    FinalReply,
    /// Only the dot, after 354 to a DATA without any recipient (RFC 2920 §3.1).
    LoneDot,
    /// After a transaction that no recipient was accepted in.
    Rset,
    Quit,
    Closed,
}

/// Content on its way.
#[derive(Debug)]
pub(super) struct Sending {
    /// Octets still to come from our caller.
    pub(super) left: u64,
    pub(super) form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    /// With dots doubled, up to the final dot.
    Dots(Encoder),
    /// As it is, counted; this is what answers it.
    Chunk(Box<Phase>),
}

impl Phase {
    /// How long to wait for the next bytes of the server.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Data => patience::DATA,
            Self::FinalReply => patience::FINAL_DOT,
            Self::Quit => patience::QUIT,
            _ => patience::COMMAND,
        }
    }
}
