"""Reads of one version: keys and values of every kind, as Python values and as bytes."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal

import cutover
import pyarrow as pa
import pytest


def test_get_multi_get_and_scan(workspace):
    workspace.generation(1, rows=3000)
    with cutover.Reader(workspace.store) as reader:
        assert (reader.version, reader.snapshot().dataset, len(reader.snapshot())) == (1, "numbers", 3000)
        version = reader.snapshot()
        assert version.get("k00007") == {"generation": 1}
        assert version.get(b"k00007", raw=True) == b'{"generation":1}'
        assert version.get("nobody") is None and version.get("nobody", 7) == 7
        assert version["k00007"] == {"generation": 1} and "k00007" in version and "nobody" not in version
        with pytest.raises(KeyError):
            version["nobody"]
        assert version.multi_get(["k00001", "nobody", b"k00002"]) == [{"generation": 1}, None, {"generation": 1}]
        everything = list(version.scan())
        assert [key for key, _ in everything] == [f"k{number:05}" for number in range(3000)]
        assert [key for key, _ in version.scan("k0001")] == [f"k{number:05}" for number in range(10, 20)]
        assert list(version.scan("k0001", limit=2, raw=True)) == [
            (b"k00010", b'{"generation":1}'),
            (b"k00011", b'{"generation":1}'),
        ]
        assert len(list(version.scan(limit=1024))) == 1024 and list(version.scan(limit=0)) == []
        assert list(version.scan("x")) == []
        assert list(version.scan(("k00010",))) == [("k00010", {"generation": 1})]
        assert list(version.scan(("k0001",))) == [], "a column in a tuple is complete"
        assert list(version.scan(())) == everything and list(version.scan(b"")) == everything
        for wrong in [version.scan, version.get]:
            with pytest.raises(cutover.InvalidError, match="one column"):
                wrong(("k00010", "x"))
        with pytest.raises(TypeError, match=r"scan\(\)"):
            iter(version)
        assert reader.get("k00007") == {"generation": 1} and reader.multi_get([]) == []
        assert reader.schema["key"]["columns"][0]["name"] == "key"
        assert reader.as_of.tzinfo is not None and abs(reader.as_of.timestamp() - datetime.datetime.now().timestamp()) < 600
        assert version.path.endswith("versions/00000001")
    with pytest.raises(cutover.InvalidError, match="closed"):
        reader.snapshot()
    assert version.get("k00007") == {"generation": 1}, "a version outlives its reader"


KINDS = {
    "truth": (pa.bool_(), [True, False], [True, False]),
    "small": (pa.int8(), [-128, 127], [-128, 127]),
    "large": (pa.uint64(), [0, 2**64 - 1], [0, 2**64 - 1]),
    "real": (pa.float64(), [-1.5, 0.1], [-1.5, 0.1]),
    "single": (pa.float32(), [-1.5, 0.5], [-1.5, 0.5]),
    "text": (pa.string(), ["", 'a"\\\0ä'], ["", 'a"\\\0ä']),
    "bytes": (pa.binary(), [b"\0\xff", b"x"], [b"\0\xff", b"x"]),
    "day": (pa.date32(), [datetime.date(2026, 11, 22), datetime.date(1969, 12, 31)], ["2026-11-22", "1969-12-31"]),
    "instant": (
        pa.timestamp("us", "UTC"),
        [datetime.datetime(2026, 11, 22, 10, 0, 0, 5, datetime.timezone.utc)] * 2,
        ["2026-11-22T10:00:00.000005Z"] * 2,
    ),
    "local": (pa.timestamp("ms"), [datetime.datetime(2026, 11, 22, 10)] * 2, ["2026-11-22T10:00:00"] * 2),
    "clock": (pa.time64("us"), [datetime.time(10, 30)] * 2, ["10:30:00"] * 2),
    "price": (pa.decimal128(10, 2), [Decimal("12.50"), Decimal("-0.01")], ["12.50", "-0.01"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_every_kind_go_in_and_come_out(workspace, kind):
    data_type, given, shown = KINDS[kind]
    workspace.write(pa.table({"key": pa.array(given, data_type), "n": pa.array([0, 1], pa.int64())}))
    workspace.job("SELECT key, n FROM rows", key=("key", "n"), output='value = { encoding = "json" }')
    workspace.job("SELECT key, n, n AS m FROM rows", key=("key", "n"))
    workspace.run()
    version = cutover.Reader(workspace.store).snapshot()
    for number, (value, text) in enumerate(zip(given, shown)):
        assert version.get((value, number)) == {"m": number}, (value, number)
        assert version.get((text, number)) == {"m": number}, "what comes out goes in"
    assert sorted(version.scan(), key=lambda entry: entry[0][1]) == [((shown[n], n), {"m": n}) for n in (0, 1)]
    assert [key for key, _ in version.scan((given[1],))][-1] == (shown[1], 1)
    raw = [key for key, _ in version.scan(raw=True)]
    assert [version.get(key) is not None for key in raw] == [True, True]


def test_one_column_that_is_no_text(workspace):
    workspace.write(pa.table({"key": pa.array([-1, 300], pa.int64()), "n": ["a", "b"]}))
    workspace.run()
    version = cutover.Reader(workspace.store).snapshot()
    assert (version.get(-1), version.get(300), version.get((300,))) == ({"n": "a"}, {"n": "b"}, {"n": "b"})
    assert version.get(b"\x16\x01\x2c") == {"n": "b"}, "bytes are the stored key"
    assert list(version.scan((300,))) == [(300, {"n": "b"})] and len(list(version.scan(()))) == 2
    assert list(version.scan()) == [(-1, {"n": "a"}), (300, {"n": "b"})]


def test_wrong_keys_are_errors_and_not_absent(workspace):
    workspace.write(pa.table({"a": pa.array([1], pa.int64()), "b": ["x"], "c": [datetime.date(2026, 1, 1)], "n": [1]}))
    workspace.job("SELECT * FROM rows", key=("a", "b", "c"))
    workspace.run()
    version = cutover.Reader(workspace.store).snapshot()
    good = (1, "x", datetime.date(2026, 1, 1))
    assert version.get(good) == {"n": 1}
    for wrong, error in [
        (1, cutover.InvalidError),
        ((1, "x"), cutover.InvalidError),
        ((2**70, "x", good[2]), cutover.InvalidError),
        ((1.5, "x", good[2]), cutover.InvalidError),
        ((1, 7, good[2]), TypeError),
        ((1, b"x", good[2]), TypeError),
        ((1, "x", datetime.datetime(2026, 1, 1, 10)), TypeError),
        ((1, "x", None), TypeError),
        ((object(), "x", good[2]), TypeError),
    ]:
        with pytest.raises(error):
            version.get(wrong)
        with pytest.raises(error):
            version.multi_get([good, wrong])
    with pytest.raises(cutover.InvalidError) as raised:
        version.get((1, "x"))
    assert raised.value.kind == "invalid" and "[a, b, c]" in str(raised.value)


def test_values_keep_their_digits(workspace):
    numbers = {"big": pa.array([2**63 - 1], pa.int64()), "half": pa.array([0.5]), "text": ["ä\n"], "none": pa.nulls(1, pa.int64())}
    workspace.write(pa.table({"key": ["k"], **numbers}))
    workspace.run()
    plain = cutover.Reader(workspace.store).get("k")
    assert plain == {"big": 2**63 - 1, "half": 0.5, "text": "ä\n", "none": None} and isinstance(plain["half"], float)
    price = pa.array([Decimal("12345678901234567890.10")], pa.decimal128(22, 2))
    workspace.write(pa.table({"key": ["k"], "price": price}))
    workspace.run(allow=["values", "change"])
    with cutover.Reader(workspace.store) as reader:
        assert str(reader.get("k")["price"]) == "12345678901234567890.10"


def test_a_field_called_decimal_is_no_decimal(workspace):
    fields = {"decimal_part": 0.5, "decimal(1, 2)": 0.25, 'a"decimal(': 0.75}
    of = pa.struct([(name, pa.float64()) for name in fields])
    workspace.write(pa.table({"key": ["k"], "n": pa.array([fields], of)}))
    workspace.run()
    with cutover.Reader(workspace.store) as reader:
        found = reader.get("k")["n"]
        assert found == fields and {type(value) for value in found.values()} == {float}


def test_columns_of_composite_prefixes_are_complete(workspace):
    workspace.write(pa.table({"a": ["a", "a", "a\0b", "ab"], "b": ["x", "y", "x", "x"], "n": [1, 2, 3, 4]}))
    workspace.job("SELECT * FROM rows", key=("a", "b"))
    workspace.run()
    version = cutover.Reader(workspace.store).snapshot()
    assert [value["n"] for _, value in version.scan(("a",))] == [1, 2]
    assert len(list(version.scan(()))) == 4
    assert [value["n"] for _, value in version.scan(b"\x02a\0")] == [1, 2, 3], "bytes are the start of the stored key"


def test_help_says_what_methods_do():
    for name in ["Version", "Entries", "ArrowStream", "ArrowBatches", "ArrowBatch"]:
        assert getattr(cutover, name).__doc__
    for name in ["get", "multi_get", "scan", "to_arrow", "to_batches"]:
        assert getattr(cutover.Version, name).__doc__
    for name in ["snapshot", "refresh", "close"]:
        assert getattr(cutover.Reader, name).__doc__


@pytest.mark.parametrize("encoding", ['"avro"', '"avro", single_object = true'])
def test_avro_values(workspace, encoding):
    price = pa.array([Decimal("12.50")], pa.decimal128(10, 2))
    workspace.write(pa.table({"key": ["k"], "n": pa.array([7], pa.int64()), "price": price, "x": pa.array([0.1])}))
    workspace.job("SELECT * FROM rows", output=f"value = {{ encoding = {encoding} }}")
    workspace.run()
    with cutover.Reader(workspace.store) as reader:
        assert reader.get("k") == {"n": 7, "price": "12.50", "x": 0.1}
        assert pa.table(reader.to_arrow()).to_pylist() == [{"key": "k", "n": 7, "price": Decimal("12.50"), "x": 0.1}]


@pytest.mark.parametrize("value,data_type", [("ä", pa.string()), (b"\0\xff", pa.binary())])
def test_raw_values(workspace, value, data_type):
    workspace.write(pa.table({"key": ["k"], "v": pa.array([value], data_type)}))
    workspace.job("SELECT * FROM rows", output='value = { encoding = "raw" }')
    workspace.run()
    with cutover.Reader(workspace.store) as reader:
        assert reader.get("k") == value
        with pytest.raises(cutover.InvalidError, match="raw=True"):
            reader.to_arrow()
        stored = value.encode() if isinstance(value, str) else value
        assert pa.table(reader.to_arrow(raw=True)).to_pylist() == [{"key": b"k", "value": stored}]


def test_several_rows_of_one_key(workspace):
    rows = pa.table({"key": ["a", "a", "b"], "n": pa.array([1, 2, 3], pa.int64())})
    workspace.write(rows)
    workspace.job("SELECT * FROM rows", output='order_by = ["n"]\nduplicates = { top = 10 }')
    workspace.run()
    with cutover.Reader(workspace.store) as reader:
        assert reader.get("a") == [{"n": 1}, {"n": 2}]
        assert pa.table(reader.to_arrow()).to_pylist()[0] == {"key": "a", "entries": [{"n": 1}, {"n": 2}]}
    workspace.job("SELECT * FROM rows", output='order_by = ["n"]\nduplicates = "number"')
    workspace.run(allow=["keys", "values", "change"])
    with cutover.Reader(workspace.store) as reader:
        assert [key for key, _ in reader.scan()] == [("a", 0), ("a", 1), ("b", 0)]
        assert reader.get(("a", 1)) == {"n": 2} and len(list(reader.scan(("a",)))) == 2
        assert pa.table(reader.to_arrow()).column_names == ["key", "number", "n"]


def test_what_the_command_shows_is_what_the_reader_returns(workspace):
    workspace.generation(1)
    printed = cutover.get(workspace.store, "k00007")
    assert printed["entries"] == [{"key": "k00007", "value": cutover.Reader(workspace.store).get("k00007")}]
    assert json.dumps(printed["entries"][0]["value"]) == '{"generation": 1}'
