//! libFuzzer entry of the target `imap_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::imap_session(data));
