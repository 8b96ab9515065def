//! Tells the service manager that the server lives, for as long as its tasks are served.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Feeds the watchdog for ever, where the service manager has one for this process (`WatchdogSec=`).
pub(super) async fn feed() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let say = || {
        if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
            warn!(%error, "cannot tell the service manager that the server lives");
        }
    };
    every(limit / 3, say).await;
}

/// A task among the others, not a thread of its own: where the runtime serves nobody any more it is not served either,
/// and the silence is what has the server started anew. Three times within the limit, so that a busy moment is none.
async fn every(pause: Duration, say: impl Fn()) {
    loop {
        say();
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::mpsc;
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_runtime_that_hangs_falls_silent_and_one_that_serves_its_tasks_does_not() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let said = Arc::new(AtomicUsize::new(0));
        let (pause, count) = (Duration::from_millis(10), said.clone());
        runtime.spawn(every(pause, move || {
            count.fetch_add(1, Relaxed);
        }));
        let grows = || {
            let before = said.load(Relaxed);
            sleep(30 * pause);
            said.load(Relaxed) > before
        };
        assert!(grows());
        // All who serve tasks wait for what does not come.
        let (begun, have_begun) = mpsc::channel();
        let (locks, waiters): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel::<()>()).unzip();
        for waiter in waiters {
            let begun = begun.clone();
            runtime.spawn(async move {
                begun.send(()).unwrap();
                waiter.recv().unwrap_err();
            });
        }
        (0..2).for_each(|_| have_begun.recv().unwrap());
        assert!(!grows());
        drop(locks);
        assert!(grows());
    }
}
