"""The sides of a comparison: each can run once and be measured, return the digest of its content, and clear it.

| side | what is timed |
|---|---|
| Cutover | the whole process with every default on: query, shuffle, tables, ingest, read-back, flip |
| Resumed | both processes of a run that is killed and run again |
| DuckDB | its COPY statement, into one Parquet file |
| Disk | writing as many bytes as the blobs have, and one fsync |
| RocksDB | writing the blobs' entries with SstFileWriter alone (benches/tables.rs), each table synced |

DuckDB reads its SQL and its files from the same job file as Cutover. With several memory limits it uses the first under
which it finishes, and reports those under which it did not.

Not for: which sides are compared (works.py).
"""

import os
import shutil
import time
import tomllib

from compare.data import BLOB_BYTES, SIDE, blob_rows
from compare.measure import BENCHES, MIB, REPOSITORY, Failed
from compare.measure import cargo_bench, digest_of, measure, parse_size, shown, size_of

JOBS = BENCHES / "jobs"
WRITE_BYTES = 8 * MIB
# What --memory promises to be enough for this many threads.
MEMORY_OF_THREAD = 64 * MIB


class Cutover:
    """The command on a job and a data set. `oracle` is SQL by which DuckDB computes what the store must contain, with
    {sql} in place of the job's own; without it the other side says that."""

    def __init__(self, job, data, memory=None, oracle=None, label="cutover"):
        self.job, self.data, self.memory, self.oracle_sql, self.label = job, data, memory, oracle, label
        self.store = "-".join([job, data, memory or "unlimited"])

    def command(self, bench):
        threads = bench.threads
        if self.memory:
            threads = min(threads, parse_size(self.memory) // MEMORY_OF_THREAD)
        command = [bench.cutover, "run", JOBS / f"{self.job}.toml"]
        command += ["--set", f"data={self.data}", "--set", f"store={self.store}", "--threads", str(threads), "--json"]
        return command + (["--memory", self.memory] if self.memory else [])

    def run(self, bench):
        self.clear(bench)
        command = self.command(bench)
        ran = measure(command, bench.work)
        stored = size_of(bench.work / "stores" / self.store / "versions")
        return {"command": shown(command), "seconds": ran["wall_seconds"], "bytes": stored, **ran}

    def held(self, bench):
        return digest_of("store", bench.work / "stores" / self.store)

    def oracle(self, bench):
        if self.oracle_sql is None:
            return None
        teller = DuckDB(self.job, self.data, sql=self.oracle_sql.format(sql=read_job(self.job)["query"]["sql"]))
        teller.run(bench)
        told = teller.held(bench)
        teller.clear(bench)
        return told

    def clear(self, bench):
        shutil.rmtree(bench.work / "stores" / self.store, ignore_errors=True)


class Resumed(Cutover):
    """The command, killed at a failpoint and run again."""

    def __init__(self, job, data, memory, kill_at, label):
        super().__init__(job, data, memory, label=label)
        self.kill_at = kill_at
        self.store += "-resumed"

    def run(self, bench):
        self.clear(bench)
        command = self.command(bench)
        killed, ran = measure(command, bench.work, self.kill_at), measure(command, bench.work)
        if not ran["output"]["resumed"]:
            raise Failed(f"{shown(command)}\ndid not resume what was finished before {self.kill_at}")
        stored = size_of(bench.work / "stores" / self.store / "versions")
        peak = max(killed["peak_rss_bytes"], ran["peak_rss_bytes"])
        summed = {name: round(killed[name] + ran[name], 3) for name in ("wall_seconds", "cpu_seconds")}
        both = {**ran, **summed, "peak_rss_bytes": peak, "killed_after": killed["wall_seconds"]}
        return {"command": shown(command), "seconds": both["wall_seconds"], "bytes": stored, **both}


class DuckDB:
    """DuckDB on a job's query, or on `sql` instead, in the order of the columns in `order`."""

    def __init__(self, job, data, order=None, sql=None, codec="lz4", limits=(None,)):
        self.job, self.data, self.order, self.sql, self.codec = job, data, order, sql, codec
        self.limits, self.failed = list(limits), []
        self.label = "duckdb"

    def command(self, bench):
        job = read_job(self.job)
        sql = (self.sql or job["query"]["sql"]).strip()
        order = f"\nORDER BY {self.order}" if self.order else ""
        copy = f"COPY ({sql}{order}\n) TO '{self.parquet}' (FORMAT parquet, COMPRESSION {self.codec})"
        limit = ["--memory", self.limits[0]] if self.limits[0] else []
        views = []
        for name, table in job["inputs"].items():
            files = table["path"].replace("${data}", self.data)
            views += ["--view", f"{name}={files}*.parquet"]
        return [bench.python, SIDE, "--threads", str(bench.threads), *limit, *views, copy]

    @property
    def parquet(self):
        return f"duckdb/{self.job}-{self.data}.parquet"

    def run(self, bench):
        while True:
            self.clear(bench)
            command = self.command(bench)
            try:
                ran = measure(command, bench.work)
                break
            except Failed as failed:
                if len(self.limits) == 1:
                    raise
                self.failed.append({"memory": self.limits.pop(0), "error": str(failed).splitlines()[-1]})
        if self.limits[0]:
            self.label = f"duckdb at {self.limits[0]}"
        found = {"memory": self.limits[0], "failed": self.failed}
        bytes_ = size_of(bench.work / self.parquet)
        return {"command": shown(command), "seconds": ran["output"]["seconds"], "bytes": bytes_, **found, **ran}

    def held(self, bench):
        return digest_of("parquet", bench.work / self.parquet)

    def oracle(self, bench):
        return None

    def clear(self, bench):
        (bench.work / self.parquet).unlink(missing_ok=True)
        shutil.rmtree(bench.work / "duckdb-spill", ignore_errors=True)


class Disk:
    """The rate of the disk: the bytes of the blobs, in one file."""

    data, label = "blobs", "disk"

    def run(self, bench):
        block, left = os.urandom(WRITE_BYTES), blob_rows(bench) * BLOB_BYTES
        path = bench.work / "disk-rate"
        start = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            while left > 0:
                left -= file.write(block[:left])
            os.fsync(file.fileno())
        seconds = time.perf_counter() - start
        path.unlink()
        return {"seconds": seconds, "bytes": blob_rows(bench) * BLOB_BYTES}

    def held(self, bench):
        return None

    def oracle(self, bench):
        return None

    def clear(self, bench):
        pass


class RocksDB(Disk):
    """The rate of RocksDB's table writer: the blobs as sorted entries in memory."""

    label = "rocksdb"

    def run(self, bench):
        directory = bench.work / "tables"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        command = cargo_bench("tables", str(directory), str(blob_rows(bench)), str(BLOB_BYTES), str(bench.threads))
        ran = measure(command, REPOSITORY)
        stored = size_of(directory)
        shutil.rmtree(directory)
        command[command.index(str(directory))] = "tables"
        return {"command": shown(command), "seconds": ran["output"]["seconds"], "bytes": stored, **ran}


def read_job(name):
    return tomllib.loads((JOBS / f"{name}.toml").read_text())
