//! Faults at every point: a kill at each system call, and a disk that loses what was not synced.

mod every_call;
mod image;
mod judge;
mod mutants;
mod next_hop;
mod power_cut;
mod scene;
mod strace;
mod sweep;
mod trace;
