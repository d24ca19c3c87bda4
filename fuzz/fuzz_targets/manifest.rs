//! Fuzzes `cutover::fuzzing::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::manifest(data);
});
