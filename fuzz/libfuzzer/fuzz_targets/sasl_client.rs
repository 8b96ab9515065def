//! libFuzzer entry of the target `sasl_client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::sasl_client(data));
