"""Times reads from Python compared with the same reads from Rust, on one store.

    python3 benches/python.py --time-reads target/release/examples/time_reads [--entries 1000000]

Needs the packages cutover and pyarrow, and `cargo build --release --example time_reads`. Prints a table: microseconds
per get, entries per second of scans. Everything is in the block cache and the page cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import cutover
import pyarrow as pa
import pyarrow.parquet as pq

JOB = """\
version = 1
dataset = "reads"
store = "store"
[inputs.rows]
path = "rows.parquet"
[query]
sql = "SELECT * FROM rows"
[output]
key = ["key"]
shards = 4
"""


def build(directory: Path, entries: int) -> str:
    numbers = pa.array(range(entries), pa.int64())
    rows = {"key": [f"user-{number:09}" for number in range(entries)], "views": numbers, "share": [0.25] * entries}
    pq.write_table(pa.table({**rows, "country": ["DE"] * entries}), directory / "rows.parquet")
    (directory / "job.toml").write_text(JOB)
    cutover.run("job.toml", cwd=directory)
    return str(directory / "store")


def seconds(work) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--time-reads", required=True)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--gets", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = build(Path(directory), arguments.entries)
        program = [arguments.time_reads, store, str(arguments.gets)]
        rust = json.loads(subprocess.run(program, check=True, capture_output=True).stdout)
        version = cutover.Reader(store).snapshot()
        raw = [key for key, _ in version.scan(limit=arguments.gets, raw=True)]
        stride = (len(raw) // 2 + 1) | 1
        raw = [raw[at * stride % len(raw)] for at in range(len(raw))]
        text = [key.decode() for key in raw]

        def gets(keys, **how):
            get = version.get
            for key in keys:
                get(key, **how)

        rows = [("get, Rust", rust["get"])]
        rows += [("get, bytes in and out", seconds(lambda: gets(raw, raw=True)) / len(raw))]
        rows += [("get, str in, dict out", seconds(lambda: gets(text)) / len(raw))]
        batches = [text[at : at + 100] for at in range(0, len(text), 100)]
        rows += [("multi_get of 100, per key", seconds(lambda: [version.multi_get(batch) for batch in batches]) / len(text))]
        for name, took in rows:
            print(f"{name:28} {took * 1e6:8.2f} µs   ×{took / rust['get']:.2f}")
        scans = [("scan, Rust", rust["scan"] * arguments.entries)]
        scans += [("scan, bytes", seconds(lambda: sum(1 for _ in version.scan(raw=True))))]
        scans += [("scan, dicts", seconds(lambda: sum(1 for _ in version.scan())))]
        scans += [("to_arrow, bytes", seconds(lambda: pa.table(version.to_arrow(raw=True)).num_rows))]
        scans += [("to_arrow, typed columns", seconds(lambda: pa.table(version.to_arrow()).num_rows))]
        for name, took in scans:
            print(f"{name:28} {arguments.entries / took / 1e6:8.2f} M entries/s")


main()
