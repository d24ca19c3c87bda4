//! The durable steps of the program, in about the order in which they happen: the names of all failpoints.
//!
//! A step is done when its failpoint is reached, unless its meaning says otherwise. `cutover verify-crash` and the
//! tests iterate over this list, so it must match the code.
//!
//! Not for: what a failpoint does; see the parent module.

/// A named failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// `stage.step`.
    pub name: &'static str,
    /// What has just happened.
    pub meaning: &'static str,
}

const fn step(name: &'static str, meaning: &'static str) -> Step {
    Step { name, meaning }
}

/// Every step.
pub const STEPS: [Step; 43] = [
    step("store.directories", "a new store has its directories, and no current.json yet"),
    step("build.started", "a build has its directory in staging"),
    step("shuffle.spilled", "a sorted run is in the spill directory"),
    step("shuffle.sealed", "a shuffle that spilled is completely in the journal"),
    step("build.table", "a table is finished and synced"),
    step("range.written", "all tables of a range are written, and not in the journal yet"),
    step("range.finished", "a finished range is in the journal"),
    step("build.ingested", "the tables of a shard are in its database"),
    step("build.synced", "a file of a database is synced"),
    step("build.finished", "every shard has its database"),
    step("cluster.scan", "a scan task is about to exchange its share of an input"),
    step("cluster.map", "a map task is about to run its share of the query"),
    step("cluster.run_uploaded", "the run of a map task is in the store, and no record of it"),
    step("cluster.mapped", "every map task has its record"),
    step("cluster.planned", "every shard has its plan"),
    step("cluster.build", "a build task is about to fetch its parts of all runs"),
    step("cluster.built", "a build task has built and read back its shard"),
    step("cluster.shard_uploaded", "the shard of a build task is in the store, and no record of it"),
    step("install.reported", "job, query, contracts and report are in the build's directory"),
    step("install.synced", "every file and directory of the build is synced"),
    step("install.manifest", "the manifest is written"),
    step("install.renamed", "the build's directory is among the versions, and current.json does not name it yet"),
    step("current.decided", "a change of current.json is decided, and nothing of it written"),
    step("storage.written", "the new current.json is synced next to the old one"),
    step("current.replaced", "the new current.json has replaced the old one"),
    step("log.append", "an event is about to be added to the log"),
    step("stream.record", "a record is handed to the Kafka client"),
    step("stream.end", "all records of a partition are handed over, its END marker is not"),
    step("stream.finished", "the cluster has acknowledged all of a version"),
    step("publish.intent", "the intent of a change is in current.json"),
    step("publish.announced", "consumers are notified, the store's own readers are not"),
    step("publish.settled", "the change is in current.json, and the intent is gone"),
    step("retention.forgotten", "current.json has forgotten versions whose directories are still there"),
    step("retention.renamed", "an unreferenced directory is renamed for deletion"),
    step("retention.deleted", "one file or directory of it is deleted"),
    step("consume.record", "a record is in a consumer's table"),
    step("consume.table", "a consumer's finished table is in the journal"),
    step("consume.received", "a consumer has all of a version in tables"),
    step("consume.built", "a consumer has made and read back the databases of a version"),
    step("consume.installed", "a consumer's store has a version that its readers do not see yet"),
    step("consume.flipped", "readers of a consumer's store see the version"),
    step("pull.downloaded", "all files of a version are downloaded, and not yet a version of the local store"),
    step("pull.installed", "a local store has a version that its readers do not see yet"),
];
