//! libFuzzer entry of the target `regexp_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::regexp_table(data));
