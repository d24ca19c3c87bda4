//! What a comparison of a version with its manifest looks at, and what it finds.
//!
//! Not for: the comparison (`integrity` for files, `remote` for objects).

/// How much of a version's files is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileDepth {
    /// That every file exists and has its size, and the checksum of every file that is not a table.
    SmallFiles,
    /// Also the checksum of every table.
    AllFiles,
}

/// A difference between a version and its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The shard it is in; `None` for the version as a whole.
    pub shard: Option<u32>,
    /// The file, relative to the version's directory; `None` for a shard or the version as a whole.
    pub file: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.shard) {
            (Some(file), _) => write!(f, "{file}: {}", self.problem),
            (None, Some(shard)) => write!(f, "shard {shard}: {}", self.problem),
            (None, None) => f.write_str(&self.problem),
        }
    }
}
