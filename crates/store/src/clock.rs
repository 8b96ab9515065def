//! The wall clock in whole seconds, as file times have it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 for a clock before that.
pub(crate) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
