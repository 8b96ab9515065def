//! Sockets: accept loop, limits per peer, PROXY header, TLS handshakes, the real resolver, shutdown.

pub mod authority;
mod listener;
mod memory;
mod own;
mod place;
mod proxy;
mod rate;
mod reach;
mod resolver;
mod slots;
mod stream;
mod trial;

pub use crate::listener::{Connection, Endpoint, Guard, Listener, Service};
pub use crate::memory::{Memory, Room};
pub use crate::own::{is_own, public_addresses};
pub use crate::place::{Access, BadPlace, BindError, Bound, Place, bind};
pub use crate::rate::{Buckets, Rate};
pub use crate::reach::is_public;
pub use crate::resolver::{Resolver, ResolverError, ResolverSettings};
pub use crate::slots::Slots;
pub use crate::stream::{Stream, TlsFacts, receive};
pub use crate::trial::{Proxied, try_proxy_header};
pub use ipnet::IpNet;
pub use kings_dns::DnsError;
pub use tokio_util::sync::CancellationToken as Shutdown;
pub use tokio_util::task::TaskTracker;
