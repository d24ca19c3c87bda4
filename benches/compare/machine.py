"""The environment of results: a Python with DuckDB, the versions of all programs, the machine; and where results go.

Not for: the results themselves.
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from compare.measure import BENCHES

RUNS = BENCHES / "runs"


def environment(directory):
    """Python of a virtual environment with the packages of requirements.txt; the environment is created once."""
    home = directory / "venv"
    python, wanted, mark = home / "bin" / "python", BENCHES / "requirements.txt", home / "requirements.txt"
    if not (mark.exists() and mark.read_text() == wanted.read_text()):
        print("installing DuckDB and the TPC-H generator into a virtual environment")
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted]
        subprocess.run(pip, check=True)
        shutil.copyfile(wanted, mark)
    return python.absolute()


def version_of(cutover):
    return subprocess.run([cutover, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def versions(cutover, python):
    """Versions of the programs; `python` is None if the environment is not used."""
    found = {"cutover": version_of(cutover)}
    if python:
        ask = "import duckdb, importlib.metadata as m; print(duckdb.__version__, m.version('tpchgen-cli'))"
        printed = subprocess.run([python, "-c", ask], check=True, stdout=subprocess.PIPE, text=True).stdout
        found["duckdb"], found["tpchgen-cli"] = printed.split()
    found["rustc"] = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return found


def about(cutover, python, threads):
    """The date, the versions and the machine."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        models = [text for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("model name")]
        cpu = models[0].split(":", 1)[1].strip() if models else cpu
    return {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(cutover, python),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "kernel": platform.release(),
            "cpu": cpu,
            "cpus": os.cpu_count(),
            "threads": threads,
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
    }


def record(report, name):
    """Writes raw results under the day and an unused name; returns the path."""
    day = report["about"]["at"][:10]
    path, number = RUNS / f"{day}-{name}.json", 2
    while path.exists():
        path, number = RUNS / f"{day}-{name}-{number}.json", number + 1
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
