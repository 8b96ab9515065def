//! Message authentication: DKIM signatures, SPF and the policies of MTA-STS. No IO but through `trait Dns`.

pub mod dkim;
pub mod mta_sts;
pub mod spf;
