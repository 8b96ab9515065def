//! libFuzzer entry of the target `spf_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::spf_record(data));
