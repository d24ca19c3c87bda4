//! Goes through the entries of a version piece by piece, so that nothing borrows from the version between two pieces.

use std::sync::Arc;

use cutover::error::Result;
use cutover::serve::{Range, Version};

use crate::keys::Prefix;

/// A key and its value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// The entries of a prefix, up to a limit.
#[derive(Clone)]
pub(crate) struct Cursor {
    version: Arc<Version>,
    /// The first key behind the prefix; none when there is none.
    end: Option<Vec<u8>>,
    /// The next key is this one or a later one; none at the end.
    next: Option<Vec<u8>>,
    left: u64,
}

impl Cursor {
    pub(crate) fn new(version: Arc<Version>, prefix: Prefix, limit: Option<u64>) -> Self {
        Self { version, next: Some(prefix.start), end: prefix.end, left: limit.unwrap_or(u64::MAX) }
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
        let Some(start) = self.next.take() else { return Ok(0) };
        let wanted = entries.min(self.left);
        let (mut taken, mut size) = (0, 0);
        let range = self.end.as_ref().map_or_else(|| Range::from(&start), |end| Range::between(&start, end));
        let mut scan = self.version.scan(&range);
        while taken < wanted && size < bytes {
            let Some(entry) = scan.next() else {
                self.left = 0;
                return Ok(taken);
            };
            let (mut key, value) = entry?;
            take(&key, &value)?;
            taken += 1;
            size += key.len() + value.len();
            if taken == wanted || size >= bytes {
                // The smallest key that is greater.
                key.push(0);
                self.next = Some(key);
            }
        }
        self.left -= taken;
        if self.left == 0 {
            self.next = None;
        }
        Ok(taken)
    }
}
