//! libFuzzer entry of the target `dmarc_report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::dmarc_report(data));
