//! DNS for an operator: the records to publish in many forms, whether they are there, and putting them there.

mod check;
mod forms;
mod gather;
mod judge;
mod merge;
mod report;
mod spf;

pub use self::check::{Look, check};
pub use self::forms::{FORMS, Form, json, paste, table, zone_file};
pub use self::report::{Finding, Report, State};
