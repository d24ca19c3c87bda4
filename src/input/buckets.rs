//! The clients of the object stores that a job's inputs are in: one for each bucket, shared by all its files.
//!
//! Not for: how a store is reached, which the environment says (`objects`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::Input;
use crate::error::Result;
use crate::objects::{Bucket, Location, Settings, Traffic};

/// The clients of the buckets that were opened so far.
pub(super) struct Buckets {
    settings: Settings,
    opened: Mutex<BTreeMap<Location, Bucket>>,
    /// Places where nothing was found that keeps inputs from being read.
    clear: Mutex<BTreeSet<String>>,
}

impl Buckets {
    /// None yet; they are opened by the settings of the environment.
    pub(super) fn from_env() -> Self {
        Self { settings: Settings::from_env(), opened: Mutex::default(), clear: Mutex::default() }
    }

    /// The client of the bucket of a location, for all of its keys.
    ///
    /// # Errors
    /// As [`Bucket::open`].
    pub(super) fn open(&self, location: &Location) -> Result<Bucket> {
        let root = location.at("")?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = opened.get(&root) {
            return Ok(bucket.clone());
        }
        let bucket = Bucket::open(&root, &self.settings)?;
        opened.insert(root, bucket.clone());
        Ok(bucket)
    }

    /// Looks at a place, unless another input did and found nothing wrong.
    ///
    /// # Errors
    /// Those of `look`.
    pub(super) fn once(&self, place: String, look: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.clear.lock().unwrap_or_else(PoisonError::into_inner).contains(&place) {
            look()?;
            self.clear.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        }
        Ok(())
    }
}

/// The requests to object stores and the bytes from them so far, for inputs that were resolved together; none if they
/// are all local.
pub fn traffic(inputs: &[Input]) -> Option<Traffic> {
    let files = inputs.iter().flat_map(|input| &input.files);
    let objects = files.filter_map(|file| file.source.remote());
    let buckets: BTreeMap<&Location, &Bucket> =
        objects.map(|object| (object.bucket().location(), object.bucket())).collect();
    let sum = |sum: Traffic, of: Traffic| Traffic {
        requests: sum.requests + of.requests,
        sent: sum.sent + of.sent,
        received: sum.received + of.received,
    };
    buckets.values().map(|bucket| bucket.traffic()).reduce(sum)
}
