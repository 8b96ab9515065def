//! libFuzzer entry of the target `proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::proxy_header(data));
