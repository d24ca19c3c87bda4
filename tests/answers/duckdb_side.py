"""DuckDB, the second opinion: a connection, with the extensions installed by pip, and a translation of the SQL.

Not for: which queries are run.
"""

from pathlib import Path

import duckdb

# Names that differ in DuckDB: the same arguments, the same meaning.
WORDS = {
    "signum(": "sign(",
    "regexp_like(": "regexp_matches(",
    "date_bin(": "time_bucket(",
    # The aggregates; without the space they are window functions.
    "first_value( ": "first(",
    "last_value( ": "last(",
    "/ /* whole */": "//",
    # Bytes here, and hex digits there.
    "encode(sha256(": "lower(sha256(",
    ", 'hex')": ")",
}


def said(sql):
    """SQL in DuckDB's dialect."""
    for ours, theirs in WORDS.items():
        sql = sql.replace(ours, theirs)
    return sql


def connect(*extensions, threads=1):
    """A database in memory. Its time zone is UTC, so that no answer depends on the machine's."""
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true", "threads": str(threads)})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    for name in extensions:
        connection.execute(f"LOAD '{packaged(name)}'")
    return connection


def packaged(name):
    """The file of an extension that a package duckdb-ext-NAME installed for this version of DuckDB."""
    packages = Path(duckdb.__file__).resolve().parent.parent
    found = sorted(packages.glob(f"duckdb_ext/extensions/v{duckdb.__version__}/*/{name}.duckdb_extension"))
    if not found:
        raise SystemExit(f"answers: no package brings the extension {name} for DuckDB {duckdb.__version__}")
    return found[0]
