//! libFuzzer entry of the target `mime`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::mime(data));
