//! The questions mail asks of DNS, and an in-memory zone to answer them in tests. No IO.

mod question;
mod zone;

pub use question::{Answer, Dns, DnsError, Mx, Tlsa};
pub use zone::Zone;
