"""Readers follow flips and rollbacks; a snapshot never changes; damage and absence are errors."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from pathlib import Path

import cutover
import pytest

DEADLINE = 30


def wait_for(condition):
    """Waits for a condition, with a deadline."""
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_a_reader_follows_and_a_snapshot_stays(workspace):
    workspace.generation(1)
    with cutover.Reader(workspace.store, refresh_every=0.01) as reader:
        before = reader.snapshot()
        assert reader.snapshot() is before, "one object as long as the version is the same"
        workspace.generation(2)
        wait_for(lambda: reader.version == 2)
        assert (reader.get("k00001"), before.get("k00001")) == ({"generation": 2}, {"generation": 1})
        cutover.rollback(workspace.store)
        assert reader.refresh().number == 1 and reader.last_error is None
        workspace.generation(3)
        cutover.gc(workspace.store, keep=1)
        shutil.rmtree(before.path, ignore_errors=True)
        assert len(list(before.scan())) == 1000, "also after its directory is gone"


def test_threads_see_whole_versions_while_they_flip(workspace):
    workspace.generation(1)
    reader = cutover.Reader(workspace.store, refresh_every=0.001)
    over, wrong, seen = threading.Event(), [], set()

    def read():
        while not over.is_set():
            version = reader.snapshot()
            values = version.multi_get([f"k{number:05}" for number in range(0, 1000, 97)])
            scanned = [value for _, value in version.scan("k000", limit=50)]
            found = {value["generation"] for value in values + scanned}
            seen.update(found)
            if found != {version.number}:
                wrong.append((version.number, found))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for generation in range(2, 6):
        workspace.generation(generation)
    wait_for(lambda: 5 in seen or wrong)
    over.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert wrong == [] and len(seen) >= 2


def test_one_scan_is_shared_by_threads(workspace):
    workspace.generation(1, rows=20_000)
    entries = cutover.Reader(workspace.store).scan()
    found, lock = [], threading.Lock()

    def take():
        mine = [key for key, _ in entries]
        with lock:
            found.extend(mine)

    threads = [threading.Thread(target=take) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(DEADLINE) for thread in threads]
    assert sorted(found) == [f"k{number:05}" for number in range(20_000)]


def test_a_store_that_is_gone_leaves_the_reader_where_it_is(workspace):
    workspace.generation(1)
    reader = cutover.Reader(workspace.store)
    Path(workspace.store, "current.json").unlink()
    assert reader.refresh().get("k00001") == {"generation": 1}
    assert isinstance(reader.last_error, cutover.CutoverError)


def test_a_relative_path_survives_a_change_of_directory(workspace, monkeypatch):
    workspace.generation(1)
    monkeypatch.chdir(workspace.path)
    with cutover.Reader("store", refresh_every=0.01) as reader:
        assert reader.store == workspace.store
        monkeypatch.chdir("/")
        workspace.generation(2)
        wait_for(lambda: reader.version == 2)
        assert reader.refresh().number == 2 and reader.last_error is None


def test_nothing_published_is_unavailable_and_no_store_is_invalid(workspace, tmp_path):
    with pytest.raises(cutover.CutoverError) as raised:
        cutover.Reader(tmp_path / "none")
    assert raised.value.kind in ("invalid", "unavailable") and "none" in raised.value.message
    for arguments in [{"cache": tmp_path}, {"refresh_every": 0}, {"refresh_every": float("nan")}]:
        with pytest.raises(cutover.InvalidError):
            cutover.Reader(workspace.store, **arguments)
    with pytest.raises(cutover.InvalidError, match="cache"):
        cutover.Reader("s3://bucket/store")


def tables(store: str) -> list[Path]:
    return sorted(Path(store).glob("versions/*/shard-*/*.sst"))


def test_damage_is_an_error_and_never_an_answer(workspace):
    workspace.generation(1, rows=20_000)
    for table in tables(workspace.store):
        content = bytearray(table.read_bytes())
        for at in range(0, len(content) // 2, 512):
            content[at] ^= 0xFF
        table.write_bytes(content)
    with pytest.raises(cutover.CorruptError) as raised:
        version = cutover.Reader(workspace.store).snapshot()
        list(version.scan())
    assert raised.value.kind == "corrupt" and raised.value.causes
    with pytest.raises(cutover.CorruptError):
        version = cutover.Reader(workspace.store).snapshot()
        for number in range(20_000):
            assert version.get(f"k{number:05}") in ({"generation": 1},), number
    assert cutover.verify(workspace.store)["outcome"] == "damaged"


def test_a_truncated_version_is_not_opened(workspace):
    workspace.generation(1)
    table = tables(workspace.store)[0]
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(cutover.CorruptError, match="damaged"):
        cutover.Reader(workspace.store)


def test_nothing_is_left_open(workspace):
    workspace.generation(1)
    count = lambda: len(list(Path("/proc/self/fd").iterdir()))
    cutover.Reader(workspace.store).close()
    gc.collect()
    before = count()
    for _ in range(20):
        with cutover.Reader(workspace.store) as reader:
            list(reader.scan(limit=5))
    del reader
    gc.collect()
    assert count() <= before + 2
