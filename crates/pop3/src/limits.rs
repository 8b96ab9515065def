//! Every limit of this crate, by name, with its source. Peers meet them before memory is taken.

/// Longest line of a client, in octets, its line end not counted. RFC 2449 §4 allows commands of 255 octets; tokens and
/// tickets of SASL need more (RFC 5034 §4).
pub const MAX_LINE: usize = 8 * 1024;
/// Bad commands and failed logins after which the connection is closed (DESIGN limits).
pub const MAX_ERRORS: u32 = 20;
/// Longest unique-id, in octets (RFC 1939 §7).
pub const MAX_UIDL: usize = 70;
/// Longest format of unique-ids, in octets: enough for every one of Dovecot's with text around it.
pub const MAX_UIDL_FORMAT: usize = 64;
/// Lines of a listing that are made before the output is sent on.
pub const LISTING_LINES: usize = 1_000;
