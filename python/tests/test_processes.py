"""Processes: forked ones are refused instead of hanging, spawned ones read; the interpreter's lock is released."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import cutover

DEADLINE = 60


def in_fork(work) -> str:
    """What `work` returned or raised in a forked process, which has a deadline."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(DEADLINE)
        try:
            outcome = f"returned {work()}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(write, outcome.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        outcome = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the process hung or died: {status}"
    return outcome


def test_a_fork_with_an_open_reader_is_refused_at_once(workspace):
    workspace.generation(1)
    reader = cutover.Reader(workspace.store)
    version = reader.snapshot()
    entries = version.scan()
    for work in [
        reader.snapshot,
        lambda: version.get("k00001"),
        lambda: next(entries),
        lambda: version.to_arrow(),
        lambda: cutover.Reader(workspace.store),
    ]:
        assert in_fork(work).startswith("InvalidError: this process was forked")
    assert version.get("k00001") == {"generation": 1}, "the parent is unaffected"


def test_a_forked_process_ends_with_what_it_inherited(workspace):
    workspace.generation(1)
    script = (
        "import cutover, os, sys\n"
        "reader = cutover.Reader(sys.argv[1]); version = reader.snapshot()\n"
        "child = os.fork()\n"
        "if child == 0: del reader, version; sys.exit(7)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, workspace.store], timeout=DEADLINE)
    assert ended.returncode == 7


def test_the_first_reader_may_be_opened_after_a_fork(workspace):
    workspace.generation(1)
    script = (
        "import cutover, os, sys\n"
        "if os.fork(): os.wait(); sys.exit(0)\n"
        "print(cutover.Reader(sys.argv[1]).get('k00001'))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, workspace.store], timeout=DEADLINE, capture_output=True)
    assert ended.stdout == b"{'generation': 1}\n", ended.stderr


READ_IN_THREADS = """
import atexit, os, sys, threading, time
atexit.register(lambda: print(reader.get("k00001")))
import cutover
reader = cutover.Reader(sys.argv[1])
atexit.register(lambda: print(reader.get("k00002")))

def read():
    while True:
        reader.get("k00001")
        list(reader.scan(limit=100))

for _ in range(2):
    threading.Thread(target=read, daemon=True).start()
time.sleep(0.2)
"""


def test_the_process_ends_while_daemon_threads_read(workspace):
    workspace.generation(1)
    for _ in range(5):
        words = [sys.executable, "-c", READ_IN_THREADS, workspace.store]
        ended = subprocess.run(words, timeout=DEADLINE, capture_output=True)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == b"{'generation': 1}\n" * 2, "functions of atexit may read"


def test_a_fork_of_a_process_with_reading_threads_is_refused_and_does_not_wait(workspace):
    workspace.generation(1)
    # As `multiprocessing` ends its processes: without what else is to run at the end.
    script = READ_IN_THREADS + (
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: reader.get('k00001')\n"
        "    except cutover.InvalidError: os._exit(7)\n"
        "    os._exit(1)\n"
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    words = [sys.executable, "-c", script, workspace.store]
    assert subprocess.run(words, timeout=DEADLINE).returncode == 7


def test_a_signal_ends_a_scan_that_runs_no_python_code(workspace):
    workspace.generation(1)
    script = (
        "import collections, cutover, itertools, signal, sys\n"
        "version = cutover.Reader(sys.argv[1]).snapshot()\n"
        "signal.signal(signal.SIGALRM, lambda *_: sys.exit(7))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "scans = map(version.scan, itertools.repeat(''))\n"
        "collections.deque(itertools.chain.from_iterable(scans), maxlen=0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, workspace.store], timeout=DEADLINE)
    assert ended.returncode == 7


def read_one(store: str):
    return cutover.Reader(store).get("k00001")


def test_spawned_processes_read(workspace):
    workspace.generation(1)
    reader = cutover.Reader(workspace.store)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(read_one, [workspace.store] * 4) == [{"generation": 1}] * 4
    assert reader.get("k00001") == {"generation": 1}


def test_other_threads_run_while_arrow_is_read(workspace):
    workspace.generation(1, rows=200_000)
    version = cutover.Reader(workspace.store).snapshot()
    ticks, over = [], threading.Event()

    def tick():
        while not over.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.monotonic()
    batches = version.to_batches()
    next(batches)
    ended = time.monotonic()
    over.set()
    thread.join()
    during = [at for at in ticks if started < at < ended]
    assert len(during) >= 3, f"{len(during)} ticks in {ended - started:.3f} s"


def test_errors_can_be_pickled():
    import pickle

    error = cutover.RejectedError("a", ["b"], {"version": 3})
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.causes, again.document) == (type(error), "a", ["b"], {"version": 3})
