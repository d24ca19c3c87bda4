//! The simulated Kafka cluster as a process of the simulated machine uses it.
//!
//! ```text
//! process ──▶ Client ──▶ one call: it works, or it fails before or after it took effect ──▶ Cluster
//!                                                                   model: may this be announced? ◀─┘
//! ```
//! Not for: what the cluster holds (`cluster`).

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::faults::Kind;
use super::machine::{ProcessIo, State};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::{Announcement, Kafka, StreamedPartition, StreamedVersion};
use crate::kafka::AnnounceError;
use crate::progress::Progress;
use crate::publish::announcer::{self, Announcer};

/// The cluster as one process sees it.
pub(super) struct Client(pub(super) Arc<ProcessIo>);

/// A lease that one process holds.
struct Held<'c> {
    view: &'c ProcessIo,
    topic: &'c str,
    number: u64,
    seen: Option<Announcement>,
    /// The topics that existed when the lease was taken.
    names: Vec<String>,
}

impl Client {
    fn take(&self) -> io::Result<(u64, Option<Announcement>, Vec<String>)> {
        take(&self.0)
    }
}

/// Takes the lease from its holder.
fn take(view: &ProcessIo) -> io::Result<(u64, Option<Announcement>, Vec<String>)> {
    view.call(Kind::Remote, said("take the lease"), |state| {
        if let Some(place) = state.draw_lost_topic(state.cluster.topics.len()) {
            let name = state.cluster.topics.keys().nth(place).cloned();
            state.note(|| format!("another client deletes {name:?}"));
            name.and_then(|name| state.cluster.topics.remove(&name));
        }
        state.cluster.lease += 1;
        let names = state.cluster.topics.keys().cloned().collect();
        Ok((state.cluster.lease, state.cluster.announced.clone(), names))
    })
}

impl announcer::Cluster for Client {
    fn lease<'c>(&'c self, target: &'c Kafka, _: &str, ours: &dyn Fn(&str) -> bool) -> Result<Box<dyn Announcer + 'c>> {
        let (number, seen, names) = self.take().map_err(unavailable)?;
        let held = Held { view: &self.0, topic: &target.topic, number, seen, names };
        held.delete_unlisted_but(ours)?;
        Ok(Box::new(held))
    }
}

impl Held<'_> {
    fn delete_unlisted_but(&self, ours: &dyn Fn(&str) -> bool) -> Result<()> {
        let lists = |name: &String| {
            self.seen.as_ref().is_some_and(|seen| seen.versions.iter().any(|it| it.streamed.topic == *name))
        };
        for name in self.names.iter().filter(|name| !lists(name) && !ours(name)) {
            self.delete(name).map_err(unavailable)?;
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.view.call(Kind::Remote, said(&format!("delete topic {name}")), |state| {
            if state.cluster.lists(name) {
                state.fail(format!("topic {name} is deleted, which consumers may read"));
            }
            state.cluster.topics.remove(name);
            Ok(())
        })
    }

    /// Writes a version into a topic.
    fn fill(&self, topic: &str, streamed: &StreamedVersion) -> io::Result<()> {
        self.view.call(Kind::Remote, said(&format!("write to topic {topic}")), |state| {
            let held = state.cluster.topics.get_mut(topic).ok_or(ErrorKind::NotFound)?;
            *held = Some(streamed.clone());
            Ok(())
        })
    }

    fn commit(&self, announcement: &Announcement) -> io::Result<()> {
        self.view.call(Kind::Remote, said("announce"), |state| {
            if state.cluster.lease != self.number {
                return Err(ErrorKind::PermissionDenied.into());
            }
            let State { model, disk, cluster, .. } = state;
            let allowed = model.announced(disk, announcement, cluster);
            state.check(allowed);
            state.cluster.announced = Some(announcement.clone());
            Ok(())
        })
    }
}

impl Announcer for Held<'_> {
    fn last_announcement(&self) -> Option<&Announcement> {
        self.seen.as_ref()
    }

    fn has_topic(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn is_fully_readable(&self, streamed: &StreamedVersion) -> Result<bool> {
        let look = |state: &mut State| Ok(state.cluster.holds(streamed));
        Ok(self.has_topic(&streamed.topic)
            && self.view.call(Kind::Look, said("describe a topic"), look).map_err(unavailable)?)
    }

    fn stream(&self, catalog: &Catalog, version: u64, _: Progress) -> Result<StreamedVersion> {
        let manifest = catalog.manifest(&catalog.read()?, version)?;
        let make = |state: &mut State| {
            state.cluster.made += 1;
            let name = format!("{}.v{version}-{}-{:08x}", self.topic, manifest.build_id, state.cluster.made);
            state.cluster.topics.insert(name.clone(), None);
            Ok(name)
        };
        let topic = self.view.call(Kind::Remote, said("create a topic"), make).map_err(unavailable)?;
        let part = |shard: &crate::format::ShardEntry| StreamedPartition {
            partition: shard.shard,
            begin: 0,
            end: shard.rows as i64 + 1,
            rows: shard.rows,
            bytes: shard.bytes,
            digest: shard.digest,
        };
        let streamed = StreamedVersion::new(&manifest, topic.clone(), manifest.shards.iter().map(part).collect());
        let filled = self.fill(&topic, &streamed);
        if filled.is_err() {
            // The rest of it is left to the next lease.
            let _ = self.delete(&topic);
        }
        filled.map(|()| streamed).map_err(unavailable)
    }

    /// With the same outcomes as the real one.
    fn announce(&mut self, announcement: &Announcement) -> std::result::Result<(), AnnounceError> {
        let known = |error| Err(AnnounceError { error, unknown: false });
        let unknown = |error| Err(AnnounceError { error, unknown: true });
        let id = |it: &Option<Announcement>| it.as_ref().map(|it| it.id.clone());
        match self.commit(announcement) {
            Ok(()) => {
                self.seen = Some(announcement.clone());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                unknown(Error::conflict("another publisher has taken over"))
            }
            Err(error) => match take(self.view) {
                Err(error) => unknown(unavailable(error).during("unknown whether announced")),
                Ok((number, last, _)) if id(&last).as_deref() == Some(announcement.id.as_str()) => {
                    (self.number, self.seen) = (number, last);
                    Ok(())
                }
                Ok((_, last, _)) if id(&last) == id(&self.seen) => known(unavailable(error).during("not announced")),
                Ok(_) => known(Error::conflict("not announced: another publisher has announced meanwhile")),
            },
        }
    }

    fn delete_unlisted(&self) -> Result<()> {
        self.delete_unlisted_but(&|_| false)
    }
}

fn said(what: &str) -> impl FnOnce(&State) -> String {
    move |_| what.to_owned()
}

fn unavailable(error: io::Error) -> Error {
    Error::unavailable("the cluster does not answer").because(error)
}
