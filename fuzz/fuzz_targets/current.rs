//! Fuzzes `cutover::internals::fuzzing::current`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::current(data);
});
