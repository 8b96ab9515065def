//! Message authentication: ARC, DKIM, SPF, DMARC, reverse names, lists in DNS, reports, and the policies of MTA-STS. No
//! IO but through `trait Dns`.

pub mod arc;
pub mod dkim;
pub mod dmarc;
pub mod dns_list;
pub mod iprev;
pub mod mta_sts;
pub mod reports;
pub mod results;
pub mod spf;
mod together;
