//! Facts worth remembering, none worth losing mail for: trace, data of reports, reports of others, MTA-STS
//! cache, known senders.
//!
//! One SQLite file in WAL mode. Everything that is noted goes through a bounded queue to one writer thread, so that
//! no mail ever waits for it; when the thread is behind, notes are dropped and counted.

mod acquaintance;
mod database;
mod judged;
mod received_report;
mod records;
mod sts;
mod tls_result;
mod trace;
mod writer;

pub use crate::acquaintance::{Acquaintance, Key, MAX_OF_A_KIND, MEMORY, Seen};
pub use crate::judged::{Judged, Kind, MAX_KINDS, ReportDay, ReportKind};
pub use crate::received_report::{MAX_CONTENT, OMITTED, PROVEN, ReceivedReport};
pub use crate::records::{Records, RecordsError, Settings, reader};
pub use crate::sts::StsEntry;
pub use crate::tls_result::{DayOfResults, TlsFailure, TlsPolicy, TlsResult};
pub use crate::trace::{Event, Query, Step};
