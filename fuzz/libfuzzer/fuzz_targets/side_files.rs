//! libFuzzer entry of the target `side_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::side_files(data));
