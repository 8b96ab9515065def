//! libFuzzer entry of the target `dmarc_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::dmarc_record(data));
