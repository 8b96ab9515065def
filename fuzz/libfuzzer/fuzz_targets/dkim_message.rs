//! libFuzzer entry of the target `dkim_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::dkim_message(data));
