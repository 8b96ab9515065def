//! Why nothing was fetched.

use std::io;

use crate::url::BadUrl;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The host has no address, or DNS does not tell.
    #[error("cannot look up {host}: {cause}")]
    Lookup {
        /// The host of the address.
        host: String,
        /// In the words of DNS.
        cause: kings_net::DnsError,
    },
    /// Every address of the host is one that no public server has.
    #[error("{0} has no public address")]
    Private(String),
    /// Nobody answers there.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// The host of the address.
        host: String,
        /// From the last address tried.
        cause: io::Error,
    },
    /// The certificate is not good for the host, or TLS does not work at all.
    #[error("TLS with {host} failed: {cause}")]
    Tls {
        /// The host of the address.
        host: String,
        /// What the TLS library found.
        cause: io::Error,
    },
    /// What came back is not HTTP, or ended in the middle.
    #[error("HTTP with {host} failed: {cause}")]
    Http {
        /// The host of the address.
        host: String,
        /// What the HTTP library found.
        cause: String,
    },
    /// The body is larger than the request allows.
    #[error("the answer is larger than {0} octets")]
    TooLarge(usize),
    /// The deadline of the request has passed.
    #[error("no answer in time")]
    TimedOut,
    /// A redirect leads to something that is not an HTTPS address.
    #[error("a redirect leads to {location:?}: {cause}")]
    BadRedirect {
        /// The field as sent.
        location: String,
        /// What is wrong with it.
        cause: BadUrl,
    },
    /// A header field of the request cannot be sent.
    #[error("the request cannot be sent: {0}")]
    BadRequest(String),
}
