#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dantok_fuzz::websocket(bytes));
