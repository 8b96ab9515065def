//! The words of mail: domain, address, paths, envelope, header, MIME tree, trace fields, DSN text.

pub mod address;
pub mod date;
pub mod domain;
pub mod envelope;
pub mod id;
pub mod path;
pub mod trace;
