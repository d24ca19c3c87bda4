"""Judges of correct answers: Cutover's rows compared with DuckDB's, for the same tables and the same SQL.

    tpc            the 22 queries of TPC-H and the 99 of TPC-DS, through the command           `make tpc`
    differential   random SQL over random tables, many jobs in one process                     `make differential`
    memory         the most that runs hold, for data that is hard on memory                    `make memory`

    judged         whether the judges find errors

    answers        a column of rows as comparable values, and two answers as multisets
    environment    the virtual environment with DuckDB and pyarrow, created if missing
    duckdb_side    DuckDB with the extensions that the environment brought
    cluster        an object store and executors, for `tpc --cluster`
    harness        the program in benches/answers.rs: one job a line, its rows back
    tables         random tables: types, values, and the expected values of each column
    files          a table as Parquet, CSV or JSON: several files whose schemas drift
    expressions    random expressions over columns, by type
    sources        random joins and conditions
    queries        random queries as in batch jobs

Everything they need is installed into a directory outside the checkout. They exit with 1 if an answer differs, a job
crashes or hangs, or too many are refused; nothing is skipped.

Not for: speed (benches/), or what a test in Rust can check without a second engine.
"""

import sys

from answers import environment


def main():
    environment.enter()
    # Only now: these need what the environment has.
    from answers import differential, judged, memory, tpc

    judges = {"tpc": tpc.main, "differential": differential.main, "judged": judged.main, "memory": memory.main}
    if len(sys.argv) < 2 or sys.argv[1] not in judges:
        sys.exit(f"answers: name a judge: {' or '.join(judges)}")
    sys.exit(judges[sys.argv[1]](sys.argv[2:]))


if __name__ == "__main__":
    main()
