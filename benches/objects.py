"""Inputs and stores on an object store, compared with DuckDB, rclone and with building locally.

`make bench-objects` builds the command and runs this on SeaweedFS, on this machine's loopback. The sides of a work run
alternately in pairs; the result is the median of each side and the median of the pairs' ratios. Both sides hold the same
rows, by count.

Not for: networks. What a network adds is the same for both sides, so that ratios come closer to 1 there.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["duckdb==1.4.4", "duckdb-ext-httpfs==1.4.4.20260205"]
JOB = """version = 1
dataset = "enriched"
store = "{store}"

[inputs.events]
path = "{data}/events/"

[inputs.profiles]
path = "{data}/profiles/"

[query]
sql = \"\"\"
SELECT e.user_id, e.ts, e.url, e.action, e.duration_ms, p.name, p.age, p.country, p.signup
FROM events e LEFT JOIN profiles p ON e.user_id = p.user_id
\"\"\"

[output]
key = ["user_id", "ts"]
duplicates = "number"
value = {{ encoding = "avro" }}

[tables]
compression = "lz4"
"""
DUCKDB = """
import sys, duckdb
from pathlib import Path
port, threads, out = sys.argv[1:]
db = duckdb.connect(config={"allow_unsigned_extensions": "true", "threads": threads})
found = Path(duckdb.__file__).resolve().parent.parent
db.execute(f"LOAD '{next(found.glob('duckdb_ext/extensions/*/*/httpfs.duckdb_extension'))}'")
db.execute(f"CREATE SECRET (TYPE s3, KEY_ID 'admin', SECRET 'admin-secret', ENDPOINT '127.0.0.1:{port}', USE_SSL false, URL_STYLE 'path')")
rows = db.execute(f\"\"\"COPY (
    SELECT e.*, p.* EXCLUDE (user_id) FROM read_parquet('s3://lake/data/events/**/*.parquet') e
    LEFT JOIN read_parquet('s3://lake/data/profiles/**/*.parquet') p USING (user_id) ORDER BY e.user_id, e.ts
) TO '{out}' (FORMAT parquet)\"\"\").fetchone()[0]
print(rows)
"""


def main():
    bench = Bench(parse())
    with bench.server():
        bench.prepare()
        bench.inputs_on_s3()
        bench.store_on_s3()
        bench.pull()
        bench.memory()
    bench.save()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=Path("target"))
    parser.add_argument("--dir", type=Path, default=Path("data/bench"))
    parser.add_argument("--events", type=int, default=40_000_000)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="also write all runs to this file")
    return parser.parse_args()


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = (options.dir / f"objects-{options.events}").resolve()
        self.cutover = (options.target_dir / "release" / "cutover").resolve()
        self.port = free_port()
        self.results = []
        # rclone cannot use a bundle of certificates, and loopback needs none.
        plain = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
        self.environment = plain | {
            "AWS_ACCESS_KEY_ID": "admin",
            "AWS_SECRET_ACCESS_KEY": "admin-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "Other",
            "RCLONE_CONFIG_S3_ENV_AUTH": "true",
            "RCLONE_CONFIG_S3_ENDPOINT": f"http://127.0.0.1:{self.port}",
        }

    def server(self):
        shutil.rmtree(self.work / "server", ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        return Server([ROOT / "scripts" / "object-server.sh", "try", self.work / "server", str(self.port)])

    def prepare(self):
        """Makes the events and puts them into a bucket; brings DuckDB."""
        if not (self.work / "data").exists():
            sizes = ["--events", str(self.options.events), "--profiles", str(self.options.profiles)]
            self.run([self.cutover, "demo", "--generate-only", "--dir", "data", *sizes])
        for bucket in ("lake", "serving", "copies"):
            self.run(["rclone", "mkdir", f"s3:{bucket}"])
        self.run(["rclone", "copy", "data", "s3:lake/data"])
        self.python = self.options.dir.resolve() / "objects-venv" / "bin" / "python"
        if not self.python.exists():
            venv.create(self.python.parent.parent, with_pip=True)
        self.run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES])

    def inputs_on_s3(self):
        duckdb = [self.python, "-c", DUCKDB, str(self.port), str(self.options.threads), "joined.parquet"]
        ours = self.job("from_s3", "from_s3", "s3://lake/data")
        self.pairs(
            "inputs read from S3, the store local, compared with DuckDB",
            0.6,
            lambda: (self.clear("from_s3"), self.timed(ours))[1],
            lambda: self.timed(duckdb),
        )

    def store_on_s3(self):
        """Built locally from local files, then copied, and built into the bucket."""
        local = self.job("local", "local", "data")
        remote = self.job("remote", "s3://serving/enriched", "data")
        copy = ["rclone", "copy", "--transfers", "8", "local/versions", "s3:copies/versions"]

        def ours():
            self.run(["rclone", "purge", "s3:serving"])
            self.run(["rclone", "mkdir", "s3:serving"])
            return self.timed(remote)

        def theirs():
            self.clear("local")
            self.run(["rclone", "purge", "s3:copies"])
            self.run(["rclone", "mkdir", "s3:copies"])
            return added(self.timed(local), self.timed(copy))

        self.pairs("the store on S3, compared with building locally and rclone", 0.9, ours, theirs)

    def pull(self):
        pull = [self.cutover, "pull", "s3://serving/enriched", "--to", "pulled"]
        copy = ["rclone", "copy", "--transfers", "8", "s3:serving/enriched/versions", "copied"]
        self.pairs(
            "pull, checked and live, compared with rclone",
            1.1,
            lambda: (self.clear("pulled"), self.timed(pull))[1],
            lambda: (self.clear("copied"), self.timed(copy))[1],
        )
        idle = [self.timed(pull, code=1)["seconds"] for _ in range(20)]
        start = [self.timed([self.cutover, "--version"])["seconds"] for _ in range(20)]
        beyond = (statistics.median(idle) - statistics.median(start)) * 1000
        print(f"pull when nothing is new, beyond the start of the program: {beyond:.1f} ms (target 20)", flush=True)
        self.results.append({"name": "pull when nothing is new", "milliseconds": beyond})

    def memory(self):
        remote = self.job("remote", "s3://serving/enriched", "s3://lake/data")
        report = json.loads(self.run([*remote, "--memory", "256MiB", "--json"]).stdout)
        peak = report["peak_memory"] / (1 << 20)
        print(f"peak memory at 256 MiB, inputs and store on S3: {peak:.0f} MiB (target 356)", flush=True)
        self.results.append({"name": "peak memory at 256 MiB", "mib": peak, "report": report})

    def pairs(self, name, target, ours, theirs):
        found = {"cutover": [], "other": []}
        for pair in range(self.options.pairs):
            sides = [("cutover", ours), ("other", theirs)]
            for side, run in sides if pair % 2 == 0 else sides[::-1]:
                found[side].append(run())
        ratio = statistics.median(a["seconds"] / b["seconds"] for a, b in zip(found["cutover"], found["other"]))
        shown = [f"{side} {median(runs, 'seconds'):.2f} s ({median(runs, 'cpu'):.2f} s of processors)" for side, runs in found.items()]
        print(f"{name}: {', '.join(shown)}; ratio {ratio:.2f} (target {target})", flush=True)
        self.results.append({"name": name, "target": target, "ratio": ratio, "runs": found})

    def job(self, name, store, data):
        (self.work / f"{name}.toml").write_text(JOB.format(store=store, data=data))
        return [self.cutover, "run", f"{name}.toml", "--rebuild", "--threads", str(self.options.threads)]

    def clear(self, name):
        shutil.rmtree(self.work / name, ignore_errors=True)

    def timed(self, command, code=0):
        """Seconds and processor time of a command, without those of the server."""
        before, start = os.times(), time.perf_counter()
        self.run(command, code)
        seconds, after = time.perf_counter() - start, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return {"seconds": seconds, "cpu": cpu}

    def run(self, command, code=0):
        done = subprocess.run(command, cwd=self.work, env=self.environment, capture_output=True, text=True)
        if done.returncode != code:
            sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stderr}")
        return done

    def save(self):
        if self.options.json:
            self.options.json.write_text(json.dumps(vars(self.options) | {"results": self.results}, indent=1, default=str))


class Server:
    """The object store, until the end of the block."""

    def __init__(self, command):
        self.command = command

    def __enter__(self):
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.child.stdout.readline().startswith("ready"):
            sys.exit("the object store did not come up")

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait()


def added(one, two):
    return {name: one[name] + two[name] for name in one}


def median(runs, name):
    return statistics.median(run[name] for run in runs)


def free_port():
    """The first of eight ports that are free."""
    for port in range(11_000, 20_000, 8):
        try:
            for other in range(port, port + 8):
                with socket.socket() as free:
                    free.bind(("127.0.0.1", other))
        except OSError:
            continue
        return port
    sys.exit("no ports are free")


if __name__ == "__main__":
    main()
