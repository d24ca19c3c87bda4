"""Cutover compared with DuckDB, and with itself: whole jobs over the same files, into a checked store and into Parquet.

`make bench` builds the programs and runs this; `make bench ARGS="--only skewed --events 1000000"` runs a part of it.

    works      what is compared, with the targets          measure   one process, its time and memory
    sides      how each side runs                          data      the data sets, generated once
    paired     alternating runs, medians, the verdict         machine   environment, versions, where results go

The jobs are those of benches/jobs/. Raw results go to benches/runs/; the output ends with a table of the targets. All
of it on 40 million events takes about an hour on 2 cores. It exits with 1 if rows differ.

Not for: tuning one stage (benches/stages.rs), or Kafka (benches/kafka.py).
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from compare import machine, paired
from compare.measure import REPOSITORY
from compare.works import works

EVENTS = 40_000_000


@dataclass(frozen=True)
class Bench:
    """What all runs share: the programs, the directory of data and results, and their sizes."""

    cutover: Path
    python: Path
    versions: dict
    work: Path
    events: int
    profiles: int
    tpch_sf: float
    threads: int
    pairs: int


def main():
    options = parse()
    cutover = (options.target_dir / "release" / "cutover").resolve()
    python = machine.environment(options.dir)
    work = options.dir / f"{options.events}x{options.profiles}-{options.tpch_sf:g}"
    for name in ("stores", "duckdb"):
        (work / name).mkdir(parents=True, exist_ok=True)
    print(f"data and results are in {work}")
    numbers = (options.events, options.profiles, options.tpch_sf, options.threads, options.pairs)
    bench = Bench(cutover, python, machine.versions(cutover, python), work, *numbers)
    chosen = [one for one in works() if one.name in options.only or not (options.only or one.named_only)]
    report = {"about": machine.about(cutover, python, options.threads), "comparisons": []}
    report["about"]["command"] = f'make bench ARGS="{" ".join(arguments(options))}"'
    for one in chosen:
        report["comparisons"].append(paired.compare(one, bench))
    paired.table(report["comparisons"])
    name = options.name if options.events == EVENTS else f"{options.name}-{options.events}"
    print(f"\nraw results: {machine.record(report, name).relative_to(REPOSITORY)}")
    if not all(one.get("same_rows", True) for one in report["comparisons"]):
        sys.exit("compare: two sides do not hold the same rows")


def parse():
    names = [one.name for one in works()]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.splitlines()[0])
    parser.add_argument("--target-dir", type=Path, default=REPOSITORY / "target", help="cargo's build directory")
    parser.add_argument("--dir", type=Path, default=cache / "cutover" / "bench", help="where data and results go")
    parser.add_argument("--events", type=int, default=EVENTS, help="rows of the data sets; blobs are a quarter of them")
    parser.add_argument("--profiles", type=int, help="default: a twentieth of the events")
    parser.add_argument("--tpch-sf", type=float, default=10, help="TPC-H's scale factor; 1 is 6 million rows")
    parser.add_argument("--pairs", type=int, default=3, help="paired runs of each comparison")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides; default: all")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME", help=", ".join(names))
    parser.add_argument("--name", default="compare", help="goes into the name of the raw results")
    options = parser.parse_args()
    options.dir = options.dir.absolute()
    if options.profiles is None:
        options.profiles = max(options.events // 20, 1)
    if min(options.pairs, options.events, options.profiles, options.threads) < 1 or options.tpch_sf <= 0:
        parser.error("--pairs, --events, --profiles and --threads start at 1, --tpch-sf above 0")
    return options


def arguments(options):
    """The arguments that affect results."""
    numbers = ["--events", str(options.events), "--profiles", str(options.profiles)]
    numbers += ["--tpch-sf", f"{options.tpch_sf:g}", "--pairs", str(options.pairs), "--threads", str(options.threads)]
    return numbers + (["--only", *options.only] if options.only else [])


if __name__ == "__main__":
    main()
