#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| middlebox_fuzz::run("websocket", input));
