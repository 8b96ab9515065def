//! The questions mail asks of DNS, the records a domain needs, and who can put them there. No IO.

pub mod plan;
mod provider;
mod question;
mod record;
mod shelf;
mod text;
mod zone;

pub use provider::{
    Change, DnsProvider, Listing, Opaque, ProviderError, Ticket, add_txt, changed_txt, remove_txt,
    zone_served,
};
pub use question::{Answer, Dns, DnsError, Mx, Tlsa};
pub use record::{Caa, Data, Kind, MAX_STRING, RecordSet, Srv, Txt};
pub use shelf::Shelf;
pub use text::BadData;
pub use zone::Zone;
