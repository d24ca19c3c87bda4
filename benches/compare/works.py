"""What is compared: every work with its sides, and the largest allowed ratio of its first side's time to the others'.

Against DuckDB both sides use one codec, and DuckDB sorts what it joins but not what it counts. Against itself Cutover
does the same job without a memory limit, on uniformly distributed keys, or on a tenth of the rows. With several other
sides the slowest counts.

Not for: how a side runs (sides.py).
"""

from dataclasses import dataclass

from compare.sides import Cutover, Disk, DuckDB, Resumed, RocksDB

BY_USER = "user_id, ts"
# All columns of every row: if keys do not repeat, or are numbered, a store contains what it was built from.
ALL = "{sql}"
FIRST = "SELECT DISTINCT ON (key) * FROM ({sql}) ORDER BY key, n"
# The fastest way found to write this for DuckDB: a list by max(…, 10) or list(… ORDER BY …) is slower.
TOP_PAGES = """SELECT user_id, url, views
FROM (SELECT user_id, url, count(*) AS views FROM events GROUP BY user_id, url)
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY views DESC, url) <= 10"""


@dataclass
class Work:
    name: str
    what: str
    first: object
    others: list
    # The largest allowed ratio of the first side's time to the slowest other's; None if it is only reported.
    target: float | None = None
    # Bytes of disk for each row of the first side's data: data, both results, and spill.
    disk: int = 250
    # Runs only if --only names it.
    named_only: bool = False

    @property
    def sides(self):
        return [self.first, *self.others]


def beside_duckdb(name, what, job, order, target, codec="lz4", sql=None):
    return Work(name, what, Cutover(job, "log"), [DuckDB(job, "log", order, sql, codec)], target)


def within(memory):
    return Work(
        f"enriched_{memory}",
        f"events × profiles at --memory {memory}",
        Cutover("enriched_lz4", "log", memory),
        [Cutover("enriched_lz4", "log", label="no limit")],
        1.6,
        disk=300,
    )


def resumed(name, what, kill_at):
    memory = "256MiB"
    return Work(
        f"resumed_{name}",
        f"killed {what} and run again, at --memory {memory}",
        Resumed("enriched_lz4", "log", memory, kill_at, "killed and resumed"),
        [Cutover("enriched_lz4", "log", memory, label="uninterrupted")],
        1.3,
        disk=500,
    )


def shaped(name, what, job="by_key", oracle=ALL):
    uniform = Cutover(job, "uniform", oracle=ALL, label="uniform")
    return Work(name, what, Cutover(job, name, oracle=oracle), [uniform], 1.5)


def works():
    """All works, created anew: sides store their results."""
    ladder = ["256MiB", "512MiB", "1GiB", "2GiB", "4GiB", None]
    return [
        beside_duckdb("enriched_lz4", "events × profiles, LZ4", "enriched_lz4", BY_USER, 0.5),
        beside_duckdb("enriched_zstd", "events × profiles, zstd", "enriched_zstd", BY_USER, 0.8, "zstd"),
        within("256MiB"),
        within("128MiB"),
        resumed("shuffle", "when the shuffle is sealed", "shuffle.sealed=kill"),
        resumed("ranges", "after eight ranges", "range.finished=kill@8"),
        Work(
            "wide_join",
            "both sides of a join at least four times the memory",
            Cutover("wide_join", "wide", "256MiB"),
            [DuckDB("wide_join", "wide", BY_USER, limits=ladder)],
            disk=900,
        ),
        beside_duckdb("top_pages", "ten most viewed pages per user", "top_pages", None, 0.5, sql=TOP_PAGES),
        beside_duckdb("views_by_age", "age groups per page", "views_by_age", None, 1.0),
        Work(
            "ten_times",
            "ten times the events at --memory 1GiB",
            Cutover("enriched_lz4", "ten", "1GiB", oracle=ALL),
            [Cutover("enriched_lz4", "log", "1GiB", oracle=ALL, label="a tenth")],
            11.0,
            disk=150,
            named_only=True,
        ),
        shaped("skewed", "one key with half of the rows"),
        shaped("equal", "all keys equal, the first stays", "first_of_key", FIRST),
        shaped("sorted", "keys already sorted"),
        shaped("reversed", "keys in reverse"),
        Work(
            "incompressible",
            "values of 400 bytes that no codec makes smaller",
            Cutover("blobs", "blobs", oracle=ALL),
            [Disk(), RocksDB()],
            1.3,
            disk=1700,
        ),
        Work(
            "tpch",
            "TPC-H's orders × lineitem at --memory 1GiB",
            Cutover("tpch", "tpch", "1GiB"),
            [DuckDB("tpch", "tpch", "o_custkey, o_orderkey, l_linenumber", limits=ladder[2:])],
            disk=400,
        ),
    ]
