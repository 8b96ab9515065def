//! libFuzzer entry of the target `transport`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::transport(data));
