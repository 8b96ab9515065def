//! libFuzzer entry of the target `mta_sts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::mta_sts(data));
