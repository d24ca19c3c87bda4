"""The commands as functions: their documents, and their errors by kind."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import cutover
import pyarrow as pa
import pytest


def test_the_command_of_the_package_is_found():
    assert os.path.dirname(cutover.command()) == os.path.dirname(sys.executable)
    shown = subprocess.run([cutover.command(), "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[0] == f"cutover {cutover.__version__}"


def test_a_story_of_versions(workspace):
    workspace.generation(1)
    assert workspace.run()["outcome"] == "unchanged"
    planned = cutover.plan("job.toml", cwd=workspace.path, k8s=True, schedule="5 * * * *")
    assert planned["predicted"]["rows"] and "kind: CronJob" in planned["cron_job"]
    workspace.generation(2)
    assert cutover.rollback(workspace.store)["readers_see"] == 1
    assert cutover.publish(workspace.store, 2, allow="rolled-back")["outcome"] == "published"
    assert cutover.pin(workspace.store, reason="audit")["outcome"] == "pinned"
    keys = [f"k{number:05}" for number in range(1000)]
    workspace.write(pa.table({"key": keys, "generation": pa.array([3] * 1000, pa.int64())}))
    held = workspace.run()
    assert (held["outcome"], held["exit_code"], held["readers_see"]) == ("not_published", 5, 2)
    assert cutover.unpin(workspace.store)["outcome"] == "unpinned"
    assert set(cutover.versions(workspace.store)["versions"]) == {"1", "2", "3"}
    assert cutover.show(workspace.store, 1)["dataset"] == "numbers"
    assert cutover.path(workspace.store)["path"].endswith("00000002")
    assert cutover.verify(workspace.store, depth="full")["outcome"] == "done"
    assert len(cutover.log(workspace.store)["events"]) >= 5
    assert cutover.get(workspace.store, "nobody", "k00001")["outcome"] == "absent"
    assert cutover.gc(workspace.store, keep=1, dry_run=True)["dry_run"] is True


def test_failures_are_exceptions_of_their_kind(workspace):
    workspace.generation(1)
    workspace.write(pa.table({"key": ["a", "a"], "generation": pa.array([1, 2], pa.int64())}))
    with pytest.raises(cutover.CutoverError) as raised:
        workspace.run()
    assert raised.value.document["readers_see"] == 1 and raised.value.kind == raised.value.document["kind"]
    with pytest.raises(cutover.InvalidError) as raised:
        cutover.run("none.toml", cwd=workspace.path)
    assert raised.value.document["exit_code"] == 2 and "none.toml" in str(raised.value)
    with pytest.raises(cutover.InvalidError, match="--wrong"):
        cutover.run("job.toml", cwd=workspace.path, wrong=True)
    checks = "[checks]\nrows = { min = 5000 }"
    (workspace.path / "job.toml").write_text((workspace.path / "job.toml").read_text() + checks)
    workspace.write(pa.table({"key": ["a"], "generation": pa.array([1], pa.int64())}))
    with pytest.raises(cutover.RejectedError) as raised:
        workspace.run()
    assert raised.value.document["outcome"] == "rejected" and raised.value.document["version"] == 2


def test_values_that_look_like_flags_are_values(workspace):
    workspace.generation(1)
    assert cutover.get(workspace.store, "--help")["outcome"] == "absent"
    assert cutover.pin(workspace.store, reason="--help")["reason"] == "--help"


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """A command whose document has its arguments and the process that it belongs to."""
    script = tmp_path / "echo"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "document = {'kind': None, 'words': sys.argv[1:], 'parent': os.environ['CUTOVER_PARENT']}\n"
        "json.dump(document, open(sys.argv[sys.argv.index('--result') + 1], 'w'))\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("CUTOVER_COMMAND", str(script))


def test_values_of_parameters(echo):
    at = datetime.datetime(2026, 11, 22, 10, 30)
    given = {"a": "x", "b": 3, "c": 0.5, "d": at.date(), "e": at, "f": Path("in/x"), "g": None}
    words = cutover.run("job.toml", set=given, memory=None)["words"]
    assert words[:7] == [
        "run",
        "--set=a=x",
        "--set=b=3",
        "--set=c=0.5",
        "--set=d=2026-11-22",
        "--set=e=2026-11-22T10:30:00",
        "--set=f=in/x",
    ]
    assert words[7] == "--result"
    for wrong in [True, b"x", ["x"], {"x": 1}, object()]:
        with pytest.raises(TypeError, match=r"set\['tag'\]"):
            cutover.run("job.toml", set={"tag": wrong})


def test_flags_that_are_for_the_shell_are_refused(echo):
    for name in ["result", "help", "json"]:
        with pytest.raises(TypeError, match=name):
            cutover.run("job.toml", **{name: True})


def test_the_command_knows_the_process_that_it_belongs_to(echo):
    assert cutover.run("job.toml")["parent"] == str(os.getpid())


def test_the_demo_is_quick(tmp_path):
    started = time.monotonic()
    result = cutover.demo(dir="demo", cwd=tmp_path)
    assert result["rolled_back_to"] == 1 and time.monotonic() - started < 60
    with cutover.Reader(tmp_path / "demo/stores/enriched_events") as reader:
        assert len(reader.snapshot()) == 200_000
