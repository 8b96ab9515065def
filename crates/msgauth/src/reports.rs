//! Reports that domains ask for, written and read: DMARC's about mail, TLS-RPT's about connections.

pub mod aggregate;
pub mod archive;
pub mod tls;
