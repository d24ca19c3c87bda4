//! Fuzzes `cutover::fuzzing::current`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::current(data);
});
