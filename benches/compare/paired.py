"""Runs the sides of one work alternately, and judges the result.

A machine's speed drifts, so the result is the median of the ratios of adjacent runs, and each pair begins with another
side. After the last pair every result is read back: all sides of a work contain the same rows, or those that DuckDB
says they must, by count and by a digest that does not depend on order (benches/digest.rs).

Not for: what the sides are.
"""

import shutil
import statistics

from compare import data
from compare.measure import MIB, Failed, parse_size, warm

# Bytes that a process may use beyond --memory.
BEYOND_MEMORY = 100 * MIB
MEDIANS = ("seconds", "cpu_seconds", "peak_rss_bytes", "bytes")


def compare(work, bench):
    """Runs one work, from generating its data to its verdict; returns the raw results."""
    print(f"\n{work.name}: {work.what}")
    result = {"name": work.name, "what": work.what, "target": work.target, "runs": []}
    needed, free = work.disk * data.rows(work.first.data, bench), shutil.disk_usage(bench.work).free
    if free < needed:
        return ended(result, f"skipped: {needed / 1e9:.1f} GB of disk are needed, {free / 1e9:.1f} are free")
    directories = [data.make(name, bench) for name in dict.fromkeys(side.data for side in work.sides)]
    result["data"] = [data.about(directory) for directory in directories]
    try:
        for pair in range(bench.pairs):
            result["runs"].append(run_once(work, bench, directories, pair))
        result["held"] = [side.held(bench) for side in work.sides]
        result["oracles"] = [side.oracle(bench) for side in work.sides]
    except Failed as failed:
        result["error"] = str(failed)
        lines = str(failed).splitlines()
        return ended(result, "failed: " + next((line for line in lines if line.startswith("error: ")), lines[-1]))
    finally:
        for side in work.sides:
            side.clear(bench)
    conclude(work, result)
    return ended(result, verdict(work, result))


def run_once(work, bench, directories, pair):
    """One run of every side; each pair begins with the next one."""
    runs = [None] * len(work.sides)
    for place in range(len(runs)):
        number = (pair + place) % len(runs)
        warm(directories)
        runs[number] = work.sides[number].run(bench)
        said = runs[number]
        print(f"  {work.sides[number].label:18}{said['seconds']:9.2f} s{peak(said)}", flush=True)
    ratio = runs[0]["seconds"] / max(other["seconds"] for other in runs[1:])
    return {"ratio": ratio, "sides": runs}


def peak(run):
    return f"{run['peak_rss_bytes'] / MIB:9.0f} MiB" if "peak_rss_bytes" in run else ""


def conclude(work, result):
    """Medians, and whether every side contains what it must."""
    runs = result["runs"]
    result["ratio"] = statistics.median(run["ratio"] for run in runs)
    result["medians"] = [
        {"side": side.label}
        | {what: statistics.median(run["sides"][number][what] for run in runs)
           for what in MEDIANS if what in runs[0]["sides"][number]}
        for number, side in enumerate(work.sides)
    ]
    alike = [held for held, oracle in zip(result["held"], result["oracles"]) if held and not oracle]
    told = [(held, oracle) for held, oracle in zip(result["held"], result["oracles"]) if oracle]
    result["same_rows"] = all(held == alike[0] for held in alike) and all(held == oracle for held, oracle in told)


def verdict(work, result):
    """The result of the work, compared with its target."""
    missed = []
    if not result["same_rows"]:
        missed.append("ROWS DIFFER")
    if work.target is not None and result["ratio"] > work.target:
        missed.append(f"{result['ratio']:.2f} of the time")
    if getattr(work.first, "memory", None):
        most, held = parse_size(work.first.memory) + BEYOND_MEMORY, result["medians"][0]["peak_rss_bytes"]
        if held > most:
            missed.append(f"{held / MIB:.0f} MiB in memory, at most {most / MIB:.0f}")
    if missed:
        return "missed: " + ", ".join(missed)
    return "reported" if work.target is None else "met"


def ended(result, how):
    result["verdict"] = how
    print(f"  {how}")
    return result


def table(results):
    """A table of all works."""
    print(f"\n{'work':17}{'cutover':>10}{'memory':>13}  {'against':28}{'ratio':>7}{'target':>8}  verdict")
    for result in results:
        ours, memory, beside, ratio = "", "", "", ""
        if "ratio" in result:
            first, *others = result["medians"]
            slowest = max(others, key=lambda side: side["seconds"])
            ours, beside = f"{first['seconds']:.2f} s", f"{slowest['side']} {slowest['seconds']:.2f} s"
            memory = peak(first)
            ratio = f"{result['ratio']:.2f}"
        target = "" if result["target"] is None else f"{result['target']:.2f}"
        print(
            f"{result['name']:17}{ours:>10}{memory:>13}  {beside:28}{ratio:>7}{target:>8}  {result['verdict']}"
        )
