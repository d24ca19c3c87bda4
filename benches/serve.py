"""`cutover serve` compared with redis-server, with an axum server that answers a constant, and with RocksDB itself.

`make bench-serve` builds the command and runs this, on loopback and on the same processors for both sides. Both sides
have the same keys and values, which are in memory. Runs alternate in pairs; the result is the median of each side and
the median of the pairs' ratios. `--only WORK,WORK` runs some of: redis, http, library, swaps, served.

Not for: networks, disks, or more clients than one machine can run next to the server.
"""

import argparse
import contextlib
import csv
import http.client
import json
import random
import re
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path

JOB = """version = 1
dataset = "key"
store = "key"

[inputs.rows]
path = "rows.csv"

[query]
sql = "SELECT key, v FROM rows"

[output]
key = ["key"]
shards = 1
"""
KEY = "key:__rand_int__"
# Name, pipeline, requests for one of keys, the command.
WORK = [
    ("GET, pipeline 16", 16, 1.0, ["GET", KEY]),
    ("GET", 1, 0.1, ["GET", KEY]),
    ("MGET of 100 keys", 1, 0.01, ["MGET"] + [KEY] * 100),
]


WORKS = ["redis", "http", "library", "swaps", "served"]
# Times that a version is switched to see how soon it is served.
SWITCHES = 10


def main():
    options = parse()
    work = options.dir.resolve() / f"serve-{options.keys}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    bench = Bench(options, work)
    bench.build()
    for name in options.only:
        getattr(bench, name)()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=Path("target"))
    parser.add_argument("--dir", type=Path, default=Path("data/bench"))
    parser.add_argument("--keys", type=int, default=2_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8, help="of each run of wrk")
    parser.add_argument("--only", type=lambda text: text.split(","), default=WORKS)
    return parser.parse_args()


class Bench:
    def __init__(self, options, work):
        release = (options.target_dir / "release").resolve()
        self.options, self.work, self.cutover = options, work, release / "cutover"
        built = [file for file in (release / "deps").glob("serving-*") if not file.suffix]
        self.serving = max(built, key=lambda file: file.stat().st_mtime, default=None)
        self.values = list(rows(options.keys))

    def build(self):
        """Two versions with the same keys and values."""
        (self.work / "rows.csv").write_text("key,v\n" + "".join(f"k{key},{value}\n" for key, value in self.values))
        for number in (1, 2):
            # A comment makes it another job, so that it is built again.
            job = JOB.replace("SELECT key, v", f"/* {number} */ SELECT substr(key, 2) AS key, v")
            (self.work / "key.toml").write_text(job)
            self.run("run", "key.toml")

    def run(self, *arguments):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([self.cutover, *arguments], cwd=self.work, check=True, **quiet)

    @contextlib.contextmanager
    def server(self, *arguments):
        """Our server: the ports of both protocols."""
        ports = free_port(), free_port()
        addresses = ["--resp", f"127.0.0.1:{ports[0]}", "--http", f"127.0.0.1:{ports[1]}"]
        with program([self.cutover, "serve", "key", *addresses, "--block-cache", "1GiB", *arguments], self.work, ports[0]):
            ask(ports[0], "GET", "key:000000000000")
            yield ports

    def redis(self):
        """GET with and without a pipeline, and MGET of 100 keys, by 50 clients of redis-benchmark."""
        port = free_port()
        redis = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(self.work)]
        with program(redis, self.work, port), self.server() as (ours, _):
            load(port, self.values)
            measure(self.options, {"redis": port, "cutover": ours})

    def http(self):
        """GET of one key, by 50 connections of wrk."""
        script = self.work / "keys.lua"
        script.write_text(
            f'request = function() return wrk.format("GET", string.format("/v1/key/%012d", math.random(0, {self.options.keys - 1}))) end'
        )
        body = json.dumps({"v": self.values[0][1]}, separators=(",", ":"))
        constant = free_port()
        with program([self.serving, "constant", f"127.0.0.1:{constant}", body], self.work), self.server() as (_, ours):
            sides = {"axum": constant, "cutover": ours}

            def run(side):
                line = ["wrk", "-t", "1", "-c", "50", "-d", f"{self.options.seconds}s", "-s", script, f"http://127.0.0.1:{sides[side]}/"]
                out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
                assert "Non-2xx" not in out and "Socket errors" not in out, out
                return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])

            compare("HTTP GET", sides, self.options.pairs, run)

    def library(self):
        """`Version::get` compared with RocksDB's own get."""
        out = subprocess.run([self.serving, "gets", self.work / "key"], check=True, capture_output=True, text=True).stdout
        found = json.loads(out)
        print(f"{'library get':18} cutover {found['library_ns']:>8,.0f} ns   rocksdb {found['rocksdb_ns']:>8,.0f} ns   ratio {found['ratio']:.2f}", flush=True)

    def swaps(self):
        """Reads around switches compared with reads in between, with warm-up as it is by default."""
        with self.server() as (ours, _):
            line = [self.serving, "swaps", self.work / "key", f"127.0.0.1:{ours}"]
            print("swaps", subprocess.run(line, check=True, capture_output=True, text=True).stdout, flush=True)

    def served(self):
        """The time from the replace of current.json until an answer has the new version, without warm-up."""
        times, current = [], self.work / "key" / "current.json"
        for number in range(SWITCHES):
            to = "1" if number % 2 == 0 else "2"
            # Another server each time, as one keeps the version before open.
            with self.server("--warm-up", "0s") as (_, ours):
                command = [self.cutover, "publish", "key", to, "--allow", "older,rolled-back,undated"]
                publish = subprocess.Popen(command, cwd=self.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                connection = http.client.HTTPConnection("127.0.0.1", ours)
                while self.version(connection) != to:
                    pass
                times.append((time.time_ns() - current.stat().st_mtime_ns) / 1e6)
                assert publish.wait() == 0
        print(f"{'served after':18} median {statistics.median(times):.1f} ms   longest {max(times):.1f} ms", flush=True)

    @staticmethod
    def version(connection):
        connection.request("GET", "/v1/key/000000000000")
        answer = connection.getresponse()
        answer.read()
        return answer.headers["Cutover-Version"]


@contextlib.contextmanager
def program(command, work, port=None):
    """A program that runs until the end of the block; with a port, one that answers PING there."""
    started = subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if port is None:
            time.sleep(0.5)
        else:
            wait(port)
        yield started
    finally:
        started.terminate()
        started.wait()


def rows(count):
    """Keys as redis-benchmark writes them, and values of about 80 digits."""
    generator = random.Random(1)
    for number in range(count):
        yield f"{number:012d}", f"{generator.getrandbits(320):080x}"


def load(port, values):
    """Fills Redis through its own bulk loader."""
    with subprocess.Popen(["redis-cli", "-p", str(port), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as pipe:
        for key, value in values:
            pipe.stdin.write(b"".join(framed(["SET", "key:" + key, json.dumps({"v": value}, separators=(",", ":"))])))
        pipe.stdin.close()


def framed(words):
    yield b"*%d\r\n" % len(words)
    for word in words:
        yield b"$%d\r\n%s\r\n" % (len(word), word.encode())


def measure(options, ports):
    for name, pipeline, share, command in WORK:
        requests = max(1000, int(options.keys * share))
        compare(name, ports, options.pairs, lambda side: run(ports[side], pipeline, requests, options.keys, command))


def compare(name, sides, pairs, run):
    """Alternating runs of both sides, ours last in `sides`."""
    theirs, ours = sides
    for side in sides:  # warm
        run(side)
    found = {side: [] for side in sides}
    for pair in range(pairs):
        for side in (theirs, ours) if pair % 2 == 0 else (ours, theirs):
            found[side].append(run(side))
    ratios = [mine / other for mine, other in zip(found[ours], found[theirs])]
    medians = [statistics.median(found[side]) for side in (ours, theirs)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{name:18} {ours} {medians[0]:>10,.0f}/s   {theirs} {medians[1]:>10,.0f}/s   ratio {statistics.median(ratios):.2f} ({spread})", flush=True)


def run(port, pipeline, requests, keys, command):
    """Requests per second of 50 clients."""
    line = ["redis-benchmark", "-p", str(port), "-c", "50", "-P", str(pipeline), "-n", str(requests), "-r", str(keys), "--csv"]
    out = subprocess.run(line + command, check=True, capture_output=True, text=True).stdout
    return float(list(csv.reader(out.splitlines()))[-1][1])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True).stdout.strip()


def wait(port):
    for _ in range(200):
        if ask(port, "PING") == "PONG":
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


if __name__ == "__main__":
    main()
