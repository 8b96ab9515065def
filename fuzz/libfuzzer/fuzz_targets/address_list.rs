//! libFuzzer entry of the target `address_list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::address_list(data));
