//! libFuzzer entry of the target `dkim_signature`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::dkim_signature(data));
