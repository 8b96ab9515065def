//! libFuzzer entry of the target `milter_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::milter_session(data));
