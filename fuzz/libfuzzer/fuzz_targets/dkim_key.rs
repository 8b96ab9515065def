//! libFuzzer entry of the target `dkim_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::dkim_key(data));
