//! libFuzzer entry of the target `spf_check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::spf_check(data));
