"""What a run holds at most, as the system counts it, for shapes of data that hold more than they look like.

    make memory
    make memory ARGS="--memory 128MiB --threads 1,2 --only keys,columns"

Every shape is a query over files that are made once and kept below the cache directory. Printed is a table of the largest
peaks of memory over all numbers of threads, in MiB and without pages of files, for every budget. A run that holds more
than its budget and 80 MiB is marked with `!`, one that ends with an exit code other than 0 with that code: both are
failures. A budget of 0 is the command's own.

Not for: right answers (tpc, differential), or time.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from answers.environment import REPOSITORY, cache

MIB = 1 << 20
HEADROOM = 80
BUDGETS = [128, 256, 512, 1024, 0]


def noise(seed, length):
    """This many letters without a pattern."""
    letters = bytes(97 + byte % 26 for byte in range(256))
    return random.Random(seed).randbytes(length).translate(letters).decode()


def groups(count=1_000_000):
    draw = random.Random(1)
    columns = {"k": [draw.randrange(200_000) for _ in range(count)], "g": [f"g{draw.randrange(1000)}" for _ in range(count)]}
    yield pa.table(columns)


def repeated(rows, texts, length):
    values = [chr(97 + text) * length for text in range(texts)]
    yield pa.table({"id": list(range(rows)), "t": [values[row % texts] for row in range(rows)]})


def keys(front, rows=4000):
    for group in range(rows // 100):
        ids = range(group * 100, group * 100 + 100)
        yield pa.table({"id": [front(row) + f"{row:010d}" for row in ids], "v": list(ids)})


def columns(rows=100_000, count=199):
    draw = random.Random(2)
    values = {"id": list(range(rows))}
    for column in range(count):
        numbers = [draw.getrandbits(30) for _ in range(rows)]
        values[f"c{column}"] = numbers if column % 2 else [f"{number:012d}" for number in numbers]
    yield pa.table(values)


def long_values(rows, length):
    for row in range(rows):
        yield pa.table({"id": [row], "t": [noise(row, length)]})


# Name of the shape: its tables, rows of a row group, and the query. The key is `id`.
SHAPES = {
    "count(DISTINCT string) of 200 thousand groups": (
        groups, 1 << 20, "SELECT k AS id, count(DISTINCT g) AS n, count(*) AS c FROM t GROUP BY k"),
    "3000 rows of one string of 1 MB": (lambda: repeated(3000, 1, 1_000_000), 1 << 20, "SELECT id, octet_length(t) AS n FROM t"),
    "8000 rows of ten strings of 200 KB": (lambda: repeated(8000, 10, 200_000), 1 << 20, "SELECT id, t FROM t"),
    "2000 of them sorted by a window": (
        lambda: repeated(8000, 10, 200_000), 1 << 20,
        "SELECT id, row_number() OVER (ORDER BY t, id) AS n FROM t WHERE id < 2000"),
    "keys of 60 KB": (lambda: keys(lambda row: noise(row, 59_990)), 100, "SELECT id, v FROM t"),
    "keys of 60 KB that share all but 10 bytes": (lambda: keys(lambda row: "y" * 59_990), 100, "SELECT id, v FROM t"),
    "200 columns": (columns, 5000, "SELECT * FROM t"),
    "strings of 5 MB": (lambda: long_values(100, 5_000_000), 1, "SELECT id, t FROM t"),
    "strings of 5 MB sorted by a window": (
        lambda: long_values(100, 5_000_000), 1, "SELECT id, t, row_number() OVER (ORDER BY t) AS n FROM t"),
    "values of 16 MiB": (lambda: long_values(24, (16 << 20) - 64), 1, "SELECT id, t FROM t"),
}


def main(arguments):
    options = parse(arguments)
    cutover = (options.target_dir / "release" / "cutover").resolve()
    shapes = {name: shape for name, shape in SHAPES.items() if not options.only or any(part in name for part in options.only)}
    failed = False
    print("| shape | " + " | ".join(f"{budget} MiB" if budget else "default" for budget in options.memory) + " |")
    print("|---" * (1 + len(options.memory)) + "|", flush=True)
    for number, (name, shape) in enumerate(SHAPES.items()):
        if name not in shapes:
            continue
        data = made(number, shape)
        cells = []
        for budget in options.memory:
            # A thread needs 32 MiB.
            threads = [threads for threads in options.threads if not budget or budget >= 32 * threads]
            found = [held(cutover, data, shape[2], budget, threads, options.timeout) for threads in threads]
            cells.append(max(found, key=lambda cell: (cell.endswith("!") or "exit" in cell, int(cell.strip("!exit ")))))
        failed |= any("!" in cell or "exit" in cell for cell in cells)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return 1 if failed else 0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="memory", description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=REPOSITORY / "target", help="cargo's build directory")
    split = lambda text: [int(part.removesuffix("MiB")) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--memory", type=split, default=BUDGETS, help="budgets in MiB; 0 is the command's own")
    parser.add_argument("--threads", type=split, default=[1, 2, 4])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="shapes whose name has one of these")
    parser.add_argument("--timeout", type=int, default=600, help="seconds after which a run hangs")
    return parser.parse_args(arguments)


def made(number, shape):
    """The file of a shape, made where it is missing."""
    tables, row_group, _ = shape
    path = cache() / "answers" / "memory-1" / f"{number}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.with_suffix(f".{os.getpid()}")
        writer = None
        for table in tables():
            if writer is None:
                settings = {"use_dictionary": row_group > 5000, "dictionary_pagesize_limit": 16 << 20}
                writer = pq.ParquetWriter(making, table.schema, compression="zstd", **settings)
            writer.write_table(table, row_group_size=row_group)
        writer.close()
        making.rename(path)
    return path


def held(cutover, data, query, budget, threads, timeout):
    """What a run held at most, in MiB, or how it ended."""
    with tempfile.TemporaryDirectory(prefix="cutover-memory-") as directory:
        inputs = f'[inputs.t]\npath = "{data}"\n'
        job = f'version = 1\ndataset = "m"\nstore = "store"\n{inputs}[query]\nsql = "{query}"\n[output]\nkey = ["id"]\n'
        (Path(directory) / "job.toml").write_text(job)
        command = [cutover, "run", "job.toml", "--json", "--threads", str(threads)]
        command += ["--memory", f"{budget}MiB"] if budget else []
        ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=timeout)
        if ran.returncode:
            print(ran.stderr, file=sys.stderr)
            return f"exit {ran.returncode}"
        peak = json.loads(ran.stdout)["peak_memory"] // MIB
        return f"{peak}!" if budget and peak > budget + HEADROOM else f"{peak}"
