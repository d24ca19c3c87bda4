"""Random tables: their columns and values, and a set of tables that queries use together.

A kind is a type with the values that a column of it draws from. Values of *tame* kinds are small, and fractions are
quarters, so that arithmetic on them is exact in any order; those of other kinds are what breaks engines: the smallest
and the largest, NaN, infinities, -0.0, year 1 and 9999, the empty string and odd ones. Those are only compared,
grouped, sorted, counted and joined.

All tables of a set draw from the same pools, so that joins find partners. Every table has `id`, which is unique, and
the keys `k` (a number) and `g` (a string), which have nulls.

Not for: how a table is stored in files (files.py).
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import pyarrow as pa

EPOCH = datetime.date(1970, 1, 1).toordinal()
FIRST_DAY = 1 - EPOCH
LAST_DAY = datetime.date(9999, 12, 31).toordinal() - EPOCH
DAY_2000 = datetime.date(2000, 1, 1).toordinal() - EPOCH
DAYS = 30 * 365
PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
NS_DAYS = 106_000  # about the range of nanoseconds around 1970
POOL = 40
WORDS = ["", "a", "b", "ab", "abc", "B", "Berlin", "zebra", "x y", " lead", "trail ", "it's", "10%", "a_b", "aa", "éa"]
ODD_TEXTS = [
    "", " ", "a,b", 'say "no"', "it's", "two\nlines", "tab\there", "\r\n", "back\\slash", "naïve", "日本語", "🦀🦀",
    "e\u0301", "ß", "\u00a0nbsp", "NULL", "null", "NaN", "0", "-0", "1e5", "true", "2020-01-01", "{}", "[1]", "#", ";",
    "x" * 300, "日" * 100, "\u200b", "a\u0000b",
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A type, and the values that columns of it draw from."""

    name: str
    family: str
    arrow: pa.DataType
    tame: bool
    draw: Callable[[Random], object] = field(compare=False, repr=False)

    @property
    def scalar(self):
        return self.family not in ("list", "struct")


def kinds():
    """All kinds, by name."""
    found = [*integers(), *floats(), *decimals(), *texts(), *times(), *nested()]
    found.append(Kind("bool", "bool", pa.bool_(), True, lambda r: r.random() < 0.5))
    return {kind.name: kind for kind in found}


def integers():
    for bits in (8, 16, 32, 64):
        for sign in ("", "u"):
            name, arrow = f"{sign}int{bits}", getattr(pa, f"{sign}int{bits}")()
            low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            least, most = max(low, -1000), min(high, 1000)
            small = lambda r, a=least, b=most: r.randint(a, b) if r.random() < 0.7 else r.randint(0, 9)  # noqa: E731
            yield Kind(name, "int", arrow, True, small)
            edges = [low, low + 1, high, high - 1, 0, 1, high // 2]
            yield Kind(
                f"{name} edges", "int", arrow, False,
                lambda r, e=edges, a=low, b=high: r.choice(e) if r.random() < 0.7 else r.randint(a, b),
            )  # fmt: skip


def floats():
    ends = ((32, 3.4028234663852886e38, 1.401298464324817e-45), (64, 1.7976931348623157e308, 5e-324))
    for bits, largest, tiny in ends:
        arrow = getattr(pa, f"float{bits}")()
        quarters = lambda r: r.choice([-0.0, 0.0, r.randint(-4000, 4000) / 4])  # noqa: E731
        yield Kind(f"float{bits}", "float", arrow, True, quarters)
        edges = [float("nan"), float("inf"), -float("inf"), -0.0, 0.0, largest, -largest, tiny, -tiny, 1.0, 0.5, -1.5]
        yield Kind(f"float{bits} edges", "float", arrow, False, lambda r, e=edges: r.choice(e))


def decimals():
    for precision, scale, most in ((9, 2, 10**5), (18, 4, 10**7), (38, 10, 10**13)):
        draw = lambda r, s=scale, m=most: Decimal(r.choice([0, r.randint(-m, m), 5])).scaleb(-s)  # noqa: E731
        yield Kind(f"decimal({precision}, {scale})", "decimal", pa.decimal128(precision, scale), True, draw)
    edges = [Decimal(10**38 - 1), Decimal(1 - 10**38), Decimal(0), Decimal(1), Decimal(-1), Decimal(2**63)]
    yield Kind("decimal(38, 0) edges", "decimal", pa.decimal128(38, 0), False, lambda r: r.choice(edges))


def texts():
    yield Kind("word", "text", pa.string(), True, lambda r: r.choice(WORDS))
    yield Kind("digits", "text", pa.string(), True, lambda r: str(r.randint(-99, 999)))
    yield Kind("odd text", "text", pa.string(), False, lambda r: r.choice(ODD_TEXTS))
    binary = lambda r: r.choice([b"", b"\0", b"\xff\xfe", b"text", r.randbytes(5)])  # noqa: E731
    yield Kind("binary", "binary", pa.binary(), False, binary)


def times():
    yield Kind("date", "date", pa.date32(), True, lambda r: DAY_2000 + r.randint(0, DAYS))
    far = [FIRST_DAY, FIRST_DAY + 1, LAST_DAY, LAST_DAY - 1, 0, -1, 11_016, NS_DAYS + 5_000, -NS_DAYS - 5_000]
    yield Kind("date far", "date", pa.date32(), False, lambda r: r.choice(far))
    for unit, per_day in PER_DAY.items():
        arrow = pa.timestamp(unit)
        step = 1000 if unit == "ns" else 1  # DuckDB's functions count microseconds
        draw = lambda r, p=per_day, s=step: (DAY_2000 * p + r.randint(0, DAYS * p // s) * s)  # noqa: E731
        yield Kind(f"timestamp[{unit}]", "timestamp", arrow, True, draw)
        edges = [-NS_DAYS, 0, NS_DAYS] if unit == "ns" else [FIRST_DAY, LAST_DAY, 0, -1, NS_DAYS + 5_000]
        moment = lambda r, p=per_day, e=edges: r.choice(e) * p + r.choice([0, 1, p - 1])  # noqa: E731
        yield Kind(f"timestamp[{unit}] far", "timestamp", arrow, False, moment)
    for unit, zone in (("us", "UTC"), ("ms", "Europe/Berlin"), ("ns", "+02:00"), ("s", "UTC")):
        step = 1000 if unit == "ns" else 1
        draw = lambda r, p=PER_DAY[unit], s=step: DAY_2000 * p + r.randint(0, DAYS * p // s) * s  # noqa: E731
        yield Kind(f"timestamp[{unit}, {zone}]", "instant", pa.timestamp(unit, zone), True, draw)


def nested():
    some = lambda r, items: [r.choice([*items, None]) for _ in range(r.choice([0, 1, 1, 2, 3]))]  # noqa: E731
    yield Kind("list<int64>", "list", pa.list_(pa.int64()), False, lambda r: some(r, [0, 1, 2, 3]))
    yield Kind("list<string>", "list", pa.list_(pa.string()), False, lambda r: some(r, ["", "a", "é"]))
    fields = pa.struct([("a", pa.int32()), ("b", pa.string())])
    pair = lambda r: {"a": r.choice([None, 1, 2]), "b": r.choice([None, "", "x"])}  # noqa: E731
    yield Kind("struct", "struct", fields, False, pair)


KINDS = kinds()
ID, KEY, GROUP = KINDS["int64"], KINDS["int32"], KINDS["word"]


@dataclass
class Table:
    """A table as both sides have it: the content that the files represent."""

    name: str
    columns: dict  # name: Kind
    data: pa.Table
    format: str = "parquet"
    contract: bool = False


def table(name, format, allowed, shared, rows, pools, rng):
    """A random table whose further columns are of `allowed` kinds; those `shared` with other tables are among them."""
    columns = {"id": ID, "k": KEY, "g": GROUP}
    chosen = [kind for kind in shared if kind in allowed]
    chosen += [rng.choice(allowed) for _ in range(rng.randint(1, 6))]
    for number, kind in enumerate(chosen):
        odd = rng.random() < 0.04
        columns["Mixed Case" if odd else f"c{number}"] = KINDS[kind]
    arrays = {}
    for column, kind in columns.items():
        if column == "id":
            values = rng.sample(range(3 * rows), rows)
        else:
            keys = {"k": range(rng.choice([3, 20])), "g": WORDS}.get(column)
            pool = pools.of(kind) if keys is None else list(keys)
            pool = rng.sample(pool, rng.randint(1, len(pool)))
            nulls = rng.choice([0, 0, 0.05, 0.3, 0.3, 0.9])
            values = [None if rng.random() < nulls else rng.choice(pool) for _ in range(rows)]
        arrays[column] = pa.array(values, kind.arrow)
    return Table(name, columns, pa.table(arrays), format)


class Pools:
    """The values that columns of a kind draw from, the same for all tables of a set."""

    def __init__(self, rng):
        self.rng, self.pools = rng, {}

    def of(self, kind):
        if kind.name not in self.pools:
            self.pools[kind.name] = [kind.draw(self.rng) for _ in range(POOL)]
        return self.pools[kind.name]


def row_count(rng, most):
    share = rng.random()
    if share < 0.06:
        return 0
    return rng.randint(1, 20) if share < 0.35 else rng.randint(20, most)
