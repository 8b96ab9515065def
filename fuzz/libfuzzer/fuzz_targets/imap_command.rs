//! libFuzzer entry of the target `imap_command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::imap_command(data));
