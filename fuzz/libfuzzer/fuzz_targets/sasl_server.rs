//! libFuzzer entry of the target `sasl_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::sasl_server(data));
