//! libFuzzer entry of the target `opendkim_tables`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::opendkim_tables(data));
