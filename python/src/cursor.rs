//! Goes through the entries of a version piece by piece, so that nothing borrows from the version between two pieces.

use std::sync::Arc;

use cutover::error::Result;
use cutover::serve::{Range, Version};

/// A key and its value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// The entries in a range of keys, up to a limit.
#[derive(Clone)]
pub(crate) struct Cursor {
    version: Arc<Version>,
    /// The keys that are left; none at the end.
    rest: Option<Range>,
    left: u64,
}

impl Cursor {
    pub(crate) fn new(version: Arc<Version>, range: Range, limit: Option<u64>) -> Self {
        Self { version, rest: Some(range), left: limit.unwrap_or(u64::MAX) }
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) fn share(&self) -> Arc<Version> {
        Arc::clone(&self.version)
    }

    /// Passes the next entries to `take`, until it has had `entries` of them or `bytes`; none are left when it gets
    /// none.
    pub(crate) fn piece(
        &mut self,
        entries: u64,
        bytes: usize,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<u64> {
        let Some(range) = self.rest.take() else { return Ok(0) };
        let wanted = entries.min(self.left);
        let (mut taken, mut size, mut last) = (0, 0, None);
        let mut scan = self.version.scan(&range);
        while taken < wanted && size < bytes {
            let Some(entry) = scan.next() else {
                self.left = 0;
                return Ok(taken);
            };
            let (key, value) = entry?;
            take(&key, &value)?;
            taken += 1;
            size += key.len() + value.len();
            if taken == wanted || size >= bytes {
                last = Some(key);
            }
        }
        self.left -= taken;
        self.rest = last.filter(|_| self.left > 0).map(|key| range.after(Some(&key)));
        Ok(taken)
    }
}
