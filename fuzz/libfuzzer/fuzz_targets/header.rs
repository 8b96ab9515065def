//! libFuzzer entry of the target `header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::header(data));
