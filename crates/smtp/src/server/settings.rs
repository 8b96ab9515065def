//! What a session is told at its start, and what it learns of its client.

use kings_mail::domain::Domain;

/// What a session is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in greeting and EHLO.
    pub hostname: Domain,
    /// Whether the client must log in before MAIL: submission, as against port 25, where AUTH is not offered.
    pub login_required: bool,
    /// Whether STARTTLS is offered.
    pub start_tls: bool,
    /// Largest message, in octets (RFC 1870 §3).
    pub message_bytes: u64,
}

/// What is known of the client, for trace fields and policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// What it called itself; empty before EHLO or HELO.
    pub name: String,
    /// EHLO, not HELO.
    pub extended: bool,
    /// Under TLS.
    pub tls: bool,
    /// Has logged in.
    pub logged_in: bool,
}
