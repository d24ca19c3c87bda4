//! The keys of objects, each with a place: found fast where objects have the same keys in the same order.
//!
//! A key that an object repeats is found out, as [`Keys::begin`] gives every object a number.
//!
//! Not for: values.

use std::collections::HashMap;

/// Names with their places, and which of them the object at hand has.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    names: Vec<Box<str>>,
    places: HashMap<Box<str>, usize>,
    /// The last object that had it, for every name.
    had: Vec<u64>,
    object: u64,
    /// Where the next key is expected.
    next: usize,
}

impl Keys {
    /// These names, in this order.
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut keys = Self::default();
        for name in names {
            keys.add(name);
        }
        keys
    }

    /// An object begins.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.object += 1;
        self.next = 0;
    }

    /// The place of a key that the object has, if it is known.
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

    /// As [`Keys::find`], of an object that may be wrong: also whether the object had it before.
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

    /// Whether the object has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|place| self.had[*place] == self.object)
    }

    /// Gives a new name a place; the object at hand has it.
    pub(super) fn add(&mut self, name: &str) -> usize {
        let place = self.names.len();
        self.names.push(name.into());
        self.places.insert(name.into(), place);
        self.had.push(self.object);
        self.next = place + 1;
        place
    }

    /// Places of the names that the object does not have.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        self.had.iter().enumerate().filter(|(_, had)| **had != self.object).map(|(place, _)| place)
    }

    /// The name at a place.
    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
