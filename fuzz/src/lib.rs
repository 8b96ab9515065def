//! Fuzz targets as plain functions, with what a runner needs to feed them: seeds, dictionaries, a mutator.
//!
//! A target takes any bytes and asserts what must hold for all of them; a panic is a finding. The same
//! functions serve the runner for the stable compiler (`main.rs`) and cargo-fuzz (`libfuzzer/`).

pub mod dictionary;
pub mod mutate;
pub mod seeds;
pub mod targets;
