//! libFuzzer entry of the target `http_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::http_response(data));
