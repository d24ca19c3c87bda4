"""An Airflow operator that runs a job, and a DAG with it. Copy it into the `dags` directory.

The operator returns the run's JSON document as XCom. Where readers stay on the old version because a check stopped the
new one, or because job or data are wrong, a retry changes nothing: the task fails at once. What is unreachable is retried.

Needs the packages apache-airflow 3 and cutover. Paths in the job are below CUTOVER_ROOT.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

import cutover
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

FINAL = (cutover.InvalidError, cutover.InputError, cutover.RejectedError, cutover.CorruptError)


class CutoverRunOperator(BaseOperator):
    """Runs a job: builds a version, checks it and publishes it.

    Args:
        job: the job file, below `root`.
        parameters: values of the job's parameters.
        root: the directory that paths in the job are below.
        flags: other flags of `cutover run`, such as ``{"memory": "4GiB", "stage": True}``.
    """

    template_fields = ("job", "parameters", "root", "flags")

    def __init__(
        self,
        *,
        job: str,
        parameters: dict[str, str] | None = None,
        root: str | None = None,
        flags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.parameters = parameters or {}
        self.root = root
        self.flags = flags or {}

    def execute(self, context: Any) -> dict[str, Any]:
        try:
            done = cutover.run(self.job, cwd=self.root, set=self.parameters, **self.flags)
        except FINAL as error:
            raise AirflowFailException(f"{error.kind}: {error}") from error
        self.log.info("%s: version %s, readers see %s", done["outcome"], done["version"], done["readers_see"])
        return done

    def on_kill(self) -> None:
        # Airflow calls it while `cutover.run` waits, which then stops the command; nothing is published.
        raise InterruptedError("the task was ended")


with DAG(
    dag_id="cutover_views_of_day",
    schedule="30 2 * * *",
    start_date=datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
) as dag:
    CutoverRunOperator(
        task_id="views_of_day",
        job="jobs/views_of_day.toml",
        parameters={"date": "{{ macros.ds_add(ds, -1) }}"},
        root=os.environ.get("CUTOVER_ROOT", "."),
    )
