//! libFuzzer entry of the target `header_checks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::header_checks(data));
