//! libFuzzer entry of the target `seven_bit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::seven_bit(data));
