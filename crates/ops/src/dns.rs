//! DNS for an operator: the records to publish in many forms, whether they are there, and putting them there.

mod apply;
mod check;
mod forms;
mod gather;
mod journal;
mod judge;
mod merge;
mod providers;
mod report;
mod rfc2136;
mod route53;
mod spf;

pub use self::apply::{ApplyError, Draft, Refused, carry_out, draft, spare_spf};
pub use self::check::{DEADLINE, Look, check};
pub use self::forms::{FORMS, Form, json, paste, table, zone_file};
pub use self::journal::{Journal, JournalError, Made};
pub use self::providers::Provider;
pub use self::report::{Finding, Report, State};
pub use self::rfc2136::Rfc2136;
pub use self::route53::{Route53, read_sets};
