//! libFuzzer entry of the target `virtual_aliases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::virtual_aliases(data));
