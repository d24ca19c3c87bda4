"""Data sets: their content, how to generate it, and generating it once.

| set | rows | made by |
|---|---|---|
| log | events × profiles, skewed users and pages | `cutover demo --generate-only` |
| ten | ten times the events of log, the same profiles | the same |
| wide | the events, half as many profiles, each with a string of 128 letters | the same, and DuckDB |
| uniform, skewed, equal, sorted, reversed | one row for each event; keys distributed as the name says | DuckDB |
| blobs | values of 400 bytes that no codec compresses; one for every four events | DuckDB |
| tpch | TPC-H's orders and lineitem | tpchgen-cli |

The same numbers and versions give the same rows: randomness is a hash of the row's number. A set is generated again if
its steps or a version changed.

Not for: what is done with the rows (benches/jobs/).
"""

import json
import shutil
import subprocess
from pathlib import Path

from compare.measure import size_of

PARTS = 8
BLOB_BYTES = 400
EVENTS_PER_BLOB = 4
# Keys of all shapes have the same number of bytes; this one is in the middle of them.
HOT = 1 << 62
RANDOM = "(hash(i) >> 1)::BIGINT"
SIDE = Path(__file__).resolve().parent / "duckdb_side.py"


def make(name, bench):
    """Generates a data set unless it exists; returns its directory."""
    home = bench.work / "data"
    home.mkdir(parents=True, exist_ok=True)
    directory, mark = home / name, home / f"{name}.json"
    steps = RECIPES[name](bench, name)
    made = json.dumps([steps, bench.versions], indent=1)
    if mark.exists() and mark.read_text() == made:
        return directory
    mark.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    print(f"making the data set {name}", flush=True)
    programs = {
        "cutover": [bench.cutover],
        "duckdb": [bench.python, SIDE, "--threads", str(bench.threads)],
        "tpchgen-cli": [bench.python.parent / "tpchgen-cli"],
    }
    for program, *arguments in steps:
        if program == "mkdir":
            (home / arguments[0]).mkdir(parents=True)
            continue
        command = [*programs[program], *arguments]
        subprocess.run(command, cwd=home, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    mark.write_text(made)
    return directory


def rows(name, bench):
    """Rows of a data set's largest table, approximately."""
    others = {"ten": 10 * bench.events, "blobs": blob_rows(bench), "tpch": int(6_000_000 * bench.tpch_sf)}
    return others.get(name, bench.events)


def about(directory):
    """A description of a data set, for the report."""
    files = sorted(directory.rglob("*.parquet"))
    return {"name": directory.name, "files": len(files), "bytes": size_of(directory)}


def demo(name, events, profiles):
    shape = ["--events", str(events), "--profiles", str(profiles)]
    return ["cutover", "demo", "--generate-only", "--dir", name, *shape]


def parts(directory, rows, select):
    """Steps that write rows 0 to `rows`, one file per part; `select` gives those from {low} to {high}."""
    cuts = [rows * part // PARTS for part in range(PARTS + 1)]
    return [["mkdir", directory]] + [
        [
            "duckdb",
            f"COPY ({select.format(low=low, high=high)}) TO '{directory}/part-{part}.parquet' "
            "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)",
        ]
        for part, (low, high) in enumerate(zip(cuts, cuts[1:]))
    ]


def shape(key):
    """Rows about as large as events, with keys from `key`, an expression of the row's number i."""

    def recipe(bench, name):
        key_of = key.format(hot=HOT, random=RANDOM, rows=bench.events, step=HOT // bench.events)
        select = (
            f"SELECT {key_of} AS key, i AS n, 'https://shop.example/p/' || (10000 + hash(i, 1) % 100000) AS url, "
            "['view', 'click', 'buy'][(hash(i, 2) % 3 + 1)::INTEGER] AS action, "
            "(hash(i, 3) % 600000)::INTEGER AS duration_ms FROM range({low}, {high}) rows(i)"
        )
        return parts(name, bench.events, select)

    return recipe


def blobs(bench, name):
    # A SHA-256 is 32 bytes: twelve and a half of them, by 64 digits each.
    digests = " || ".join(f"sha256('{place}-' || i)" for place in range(-(-BLOB_BYTES // 32)))
    value = f"unhex(substr({digests}, 1, {2 * BLOB_BYTES}))"
    select = f"SELECT {RANDOM} AS key, {value} AS value FROM range({{low}}, {{high}}) rows(i)"
    return parts(name, blob_rows(bench), select)


def blob_rows(bench):
    return max(bench.events // EVENTS_PER_BLOB, 1)


def wide(bench, name):
    profiles = max(bench.events // 2, 1)
    widened = (
        "SELECT *, repeat(md5(user_id::VARCHAR), 4) AS about "
        f"FROM read_parquet('{name}/profiles/*.parquet') WHERE user_id > {{low}} AND user_id <= {{high}}"
    )
    return [demo(name, bench.events, profiles), *parts(f"{name}/wide_profiles", profiles, widened)]


def tpch(bench, name):
    tables = ["--tables=orders,lineitem", f"--parts={PARTS}", f"--output-dir={name}", "--quiet"]
    return [["tpchgen-cli", "parquet", "-s", f"{bench.tpch_sf:g}", *tables]]


RECIPES = {
    "log": lambda bench, name: [demo(name, bench.events, bench.profiles)],
    "ten": lambda bench, name: [demo(name, 10 * bench.events, bench.profiles)],
    "wide": wide,
    "uniform": shape("{random}"),
    "skewed": shape("CASE hash(i, 4) % 2 WHEN 0 THEN {hot} ELSE {random} END"),
    "equal": shape("{hot}"),
    "sorted": shape("{hot} + i * {step}"),
    "reversed": shape("{hot} + ({rows} - 1 - i) * {step}"),
    "blobs": blobs,
    "tpch": tpch,
}
