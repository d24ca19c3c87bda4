"""The measurement of one process, the size of its result on disk, and the digest of the result's content.

Not for: what is measured (works.py, sides.py) or in which order (paired.py).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCHES = Path(__file__).resolve().parent.parent
REPOSITORY = BENCHES.parent
MIB = 1 << 20
UNITS = {"MiB": MIB, "GiB": 1 << 30}


class Failed(Exception):
    """A measured process failed; the message says which and how."""


def measure(command, directory, kill_at=None):
    """Runs a command in `directory`: wall time, processor time and peak memory of its process as the system counts
    them, and the JSON document that it printed. Raises Failed on any exit code but 0. With `kill_at` it must die at
    that failpoint instead, and prints nothing."""
    environment = os.environ | ({"CUTOVER_FAILPOINTS": kill_at} if kill_at else {})
    expected = -signal.SIGKILL if kill_at else 0
    with tempfile.TemporaryFile("w+") as stderr:
        start = time.perf_counter()
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
        child = subprocess.Popen(command, cwd=directory, env=environment, **pipes)
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != expected:
            stderr.seek(0)
            said = f"{shown(command)}\nended with {child.returncode}:\n{printed.decode()}{stderr.read()}"
            raise Failed(said.replace(f"{directory}/", "").strip())
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_rss_bytes": usage.ru_maxrss * unit,
        "output": None if kill_at else json.loads(printed),
    }


def cargo_bench(name, *arguments):
    """The command that runs one of the programs in benches/; cargo builds it first if needed."""
    return ["cargo", "bench", "--quiet", "--locked", "--profile", "release", "--bench", name, "--", *arguments]


def digest_of(kind, path):
    """Rows and digest of a store or of Parquet files (benches/digest.rs)."""
    command = cargo_bench("digest", kind, path)
    printed = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(printed)


def warm(directories):
    """Before every run: its input is in the page cache, and earlier writes are on the disk."""
    os.sync()
    for directory in directories:
        for path in directory.rglob("*.parquet"):
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def size_of(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def parse_size(text):
    """Bytes of a size such as 256MiB."""
    return int(text[:-3]) * UNITS[text[-3:]]


def shown(command):
    """A command as a user would type it, without this machine's directories."""
    first, *rest = [str(part).replace(f"{REPOSITORY}/", "") for part in command]
    return " ".join([Path(first).name, *(f'"{part}"' if " " in part else part for part in rest)])
