//! libFuzzer entry of the target `smtp_client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::smtp_client(data));
