//! An index of object keys: lookups are fast if objects have the same keys in the same order.
//!
//! Repeated keys are detected, as [`Keys::begin`] numbers the objects.
//!
//! Not for: values.

use std::collections::HashMap;

/// Keys with their indexes, and which of them the current object has.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    names: Vec<Box<str>>,
    places: HashMap<Box<str>, usize>,
    /// For every key, the number of the last object that had it.
    had: Vec<u64>,
    object: u64,
    /// The index at which the next key is expected.
    next: usize,
}

impl Keys {
    /// An index of these keys, in this order.
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut keys = Self::default();
        for name in names {
            keys.add(name);
        }
        keys
    }

    /// Begins a new object.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.object += 1;
        self.next = 0;
    }

    /// The index of a key of the current object, if the key is known.
    #[inline]
    pub(super) fn find(&mut self, name: &str) -> Option<usize> {
        let place = match self.names.get(self.next) {
            Some(expected) if **expected == *name => self.next,
            _ => *self.places.get(name)?,
        };
        self.next = place + 1;
        self.had[place] = self.object;
        Some(place)
    }

    /// As [`Keys::find`]; also returns whether the current object had the key before.
    #[inline]
    pub(super) fn take(&mut self, name: &str) -> Option<(usize, bool)> {
        let place = match self.names.get(self.next) {
            Some(expected) if **expected == *name => self.next,
            _ => *self.places.get(name)?,
        };
        let before = self.had[place] == self.object;
        self.next = place + 1;
        self.had[place] = self.object;
        Some((place, before))
    }

    /// Whether the current object has this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|place| self.had[*place] == self.object)
    }

    /// Adds a new key to the index and to the current object.
    pub(super) fn add(&mut self, name: &str) -> usize {
        let place = self.names.len();
        self.names.push(name.into());
        self.places.insert(name.into(), place);
        self.had.push(self.object);
        self.next = place + 1;
        place
    }

    /// Indexes of the keys that the current object lacks.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        self.had.iter().enumerate().filter(|(_, had)| **had != self.object).map(|(place, _)| place)
    }

    /// The key at an index.
    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
