//! A portable options file for a finished database: only options that every RocksDB which can read its tables knows.
//!
//! RocksDB writes all of its options into `OPTIONS-…`, including those of its newest version, and older tools refuse to
//! load unknown options: `ldb`, and `loadLatestOptions` in every language. A reader needs only a few options.
//!
//! Not for: options under which tables are written (`options`).

use std::fs;
use std::path::Path;

use crate::error::{IoContext, Result};
use crate::format::Tables;

/// Prefix of the names of options files.
const OPTIONS: &str = "OPTIONS-";

/// Replaces the options files of a closed database.
///
/// # Errors
/// `Unavailable` when a file cannot be written.
pub(super) fn replace_options(shard_dir: &Path, tables: &Tables) -> Result<()> {
    for entry in fs::read_dir(shard_dir).io("list", shard_dir)? {
        let path = entry.io("list", shard_dir)?.path();
        let is_options = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OPTIONS));
        if is_options {
            fs::write(&path, text(tables)).io("write", &path)?;
        }
    }
    Ok(())
}

fn text(tables: &Tables) -> String {
    let (format, block) = (tables.format_version, tables.block_size);
    let bloom = match tables.bloom_bits {
        bits if bits > 0.0 => format!("  filter_policy=bloomfilter:{bits}:false\n"),
        _ => String::new(),
    };
    format!(
        "# Written by Cutover: what a reader of these tables needs.\n\
         [Version]\n  rocksdb_version=8.6.0\n  options_file_version=1.1\n\
         [DBOptions]\n  max_open_files=-1\n\
         [CFOptions \"default\"]\n  disable_auto_compactions=true\n\
         [TableOptions/BlockBasedTable \"default\"]\n  format_version={format}\n  block_size={block}\n{bloom}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::options::write_options;

    #[test]
    fn a_database_opens_by_its_own_options_file() {
        let directory = tempfile::tempdir().unwrap();
        for bloom_bits in [0.0, 9.5, 10.0] {
            let tables = Tables { bloom_bits, ..Tables::default() };
            let path = directory.path().join(format!("db-{bloom_bits}"));
            let db = rocksdb::DB::open(&write_options(&tables), &path).unwrap();
            db.put("key", "value").unwrap();
            db.flush().unwrap();
            drop(db);
            replace_options(&path, &tables).unwrap();
            let (options, families) = rocksdb::Options::load_latest(
                &path,
                rocksdb::Env::new().unwrap(),
                false,
                rocksdb::Cache::new_lru_cache(1 << 20),
            )
            .unwrap();
            let db = rocksdb::DB::open_cf_descriptors_read_only(&options, &path, families, false).unwrap();
            assert_eq!(db.get("key").unwrap().as_deref(), Some(b"value".as_slice()));
        }
    }
}
