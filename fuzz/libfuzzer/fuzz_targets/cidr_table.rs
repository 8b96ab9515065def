//! libFuzzer entry of the target `cidr_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::cidr_table(data));
