//! strace on a running server: which system calls it makes, a kill at any of them, a sync that only pretends.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::trace::{CALLS, Call, Trace};
use crate::harness::{program, wait_until};

/// How long attaching may take on a busy machine.
const ATTACH: Duration = Duration::from_secs(20);

/// Calls that only wait, or only move memory: a kill there is a kill at the call before.
const IDLE: &str = "futex,epoll_wait,epoll_pwait,restart_syscall,sched_yield,nanosleep,clock_nanosleep,\
                    mmap,munmap,mremap,mprotect,madvise,brk,rt_sigprocmask,rt_sigreturn,sigaltstack,\
                    membarrier,rseq,set_robust_list,gettid,exit,clone3,prctl,sched_getaffinity";

/// One call of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// The thread's place among those of the process, by age: the same after every start.
    pub(super) thread: usize,
    pub(super) call: String,
    /// Which call of this name the thread makes, from 1.
    pub(super) number: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of thread {}", self.call, self.number, self.thread)
    }
}

/// A strace that holds on to a process until this is dropped.
pub(super) struct Strace(Child);

impl Strace {
    /// Attaches to all threads of a process; `arguments` say what to do with them.
    pub(super) fn attach(process: u32, arguments: &[&str]) -> Self {
        let this = Self::start(process, &[&["-f"], arguments].concat());
        for thread in threads(process) {
            wait_for(thread);
        }
        this
    }

    /// Writes down what all threads of a process do to the disk and say to others.
    pub(super) fn watch(process: u32, log: &Path, inject: &[&str]) -> Self {
        let trace = format!("trace={CALLS}");
        let output = log.to_str().expect("a path in UTF-8");
        let arguments = ["-ttt", "-yy", "-x", "-s", "65536", "-o", output, "-e", trace.as_str()];
        Self::attach(process, &[&arguments, inject].concat())
    }

    /// Kills the process when one of its threads begins a certain call; `None` where it has no such thread now.
    pub(super) fn kill_at(process: u32, point: &Point) -> Option<Self> {
        let thread = *threads(process).get(point.thread)?;
        let (call, number) = (&point.call, point.number);
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={number}"));
        let this = Self::start(thread, &["-e", &trace, "-e", &inject]);
        wait_for(thread);
        Some(this)
    }

    fn start(target: u32, arguments: &[&str]) -> Self {
        let mut command = program("strace");
        command.args(["-qq", "-p"]).arg(target.to_string()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Lets go, and waits until everything is written down.
    pub(super) fn detach(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.0.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            self.end();
        }
    }
}

/// Waits until a thread is in the hands of a tracer, or has died of it already.
fn wait_for(thread: u32) {
    let status = format!("/proc/{thread}/status");
    wait_until("strace to hold on to a thread", ATTACH, || {
        let Ok(status) = fs::read_to_string(&status) else { return Some(()) };
        let is_dead = status.contains("State:\tZ") || status.contains("State:\tX");
        (is_dead || !status.contains("TracerPid:\t0\n")).then_some(())
    });
}

/// The threads of a process, oldest first.
fn threads(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads: Vec<u32> =
        tasks.filter_map(|task| task.unwrap().file_name().to_str()?.parse().ok()).collect();
    threads.sort_unstable();
    threads
}

/// What a process did while it was observed.
pub(super) struct Observation {
    /// Every call that matters, those included that were under way at the beginning or at the end.
    pub(super) points: Vec<Point>,
    /// How many strace counted (`-C`): those that ended.
    pub(super) counted: usize,
}

/// Observes a process while `action` runs. What is enumerated is what strace counts, or this panics with the reason.
pub(super) fn observe(process: u32, log: &Path, action: impl FnOnce()) -> Observation {
    let output = log.to_str().expect("a path in UTF-8");
    let filter = format!("trace=!{IDLE}");
    let strace = Strace::attach(process, &["-C", "-ttt", "-o", output, "-e", &filter]);
    let known = threads(process);
    action();
    strace.detach();
    let text = fs::read_to_string(log).unwrap();
    let (trace, counted) = (Trace::parse(&text), counted(&text));
    assert_eq!(trace.ended(), counted, "calls read from the log, and calls that strace counted:\n{text}");
    Observation { points: points(&trace, &known), counted }
}

/// Each call of each thread. A thread that was not there at the beginning would have no place at the next start.
fn points(trace: &Trace, threads: &[u32]) -> Vec<Point> {
    let mut numbers: HashMap<(usize, &str), usize> = HashMap::new();
    let place = |call: &Call| {
        let place = threads.iter().position(|known| *known == call.thread);
        place.unwrap_or_else(|| panic!("a thread was born meanwhile and made {call:?}"))
    };
    let mut all = Vec::with_capacity(trace.calls.len());
    for call in &trace.calls {
        let thread = place(call);
        let number = numbers.entry((thread, call.name.as_str())).or_default();
        *number += 1;
        all.push(Point { thread, call: call.name.clone(), number: *number });
    }
    all
}

/// The number of calls in the summary that `-C` appends: the line that ends in `total`.
fn counted(log: &str) -> usize {
    let total = log.lines().rev().find(|line| line.trim_end().ends_with("total"));
    let total = total.unwrap_or_else(|| panic!("strace wrote no summary:\n{log}"));
    // Percent, seconds and microseconds come first, the number of errors last where there were any.
    let numbers: Vec<usize> = total.split_whitespace().skip(2).filter_map(|word| word.parse().ok()).collect();
    *numbers.get(1).unwrap_or_else(|| panic!("no number of calls in {total:?}"))
}

#[test]
fn calls_are_counted_thread_by_thread() {
    let log = "10 1.000001 write(2, \"x\", 1) = 1\n11 1.000002 fsync(5 <unfinished ...>\n10 1.000003 write(2, \"y\", 1) = 1\n\
               11 1.000004 <... fsync resumed>) = 0\n11 1.000005 fsync(6) = 0\n10 1.000006 read(3,  <unfinished ...>\n\
               % time     seconds  usecs/call     calls    errors syscall\n\
               ------ ----------- ----------- --------- --------- ----------------\n\
               100.00    0.003154           5         4         1 total\n";
    let trace = Trace::parse(log);
    let found: Vec<String> =
        points(&trace, &[10, 11]).iter().map(|p| format!("{} {} {}", p.thread, p.call, p.number)).collect();
    assert_eq!(found, ["0 write 1", "1 fsync 1", "0 write 2", "1 fsync 2", "0 read 1"]);
    assert_eq!((trace.ended(), counted(log)), (4, 4));
}
