//! What of a store is on Kafka: noted as versions are streamed, announced as one state.
//!
//! ```text
//! current.json: targets.kafka { target, streamed: version ─▶ topic, offsets, digests } + versions' states ─▶ Announcement
//! ```
//! A version is streamed before it is announced; its topic stays noted for as long as the store keeps the version, so
//! that a rollback only has to announce.
//!
//! Not for: talking to Kafka (`kafka`), or the order of the steps of a publish (`publish`).

use jiff::Timestamp;

use super::Flip;
use crate::error::{Error, Result};
use crate::format::{AnnouncedVersion, Announcement, Behind, Current, PROTOCOL, StreamedVersion};

impl Current {
    /// The local rollback that has not been announced, if any.
    pub fn behind(&self) -> Option<Behind> {
        self.targets.kafka.as_ref().and_then(|ledger| ledger.behind)
    }

    /// Rolls back local readers only, and records that consumers have to follow.
    ///
    /// # Errors
    /// As [`Current::rollback`].
    pub fn rollback_locally(&mut self, to: u64, now: Timestamp) -> Result<Flip> {
        let flip = self.rollback(Some(to), now)?;
        if let (Some(ledger), Some(left)) = (&mut self.targets.kafka, flip.from) {
            ledger.behind.get_or_insert(Behind { left, since: now });
        }
        Ok(flip)
    }

    /// Records that a version is on Kafka.
    ///
    /// # Errors
    /// `Conflict` when the store is not streamed, or the version no longer exists or is another build's.
    pub fn record_streamed(&mut self, streamed: StreamedVersion) -> Result<()> {
        let version = streamed.version;
        let same = self.versions.get(&version).is_some_and(|entry| entry.build_id == streamed.build_id);
        match &mut self.targets.kafka {
            Some(ledger) if same => {
                ledger.streamed.insert(version, streamed);
                Ok(())
            }
            _ => Err(Error::conflict(format!("version {version} changed while it was being streamed; run again"))),
        }
    }

    /// The announcement of this state; it lists only versions that are on Kafka.
    ///
    /// # Errors
    /// `Internal` when the current version is not on Kafka.
    pub fn announcement(&self, id: &str) -> Result<Announcement> {
        let announced = |streamed: &StreamedVersion| {
            let state = self.versions.get(&streamed.version)?.state;
            Some(AnnouncedVersion { state, streamed: streamed.clone() })
        };
        let announcement = Announcement {
            protocol: PROTOCOL,
            id: id.to_owned(),
            dataset: self.dataset.clone(),
            current: self.current.unwrap_or_default(),
            versions: self.streamed().filter_map(announced).collect(),
        };
        match announcement.contradiction() {
            None => Ok(announcement),
            Some(problem) => Err(Error::internal(format!("the announcement would be wrong: {problem}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::fixture::{at, commit, manifest, nothing, store_of};
    use crate::error::Kind;
    use crate::format::{Digester, Kafka, KafkaState, State, StreamedPartition};

    fn target(topic: &str) -> Kafka {
        let brokers = "127.0.0.1:9092".to_owned();
        Kafka { brokers, topic: topic.to_owned(), replication: None, compression: Default::default(), properties: None }
    }

    /// A version of one entry in one partition.
    pub(crate) fn streamed(current: &Current, version: u64) -> StreamedVersion {
        let mut manifest = manifest(version, &[("key", "value")]);
        manifest.build_id = current.versions[&version].build_id.clone();
        let (rows, bytes, digest) = (manifest.rows, manifest.bytes, manifest.digest);
        let part = StreamedPartition { partition: 0, begin: 0, end: rows as i64 + 1, rows, bytes, digest };
        StreamedVersion::new(&manifest, format!("views.v{version}-b-00000000"), vec![part])
    }

    /// Two versions on Kafka, the second one published.
    fn on_kafka() -> Current {
        let mut current = store_of(2);
        current.targets.kafka = Some(KafkaState { target: target("views"), streamed: BTreeMap::new(), behind: None });
        for version in [1, 2] {
            let it = streamed(&current, version);
            commit(&mut current, |c| c.record_streamed(it)).unwrap();
            commit(&mut current, |c| c.publish(version, &nothing(), at(10))).unwrap();
        }
        current
    }

    #[test]
    fn an_announcement_is_the_whole_state() {
        let mut current = on_kafka();
        let announcement = current.announcement("id").unwrap();
        assert_eq!((announcement.current, announcement.versions.len()), (2, 2));
        assert_eq!(announcement.versions[0].state, State::Retired);
        let text = serde_json::to_string(&announcement).unwrap();
        assert_eq!(serde_json::from_str::<Announcement>(&text).unwrap(), announcement);
        commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
        assert_eq!(current.announcement("id").unwrap().versions[1].state, State::RolledBack);
        commit(&mut current, |c| c.remove(2)).unwrap();
        assert_eq!(current.announcement("id").unwrap().versions.len(), 1, "what is gone is not announced");
    }

    #[test]
    fn consumers_follow_a_local_rollback_with_the_next_change() {
        let mut current = on_kafka();
        commit(&mut current, |c| c.rollback_locally(1, at(20))).unwrap();
        assert_eq!((current.current, current.behind()), (Some(1), Some(Behind { left: 2, since: at(20) })));
        let text = serde_json::to_string(&current).unwrap();
        assert_eq!(serde_json::from_str::<Current>(&text).unwrap(), current);
        let change = crate::format::Change::Publish { version: 1, allow: nothing() };
        let pending = crate::format::Intent { id: "id".into(), follows: None, change, at: at(30) };
        commit(&mut current, |c| c.record_intent(pending)).unwrap();
        assert!(current.behind().is_some(), "not before it is announced");
        assert_eq!(current.with_intent_applied().unwrap().0.announcement("id").unwrap().current, 1);
        commit(&mut current, |c| c.apply_intent("id")).unwrap();
        assert_eq!((current.current, current.behind()), (Some(1), None));
    }

    #[test]
    fn a_version_that_is_not_on_kafka_cannot_be_announced_as_current() {
        let mut current = on_kafka();
        current.targets.kafka.as_mut().unwrap().streamed.remove(&2);
        assert_eq!(current.announcement("id").unwrap_err().kind(), Kind::Internal);
        let another = StreamedVersion { build_id: "another".into(), ..streamed(&current, 1) };
        assert_eq!(current.record_streamed(another).unwrap_err().kind(), Kind::Conflict);
    }

    #[test]
    fn an_inconsistent_announcement_is_found() {
        let good = on_kafka().announcement("id").unwrap();
        let wrong = |change: fn(&mut Announcement)| {
            let mut announcement = good.clone();
            change(&mut announcement);
            announcement.contradiction().unwrap()
        };
        assert!(wrong(|it| it.protocol = 2).contains("protocol 2"));
        assert!(wrong(|it| it.current = 9).contains("does not list version 9"));
        assert!(wrong(|it| it.versions[0].streamed.rows += 1).contains("do not add up"));
        assert!(wrong(|it| it.versions[0].streamed.partitions[0].partition = 1).contains("not numbered from 0"));
        assert!(wrong(|it| it.versions[1].streamed.partitions[0].end += 1).contains("has 1 rows and an END marker"));
        assert!(wrong(|it| it.versions[1].streamed.partitions[0].begin = i64::MIN).contains("between offsets"));
    }

    #[test]
    fn the_digest_in_the_protocol_document_is_right() {
        let document = include_str!("../../schemas/kafka-protocol.md");
        let mut digester = Digester::new();
        digester.add(b"a", b"1");
        assert!(document.contains(&format!("has the digest `{}`", digester.digest())));
    }
}
