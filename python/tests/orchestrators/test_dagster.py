"""The asset of examples/dagster_asset.py, in a real Dagster, over the demo's data."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cutover
import pytest

dagster = pytest.importorskip("dagster", reason="dagster is not installed here")
EXAMPLE = Path(__file__).resolve().parents[3] / "examples/dagster_asset.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("dagster_asset", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["dagster_asset"] = module
    spec.loader.exec_module(module)
    return module


def test_a_partition_is_materialized_with_its_metadata(example, workspace, monkeypatch):
    assert len(EXAMPLE.read_text().splitlines()) < 80
    monkeypatch.chdir(workspace.path)
    monkeypatch.setenv("CUTOVER_ROOT", str(workspace.path))
    cutover.demo(dir="demo", generate_only=True, cwd=workspace.path)
    cutover.demo(dir="demo", cwd=workspace.path)
    (workspace.path / "jobs").symlink_to("demo/jobs")
    done = dagster.materialize([example.views_of_day], partition_key="2026-10-05")
    assert done.success
    metadata = done.asset_materializations_for_node("views_of_day")[0].metadata
    assert metadata["version"].value == 1 and metadata["dagster/row_count"].value > 100
    again = dagster.materialize([example.views_of_day], partition_key="2026-10-05")
    assert again.asset_materializations_for_node("views_of_day")[0].metadata["outcome"].value == "unchanged"


def test_a_refused_run_is_a_failure_without_retries(example, workspace, monkeypatch):
    monkeypatch.setenv("CUTOVER_ROOT", str(workspace.path))
    with pytest.raises(dagster.Failure) as raised:
        example.materialize("none.toml", {})
    assert raised.value.allow_retries is False
