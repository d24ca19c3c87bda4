//! Fuzzes `cutover::fuzzing::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::record(data);
});
