#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| middlebox_fuzz::format("pan-os-xml", text));
