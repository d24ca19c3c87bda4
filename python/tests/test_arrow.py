"""Entries as Arrow, taken by pyarrow, polars, pandas and DuckDB."""

from __future__ import annotations

import datetime
from decimal import Decimal

import cutover
import pyarrow as pa
import pytest

ROWS = pa.table(
    {
        "city": ["Bonn", "Bonn", "Köln"],
        "day": pa.array([datetime.date(2026, 1, day) for day in (1, 2, 3)]),
        "views": pa.array([1, None, 2**62], pa.int64()),
        "price": pa.array([Decimal("1.10"), Decimal("2.20"), None], pa.decimal128(10, 2)),
        "at": pa.array([datetime.datetime(2026, 1, 1, 10)] * 3, pa.timestamp("us", "UTC")),
        "tags": pa.array([["a"], [], None], pa.list_(pa.string())),
        "where": pa.array([{"x": 1.5, "y": None}] * 3, pa.struct({"x": pa.float64(), "y": pa.int8()})),
        "bytes": pa.array([b"\0\xff", b"", None], pa.binary()),
        "ok": [True, False, True],
    }
)


@pytest.fixture
def version(workspace):
    workspace.write(ROWS)
    workspace.job("SELECT * FROM rows", key=("city", "day"))
    workspace.run()
    return cutover.Reader(workspace.store).snapshot()


def test_columns_come_back_as_the_query_had_them(version):
    table = pa.table(version.to_arrow())
    assert table.to_pylist() == ROWS.to_pylist()
    assert [str(field.type) for field in table.schema] == [str(field.type) for field in ROWS.schema.remove_metadata()]
    assert table.schema.metadata[b"cutover.version"] == b"1"
    assert pa.schema(version.to_arrow()).names == ROWS.column_names


def test_prefixes_limits_and_bytes(version):
    assert pa.table(version.to_arrow(("Bonn",))).num_rows == 2
    assert pa.table(version.to_arrow(limit=1)).num_rows == 1
    assert pa.table(version.to_arrow(("nowhere",))).num_rows == 0
    raw = pa.table(version.to_arrow(raw=True))
    assert [(entry["key"], entry["value"]) for entry in raw.to_pylist()] == list(version.scan(raw=True))
    batches = [pa.record_batch(batch) for batch in version.to_batches()]
    assert pa.Table.from_batches(batches).to_pylist() == ROWS.to_pylist()
    stream = version.to_arrow()
    assert pa.table(stream).num_rows == pa.table(stream).num_rows == 3, "it can be read again"


def test_other_libraries_take_it(version):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    frame = polars.DataFrame(version.to_arrow())
    assert frame.shape == (3, 9) and frame["views"].to_list() == [1, None, 2**62]
    entries = pa.RecordBatchReader.from_stream(version.to_arrow())
    assert duckdb.sql("SELECT city, sum(price) FROM entries GROUP BY ALL ORDER BY 1").fetchall() == [
        ("Bonn", Decimal("3.30")),
        ("Köln", None),
    ]
    entries = version.to_arrow()
    assert duckdb.sql("SELECT count(*) FROM entries").fetchall() == [(3,)]
    assert pa.table(version.to_arrow()).to_pandas().shape == (3, 9)


def test_many_batches_are_whole_and_in_order(workspace):
    workspace.generation(1, rows=150_000)
    version = cutover.Reader(workspace.store).snapshot()
    sizes = [len(batch) for batch in version.to_batches()]
    assert sum(sizes) == 150_000 and len(sizes) == 3
    table = pa.table(version.to_arrow())
    assert table["key"].to_pylist() == [f"k{number:05}" for number in sorted(range(150_000), key=lambda n: f"k{n:05}")]
    assert set(table["generation"].to_pylist()) == {1}


def test_damage_is_an_error_of_the_stream(workspace):
    from test_flips import tables

    workspace.generation(1, rows=50_000)
    version = cutover.Reader(workspace.store).snapshot()
    for table in tables(workspace.store):
        content = bytearray(table.read_bytes())
        content[: len(content) // 2] = bytes(len(content) // 2)
        with open(table, "r+b") as file:
            file.write(content)
    with pytest.raises(cutover.CorruptError):
        list(version.to_batches())
    with pytest.raises(Exception, match="version 1"):
        pa.table(version.to_arrow())
