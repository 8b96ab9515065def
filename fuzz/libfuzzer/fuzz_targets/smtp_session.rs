//! libFuzzer entry of the target `smtp_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::smtp_session(data));
