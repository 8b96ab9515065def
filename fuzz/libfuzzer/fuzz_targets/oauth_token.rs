//! libFuzzer entry of the target `oauth_token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::oauth_token(data));
