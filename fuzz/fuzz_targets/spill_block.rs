//! Fuzzes `cutover::internals::fuzzing::spill_block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::internals::fuzzing::spill_block(data);
});
