//! Faults at every point: a kill at each system call, and a disk that loses what was not synced.

mod every_call;
mod power_cut;
mod strace;
mod sweep;
