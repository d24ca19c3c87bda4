"""DuckDB's side of a comparison: runs one COPY statement in a process of its own.

Usage: duckdb_side.py THREADS SQL, in a folder with data/events/ and data/profiles/. Prints one JSON line with the
seconds that the statement took (the start of Python and the import are not DuckDB's to pay), and the rows that it
wrote. Everything that is not said here is at DuckDB's defaults.
"""

import json
import sys
import time

import duckdb


def main() -> None:
    threads, sql = int(sys.argv[1]), sys.argv[2]
    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute("SET temp_directory = 'duckdb-spill'")
    connection.execute("SET enable_progress_bar = false")
    for name in ("events", "profiles"):
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('data/{name}/*.parquet')")
    start = time.perf_counter()
    rows = connection.execute(sql).fetchone()[0]
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": rows, "version": duckdb.__version__}))


if __name__ == "__main__":
    main()
