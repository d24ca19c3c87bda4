//! Fuzzes `cutover::internals::fuzzing::resp_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::resp_request(data);
});
