#!/usr/bin/env python3
"""A consumer of Cutover's Kafka protocol, written from schemas/kafka-protocol.md alone.

For: an example to read before writing a consumer, and a tool to inspect what a publisher announced.
Not for: large datasets or serving them. Every version is a dict in this process's memory, one for each version kept for
a rollback, and one more during a flip; nothing is served but the --get values.

    python3 scripts/kafka_consumer.py --brokers 127.0.0.1:9092 --topic views [--name edge-7] [--once]
                                      [--get KEY]... [--config name=value]...

It follows the control topic T.versions, reads each announced version in the background, verifies it against the
announcement (log, offsets, key order, END markers, counts, digests) and only then flips. It prints one line on standard
output per flip, then the values of the --get keys, which are written as for `cutover get` (cutover_key.py in this
directory parses them). Any mismatch is reported on standard error, and the old version stays. Versions stay in memory
while an announcement lists them, so that a rollback is instant. It reports to T.consumers under --name, by default this
host's name: one name per consumer.

A refused version is tried again with the next announcement that names it. A damaged announcement changes nothing: the
last intact one counts (with --once it is an error, as the announced version cannot be known).

--config sets librdkafka's properties, such as security.protocol=SASL_SSL. Exit codes with --once: 0 the announced
version is served, 1 it could not be, 4 nothing is announced. Without --once it runs until stopped.

Needs Python 3.9 or newer, and: pip install confluent-kafka xxhash
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from typing import Callable, Dict, Iterator, Optional, Tuple

import xxhash
from cutover_key import key_bytes
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

Entries = Dict[bytes, bytes]
News = Tuple[Optional[dict], Optional[str]]  # the last intact announcement, and what is wrong with the record after it
GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION,
        KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}


class Refused(Exception):
    """The data does not match the protocol or the announcement."""


class Gone(Refused):
    """The log of the data is missing, or a part of it."""


def loud(text: str) -> None:
    print(f"kafka_consumer: ERROR: {text}", file=sys.stderr, flush=True)


def require(holds: bool, text: str) -> None:
    if not holds:
        raise Refused(text)


# Records


def digest_of(key: bytes, value: bytes) -> int:
    """The digest of one entry; that of a set is the sum, modulo 2^128."""
    return xxhash.xxh3_128_intdigest(len(key).to_bytes(4, "little") + key + value)


def unseal(message: Message) -> dict:
    """The JSON object of a sealed record, if it is intact and of this protocol."""
    value, seal = message.value(), dict(message.headers() or []).get("cutover-xxh3")
    require(value is not None and seal == xxhash.xxh3_64_hexdigest(value).encode(), "damaged, its checksum differs")
    try:
        content = json.loads(value)
    except ValueError as error:
        raise Refused(f"not JSON: {error}") from None
    require(isinstance(content, dict), "not a JSON object")
    require(content.get("protocol") == 1, f"protocol {content.get('protocol')!r}, this program knows 1")
    return content


def current(announcement: dict) -> dict:
    """The version that consumers are to serve, according to an announcement."""
    return next(v for v in announcement["versions"] if v["version"] == announcement["current"])


def check_announcement(announcement: dict, key: Optional[bytes]) -> None:
    require(key == announcement["dataset"].encode(), f"key {key!r} is not the dataset {announcement['dataset']!r}")
    listed = [v for v in announcement["versions"] if v["version"] == announcement["current"]]
    require(len(listed) == 1, f"current version {announcement['current']} is listed {len(listed)} times")
    version, parts = listed[0], listed[0]["partitions"]
    require(bool(parts) and [p["partition"] for p in parts] == list(range(len(parts))), "partitions are not 0, 1, …")
    for p in parts:
        require(p["end"] - p["begin"] == p["rows"] + 1, f"partition {p['partition']}: end - begin is not rows + 1")
    for field in ("rows", "bytes"):
        require(sum(p[field] for p in parts) == version[field], f"{field} of the partitions do not add up")
    digest = sum(int(p["digest"], 16) for p in parts) % 2**128
    require(f"{digest:032x}" == version["digest"], "digests of the partitions do not add up")
    names = [announcement["id"], version["topic"], *(v["build_id"] for v in announcement["versions"])]
    require(all(isinstance(name, str) and name for name in names), "a name is empty")


def hear(message: Message, news: News) -> News:
    """The news after one more record of the control topic."""
    try:
        announcement = unseal(message)
        check_announcement(announcement, message.key())
        return announcement, None
    except Refused as error:
        wrong = str(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wrong = f"a field is missing or of another type: {error!r}"
    return news[0], f"{message.topic()} offset {message.offset()} is no announcement: {wrong}"


# Control topic


def exists(consumer: Consumer, topic: str) -> bool:
    """Asks with a consumer, which never creates a topic by asking; a producer may."""
    error = consumer.list_topics(topic, timeout=10).topics[topic].error
    if error is not None and error.code() not in GONE:
        raise KafkaException(error)
    return error is None


def at_end(message: Message) -> bool:
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return error is not None


def read_control(control: Consumer, topic: str) -> News:
    """Read the control topic from its beginning to its end."""
    news: News = (None, None)
    if not exists(control, topic):
        return news
    control.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    while True:
        message = control.poll(1.0)
        if message is not None:
            if at_end(message):
                return news
            news = hear(message, news)


def follow_control(control: Consumer, news: News, wait: float) -> News:
    """The news after the next record of the control topic, if one comes within `wait` seconds."""
    message = control.poll(wait)
    return news if message is None or at_end(message) else hear(message, news)


# Data topic


def check_log(data: Consumer, version: dict) -> None:
    """Checks that every partition's log still reaches from `begin` to `end`."""
    for p in version["partitions"]:
        where = f"{version['topic']}[{p['partition']}]"
        try:
            low, high = data.get_watermark_offsets(TopicPartition(version["topic"], p["partition"]), timeout=10)
        except KafkaException as error:
            raise (Gone(f"{where}: {error.args[0].str()}") if error.args[0].code() in GONE else error) from None
        if low > p["begin"] or high < p["end"]:
            raise Gone(f"{where}: the log holds offsets {low} to {high}, announced are {p['begin']} to {p['end']}")


def check_entry(message: Message, seen: dict) -> None:
    key, value = message.key(), message.value()
    require(key is not None and value is not None and not message.headers(), "not an entry")
    require(seen["key"] is None or key > seen["key"], f"key {key!r} is not above {seen['key']!r}")
    seen["key"] = key
    seen["rows"] += 1
    seen["bytes"] += len(key) + len(value)
    seen["digest"] = (seen["digest"] + digest_of(key, value)) % 2**128


def check_end(message: Message, dataset: str, version: dict, part: dict, seen: dict) -> None:
    """Checks that the END marker, the announcement and the counts agree."""
    require(dict(message.headers() or []).get("cutover") == b"end" and message.key() is None, "no END marker")
    end = unseal(message)
    expected = {"dataset": dataset, "version": version["version"], "build_id": version["build_id"],
                "shard": part["partition"], "rows": part["rows"], "bytes": part["bytes"], "digest": part["digest"]}
    for field, value in expected.items():
        require(end.get(field) == value, f"END says {field} {end.get(field)!r}, announced is {value!r}")
    counted = {"rows": seen["rows"], "bytes": seen["bytes"], "digest": f"{seen['digest']:032x}"}
    for field, value in counted.items():
        require(value == part[field], f"counted {field} {value!r}, announced is {part[field]!r}")


def stage(data: Consumer, dataset: str, version: dict, entries: Entries) -> Iterator[None]:
    """Fills `entries` with a version; yields now and then, so that the caller can poll. Raises Refused on a
    mismatch."""
    check_log(data, version)
    parts = {p["partition"]: p for p in version["partitions"]}
    seen = {n: {"next": p["begin"], "key": None, "rows": 0, "bytes": 0, "digest": 0} for n, p in parts.items()}
    data.assign([TopicPartition(version["topic"], n, p["begin"]) for n, p in parts.items()])
    unread = set(parts)
    while unread:
        batch = data.consume(1000, timeout=1.0)
        if not batch:  # a topic that is deleted while it is read gives no more records, and no error
            check_log(data, version)
        for message in batch:
            n, error = message.partition(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise Gone(error.str()) if error.code() in GONE else KafkaException(error)
            if n not in unread:  # it ended before; the log may continue
                continue
            try:
                require(error is None, f"the log ends here, announced is {parts[n]['end']}")
                require(message.offset() == seen[n]["next"], f"expected offset {seen[n]['next']}")
                seen[n]["next"] += 1
                if seen[n]["next"] < parts[n]["end"]:
                    check_entry(message, seen[n])
                    entries[message.key()] = message.value()
                else:
                    check_end(message, dataset, version, parts[n], seen[n])
                    unread.remove(n)
                    data.pause([TopicPartition(version["topic"], n)])
            except Refused as refused:
                raise Refused(f"{version['topic']}[{n}] offset {message.offset()}: {refused}") from None
        yield
    require(len(entries) == version["rows"], f"{version['topic']}: a key is in more than one partition")


# Reports


def report(control: Consumer, producer: Producer, topic: str, name: str, dataset: str, state: str,
           served: Optional[dict], announced: dict, rows: int, error: Optional[str] = None) -> None:
    """Reports to publishers how far this consumer is. Failures are printed and otherwise ignored."""
    value = json.dumps({
        "protocol": 1, "consumer": name, "dataset": dataset, "state": state,
        "version": served and served["version"], "build_id": served and served["build_id"],
        "announced": announced["version"], "rows": rows, "rows_total": announced["rows"], "error": error,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}).encode()

    def delivered(failure: Optional[KafkaError], _: Message) -> None:
        if failure is not None:
            loud(f"report not delivered: {failure.str()}")

    try:
        if not exists(control, topic):  # publishers create it, with the right settings
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no topic {topic}"))
        producer.produce(topic, value, name, 0, on_delivery=delivered,
                         headers={"cutover-xxh3": xxhash.xxh3_64_hexdigest(value)})
        producer.flush(10)
    except (KafkaException, BufferError) as failure:
        loud(f"report not sent: {failure}")


# Versions


def show_flip(version: dict, before: Optional[dict], entries: Entries, keys: list[str]) -> None:
    was = f"version {before['version']}" if before else "nothing"
    print(f"version {version['version']} (build {version['build_id']}): {len(entries)} rows, "
          f"digest {version['digest']}; was {was}", flush=True)
    for key in keys:
        try:
            value = entries.get(key_bytes(version["key"], key))
        except ValueError as unfit:
            loud(f"--get {key} cannot be a key: {unfit}")
            continue
        print(f"  {key}: {'no such key' if value is None else value.decode('utf-8', 'backslashreplace')}", flush=True)


def take_over(control: Consumer, control_topic: str, settings: dict, news: News, served: Optional[dict],
              cache: Dict[str, Entries], tell: Callable[..., None], keys: list[str]) -> Tuple[News, Optional[dict]]:
    """Serves the announced version. Returns the news since then, and the version that is served now."""
    announcement, target = news[0], current(news[0])
    dataset, build = announcement["dataset"], target["build_id"]
    if build not in cache:
        entries: Entries = {}
        data = Consumer({**settings, "auto.offset.reset": "error"})
        told = 0.0
        try:
            for _ in stage(data, dataset, target, entries):
                if time.monotonic() - told > 5:
                    told = time.monotonic()
                    tell(dataset, "staging", served, target, len(entries))
                news = follow_control(control, news, 0)
                if current(news[0])["topic"] != target["topic"]:
                    return news, served  # another version is announced: start over with that
        except Refused as refused:
            if isinstance(refused, Gone):  # deleted, perhaps, because a later announcement does not list it
                fresh = read_control(control, control_topic)
                news = fresh if fresh[0] else news
                if current(news[0])["topic"] != target["topic"]:
                    return news, served
            still = f"version {served['version']} is served on" if served else "nothing is served"
            loud(f"version {target['version']} (build {build}) refused, {still}: {refused}")
            tell(dataset, "failed", served, target, len(entries), str(refused))
            return news, served
        finally:
            data.close()
        cache[build] = entries
    if served is None or served["build_id"] != build:
        show_flip(target, served, cache[build], keys)  # the flip; a serving program would switch to cache[build] here
    for dropped in set(cache) - {v["build_id"] for v in announcement["versions"]}:
        del cache[dropped]
    tell(dataset, "serving", target, target, target["rows"])
    return news, target


def run(args: argparse.Namespace) -> int:
    control_topic, reports_topic = f"{args.topic}.versions", f"{args.topic}.consumers"
    common = {"bootstrap.servers": args.brokers, "reconnect.backoff.ms": 1000}
    common.update(pair.split("=", 1) for pair in args.config)
    settings = {**common, "group.id": "cutover", "enable.auto.commit": False, "isolation.level": "read_committed",
                "enable.partition.eof": True, "check.crcs": True, "topic.metadata.propagation.max.ms": 2000}
    control = Consumer({**settings, "auto.offset.reset": "earliest"})
    producer = Producer({**common, "acks": "all", "message.timeout.ms": 10000})

    def tell(*what: object) -> None:
        report(control, producer, reports_topic, args.name, *what)

    cache: Dict[str, Entries] = {}  # build id -> entries: the served version, and those that may be again
    news: News = (None, None)
    served = handled = told = None
    fresh_start, looked = True, 0.0
    while True:
        try:
            if not fresh_start and time.monotonic() - looked > 10:  # a deleted topic gives no error
                looked = time.monotonic()
                if not exists(control, control_topic):
                    raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no topic {control_topic}"))
            news = read_control(control, control_topic) if fresh_start else follow_control(control, news, 1.0)
            fresh_start = news[0] is None and news[1] is None
            if fresh_start and args.once:
                return 4
            while news[0] and news[0]["id"] != handled and not (args.once and news[1]):
                handled = news[0]["id"]
                news, served = take_over(control, control_topic, settings, news, served, cache, tell, args.get)
            if news[1] and news[1] != told:
                told = news[1]
                loud(told)
                if news[0]:
                    tell(news[0]["dataset"], "failed", served, served or current(news[0]), 0, told)
            if args.once:
                done = news[1] is None and served and served["build_id"] == current(news[0])["build_id"]
                return 0 if done else 1
            if fresh_start:
                time.sleep(1)
        except KafkaException as error:  # the broker is down, or refuses: keep serving
            loud(f"Kafka: {error.args[0].str()}")
            if args.once:
                return 1
            time.sleep(5)
            fresh_start, handled = True, None


def main() -> int:
    parser = argparse.ArgumentParser(description="Follow the versions of a dataset that Cutover publishes to Kafka.")
    parser.add_argument("--brokers", required=True, help="host:port,…")
    parser.add_argument("--topic", required=True, help="base name of the topics")
    parser.add_argument("--name", default=socket.gethostname(), help="this consumer's name in its reports")
    parser.add_argument("--once", action="store_true", help="end when the announced version is served")
    parser.add_argument("--get", metavar="KEY", action="append", default=[], help="show this key's value at each flip")
    parser.add_argument("--config", metavar="name=value", action="append", default=[], help="property of librdkafka")
    args = parser.parse_args()
    if not all("=" in pair for pair in args.config):
        parser.error("--config takes name=value")
    try:
        return run(args)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
