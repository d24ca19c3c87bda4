//! Fuzzes `cutover::internals::fuzzing::json_lines`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::json_lines(data);
});
