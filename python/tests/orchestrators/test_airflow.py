"""The operator and the DAG of examples/airflow_dag.py, in a real Airflow."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/airflow_dag.py"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="True",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    )
    pytest.importorskip("airflow", reason="apache-airflow is not installed here")
    spec = importlib.util.spec_from_file_location("airflow_dag", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["airflow_dag"] = module
    spec.loader.exec_module(module)
    return module


def test_the_dag_has_the_task(example):
    assert len(EXAMPLE.read_text().splitlines()) < 80
    task = example.dag.get_task("views_of_day")
    assert task.retries == 3 and "ds_add" in task.parameters["date"]


def test_the_operator_runs_jobs(example, workspace):
    from airflow.sdk.exceptions import AirflowFailException

    workspace.generation(1)
    operator = example.CutoverRunOperator(task_id="run", job="job.toml", root=str(workspace.path), flags={"threads": 1})
    done = operator.execute({})
    assert (done["outcome"], done["version"]) == ("unchanged", 1)
    wrong = example.CutoverRunOperator(task_id="wrong", job="none.toml", root=str(workspace.path))
    with pytest.raises(AirflowFailException, match="invalid: .*none.toml"):
        wrong.execute({})
