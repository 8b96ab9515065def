//! libFuzzer entry of the target `queue_entry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::queue_entry(data));
