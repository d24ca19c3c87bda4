"""Runs in the bare system of try-dist.sh, with the Python that has the wheel: the demo, timed, and reads during flips.

Not for: testing what the package does; python/tests does.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time

import cutover

FIRST_RESULT = "version 1 is live"
LIMIT_SECONDS = 10
GLIBC = {"linux-vdso", "libc", "libdl", "libm", "libpthread", "librt", "libresolv", "libutil"}
GLIBC |= {"ld-linux-x86-64", "ld-linux-aarch64"}
# An emulated processor is many times slower.
EMULATED = os.environ.get("EMULATED") == "yes"


def first_result(since: float) -> float:
    """Seconds from `since` until the demo says that a version is live; the demo runs to its end."""
    demo = subprocess.Popen(["env/bin/cutover", "demo"], stdout=subprocess.PIPE, text=True)
    at = None
    for line in demo.stdout:
        if at is None and FIRST_RESULT in line:
            at = time.time() - since
    assert demo.wait() == 0 and at is not None
    return at


def main() -> None:
    started = float(open("installed").read())
    processor = "emulated" if EMULATED else "not emulated"
    print(platform.platform(), "·", processor, "·", platform.libc_ver(), "· Python", platform.python_version())
    print(subprocess.run(["env/bin/cutover", "--version"], capture_output=True, text=True, check=True).stdout)
    print(f"pip install took {time.time() - started:.1f} s")
    begun = time.time()
    demo = first_result(begun)
    print(f"the demo's first result came {demo:.1f} s after it was started, {time.time() - started:.1f} s in all")
    assert demo < LIMIT_SECONDS or EMULATED

    store = "cutover-demo/stores/enriched_events"
    with cutover.Reader(store, refresh_every=0.01) as reader:
        key, before = next(iter(reader.scan(limit=1)))
        seen = [reader.version]
        cutover.publish(store, 2, allow="rolled-back")
        while reader.version != 2:
            time.sleep(0.01)
        seen.append(reader.version)
        cutover.rollback(store)
        while reader.version == 2:
            time.sleep(0.01)
        seen.append(reader.version)
        assert reader.get(key) == before
    print(f"a reader that stayed open saw versions {seen}; {key} is {before}")
    for file in ["env/bin/cutover", cutover._native.__file__]:
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
        libraries = {os.path.basename(line.split()[0]).split(".so")[0] for line in listed.splitlines()}
        print(f"{os.path.basename(file)} needs", ", ".join(sorted(libraries)))
        assert libraries <= GLIBC, libraries - GLIBC


main()
