//! Fuzzes `cutover::fuzzing::key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::key(data);
});
