//! HTTP: client configuration, MTA-STS policies, the answers to certificate challenges, and the way to HTTPS.

mod answer;
mod clients;
mod connection;
mod names;
mod plain;
mod site;

pub use self::clients::Servers;
pub use self::names::{HostedSite, Names};
pub use self::plain::Plain;
pub use self::site::Site;

/// Parses for the fuzzer what comes from strangers.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::clients::address_in_query;
    pub use crate::clients::outlook::requested_address;
    pub use crate::names::host_of;
}
