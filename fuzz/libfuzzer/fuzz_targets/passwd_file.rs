//! libFuzzer entry of the target `passwd_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::passwd_file(data));
