//! Fuzzes `cutover::internals::fuzzing::http_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::http_request(data);
});
