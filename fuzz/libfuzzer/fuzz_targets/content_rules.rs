//! libFuzzer entry of the target `content_rules`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::content_rules(data));
