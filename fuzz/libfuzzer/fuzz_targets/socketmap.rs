//! libFuzzer entry of the target `socketmap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::socketmap(data));
