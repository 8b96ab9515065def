//! How far each name has come; kept on disk, so that a restart neither orders again nor forgets to wait.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the file.
const SCHEMA: u32 = 1;

/// All names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Log {
    schema: u32,
    pub(crate) names: BTreeMap<String, Progress>,
}

impl Default for Log {
    fn default() -> Self {
        Self { schema: SCHEMA, names: BTreeMap::new() }
    }
}

impl Log {
    /// What cannot be read, or is of a version to come, is as good as none: all it can cost is an order more.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).ok().filter(|log: &Self| log.schema == SCHEMA).unwrap_or_default()
    }
}

/// One name. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// Failures since the last success.
    pub(crate) failures: u32,
    /// When it was tried last.
    pub(crate) last_try: Option<u64>,
    /// The authority does not want to hear of it before.
    pub(crate) not_before: Option<u64>,
    /// What went wrong at the last try.
    pub(crate) error: Option<String>,
    /// And what mends it.
    pub(crate) fix: Option<String>,
    /// It failed for a name that DNS does not have.
    pub(crate) waits_for_dns: bool,
    /// An order that was begun: what it costs is not lost with a process that ends in the middle.
    pub(crate) order: Option<String>,
    /// When the authority suggests to renew.
    pub(crate) window: Option<(u64, u64)>,
    /// When to ask again for that.
    pub(crate) ask_window: Option<u64>,
    /// Drawn once for each certificate.
    pub(crate) jitter: f64,
    /// Whether this machine trusts the authority of the certificate.
    pub(crate) is_trusted: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_makes_no_sense_is_none() {
        let mut log = Log::default();
        let progress =
            Progress { failures: 3, order: Some("https://ca/1".to_owned()), ..Progress::default() };
        log.names.insert("mail.example.org".to_owned(), progress);
        let text = serde_json::to_string(&log).unwrap_or_default();
        assert_eq!(Log::read(&text).names, log.names);
        for bad in ["", "{", "[]", &text.replace("\"schema\":1", "\"schema\":2")] {
            assert!(Log::read(bad).names.is_empty(), "{bad}");
        }
    }
}
