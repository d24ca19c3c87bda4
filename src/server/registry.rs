//! The datasets that are served, by number and by name; they are added and removed while requests run.
//!
//! Requests read a list that never changes; a change makes another list.
//!
//! Not for: the versions of a dataset (`dataset`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::dataset::Dataset;
use super::events::Event;
use super::source::Source;
use super::watcher::{Watcher, Watching};
use crate::error::Result;

/// The datasets, for requests.
#[derive(Debug, Default)]
pub struct Registry(ArcSwap<Vec<Arc<Dataset>>>);

impl Registry {
    /// The dataset with this name.
    pub fn find(&self, name: &[u8]) -> Option<Arc<Dataset>> {
        self.0.load().iter().find(|dataset| dataset.name.as_bytes() == name).cloned()
    }

    /// Passes the dataset with this name to `read`, without counting a reference.
    pub fn with<T>(&self, name: &[u8], read: impl FnOnce(Option<&Arc<Dataset>>) -> T) -> T {
        let list = self.0.load();
        read(list.iter().find(|dataset| dataset.name.as_bytes() == name))
    }

    /// All datasets, in the order of their numbers.
    pub fn all(&self) -> Arc<Vec<Arc<Dataset>>> {
        self.0.load_full()
    }
}

/// The datasets with their threads: the side that changes them.
pub struct Sources {
    registry: Arc<Registry>,
    watching: Watching,
    watched: BTreeMap<String, (Source, Watcher)>,
}

impl Sources {
    /// No datasets yet.
    pub fn new(registry: Arc<Registry>, watching: Watching) -> Self {
        Self { registry, watching, watched: BTreeMap::new() }
    }

    /// Serves exactly these datasets: new ones are added behind the others, those that are gone are removed.
    ///
    /// # Errors
    /// `Unavailable` when a thread cannot be started.
    pub fn become_these(&mut self, wanted: &[Source], is_start: bool) -> Result<()> {
        let names: BTreeSet<&str> = wanted.iter().map(|source| source.name.as_str()).collect();
        let gone: Vec<String> = self.watched.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        for source in wanted {
            if self.watched.get(&source.name).is_some_and(|(known, _)| known == source) {
                continue;
            }
            self.remove(&source.name);
            let dataset = Arc::new(Dataset::new(&source.name));
            let watcher = Watcher::start(source.clone(), Arc::clone(&dataset), self.watching.clone())?;
            self.watched.insert(source.name.clone(), (source.clone(), watcher));
            let mut list = (*self.registry.all()).clone();
            list.push(dataset);
            self.registry.0.store(Arc::new(list));
            if !is_start {
                self.watching.events.send(Event::Added { dataset: source.name.clone() });
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        let Some((_, watcher)) = self.watched.remove(name) else { return };
        let mut list = (*self.registry.all()).clone();
        let removed: Vec<_> = list.extract_if(.., |dataset| dataset.name == name).collect();
        self.registry.0.store(Arc::new(list));
        removed.iter().for_each(|dataset| dataset.remove());
        drop(watcher);
        self.watching.events.send(Event::Removed { dataset: name.to_owned() });
    }
}
