"""A workspace per test: Parquet files, a job over them, and its store, built by the command of the package."""

from __future__ import annotations

import os
from pathlib import Path

import cutover
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

JOB = """\
version = 1
dataset = "{dataset}"
store = "{store}"

[inputs.rows]
path = "in/"

[query]
sql = "{sql}"

[output]
key = {key}
shards = 3
{output}
"""


class Workspace:
    """A directory with a job; `store` is its store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = str(path / "store")
        self.job("SELECT * FROM rows")

    def job(self, sql: str, key=("key",), output: str = "", dataset: str = "numbers", store: str = "store") -> None:
        keys = "[" + ", ".join(f'"{name}"' for name in key) + "]"
        text = JOB.format(dataset=dataset, store=store, sql=sql, key=keys, output=output)
        (self.path / "job.toml").write_text(text)

    def write(self, table: pa.Table) -> None:
        (self.path / "in").mkdir(exist_ok=True)
        pq.write_table(table, self.path / "in" / "rows.parquet")

    def run(self, **flags):
        return cutover.run("job.toml", cwd=self.path, threads=1, memory="256MiB", **flags)

    def generation(self, generation: int, rows: int = 1000) -> None:
        """Builds and publishes a version in which every value is its generation."""
        keys = [f"k{number:05}" for number in range(rows)]
        self.write(pa.table({"key": keys, "generation": pa.array([generation] * rows, pa.int64())}))
        assert self.run()["outcome"] == "published"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0", "false")


def skip(why: str) -> None:
    """Skips where something cannot be had; under CI that is a failure."""
    if is_set("CI"):
        pytest.fail(why)
    pytest.skip(why)
