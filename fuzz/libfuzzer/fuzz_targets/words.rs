//! libFuzzer entry of the target `words`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::words(data));
