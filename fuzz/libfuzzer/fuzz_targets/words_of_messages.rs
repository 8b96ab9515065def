//! libFuzzer entry of the target `words_of_messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::words_of_messages(data));
