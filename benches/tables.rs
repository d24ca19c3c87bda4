//! RocksDB's own rate: sorted entries in memory, written by its `SstFileWriter` and nothing else.
//!
//! ```text
//! cargo bench --profile release --bench tables -- DIRECTORY ROWS VALUE_BYTES THREADS
//! ```
//!
//! Prints `{"seconds": 1.5, "bytes": 4080000000}`: from the first entry to the last table's sync, and the bytes of keys
//! and values. Tables are as a job's with defaults (LZ4, filter of 10 bits, blocks of 16 KiB, 64 MiB each), one per
//! thread at a time. Values are random, so that no codec compresses them; they are generated before the clock starts.
//!
//! Not for: the other work of a job (benches/stages.rs). `benches/compare` runs it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cutover::error::{Error, Result};
use cutover::format::Tables;
use cutover::internals::build::silent;
use rayon::prelude::*;
use rocksdb::{BlockBasedOptions, ChecksumType, DBCompressionType, Options, SstFileWriter};

/// Random bytes that values are taken from, at an offset that advances with every value.
const RANDOM_BYTES: usize = 64 << 20;
/// A step between values that is not a multiple of a block or a page.
const STEP: usize = 4099;
const KEY_BYTES: u64 = 8;

fn main() -> ExitCode {
    // `cargo bench` appends this argument for every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let written = match arguments.as_slice() {
        [directory, rows, value_bytes, threads] => match (rows.parse(), value_bytes.parse(), threads.parse()) {
            (Ok(rows), Ok(value_bytes), Ok(threads)) => write(Path::new(directory), rows, value_bytes, threads),
            _ => Err(Error::invalid("rows, bytes and threads are whole numbers")),
        },
        // Run with all other benchmarks: this one measures nothing.
        [] => return ExitCode::SUCCESS,
        _ => Err(Error::invalid("give it DIRECTORY ROWS VALUE_BYTES THREADS")),
    };
    match written {
        Ok((seconds, bytes)) => {
            println!(r#"{{"seconds": {seconds}, "bytes": {bytes}}}"#);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tables: {}", error.chain().join(": "));
            ExitCode::FAILURE
        }
    }
}

/// Writes all tables and returns the seconds and the bytes of entries.
fn write(directory: &Path, rows: u64, value_bytes: usize, threads: usize) -> Result<(f64, u64)> {
    if value_bytes > RANDOM_BYTES {
        return Err(Error::invalid(format!("a value has at most {RANDOM_BYTES} bytes")));
    }
    let random = random();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Error::unavailable("cannot start threads").because(error))?;
    let entry_bytes = KEY_BYTES + value_bytes as u64;
    let per_table = (Tables::default().file_size / entry_bytes).max(1);
    let options = options();
    let start = Instant::now();
    pool.install(|| {
        (0..rows.div_ceil(per_table)).into_par_iter().try_for_each(|table| {
            let path = directory.join(format!("{table:06}.sst"));
            let failed = |error| Error::unavailable(format!("cannot write {}", path.display())).because(error);
            let mut writer = SstFileWriter::create(&options);
            writer.open(&path).map_err(failed)?;
            for row in table * per_table..rows.min((table + 1) * per_table) {
                let at = row as usize * STEP % (RANDOM_BYTES - value_bytes + 1);
                writer.put(row.to_be_bytes(), &random[at..at + value_bytes]).map_err(failed)?;
            }
            // This syncs the file.
            writer.finish().map_err(failed)
        })
    })?;
    Ok((start.elapsed().as_secs_f64(), rows * entry_bytes))
}

fn options() -> Options {
    let tables = Tables::default();
    let mut blocks = BlockBasedOptions::default();
    blocks.set_format_version(tables.format_version as i32);
    blocks.set_block_size(tables.block_size as usize);
    blocks.set_checksum_type(ChecksumType::XXH3);
    blocks.set_bloom_filter(tables.bloom_bits, false);
    let mut options = Options::default();
    silent(&mut options);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

/// Bytes of SplitMix64.
fn random() -> Vec<u8> {
    let mut state = 0_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..RANDOM_BYTES / 8).flat_map(|_| next().to_le_bytes()).collect()
}
