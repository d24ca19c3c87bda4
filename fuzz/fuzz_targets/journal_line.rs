//! Fuzzes `cutover::internals::fuzzing::journal_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::journal_line(data);
});
