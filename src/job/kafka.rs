//! `[kafka]`: where versions are streamed to.
//!
//! Credentials must not be in a job file, as every version keeps a copy of it: they are in a file of client settings
//! that `properties` names and that is read whenever a connection is made.
//!
//! Not for: connecting, or topics of the cluster (`kafka`).

use super::inputs::plain_path;
use super::toml_section::{Item, Section};
use crate::format::{Compression, Kafka};

/// Longest topic: Kafka's limit of 249 characters, less what the names of data topics add.
const LONGEST_TOPIC: usize = 170;

/// Most copies of a partition.
const MAX_REPLICAS: u32 = 100;

const COMPRESSIONS: [(&str, Compression); 3] =
    [("lz4", Compression::Lz4), ("zstd", Compression::Zstd), ("none", Compression::None)];

/// Reads `[kafka]`.
pub(super) fn read(item: &Item<'_>) -> Option<Kafka> {
    let section = item.section("[kafka]", &["brokers", "topic", "replication", "compression", "properties"])?;
    let brokers = section.required("brokers", "brokers = \"127.0.0.1:9092\"").and_then(|item| brokers(&item));
    let topic = section.required("topic", "topic = \"views-by-age\"").and_then(|item| topic(&item));
    let replication = section.item("replication").map(|item| item.small(1..=MAX_REPLICAS));
    let compression = section.item("compression").map(|item| item.choice(&COMPRESSIONS));
    let properties = optional(&section, "properties", plain_path);
    Some(Kafka {
        brokers: brokers?,
        topic: topic?,
        replication: replication.map_or(Some(None), |copies| copies.map(Some))?,
        compression: compression.unwrap_or(Some(Compression::default()))?,
        properties: properties?,
    })
}

fn optional<T>(section: &Section<'_>, key: &str, read: impl Fn(&Item<'_>) -> Option<T>) -> Option<Option<T>> {
    section.item(key).map_or(Some(None), |item| read(&item).map(Some))
}

fn brokers(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = |broker: &str| {
        broker.trim().rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains([' ', '/', '@']) && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    };
    if text.is_empty() || !text.split(',').all(good) {
        item.problem("must be host:port, or several separated by commas, such as \"kafka-1:9092,kafka-2:9092\"");
        return None;
    }
    Some(text.to_owned())
}

fn topic(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if !is_topic(text) {
        item.problem(format!(
            "cannot be {text:?}: use A-Z, a-z, 0-9, _, - and ., at most {LONGEST_TOPIC}, not all dots"
        ));
        return None;
    }
    Some(text.to_owned())
}

/// Whether this is a valid prefix of topic names.
pub fn is_topic(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_TOPIC && text.bytes().all(letter) && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::error::{Error, Kind};
    use crate::job::Job;

    const JOB: &str = "version = 1\ndataset = \"d\"\nstore = \"s\"\n[inputs.t]\npath = \"t.parquet\"\n[query]\n\
        sql = \"SELECT k FROM t\"\n[output]\nkey = [\"k\"]\n[kafka]\nbrokers = \"a:9092,b:9092\"\ntopic = \"d\"\n\
        replication = 3\ncompression = \"zstd\"\nproperties = \"secrets/kafka.properties\"\n";

    fn parse(text: &str) -> crate::error::Result<Job> {
        Job::parse(Path::new("d.toml"), text, &Default::default(), &|_| Err(Error::invalid("no SQL file")))
    }

    #[test]
    fn a_whole_section_is_read() {
        let kafka = parse(JOB).unwrap().kafka.unwrap();
        assert_eq!((kafka.brokers.as_str(), kafka.topic.as_str(), kafka.replication), ("a:9092,b:9092", "d", Some(3)));
        assert_eq!(kafka.properties.unwrap(), Path::new("secrets/kafka.properties"));
    }

    #[test]
    fn every_rule_refuses_with_its_line_and_shows_no_secret() {
        for (from, to, problem) in [
            ("a:9092,b:9092", "kafka", ":11: \"brokers\" in [kafka] must be host:port"),
            ("a:9092,b:9092", "user:secret@host:9092", ":11: \"brokers\" in [kafka] must be host:port"),
            ("topic = \"d\"", "", ":10: missing key \"topic\" in [kafka]"),
            ("topic = \"d\"", "topic = \"a/b\"", ":12: \"topic\" in [kafka] cannot be \"a/b\""),
            ("= 3", "= 0", ":13: \"replication\" in [kafka] must be an integer from 1"),
            ("\"zstd\"", "\"gzip\"", ":14: \"compression\" in [kafka] cannot be \"gzip\""),
            ("replication = 3", "password = \"secret\"", ":13: unknown key \"password\" in [kafka]"),
        ] {
            let error = parse(&JOB.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.message().contains(problem), "{from} → {to}: {error}");
            assert!(!error.message().contains("secret@") && !error.message().contains("\"secret\""), "{error}");
        }
    }
}
