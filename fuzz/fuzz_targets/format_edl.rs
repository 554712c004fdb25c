#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| middlebox_fuzz::format("edl", text));
