//! libFuzzer entry of the target `acl_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::acl_file(data));
