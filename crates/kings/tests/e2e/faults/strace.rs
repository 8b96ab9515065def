//! strace on a running server: which system calls it makes, a kill at any of them, a sync that only pretends.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::trace::CALLS;
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

    /// Kills the process when one of its threads begins a certain call.
    pub(super) fn kill_at(process: u32, point: &Point) -> Self {
        let thread = threads(process)[point.thread];
        let (call, number) = (&point.call, point.number);
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={number}"));
        let this = Self::start(thread, &["-e", &trace, "-e", &inject]);
        wait_for(thread);
        this
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

/// Every call that matters which the process makes while `action` runs; and how many strace itself counted.
pub(super) fn observe(process: u32, log: &Path, action: impl FnOnce()) -> (Vec<Point>, usize) {
    let output = log.to_str().expect("a path in UTF-8");
    let filter = format!("trace=!{IDLE}");
    let strace = Strace::attach(process, &["-C", "-o", output, "-e", &filter]);
    let known = threads(process);
    action();
    strace.detach();
    let text = fs::read_to_string(log).unwrap();
    (points(&text, &known), counted(&text))
}

/// Reads lines such as `4711 fsync(12) = 0`; the second half of an interrupted line names no new call.
fn points(log: &str, threads: &[u32]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some(thread) =
            thread.parse::<u32>().ok().and_then(|id| threads.iter().position(|known| *known == id))
        else {
            continue;
        };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.is_empty() || !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let number = points.iter().filter(|point| point.thread == thread && point.call == call).count() + 1;
        points.push(Point { thread, call: call.to_owned(), number });
    }
    points
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
    let log = "10 write(2, \"x\", 1) = 1\n11 fsync(5 <unfinished ...>\n10 write(2, \"y\", 1) = 1\n\
               11 <... fsync resumed>) = 0\n11 fsync(6) = 0\n% time     seconds  usecs/call     calls    errors syscall\n\
               ------ ----------- ----------- --------- --------- ----------------\n\
               100.00    0.003154           5         4         1 total\n";
    let found: Vec<String> =
        points(log, &[10, 11]).iter().map(|p| format!("{} {} {}", p.thread, p.call, p.number)).collect();
    assert_eq!(found, ["0 write 1", "1 fsync 1", "0 write 2", "1 fsync 2"]);
    assert_eq!(counted(log), 4);
}
