//! Message authentication: so far the policies of MTA-STS. No IO.

pub mod mta_sts;
