"""Random SQL over random tables: Cutover's rows compared with DuckDB's, job after job.

    make differential                              2,000 jobs
    make differential ARGS="--seed 1234 --jobs 1"  job 1234 again, the same

A job is determined by its number: it seeds the query, the memory and the threads, and twenty consecutive jobs share
their tables. DuckDB gets the tables themselves, never the files, so what Cutover reads from Parquet, CSV or JSON is
compared with what was written. Every job runs twice, with different threads and memory.

    same        both runs return DuckDB's rows, and the same bytes as each other
    refused     both runs refuse the query or the data (kinds Invalid and Input); counted by reason, and at most
                `--refused` of a hundred may be
    failed      anything else: other rows, a crash, a hang, a bug (also one reported as a refusal), too little memory,
                one run refused alone

A failure is printed with its SQL, and its directory keeps files, SQL, settings and both answers. Queries avoid what the
engines rightly do differently; expressions.py and queries.py list it.

Not for: TPC's queries (tpc.py), or what the command does around a query.
"""

import argparse
import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from random import Random

import duckdb
import pyarrow.parquet as pq

from answers import answers, duckdb_side, files, harness, tables
from answers.environment import cache
from answers.queries import Queries

JOBS_PER_SET = 20
MIB = 1 << 20
MEMORIES = [64 * MIB, 128 * MIB, 256 * MIB, 512 * MIB, 1024 * MIB]
LEAST_PER_THREAD = 32 * MIB
MOST_ROWS = 3000
MANY_ROWS, OTHER_ROWS = 3000, 250
FORMATS = ["parquet", "parquet", "parquet", "csv", "json"]
SHARED_KINDS = 3
DRAWS = 50
# Percent of the generated queries that DuckDB runs; with fewer, the generator is broken.
LEAST_RUN = 98
REFUSALS = {"invalid", "input"}
# Words that no refusal contains: a bug that is reported as one.
FAULTS = re.compile(
    "assertion|panick|unwrap|out of bounds|out of range for slice|internal error|this is a bug|must match schema types"
    "|expects partition by",
    re.IGNORECASE,
)
DEFAULT_TIMEOUT = 60
# The tolerance of a rounded quotient, in units of its last digit.
ROUNDED = 0.501
SHOWN_FAILURES = 20


def main(arguments):
    options = parse(arguments)
    program = None if options.check else options.program or harness.executable()
    keep = options.keep or cache() / "answers" / "failures"
    start = time.perf_counter()
    first, last = options.seed, options.seed + options.jobs
    sets = defaultdict(list)
    for number in range(first, last):
        sets[number // JOBS_PER_SET].append(number)
    results = []
    with ProcessPoolExecutor(options.parallel) as pool:
        work = [pool.submit(judge_set, one, jobs, program, options, keep) for one, jobs in sets.items()]
        for done in as_completed(work):
            results += done.result()
            if len(results) // 200 > (len(results) - JOBS_PER_SET) // 200:
                print(f"{len(results)} jobs, {time.perf_counter() - start:.0f} s", flush=True)
    return report(results, time.perf_counter() - start, keep, options)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="differential", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="number of the first job")
    parser.add_argument("--jobs", type=int, default=2000, help="how many")
    parser.add_argument("--parallel", type=int, default=os.cpu_count(), help="processes; default: one a processor")
    parser.add_argument("--refused", type=float, default=10, help="percent of jobs that may be refused")
    parser.add_argument("--timeout", type=int, default=DEFAULT_TIMEOUT, help="seconds after which a job hangs")
    parser.add_argument("--keep", type=Path, help="where the directories of failures go; default: below the cache directory")
    parser.add_argument("--program", help="the built program of benches/answers.rs; default: cargo builds it")
    parser.add_argument("--plain", action="store_true", help="Parquet files all alike: queries alone are judged")
    parser.add_argument("--formats", nargs="+", choices=sorted(set(FORMATS)), default=FORMATS, help="default: all")
    parser.add_argument("--without", nargs="+", default=[], metavar="FAMILY", help="no such columns: float, list, …")
    parser.add_argument("--check", action="store_true", help="checks the generated queries, with DuckDB alone")
    return parser.parse_args(arguments)


def judge_set(number, jobs, program, options, keep):
    """Runs the jobs of one set of tables; a result for each."""
    work = Path(tempfile.mkdtemp(prefix="cutover-differential-"))
    asked = harness.Harness(program, options.timeout) if program else None
    try:
        made = Tables(number, work, options.plain, options.formats, options.without)
        return [judge(job, made, asked, keep, always=options.jobs == 1) for job in jobs]
    finally:
        if asked:
            asked.close()
        shutil.rmtree(work, ignore_errors=True)


class Tables:
    """A set of tables: in DuckDB as they are, and on disk as files."""

    def __init__(self, number, work, plain=False, formats=tuple(FORMATS), without=()):
        rng = Random(f"tables {number}")
        pools, shared = tables.Pools(rng), rng.sample(list(tables.KINDS), SHARED_KINDS)
        self.directory, self.tables, self.inputs, self.schemas = work, [], {}, {}
        for place, name in enumerate("tuv"):
            format = "parquet" if plain else rng.choice([format for format in FORMATS if format in formats])
            allowed = {"parquet": list(tables.KINDS), "csv": files.IN_CSV, "json": files.IN_JSON}[format]
            allowed = [kind for kind in allowed if tables.KINDS[kind].family not in without]
            if format != "parquet" and rng.random() < 0.25:
                allowed = [kind for kind in files.DISTINGUISHABLE if kind in allowed] or allowed
            rows = tables.row_count(rng, MANY_ROWS if place == 0 else OTHER_ROWS)
            table = tables.table(name, format, allowed, shared, rows, pools, rng)
            if format != "parquet":
                files.for_text(table, rng)
            contract = files.write(table, work / name, rng, plain)
            self.tables.append(table)
            self.inputs[name] = str(work / name)
            if contract:
                self.schemas[name] = str(contract)
        self.duckdb = duckdb_side.connect()
        for table in self.tables:
            self.duckdb.register("written", table.data)
            self.duckdb.execute(f"CREATE TABLE {table.name} AS FROM written")
            self.duckdb.unregister("written")


def judge(number, made, asked, keep, always=False):
    """One job: its query is generated, run twice, and compared. Failures are kept, or `always`."""
    rng = Random(f"job {number}")
    rejected = []
    for _ in range(DRAWS):
        sql = Queries(rng, made.tables).query()
        try:
            expected = made.duckdb.execute(duckdb_side.said(sql)).fetch_arrow_table()
        except duckdb.Error as error:
            rejected.append(f"{error}\n{sql}")
            continue
        if expected.num_rows <= MOST_ROWS:
            break
    else:
        raise SystemExit(f"differential: job {number}: no query that DuckDB answers\n{rejected[-1]}")
    result = {"job": number, "rejected": rejected, "rows": expected.num_rows, "sql": sql}
    runs = settings(rng)
    if asked is None:
        answers.expected_rows(expected)
        return result | {"outcome": "same"}
    job = {"sql": sql, "inputs": made.inputs, "schemas": made.schemas}
    found = [asked.ask(job | run) for run in runs]
    outcome, said = verdict(expected, found)
    if always or outcome not in ("same", "refused"):
        keep_failure(keep / str(number), made, job, runs, expected, found, f"{outcome}: {said}")
    return result | {"outcome": outcome, "said": said, "runs": runs}


def settings(rng):
    """Threads and memory of both runs, always different."""
    every = [
        {"threads": threads, "memory": memory}
        for threads in (1, 2, 4)
        for memory in MEMORIES
        if threads * LEAST_PER_THREAD <= memory
    ]
    return rng.sample(every, 2)


def verdict(expected, found):
    """The outcome of both runs, and why."""
    errors = [answer.get("error") for answer in found]
    for answer in found:
        if "error" in answer and (answer["error"] not in REFUSALS or not answer["message"]):
            return answer["error"], answer["message"]
        if "error" in answer and FAULTS.search(answer["message"]):
            return "fault", answer["message"]
    if any(errors):
        said = next(answer["message"] for answer in found if "error" in answer)
        return ("refused" if all(errors) else "refused once"), said
    wanted = answers.expected_rows(expected)
    for answer in found:
        slacks = [answers.slack(dict(answer["columns"]).get(name, ""), ROUNDED, 0.0) for name in expected.schema.names]
        try:
            rows = answers.found_rows(answer["rows"], expected.schema)
        except answers.Unreadable as error:
            return "differs", str(error)
        different = answers.difference(wanted, rows, slacks)
        if different:
            return "differs", different
    texts = [Counter(json.dumps(row, default=str) for row in answer["rows"]) for answer in found]
    if texts[0] != texts[1]:
        only = [list((texts[one] - texts[1 - one]).elements())[:3] for one in (0, 1)]
        return "two digests", f"both runs are right, but not byte for byte: {only[0]} and {only[1]}"
    return "same", ""


def keep_failure(directory, made, job, runs, expected, found, said):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in job["inputs"]:
        shutil.copytree(made.directory / name, directory / name)
    for table in made.tables:
        pq.write_table(table.data, directory / f"{table.name}.truth.parquet", store_schema=True)
        if table.name in job["schemas"]:
            shutil.copy(job["schemas"][table.name], directory)
    (directory / "query.sql").write_text(job["sql"] + "\n")
    (directory / "said.txt").write_text(said + "\n")
    (directory / "job.json").write_text(json.dumps(job | {"runs": runs}, indent=1))
    (directory / "expected.txt").write_text("\n".join(map(repr, answers.expected_rows(expected))) + "\n")
    for place, answer in enumerate(found):
        (directory / f"found-{place + 1}.json").write_text(json.dumps(answer, default=str))


def reason(said):
    """A message without the names and values of its query, so that equal reasons count together."""
    return re.sub(r"\d+", "#", re.sub(r"'[^']*'|\"[^\"]*\"|\ba\d+\.\w+", "…", said.splitlines()[0]))[:160]


def report(results, took, keep, options):
    results.sort(key=lambda result: result["job"])
    by = defaultdict(list)
    for result in results:
        by[result["outcome"]].append(result)
    failures = [result for outcome, some in by.items() if outcome not in ("same", "refused") for result in some]
    rejected = [text for result in results for text in result["rejected"]]
    for text, count in Counter(reason(text) for text in rejected).most_common(10) if options.check else []:
        print(f"DuckDB rejects, {count} times: {text}")
    for text, some in sorted(grouped(by["refused"]).items(), key=lambda pair: -len(pair[1])):
        print(f"refused, {len(some)} times, such as job {some[0]['job']}: {text}")
        if options.jobs == 1:
            print(f"{some[0]['sql']}\n{some[0]['said']}")
    for result in failures[:SHOWN_FAILURES]:
        shown = ", ".join(f"{run['threads']} threads and {run['memory'] // MIB} MiB" for run in result["runs"])
        print(f"\njob {result['job']}: {result['outcome']} ({shown})\n{result['sql']}\n{result['said']}")
        print(f"kept in {keep / str(result['job'])}; again: --seed {result['job']} --jobs 1")
    share = 100 * len(by["refused"]) / len(results)
    rows = sum(result["rows"] for result in results)
    print(f"\n{len(results)} jobs in {took:.0f} s, {rows} rows: {len(by['same'])} same, ", end="")
    print(f"{len(by['refused'])} refused ({share:.1f} %), {len(failures)} failed", end="")
    kinds = Counter(result["outcome"] for result in failures)
    print(f" ({', '.join(f'{count} {name}' for name, count in kinds.most_common())})" if kinds else "")
    ran = 100 * len(results) / (len(rejected) + len(results))
    print(f"DuckDB ran {ran:.1f} % of what was drawn")
    if share > options.refused:
        print(f"too many are refused: {options.refused:g} % may be")
    return 1 if failures or share > options.refused or ran < LEAST_RUN else 0


def grouped(results):
    groups = defaultdict(list)
    for result in results:
        groups[reason(result["said"])].append(result)
    return groups
