//! libFuzzer entry of the target `http_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::http_request(data));
