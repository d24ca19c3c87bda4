//! Fuzzes `cutover::internals::fuzzing::job`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::job(data);
});
