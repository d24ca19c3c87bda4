//! Fuzzes `cutover::internals::fuzzing::scan_pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::scan_pattern(data);
});
