//! Fuzzes `cutover::fuzzing::parquet_footer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cutover::fuzzing::parquet_footer(data);
});
