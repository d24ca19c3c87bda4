//! Fuzzes `cutover::internals::fuzzing::key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::key(data);
});
