//! Fuzzes `cutover::internals::fuzzing::parquet_footer`. The decoder may panic: that is contained, as in the command.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        cutover::internals::catch_panic::install_hook();
    },
    |data: &[u8]| {
        cutover::internals::fuzzing::parquet_footer(data);
    }
);
