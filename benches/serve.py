"""`cutover serve` compared with redis-server by redis-benchmark, on loopback and on the same processors.

`make bench-serve` builds the command and runs this. Both servers hold the same keys and values, which are in memory.
Runs alternate in pairs; the result is the median of each server and the median of the pairs' ratios.

Not for: networks, disks, or more clients than one machine can run next to the server.
"""

import argparse
import csv
import json
import random
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


def main():
    options = parse()
    work = options.dir / f"serve-{options.keys}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    cutover = (options.target_dir / "release" / "cutover").resolve()
    values = list(rows(options.keys))
    (work / "rows.csv").write_text("key,v\n" + "".join(f"k{key},{value}\n" for key, value in values))
    job = JOB.replace("SELECT key, v", "SELECT substr(key, 2) AS key, v")
    (work / "key.toml").write_text(job)
    subprocess.run([cutover, "run", "key.toml"], cwd=work, check=True, stderr=subprocess.DEVNULL)
    redis_port, our_port = free_port(), free_port()
    redis = ["redis-server", "--port", str(redis_port), "--save", "", "--appendonly", "no", "--dir", str(work)]
    ours = [cutover, "serve", "key", "--resp", f"127.0.0.1:{our_port}", "--http", "off", "--block-cache", "1GiB"]
    servers = [subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL) for command in (redis, ours)]
    try:
        for port in (redis_port, our_port):
            wait(port)
        load(redis_port, values)
        measure(options, {"redis": redis_port, "cutover": our_port})
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=Path("target"))
    parser.add_argument("--dir", type=Path, default=Path("data/bench"))
    parser.add_argument("--keys", type=int, default=2_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    return parser.parse_args()


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
        for port in ports.values():  # warm
            run(port, pipeline, requests, options.keys, command)
        found = {server: [] for server in ports}
        for pair in range(options.pairs):
            order = list(ports) if pair % 2 == 0 else list(ports)[::-1]
            for server in order:
                found[server].append(run(ports[server], pipeline, requests, options.keys, command))
        ratio = statistics.median(ours / theirs for ours, theirs in zip(found["cutover"], found["redis"]))
        ours, theirs = (statistics.median(found[server]) for server in ("cutover", "redis"))
        print(f"{name:18} cutover {ours:>10,.0f}/s   redis {theirs:>10,.0f}/s   ratio {ratio:.2f}", flush=True)


def run(port, pipeline, requests, keys, command):
    """Requests per second of 50 clients."""
    line = ["redis-benchmark", "-p", str(port), "-c", "50", "-P", str(pipeline), "-n", str(requests), "-r", str(keys), "--csv"]
    out = subprocess.run(line + command, check=True, capture_output=True, text=True).stdout
    return float(list(csv.reader(out.splitlines()))[-1][1])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait(port):
    for _ in range(200):
        answer = subprocess.run(["redis-cli", "-p", str(port), "PING"], capture_output=True, text=True)
        if answer.stdout.strip() == "PONG":
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


if __name__ == "__main__":
    main()
