//! What the command, tests, benchmarks and fuzzers need of the crate's inside.
//!
//! Not for: programs. Nothing here is part of the library's interface; it changes without notice.

/// Re-exports items of a private module under its name.
macro_rules! expose {
    ($($module:ident: $($item:ident),+;)+) => {
        $(pub mod $module { pub use crate::$module::{$($item),+}; })+
    };
}

expose! {
    build: ShardPaths, build_shard, silent;
    catalog: Catalog;
    catch_panic: contain, install_hook;
    cli: Cli, Ending, Refused, Verdict, is_output_closed, report, run;
    codec: ShardRouter;
    crash: Options, ReaderView, Report, verify;
    demo: Shape, generate;
    encode: EncodePlan, EntryBatch;
    failpoint: STEPS;
    fuzzing: csv, current, http_request, job, journal_line, json_lines, key, manifest, parquet_footer, record,
        resp_request, scan_pattern, spill_block;
    input: Contract, resolve;
    job: DEFAULT_BOUNDS, Fold, InputSpec, Job, Output, ValueSpec, Verify;
    kafka: Connection, announced, is_data_topic;
    objects: Bucket, Changed, Condition, Entry, Key, Location, OpenUpload, Patience, Put, Settings, Tag;
    progress: Progress;
    publish: PublishOptions, publish, rollback;
    query: Query, Settings;
    resources: MIN_MEMORY, Resources, check_clock, raise_open_files, survive_file_size_limit;
    shuffle: DuplicatePolicy, Options, Shard, Shuffle;
    shutdown: end_with_parent, left, signal;
    stack: on_deep_stack;
}
