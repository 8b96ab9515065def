//! libFuzzer entry of the target `policy_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kings_fuzz::targets::policy_answer(data));
