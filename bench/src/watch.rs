//! What processes cost: processor time from start to stop, and the most memory they shared among them meanwhile.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at the memory.
const INTERVAL: Duration = Duration::from_millis(50);
/// Linux counts processor time in hundredths of a second for everybody who asks.
const TICK: Duration = Duration::from_millis(10);

/// Watches some processes from [`Watch::start`] to [`Watch::stop`].
pub(crate) struct Watch {
    processes: Vec<u32>,
    before: Duration,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sampler: JoinHandle<()>,
}

/// What they cost.
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    /// The highest sum of proportional set sizes.
    pub(crate) peak_pss_kb: u64,
}

impl Watch {
    pub(crate) fn start(processes: &[u32]) -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, told, watched) = (peak.clone(), stop.clone(), processes.to_vec());
        let sampler = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                seen.fetch_max(watched.iter().map(|id| pss(*id)).sum(), Ordering::Relaxed);
                std::thread::sleep(INTERVAL);
            }
        });
        Self { processes: processes.to_vec(), before: cpu_of(processes), peak, stop, sampler }
    }

    pub(crate) fn stop(self) -> Cost {
        let cpu = cpu_of(&self.processes).saturating_sub(self.before);
        self.stop.store(true, Ordering::Relaxed);
        // A sampler that panicked leaves the peak it had seen.
        let _ = self.sampler.join();
        Cost { cpu, peak_pss_kb: self.peak.load(Ordering::Relaxed) }
    }
}

fn cpu_of(processes: &[u32]) -> Duration {
    processes.iter().map(|id| cpu(*id)).sum()
}

/// User and system time of a process; zero when it is gone. The fields count from behind the name, which may hold
/// spaces (proc_pid_stat(5)).
fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<u32> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    fields.iter().map(|ticks| TICK * *ticks).sum()
}

fn pss(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
