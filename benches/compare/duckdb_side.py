"""DuckDB's side of a comparison: runs one statement in its own process.

Usage: duckdb_side.py [--threads N] [--memory SIZE] [--view NAME=GLOB]… SQL. Prints one JSON line with the seconds of
the statement (without the start of Python and the import) and the rows that it wrote. Everything else is at DuckDB's
defaults. If DuckDB fails, exits with 1 and the error's first line.

Not for: choosing the statement or the limits (sides.py).
"""

import argparse
import json
import sys
import time

import duckdb


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    parser.add_argument("--memory", help="memory_limit; DuckDB's default is most of the machine")
    parser.add_argument("--view", action="append", default=[], metavar="NAME=GLOB")
    parser.add_argument("sql")
    options = parser.parse_args()
    connection = duckdb.connect()
    connection.execute("SET temp_directory = 'duckdb-spill'")
    connection.execute("SET enable_progress_bar = false")
    if options.threads:
        connection.execute(f"SET threads = {options.threads}")
    if options.memory:
        connection.execute(f"SET memory_limit = '{options.memory}'")
    for view in options.view:
        name, files = view.split("=", 1)
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{files}')")
    start = time.perf_counter()
    try:
        rows = connection.execute(options.sql).fetchone()[0]
    except duckdb.Error as error:
        sys.exit(str(error).splitlines()[0])
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": rows, "version": duckdb.__version__}))


if __name__ == "__main__":
    main()
