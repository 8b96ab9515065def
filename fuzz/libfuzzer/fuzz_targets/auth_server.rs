//! libFuzzer entry of the target `auth_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::auth_server(data));
