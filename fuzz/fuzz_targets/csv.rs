//! Fuzzes `cutover::fuzzing::csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::csv(data);
});
