//! Fuzzes `cutover::fuzzing::parquet_footer`. The decoder may panic: that is contained, as in the command.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        cutover::catch_panic::install_hook();
    },
    |data: &[u8]| {
        cutover::fuzzing::parquet_footer(data);
    }
);
