//! libFuzzer entry of the target `pop3_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::pop3_session(data));
