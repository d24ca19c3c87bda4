"""An object store, two executors of one slot each, and runs that drive them: as `tpc --cluster` needs them.

    with Cluster(cutover, work, memory="512MiB") as cluster:
        cluster.upload(path, "tables/a.parquet")
        cluster.run(directory, "job.toml", timeout=300)     # below cluster.url

Everything is on this machine's loopback. With `kills`, an executor is killed by kill -9 at a random moment of every run
and started again, so that its tasks are done by others.

Not for: what the jobs are, and what their answers should be.
"""

import os
import random
import re
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from answers.environment import REPOSITORY

BUCKET = "lake"
SERVER = REPOSITORY / "scripts" / "object-server.sh"
# How soon a driver takes an executor for dead.
TIMEOUTS = ["--executor-timeout", "8s", "--executors-grace", "60s"]


class Cluster:
    """The processes, until the end of the block."""

    def __init__(self, cutover, work, memory, share="4MiB", executors=2, slots=1, kills=None):
        self.cutover, self.work, self.memory, self.share = cutover, work, memory, share
        self.slots, self.random = slots, random.Random(kills) if kills is not None else None
        self.executors: list = [None] * executors
        self.port, self.driver = free_ports(8), f"127.0.0.1:{free_ports(1, 20_000)}"
        self.url = f"s3://{BUCKET}"
        self.environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "admin",
            "AWS_SECRET_ACCESS_KEY": "admin-secret",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "CUTOVER_WORK_DIR": str(work / "work"),
        }

    def __enter__(self):
        subprocess.run([SERVER, "fetch"], check=True, stdin=subprocess.DEVNULL)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen([SERVER, "try", self.work / "server", str(self.port)], **pipes)
        if not self.server.stdout.readline().startswith("ready"):
            raise SystemExit("the object store did not come up")
        self.filer("POST", "")
        for place in range(len(self.executors)):
            self.start(place)
        return self

    def __exit__(self, *_):
        for executor in self.executors:
            executor.kill()
            executor.wait()
        self.server.stdin.close()
        self.server.wait()

    def start(self, place):
        """Starts an executor; it says what it does in a file."""
        command = [self.cutover, "executor", "--driver", self.driver, "--slots", str(self.slots), "-v"]
        command += ["--memory", self.memory, "--scratch", self.work / f"scratch-{place}"]
        with (self.work / f"executor-{place}.log").open("a") as log:
            self.executors[place] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def filer(self, method, path, body=None):
        address = f"http://127.0.0.1:{self.port + 1}/buckets/{BUCKET}/{path}"
        urllib.request.urlopen(urllib.request.Request(address, data=body, method=method)).close()

    def upload(self, local, key):
        self.filer("PUT", key, local.read_bytes())

    def peaks(self):
        """The most that each executor has held, in bytes."""
        files = [Path(f"/proc/{executor.pid}/status").read_text() for executor in self.executors]
        return [int(re.search(r"VmHWM:\s+(\d+)", text)[1]) << 10 for text in files]

    def command(self, directory, line, timeout=None):
        """Runs a command with the store's credentials."""
        command = [self.cutover, *line]
        return subprocess.run(
            command, cwd=directory, env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    def run(self, directory, job, flags=(), timeout=None):
        """Drives a run of a job whose data is below the bucket."""
        line = ["-C", self.url, "run", job, "--json", "--cluster", self.driver, "--share-bytes", self.share]
        if self.random is None:
            return self.command(directory, [*line, *TIMEOUTS, *flags], timeout)
        killer = threading.Thread(target=self.kill)
        killer.start()
        try:
            return self.command(directory, [*line, *TIMEOUTS, *flags], timeout)
        finally:
            killer.join()

    def kill(self):
        """Kills an executor after a while, and starts it again."""
        time.sleep(self.random.uniform(0.5, 4))
        place = self.random.randrange(len(self.executors))
        self.executors[place].kill()
        self.executors[place].wait()
        self.start(place)


def free_ports(count, first=10_000):
    """The first of this many free ports in a row."""
    for port in range(first + random.randrange(200) * count, first + 10_000 - count, count):
        try:
            for other in range(port, port + count):
                with socket.socket() as free:
                    free.bind(("127.0.0.1", other))
        except OSError:
            continue
        return port
    raise SystemExit("no ports are free")
