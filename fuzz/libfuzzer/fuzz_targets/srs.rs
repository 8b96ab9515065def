//! libFuzzer entry of the target `srs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::srs(data));
