//! libFuzzer entry of the target `opendkim_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::opendkim_conf(data));
