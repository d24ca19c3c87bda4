"""Runs on a cluster compared with runs on one machine, with inputs and store on the same object store.

`make bench-cluster` builds the command and runs this on SeaweedFS, on this machine's loopback. A driver and two executors
of one slot have the processors that one process has with two threads, so the ratio is what a cluster costs, not what it
brings. The sides of a work run alternately in pairs; both must give the same digest.

    tiny      20,000 events, joined with profiles
    scan      one pass over the events
    join      events joined with profiles, which every task reads whole
    group     events counted by page and age: rows are exchanged between tasks

Not for: networks and disks that several machines would have.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from answers.cluster import Cluster

MIB = 1 << 20
SELECTS = {
    "scan": "SELECT user_id, ts, url, action, duration_ms FROM events",
    "join": (
        "SELECT e.user_id, e.ts, e.url, e.action, e.duration_ms, p.name, p.age, p.country, p.signup "
        "FROM events AS e LEFT JOIN profiles AS p ON p.user_id = e.user_id"
    ),
    "group": "SELECT user_id, url AS ts, count(*) AS views FROM events GROUP BY user_id, url",
}
JOB = """version = 1
dataset = "{name}"
store = "{store}"

[inputs.events]
path = "{data}/events/"
{profiles}
[query]
sql = "{sql}"

[output]
key = ["user_id", "ts"]
shards = 8
duplicates = "number"
value = {{ encoding = "avro" }}
"""


def main():
    options = parse()
    bench = Bench(options)
    bench.generate("tiny", 20_000, 1_000)
    bench.generate("large", options.events, options.events // 40)
    with bench.cluster(executors=2, slots=1) as cluster:
        bench.upload(cluster)
        bench.pairs(cluster, "tiny", "join", "tiny", lambda ours, local: f"{ours - local:+.1f} s (aim: at most +6 s)")
        for select, aim in [("scan", 2.0), ("join", 3.0), ("group", None)]:
            told = f" (aim: at most {aim})" if aim else ""
            bench.pairs(cluster, select, select, "large", lambda ours, local, told=told: f"{ours / local:.2f} x{told}")
        two = bench.on_cluster(cluster, "scan", "large")
    with bench.cluster(executors=1, slots=2) as cluster:
        bench.upload(cluster)
        one = bench.on_cluster(cluster, "scan", "large")
        print(f"two executors of one slot compared with one of two: {two / one:.2f} x (aim: within 15 %)", flush=True)
        bench.results.append({"name": "two executors beside one", "two": two, "one": one})
    for select in SELECTS:
        with bench.cluster(executors=2, slots=1, memory="256MiB") as cluster:
            bench.upload(cluster)
            bench.on_cluster(cluster, select, "large")
            peaks = [round(peak / MIB) for peak in cluster.peaks()]
            aim = " (aim: at most 406)" if select == "scan" else ""
            print(f"executors with a slot of 256 MiB, {select}: {peaks} MiB{aim}", flush=True)
            bench.results.append({"name": f"memory, {select}", "mib": peaks})
    if options.json:
        options.json.write_text(json.dumps({"events": options.events, "results": bench.results}, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=Path("target"))
    parser.add_argument("--dir", type=Path, default=Path("data/bench"))
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write all runs to this file")
    return parser.parse_args()


class Bench:
    def __init__(self, options):
        self.options, self.results, self.count = options, [], 0
        self.cutover = (options.target_dir / "release" / "cutover").resolve()
        self.work = (options.dir / "cluster").resolve()
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def generate(self, name, events, profiles):
        sizes = ["--events", str(events), "--profiles", str(profiles)]
        command = [self.cutover, "demo", "--generate-only", "--dir", self.work / "data" / name, *sizes]
        subprocess.run(command, check=True, capture_output=True)

    def cluster(self, executors, slots, memory="512MiB"):
        shutil.rmtree(self.work / "server", ignore_errors=True)
        memory = f"{int(memory.removesuffix('MiB')) * slots}MiB"
        return Cluster(self.cutover, self.work, memory, share="16MiB", executors=executors, slots=slots)

    def upload(self, cluster):
        for path in sorted((self.work / "data").rglob("*.parquet")):
            cluster.upload(path, str(path.relative_to(self.work)))

    def pairs(self, cluster, name, select, data, judge):
        ours, local = [], []
        for pair in range(self.options.pairs):
            sides = [(ours, self.on_cluster), (local, self.on_one_machine)]
            for found, run in sides if pair % 2 == 0 else sides[::-1]:
                found.append(run(cluster, select, data))
        medians = statistics.median(ours), statistics.median(local)
        print(f"{name}: cluster {medians[0]:.1f} s, one machine {medians[1]:.1f} s: {judge(*medians)}", flush=True)
        self.results.append({"name": name, "cluster": ours, "one_machine": local})

    def on_cluster(self, cluster, select, data):
        job = self.job(cluster, select, data)
        return self.timed(lambda: cluster.run(self.work, job), (cluster, select, data))

    def on_one_machine(self, cluster, select, data):
        job = self.job(cluster, select, data)
        line = ["-C", cluster.url, "run", job, "--json", "--threads", "2", "--memory", "1GiB"]
        return self.timed(lambda: cluster.command(self.work, line), (cluster, select, data))

    def timed(self, run, work):
        start = time.perf_counter()
        ran = run()
        seconds = time.perf_counter() - start
        if ran.returncode:
            sys.exit(f"{work}: exit code {ran.returncode}\n{ran.stderr}")
        told = json.loads(ran.stdout)
        digests = {one["digest"] for one in self.results if one.get("work") == list(work[1:])}
        if digests - {told["digest"]}:
            sys.exit(f"{work[1:]}: the digest is another one")
        stages = {stage["name"]: stage["seconds"] for stage in told["stages"]}
        self.results.append(
            {"work": list(work[1:]), "digest": told["digest"], "seconds": seconds, "stages": stages}
            | {"cluster": told.get("cluster"), "load": os.getloadavg()[0]}
        )
        return seconds

    def job(self, cluster, select, data):
        """A job with a store of its own."""
        self.count += 1
        name = f"{select}-{self.count}"
        profiles = f'\n[inputs.profiles]\npath = "data/{data}/profiles/"\n' if "profiles" in SELECTS[select] else ""
        job = JOB.format(name=select, store=f"stores/{name}", data=f"data/{data}", profiles=profiles, sql=SELECTS[select])
        (self.work / f"{name}.toml").write_text(job)
        return f"{name}.toml"


if __name__ == "__main__":
    main()
