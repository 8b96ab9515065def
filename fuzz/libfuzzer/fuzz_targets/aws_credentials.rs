//! libFuzzer entry of the target `aws_credentials`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::aws_credentials(data));
