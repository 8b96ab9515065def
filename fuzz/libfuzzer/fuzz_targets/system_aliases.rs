//! libFuzzer entry of the target `system_aliases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::system_aliases(data));
