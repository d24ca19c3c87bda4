//! Fuzzes `cutover::fuzzing::job`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::job(data);
});
