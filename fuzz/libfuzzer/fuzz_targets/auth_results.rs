//! libFuzzer entry of the target `auth_results`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::auth_results(data));
