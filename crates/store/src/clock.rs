//! The wall clock: in whole seconds, as file times have it, and in microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 for a clock before that.
pub(crate) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Microseconds since 1970; 0 for a clock before that.
pub(crate) fn unix_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
