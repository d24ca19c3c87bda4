//! Fuzzes `cutover::fuzzing::spill_block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::spill_block(data);
});
