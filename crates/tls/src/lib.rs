//! Certificates: load, reload, self-signed, and the rustls settings of servers and clients.

mod certificates;
mod client;
mod self_signed;

pub use crate::certificates::{CertificateError, Certificates, Source};
pub use crate::client::{ClientTls, Trust};
