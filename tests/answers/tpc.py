"""TPC-H's 22 and TPC-DS's 99 queries through `cutover run`, every answer compared with DuckDB's.

    make tpc
    make tpc ARGS="--suite ds --scale 0.1 --memory 128MiB --threads 2 --only 4,14"

Queries and data are those of DuckDB's extensions tpch and tpcds. A query becomes a job: its columns are called c0, c1,
… in the order of its SELECT, all rows have the key 1, and the fold `number` keeps every one of them. Answers are equal
as multisets (answers.py). Ties at a LIMIT might rightly be resolved differently; in these queries no two tied rows
differ there, so nothing is allowed for them.

Data and DuckDB's answers are generated once for each scale and kept below the cache directory. Every query runs in its
own directory, so that concurrent runs, of this judge too, do not collide.

With `--headroom` a run that uses more than its memory and this is a failure too.

With `--cluster` the queries are run by a driver and two executors over an object store (cluster.py), one after another,
and a digest that differs from that of a run on one machine is reported. With `--kills SEED` an executor is killed in every
run. As most of the queries end in a LIMIT, which one task has to see all rows for, `--unlimited` leaves those out: the
digest has to be that of one machine then, as DuckDB's answers are of the limited queries.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from answers import answers, duckdb_side
from answers.cluster import Cluster
from answers.environment import REPOSITORY, cache

SUITES = {"h": ("tpch", "dbgen", 22), "ds": ("tpcds", "dsdgen", 99)}
ROW_GROUP = 50_000
MIB = 1 << 20
# Exit codes of `cutover` for refusals and failures, as docs/operations.md lists them.
SAID = {2: "invalid", 3: "input", 4: "unavailable", 6: "corrupt", 7: "rejected", 70: "internal"}
DEFAULT_TIMEOUT = 300


@dataclass(frozen=True)
class Suite:
    """One suite at one scale: where its tables are, and each query with its SQL."""

    name: str
    data: Path
    tables: list
    queries: dict


def main(arguments):
    options = parse(arguments)
    cutover = (options.target_dir / "release" / "cutover").resolve()
    if not cutover.exists():
        raise SystemExit(f"tpc: {cutover} is not there; `make tpc` builds it")
    failed = False
    for name in options.suite:
        suite = prepare(name, options.scale)
        numbers = [number for number in suite.queries if not options.only or number in options.only]
        with tempfile.TemporaryDirectory(prefix="cutover-tpc-", dir=options.dir) as work:
            with clustered(suite, cutover, Path(work), options) as options.on:
                with ThreadPoolExecutor(options.parallel) as pool:
                    run = lambda number: judge(suite, number, cutover, Path(work), options)  # noqa: E731
                    results = list(pool.map(run, numbers))
        failed |= report(suite, results, options)
    return 1 if failed else 0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tpc", description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=REPOSITORY / "target", help="cargo's build directory")
    parser.add_argument("--suite", choices=["h", "ds", "all"], default="all", help="default: both")
    parser.add_argument("--scale", default="0.1", help="scale factor; 1 is about a gigabyte")
    parser.add_argument("--memory", help="of each run, such as 128MiB; default: the command's own")
    parser.add_argument("--threads", type=int, help="of each run; default: the command's own")
    parser.add_argument("--only", type=numbers, default=[], metavar="N,N", help="these queries alone")
    parser.add_argument("--parallel", type=int, default=1, help="runs at the same time; 1 for true times")
    parser.add_argument("--timeout", type=int, default=DEFAULT_TIMEOUT, help="seconds after which a run hangs")
    parser.add_argument("--headroom", type=size, help="bytes a run may hold beyond --memory, such as 80MiB")
    parser.add_argument("--dir", type=Path, help="where the runs' directories are made; default: the system's")
    parser.add_argument("--cluster", action="store_true", help="by two executors of one slot, over an object store")
    parser.add_argument("--unlimited", action="store_true", help="on the cluster, without the LIMIT at the end")
    parser.add_argument("--share-bytes", default="4MiB", help="bytes of input of a task of the cluster")
    parser.add_argument("--kills", type=int, metavar="SEED", help="kill an executor in every run of the cluster")
    parser.add_argument("--json", type=Path, help="writes the results to this file too")
    options = parser.parse_args(arguments)
    options.suite = list(SUITES) if options.suite == "all" else [options.suite]
    if options.unlimited and not options.cluster:
        parser.error("--unlimited goes with --cluster")
    if options.cluster:
        options.parallel = 1
    if options.headroom is not None and not options.memory:
        parser.error("--headroom goes with --memory")
    return options


@contextmanager
def clustered(suite, cutover, work, options):
    """The cluster with the suite's tables, if there is to be one."""
    if not options.cluster:
        yield None
        return
    memory = options.memory or "512MiB"
    with Cluster(cutover, work, memory, share=options.share_bytes, kills=options.kills) as cluster:
        for table in suite.tables:
            cluster.upload(suite.data / "tables" / f"{table}.parquet", f"tables/{table}.parquet")
        yield cluster


def numbers(text):
    return [int(number) for number in text.split(",")]


def size(text):
    value, unit = re.fullmatch(r"(\d+)(MiB|GiB)", text).groups()
    return int(value) * (MIB if unit == "MiB" else 1024 * MIB)


def prepare(name, scale):
    """The suite, with its tables as Parquet and DuckDB's answers next to them."""
    extension, generator, count = SUITES[name]
    home = cache() / "answers" / f"{extension}-{scale}-{duckdb_side.duckdb.__version__}"
    connection = duckdb_side.connect(extension, threads=os.cpu_count())
    queries = dict(connection.execute(f"SELECT query_nr, query FROM {extension}_queries()").fetchall())
    if len(queries) != count:
        raise SystemExit(f"tpc: {extension} brings {len(queries)} queries, not {count}")
    queries = {number: sql.strip().rstrip(";") for number, sql in sorted(queries.items())}
    if not home.exists():
        print(f"making {extension} at scale {scale} and DuckDB's answers", flush=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{home.name}-", dir=home.parent) as made:
            generate(connection, f"CALL {generator}(sf={scale})", queries, Path(made) / "made")
            try:
                (Path(made) / "made").rename(home)
            except OSError:  # another run was faster
                shutil.rmtree(Path(made) / "made")
    tables = sorted(path.stem for path in (home / "tables").iterdir())
    return Suite(extension, home, tables, queries)


def generate(connection, call, queries, home):
    (home / "tables").mkdir(parents=True)
    (home / "answers").mkdir()
    connection.execute(call)
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        options = f"FORMAT parquet, ROW_GROUP_SIZE {ROW_GROUP}"
        connection.execute(f"COPY {table} TO '{home}/tables/{table}.parquet' ({options})")
    for number, sql in queries.items():
        answer = connection.execute(sql).fetch_arrow_table()
        answer = answer.rename_columns([f"c{place}" for place in range(answer.num_columns)])
        pq.write_table(answer, home / "answers" / f"{number}.parquet")


def judge(suite, number, cutover, work, options):
    """Runs one query as a job; its result as a dictionary."""
    directory = work / f"{suite.name}-{number}"
    directory.mkdir()
    expected = pq.read_table(suite.data / "answers" / f"{number}.parquet")
    sql = suite.queries[number]
    if options.unlimited:
        sql = re.sub(r"\bLIMIT\s+\d+\s*$", "", sql, flags=re.IGNORECASE)
    (directory / "job.toml").write_text(job(suite, sql, expected.schema.names))
    flags = ["--memory", options.memory] if options.memory else []
    flags += ["--threads", str(options.threads)] if options.threads else []
    result = {"suite": suite.name, "query": number, "rows": expected.num_rows, "outcome": "same", "said": ""}
    start = time.perf_counter()
    try:
        ran = run(suite, number, (cutover, directory), flags, options)
    except subprocess.TimeoutExpired:
        return result | {"outcome": "hang", "seconds": options.timeout}
    result["seconds"] = round(time.perf_counter() - start, 2)
    if ran.returncode:
        outcome = SAID.get(ran.returncode, f"crash: exit code {ran.returncode}")
        return result | {"outcome": outcome, "said": ran.stderr.strip()}
    document = json.loads(ran.stdout)
    result["peak"] = document["peak_memory"]
    if options.on:
        result["digest"] = document["digest"]
        result["tasks"] = document["cluster"]
        result["same_digest"] = document["digest"] == locally((cutover, directory), flags, options)
        pulled = options.on.command(directory, ["pull", f"{options.on.url}/{suite.name}-{number}", "--to", "store"])
        if pulled.returncode:
            return result | {"outcome": "cannot be pulled", "said": pulled.stderr.strip()}
    if options.unlimited:
        difference = "" if result["same_digest"] else "the digest is not that of a run on one machine"
    else:
        difference = compare(cutover, directory, expected)
    shutil.rmtree(directory)
    return result | ({"outcome": "differs", "said": difference} if difference else {})


def run(suite, number, place, flags, options):
    """Runs the job of a query, on the cluster if there is one."""
    cutover, directory = place
    if not options.on:
        command = [cutover, "run", "job.toml", "--json", *flags]
        return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=options.timeout)
    text = (directory / "job.toml").read_text()
    there = text.replace('store = "store"', f'store = "{suite.name}-{number}"').replace(f"{suite.data}/", "")
    (directory / "there.toml").write_text(there)
    return options.on.run(directory, "there.toml", flags, options.timeout)


def locally(place, flags, options):
    """The digest that one process gives."""
    cutover, directory = place
    text = (directory / "job.toml").read_text().replace('store = "store"', 'store = "local"')
    (directory / "local.toml").write_text(text)
    command = [cutover, "run", "local.toml", "--json", *flags]
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=options.timeout)
    return json.loads(ran.stdout).get("digest")


def job(suite, sql, columns):
    """The job file of a query."""
    used = [table for table in suite.tables if re.search(rf"\b{table}\b", sql, re.IGNORECASE)]
    inputs = "".join(f'[inputs.{table}]\npath = "{suite.data}/tables/{table}.parquet"\n' for table in used)
    named = ", ".join(columns)
    query = json.dumps(f"SELECT 1 AS k, q.* FROM ({sql}) AS q({named})")
    order = json.dumps(columns)
    return (
        'version = 1\ndataset = "answer"\nstore = "store"\n'
        f"{inputs}"
        f"[query]\nsql = {query}\n"
        f'[output]\nkey = ["k"]\nduplicates = "number"\norder_by = {order}\n'
        "[checks]\nrows = { min = 0 }\n"
    )


def compare(cutover, directory, expected):
    """Where the store's rows differ from the expected ones."""
    command = [cutover, "scan", "store", "--json"]
    printed = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout
    records = [answers.parse(line)["value"] for line in printed.splitlines()]
    manifest = json.loads(next(directory.glob("store/versions/*/manifest.json")).read_text())
    types = {column["name"]: column["type"] for column in manifest["value"]["columns"]}
    slacks = [answers.slack(types[name]) for name in expected.schema.names]
    try:
        found = answers.found_rows(records, expected.schema)
    except answers.Unreadable as error:
        return str(error)
    return answers.difference(answers.expected_rows(expected), found, slacks)


def report(suite, results, options):
    """Prints the outcome of every query; returns whether anything failed."""
    limit = size(options.memory) + options.headroom if options.headroom is not None else None
    for result in results:
        if limit and result.get("peak", 0) > limit and result["outcome"] == "same":
            result |= {"outcome": "too much memory", "said": f"more than {limit // MIB} MiB"}
    print(f"\n{suite.name} at scale {options.scale}, memory {options.memory or 'as it is'}, ", end="")
    print(f"threads {options.threads or 'as they are'}\n")
    print(f"{'query':>5} {'rows':>7} {'seconds':>8} {'peak MiB':>9}  outcome")
    for result in results:
        peak = f"{result['peak'] / MIB:.0f}" if "peak" in result else "–"
        seconds = f"{result['seconds']:.2f}"
        print(f"{result['query']:>5} {result['rows']:>7} {seconds:>8} {peak:>9}  {result['outcome']}")
    failures = [result for result in results if result["outcome"] != "same"]
    for result in failures:
        print(f"\n{suite.name} query {result['query']}: {result['outcome']}\n{result['said']}")
    peaks = [result["peak"] for result in results if "peak" in result]
    judge_of = "a run on one machine" if options.unlimited else "DuckDB"
    print(f"\n{len(results) - len(failures)} of {len(results)} answered as {judge_of} answers", end="")
    print(f", {sum(result['seconds'] for result in results):.0f} s", end="")
    print(f", at most {max(peaks) // MIB} MiB" if peaks else "")
    others = [result["query"] for result in results if result.get("same_digest") is False]
    if others:
        print(f"other digests than on one machine, with equal answers: queries {', '.join(map(str, others))}")
    if options.json:
        earlier = json.loads(options.json.read_text()) if options.json.exists() else []
        options.json.write_text(json.dumps(earlier + results, indent=1) + "\n")
    return bool(failures)
