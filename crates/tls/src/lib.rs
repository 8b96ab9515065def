//! Certificates: load, reload, self-signed, and the rustls settings of servers and clients.

pub mod acme;
mod certificates;
mod client;
mod client_auth;
mod dane;
mod described;
mod end_point;
mod names;
mod proof;
mod self_signed;
mod sessions;
mod verifier;

pub use crate::certificates::{CertificateError, Certificates, Pair, Source};
pub use crate::client::{Authorities, ClientTls, Trust};
pub use crate::client_auth::ClientAuthorities;
pub use crate::dane::Dane;
pub use crate::described::{Described, tlsa_of_key};
pub use crate::end_point::end_point;
pub use crate::names::{ClientCertificate, names_of_client};
pub use crate::proof::{NotProven, Proven, prove};
pub use crate::verifier::Observed;
