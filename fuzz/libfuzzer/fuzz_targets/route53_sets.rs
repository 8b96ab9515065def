//! libFuzzer entry of the target `route53_sets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::route53_sets(data));
