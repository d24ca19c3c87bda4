"""Cutover's publish to Kafka compared with Kafka's own ProducerPerformance, and the consumer with the publish.

`make bench-kafka` builds the command, fetches Apache Kafka (scripts/kafka.sh) and runs this. One broker on this
machine, acks=all, LZ4. Both producers send the same bytes in the same number of records: ProducerPerformance gets the
keys and values of the version as its payloads (`--payload-file`). Runs alternate in pairs; the result is the median of
the pairs' ratios of records per second. A publish is timed from its first record to its announcement, a consumer from
the announcement to the flip. At the end the broker is throttled, and the publisher's resident memory is measured.

Not for: clusters, networks or disks; everything shares one machine.
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from compare.machine import about, record
from compare.measure import Failed, measure, shown, size_of

HERE = Path(__file__).resolve().parent
KAFKA = HERE.parent / "scripts" / "kafka.sh"
TOOLS = "org.apache.kafka.tools."
PAYLOADS = 200_000
THROTTLE = 4_000_000
JOB = """version = 1
dataset = "events"
store = "stores/events"

[inputs.events]
path = "data/events/"

[query]
sql = "SELECT user_id, ts, url, action, duration_ms FROM events"

[output]
key = ["user_id", "ts"]
duplicates = "number"
shards = {shards}

[kafka]
brokers = "{brokers}"
topic = "bench"
"""


def main():
    options = parse()
    cutover = (options.target_dir / "release" / "cutover").resolve()
    work = options.dir / f"kafka-{options.events}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "jobs").mkdir(parents=True)
    port = free_ports()
    brokers = f"127.0.0.1:{port}"
    broker = start(work, port)
    try:
        report = {"about": about_kafka(cutover), "comparisons": [compare(cutover, work, brokers, options)]}
        report["memory"] = throttled(cutover, work, brokers)
    finally:
        broker.stdin.close()
        broker.wait()
    path = record(report, f"kafka-{options.events}")
    print(f"\nraw results: {path.relative_to(HERE.parent)}")
    shutil.rmtree(work, ignore_errors=True)


def parse():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=HERE.parent / "target", help="cargo's build directory")
    parser.add_argument("--dir", type=Path, default=cache / "cutover" / "bench", help="where data and results go")
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    options.dir = options.dir.absolute()
    return options


def start(work, port):
    environment = {**os.environ, "KAFKA_BENCH": "1"}
    command = [KAFKA, "run", work / "broker", str(port)]
    broker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    line = broker.stdout.readline()
    if not line.startswith("ready "):
        sys.exit("kafka: the broker did not start")
    return broker


def compare(cutover, work, brokers, options):
    subprocess.run(
        [cutover, "demo", "--generate-only", "--dir", "data", "--events", str(options.events)],
        cwd=work, check=True, stdin=subprocess.DEVNULL,
    )
    (work / "jobs" / "events.toml").write_text(JOB.format(shards=options.shards, brokers=brokers))
    subprocess.run([cutover, "run", "jobs/events.toml"], cwd=work, check=True, stdout=subprocess.DEVNULL)
    payloads(cutover, work)
    print(f"\n{options.events:,} records in {options.shards} partitions, records per second")
    print(f"  {'':8}{'publish':>12}{'perf test':>12}{'ratio':>8}{'consume':>12}{'ratio':>8}")
    runs = []
    for pair in range(options.pairs):
        run = {}
        for side in ("publish", "perf") if pair % 2 == 0 else ("perf", "publish"):
            run[side] = publish(cutover, work) if side == "publish" else perf(brokers, work, options, pair)
        run["consume"] = consume(cutover, work, brokers)
        run["ratio"] = run["publish"]["rate"] / run["perf"]["rate"]
        run["consume_ratio"] = run["consume"]["rate"] / run["publish"]["rate"]
        runs.append(run)
        line(f"run {pair + 1}", run)
    median = lambda what: statistics.median(what(run) for run in runs)
    ratio, consume_ratio = median(lambda run: run["ratio"]), median(lambda run: run["consume_ratio"])
    for name, found, target in (("publish", ratio, 0.8), ("consume", consume_ratio, 1.0)):
        print(f"  {name}: median ratio {found:.2f}, target at least {target}: {'met' if found >= target else 'missed'}")
    return {"name": "kafka", "median_ratio": ratio, "median_consume_ratio": consume_ratio, "runs": runs}


def payloads(cutover, work):
    """A line for every one of many entries: its key and its value, as long as what Cutover sends."""
    command = [cutover, "scan", "stores/events", "--limit", str(PAYLOADS)]
    with (work / "payloads").open("w") as file:
        subprocess.run(command, cwd=work, check=True, stdout=file)


def publish(cutover, work):
    ran = measure([cutover, "publish", "stores/events", "1", "--restream", "--json"], work)
    seconds, rows = ran["output"]["seconds"], ran["output"]["rows"]
    return {"seconds": seconds, "rows": rows, "rate": rows / seconds, "peak_rss_bytes": ran["peak_rss_bytes"]}


def perf(brokers, work, options, pair):
    topic = f"perf-{pair}"
    tool("TopicCommand", "--bootstrap-server", brokers, "--create", "--topic", topic, "--partitions", str(options.shards))
    props = [
        f"bootstrap.servers={brokers}", "acks=all", "enable.idempotence=true", "compression.type=lz4", "linger.ms=10",
        "batch.size=1000000", "buffer.memory=67108864",
    ]
    printed = tool(
        "ProducerPerformance", "--topic", topic, "--num-records", str(options.events), "--throughput", "-1",
        "--payload-file", str(work / "payloads"), "--producer-props", *props,
    )
    last = [text for text in printed.splitlines() if "records/sec" in text][-1]
    rate = float(re.search(r"([\d.]+) records/sec", last).group(1))
    tool("TopicCommand", "--bootstrap-server", brokers, "--delete", "--topic", topic)
    return {"rate": rate, "printed": last}


def consume(cutover, work, brokers):
    shutil.rmtree(work / "follower", ignore_errors=True)
    command = [cutover, "consume", "--brokers", brokers, "--topic", "bench", "--store", "follower", "--once", "--json"]
    ran = measure(command, work)
    seconds, rows = ran["output"]["seconds"], ran["output"]["rows"]
    return {"seconds": seconds, "rows": rows, "rate": rows / seconds, "peak_rss_bytes": ran["peak_rss_bytes"]}


def throttled(cutover, work, brokers):
    """The publisher's memory while the broker takes a few megabytes a second; it is stopped after a while."""
    alter = ["--bootstrap-server", brokers, "--alter", "--entity-type", "clients", "--entity-default"]
    subprocess.run([KAFKA, "tool", "kafka.admin.ConfigCommand", *alter, "--add-config", f"producer_byte_rate={THROTTLE}"],
                   check=True, stdout=subprocess.DEVNULL)
    command = [cutover, "publish", "stores/events", "1", "--restream"]
    child = subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, deadline = 0, time.monotonic() + 20
    while child.poll() is None and time.monotonic() < deadline:
        status = Path(f"/proc/{child.pid}/status").read_text()
        peak = max(peak, int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024)
        time.sleep(0.1)
    child.kill()
    child.wait()
    print(f"\nresident memory of a publisher whose broker takes {THROTTLE / 1e6:.0f} MB/s: {peak / 1e6:.0f} MB")
    return {"throttled_bytes_per_second": THROTTLE, "peak_rss_bytes": peak, "version_bytes": size_of(work / "stores")}


def tool(name, *arguments):
    done = subprocess.run([KAFKA, "tool", TOOLS + name, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def line(label, run):
    print(
        f"  {label:8}{run['publish']['rate']:12,.0f}{run['perf']['rate']:12,.0f}{run['ratio']:8.2f}"
        f"{run['consume']['rate']:12,.0f}{run['consume_ratio']:8.2f}",
        flush=True,
    )


def about_kafka(cutover):
    known = about(cutover, None, os.cpu_count())
    known["versions"]["kafka"] = re.search(r"^version=(\S+)", KAFKA.read_text(), re.M).group(1)
    known["command"] = shown(["make", "bench-kafka"])
    return known


def free_ports():
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
        try:
            for near in range(port, port + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", near))
            return port
        except (OSError, OverflowError):
            continue


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"kafka: {failed}")
