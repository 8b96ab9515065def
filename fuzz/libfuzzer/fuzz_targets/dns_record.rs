//! libFuzzer entry of the target `dns_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::dns_record(data));
