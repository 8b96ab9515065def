//! What time it is, and since when the wall clock can be believed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Reads the wall clock; the real one is `SystemTime::now`.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How far the wall clock may stray from the monotonic one before it counts as set anew: a slewing time
/// daemon stays far below, a wrong zone or a dead battery far above.
const MAX_STRAY: Duration = Duration::from_mins(10);

/// One look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds since 1970 by the wall clock: for dates that are shown or kept.
    pub(crate) wall: u64,
    /// The wall clock has run evenly since it showed this: start of the process, or its last jump.
    pub(crate) steady_since: u64,
    /// Milliseconds since the queue was opened: for waiting; never jumps.
    pub(crate) uptime: u64,
}

/// The wall clock and the monotonic clock side by side.
pub(crate) struct Clock {
    wall: WallClock,
    started: Instant,
    anchor: Mutex<Anchor>,
}

/// A moment read on both clocks, from which the wall clock ought to run on evenly.
struct Anchor {
    wall: Duration,
    monotonic: Instant,
}

impl Clock {
    pub(crate) fn new(wall: WallClock) -> Self {
        let started = Instant::now();
        let anchor = Mutex::new(Anchor { wall: since_1970(&wall), monotonic: started });
        Self { wall, started, anchor }
    }

    pub(crate) fn now(&self) -> Moment {
        let (wall, monotonic) = (since_1970(&self.wall), Instant::now());
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = anchor.wall.saturating_add(monotonic.duration_since(anchor.monotonic));
        if wall.abs_diff(expected) > MAX_STRAY {
            *anchor = Anchor { wall, monotonic };
        }
        let uptime = monotonic.duration_since(self.started).as_millis();
        Moment {
            wall: wall.as_secs(),
            steady_since: anchor.wall.as_secs(),
            uptime: u64::try_from(uptime).unwrap_or(u64::MAX),
        }
    }

    /// The instant of an uptime in milliseconds.
    pub(crate) fn instant(&self, uptime: u64) -> Instant {
        self.started + Duration::from_millis(uptime)
    }
}

fn since_1970(wall: &WallClock) -> Duration {
    wall().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_the_wall_clock_is_noticed_and_even_running_is_not() {
        let seconds = Arc::new(AtomicU64::new(1_000_000));
        let shown = Arc::clone(&seconds);
        let clock =
            Clock::new(Arc::new(move || UNIX_EPOCH + Duration::from_secs(shown.load(Ordering::Relaxed))));
        tokio::time::advance(Duration::from_hours(1)).await;
        seconds.store(1_003_600, Ordering::Relaxed);
        let even = Moment { wall: 1_003_600, steady_since: 1_000_000, uptime: 3_600_000 };
        assert_eq!(clock.now(), even);
        for jumped in [50_000_000, 5] {
            seconds.store(jumped, Ordering::Relaxed);
            assert_eq!(clock.now(), Moment { wall: jumped, steady_since: jumped, ..even });
        }
    }
}
