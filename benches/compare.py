"""Cutover beside DuckDB: the same query over the same files, into a checked store and into sorted Parquet.

`make bench` builds both programs and calls this. Each comparison runs in pairs, Cutover and DuckDB in turns and
changing who begins, because a machine's speed drifts; what counts is the median of the pairs' ratios. Cutover's
seconds are those of the whole process with every default on: query, shuffle, tables, ingest, read-back, flip. DuckDB's
are those of its COPY statement. After the last pair both results are read back and must hold the same rows, by count
and by a digest that does not depend on order (benches/digest.rs). Raw results go to benches/runs/.

Not for: tuning one stage (benches/stages.rs), or machines without 250 bytes of free disk for each event.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BYTES_PER_EVENT = 250
ENRICHED = """
SELECT e.user_id, e.ts, e.url, e.action, e.duration_ms, p.name, p.age, p.country, p.signup
FROM events e LEFT JOIN profiles p ON e.user_id = p.user_id"""
VIEWS_BY_AGE = """
SELECT e.url, coalesce(CAST(p.age - p.age % 10 AS VARCHAR), 'unknown') AS age_group, count(*) AS views
FROM events e LEFT JOIN profiles p ON e.user_id = p.user_id
GROUP BY 1, 2"""


class Comparison:
    """One query, one codec, and the most that Cutover may take as a share of DuckDB's time."""

    def __init__(self, name, sql, order, output, codec, target):
        self.name, self.sql, self.order, self.output, self.codec, self.target = name, sql, order, output, codec, target

    def job(self):
        return f"""version = 1
dataset = "{self.name}"
store = "stores/{self.name}"

[inputs.events]
path = "data/events/"

[inputs.profiles]
path = "data/profiles/"

[query]
sql = \"\"\"{self.sql}\"\"\"

[output]
{self.output}

[tables]
compression = "{self.codec}"
"""

    def copy(self):
        return f"COPY ({self.sql}{self.order}\n) TO 'duckdb/{self.name}.parquet' (FORMAT parquet, COMPRESSION {self.codec})"


BY_USER = 'key = ["user_id", "ts"]\nduplicates = "number"\nvalue = { encoding = "avro" }'
COMPARISONS = [
    Comparison("enriched_lz4", ENRICHED, "\nORDER BY e.user_id, e.ts", BY_USER, "lz4", 0.7),
    Comparison("enriched_zstd", ENRICHED, "\nORDER BY e.user_id, e.ts", BY_USER, "zstd", None),
    Comparison("views_by_age_lz4", VIEWS_BY_AGE, "", 'key = ["url", "age_group"]', "lz4", 1.0),
]


def main():
    options = parse()
    cutover = (options.target_dir / "release" / "cutover").resolve()
    work = options.dir / f"{options.events}x{options.profiles}"
    work.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(work).free
    if free < options.events * BYTES_PER_EVENT:
        sys.exit(f"compare: {work} has {free / 1e9:.1f} GB free, {options.events * BYTES_PER_EVENT / 1e9:.1f} are needed")
    python = environment(options.dir)
    print(f"data and results are in {work}")
    generate(cutover, work, options)

    threads = options.threads or os.cpu_count()
    report = {"about": about(cutover, python, threads), "data": data_of(work, options), "comparisons": []}
    chosen = [one for one in COMPARISONS if not options.only or one.name in options.only]
    for comparison in chosen:
        report["comparisons"].append(compare(comparison, cutover, python, work, threads, options.pairs))
    path = record(report, options)
    print(f"\nraw results: {path.relative_to(HERE.parent)}")
    if not all(one["same_rows"] for one in report["comparisons"]):
        sys.exit("compare: the two sides do not hold the same rows")


def parse():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=HERE.parent / "target", help="cargo's build folder")
    parser.add_argument("--dir", type=Path, default=cache / "cutover" / "bench", help="where data and results go")
    parser.add_argument("--events", type=int, default=40_000_000)
    parser.add_argument("--profiles", type=int, help="default: a twentieth of the events")
    parser.add_argument("--pairs", type=int, default=3, help="paired runs of each comparison")
    parser.add_argument("--threads", type=int, default=0, help="on both sides; default: all of the machine")
    parser.add_argument("--only", nargs="*", choices=[one.name for one in COMPARISONS], help="some comparisons only")
    parser.add_argument("--name", default="compare", help="goes into the name of the raw results")
    options = parser.parse_args()
    options.dir = options.dir.absolute()
    if options.profiles is None:
        options.profiles = max(options.events // 20, 1)
    if options.pairs < 1 or options.events < 1 or options.profiles < 1:
        parser.error("--pairs, --events and --profiles start at 1")
    return options


def environment(folder):
    """A virtual environment with what requirements.txt names; made once."""
    home = folder / "venv"
    python, wanted, mark = home / "bin" / "python", HERE / "requirements.txt", home / "requirements.txt"
    if not (mark.exists() and mark.read_text() == wanted.read_text()):
        print("installing DuckDB into a virtual environment")
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted]
        subprocess.run(pip, check=True)
        shutil.copyfile(wanted, mark)
    return python.absolute()


def generate(cutover, work, options):
    """Sample data, once for each shape and each build of the command that makes other data."""
    command = ["demo", "--generate-only", "--dir", "data", "--events", str(options.events)]
    command += ["--profiles", str(options.profiles)]
    mark = work / "data.json"
    made = json.dumps([command, version_of(cutover)])
    if mark.exists() and mark.read_text() == made:
        return
    mark.unlink(missing_ok=True)
    print(f"making {options.events:,} events and {options.profiles:,} profiles")
    subprocess.run([cutover, *command], cwd=work, check=True, stdin=subprocess.DEVNULL)
    mark.write_text(made)


def data_of(work, options):
    files = sorted((work / "data").glob("*/*.parquet"))
    size = sum(path.stat().st_size for path in files)
    return {"events": options.events, "profiles": options.profiles, "files": len(files), "bytes": size}


def compare(comparison, cutover, python, work, threads, pairs):
    for name in ("jobs", "stores", "duckdb"):
        (work / name).mkdir(exist_ok=True)
    job, store = f"jobs/{comparison.name}.toml", work / "stores" / comparison.name
    parquet = work / "duckdb" / f"{comparison.name}.parquet"
    (work / job).write_text(comparison.job())
    ours = [cutover, "run", job, "--threads", str(threads), "--json"]
    theirs = [python, HERE / "duckdb_side.py", str(threads), comparison.copy()]

    print(f"\n{comparison.name}: {threads} threads")
    print(f"  {'':8}{'cutover':>10} {'duckdb':>10}{'ratio':>8}")
    runs = []
    for pair in range(pairs):
        run = {}
        for side in ("cutover", "duckdb") if pair % 2 == 0 else ("duckdb", "cutover"):
            warm(work)
            if side == "cutover":
                shutil.rmtree(store, ignore_errors=True)
                run[side] = measure(ours, work)
                run[side]["seconds"] = run[side]["wall_seconds"]
                run[side]["bytes"] = size_of(store / "versions")
            else:
                parquet.unlink(missing_ok=True)
                run[side] = measure(theirs, work)
                run[side]["seconds"] = run[side]["output"]["seconds"]
                run[side]["bytes"] = size_of(parquet)
        run["ratio"] = run["cutover"]["seconds"] / run["duckdb"]["seconds"]
        runs.append(run)
        line(f"run {pair + 1}", run["cutover"]["seconds"], run["duckdb"]["seconds"], run["ratio"])
    ratio = statistics.median(run["ratio"] for run in runs)
    median = {
        side: {
            what: statistics.median(run[side][what] for run in runs)
            for what in ("seconds", "cpu_seconds", "peak_rss_bytes", "bytes")
        }
        for side in ("cutover", "duckdb")
    }
    line("median", median["cutover"]["seconds"], median["duckdb"]["seconds"], ratio)
    for label, what, unit, scale in (
        ("cpu", "cpu_seconds", "s ", 1),
        ("memory", "peak_rss_bytes", "GB", 1e9),
        ("size", "bytes", "GB", 1e9),
    ):
        print(f"  {label:8}" + "".join(f"{median[side][what] / scale:8.2f} {unit}" for side in median))
    if comparison.target is not None:
        verdict = "met" if ratio <= comparison.target else "missed"
        print(f"  target: at most {comparison.target} of DuckDB's time: {verdict}")

    held = {"cutover": digest_of("store", store), "duckdb": digest_of("parquet", parquet)}
    same = held["cutover"] == held["duckdb"]
    print(f"  rows: {held['cutover']['rows']:,} and {held['duckdb']['rows']:,}, digests {'equal' if same else 'DIFFER'}")
    shutil.rmtree(store, ignore_errors=True)
    parquet.unlink(missing_ok=True)
    return {
        "name": comparison.name,
        "commands": {"cutover": shown(ours), "duckdb": shown(theirs)},
        "job": comparison.job(),
        "target": comparison.target,
        "median_ratio": ratio,
        "medians": median,
        "held": held,
        "same_rows": same,
        "runs": runs,
    }


def warm(work):
    """Both sides find the input in the page cache, and no earlier run's writes still going to disk."""
    os.sync()
    for path in (work / "data").glob("*/*.parquet"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def measure(command, work):
    """Runs a command to its end: wall time, processor time and peak memory of its process, and what it printed."""
    log = work / "last.log"
    with log.open("w") as stderr:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"compare: {shown(command)}\nended with {child.returncode}:\n{printed.decode()}{log.read_text()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_rss_bytes": usage.ru_maxrss * unit,
        "output": json.loads(printed),
    }


def digest_of(kind, path):
    command = ["cargo", "bench", "--quiet", "--locked", "--profile", "release", "--bench", "digest", "--", kind, path]
    printed = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(printed)


def size_of(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def line(label, ours, theirs, ratio):
    print(f"  {label:8}{ours:8.2f} s {theirs:8.2f} s {ratio:7.2f}", flush=True)


def shown(command):
    """A command as a person would type it, without this machine's folders."""
    first, *rest = [str(part) for part in command]
    rest = ["benches/duckdb_side.py" if part.endswith("/duckdb_side.py") else part for part in rest]
    return " ".join([Path(first).name, *(f'"{part}"' if " " in part else part for part in rest)])


def version_of(cutover):
    return subprocess.run([cutover, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def about(cutover, python, threads):
    """The machine and the versions of everything; `python` is None where DuckDB has no part."""
    duckdb = python and subprocess.run(
        [python, "-c", "import duckdb; print(duckdb.__version__)"], check=True, stdout=subprocess.PIPE, text=True
    )
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        models = [text for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("model name")]
        cpu = models[0].split(":", 1)[1].strip() if models else cpu
    return {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "cutover": version_of(cutover),
            **({"duckdb": duckdb.stdout.strip()} if duckdb else {}),
            "rustc": subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip(),
        },
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": cpu,
            "cpus": os.cpu_count(),
            "threads": threads,
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
    }


def record(report, options):
    name = options.name if options.events == 40_000_000 else f"{options.name}-{options.events}"
    day = report["about"]["at"][:10]
    path, number = HERE / "runs" / f"{day}-{name}.json", 2
    while path.exists():
        path, number = HERE / "runs" / f"{day}-{name}-{number}.json", number + 1
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    main()
