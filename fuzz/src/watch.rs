//! Watches the running input from a second thread: processor time and memory, which no panic reports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Processor time one input may take. Counted in time spent, not time passed: a busy machine is no hang.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(1);
/// Memory the whole process may hold, in kilobytes. Sixty times over what the longest input needs.
pub(crate) const MAX_MEMORY_KB: u64 = 256 * 1024;

/// How often the watcher looks. Touching 256 MB takes longer than this.
const PERIOD: Duration = Duration::from_millis(5);

/// The input that runs now, shared with the watcher.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<Current>>);

#[derive(Default)]
struct Current {
    number: u64,
    target: &'static str,
    input: Vec<u8>,
}

/// What the watcher found, with the input that was running.
pub(crate) struct Finding {
    /// For people.
    pub(crate) what: &'static str,
    /// Name of the target.
    pub(crate) target: &'static str,
    /// To be saved.
    pub(crate) input: Vec<u8>,
}

impl Running {
    /// Says that `target` works on `input` from now on.
    pub(crate) fn start(&self, target: &'static str, input: &[u8]) {
        let mut current = self.lock();
        current.number += 1;
        current.target = target;
        current.input.clear();
        current.input.extend_from_slice(input);
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the watcher; `found` is called on its thread and is not expected to return.
    pub(crate) fn watch(&self, found: impl Fn(Finding) + Send + 'static) {
        let running = self.clone();
        std::thread::spawn(move || {
            let mut last = (0, Duration::ZERO);
            loop {
                std::thread::sleep(PERIOD);
                let (number, spent) = (running.lock().number, processor_time());
                if number != last.0 {
                    last = (number, spent);
                }
                let excess = if resident_kb() > MAX_MEMORY_KB {
                    Some("more than 256 MB of memory")
                } else {
                    (spent.saturating_sub(last.1) > MAX_TIME).then_some("more than a second")
                };
                if let Some(what) = excess {
                    let Current { target, input, .. } = &*running.lock();
                    found(Finding { what, target, input: input.clone() });
                }
            }
        });
    }
}

/// Time this process has run, in steps of 10 ms: fields 14 and 15 of `/proc/self/stat`, in ticks of
/// 1/100 s on every Linux. Elsewhere zero: no hang is found there.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Memory in use now, in kilobytes; zero where there is no `/proc`.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_itself_can_be_measured() {
        assert!(resident_kb() > 0 || !cfg!(target_os = "linux"));
        assert!(processor_time() < Duration::from_hours(1));
    }

    #[test]
    fn the_running_input_is_what_was_started_last() {
        let running = Running::default();
        running.start("mime", b"one");
        running.start("mime", b"two");
        let current = running.lock();
        assert_eq!((current.number, &current.input[..]), (2, &b"two"[..]));
    }
}
