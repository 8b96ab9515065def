//! libFuzzer entry of the target `arc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::arc(data));
