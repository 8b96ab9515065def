//! What a session is told at its start, and what it learns of its client.

use kings_mail::date::DateTime;
use kings_mail::domain::Domain;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers: port 25, where AUTH is not offered.
    Inbound,
    /// Mail from our own users, who must log in before MAIL (RFC 6409 §4.3).
    Submission,
    /// LMTP: a reply for each recipient (RFC 2033 §4.2).
    Lmtp,
}

/// What a session is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in greeting and EHLO.
    pub hostname: Domain,
    /// What the listener is for.
    pub role: Role,
    /// Whether STARTTLS is offered.
    pub start_tls: bool,
    /// Largest message, in octets (RFC 1870 §3).
    pub message_bytes: u64,
    /// Most recipients of one message, told by LIMITS (RFC 9422 §4.2); whoever answers the events counts them.
    pub recipients: usize,
    /// Whether DSN is offered (RFC 3461 §3): who may have us report, success too.
    pub dsn: bool,
    /// How far ahead a submission may be dated; `None`: FUTURERELEASE is not offered.
    pub future_release: Option<FutureRelease>,
    /// Addresses are taken without angle brackets as well: from our own users, whose scripts leave them out.
    pub bare_paths: bool,
    /// The domain of an address that has none, as Postfix's `append_at_myorigin` has it; `None`: such an address is
    /// refused, but for `<Postmaster>` (RFC 5321 §4.5.1).
    pub origin: Option<Domain>,
    /// What the client may say of others.
    pub trust: Trust,
}

/// How long mail may wait before it leaves (RFC 4865 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureRelease {
    /// Longest wait, in seconds.
    pub longest: u64,
    /// The same as a moment, from the start of the session.
    pub latest: DateTime,
}

/// Which of Postfix's commands for hosts that speak for others this client may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// XCLIENT: it can become any other client.
    pub xclient: bool,
    /// XFORWARD: it says where mail came from, for our log.
    pub xforward: bool,
}

/// What is known of the client, for trace fields and policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// What it called itself; empty before EHLO or HELO.
    pub name: String,
    /// EHLO or LHLO, not HELO.
    pub extended: bool,
    /// Under TLS.
    pub tls: bool,
    /// Has logged in.
    pub logged_in: bool,
}
