//! libFuzzer entry of the target `imap_thread`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::imap_thread(data));
