//! libFuzzer entry of the target `smtp_command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::smtp_command(data));
