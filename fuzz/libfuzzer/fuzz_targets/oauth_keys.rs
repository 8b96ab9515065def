//! libFuzzer entry of the target `oauth_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::oauth_keys(data));
