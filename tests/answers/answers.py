"""Compares two answers: rows as comparable values, and where two multisets of rows differ.

The expected rows are an Arrow table from DuckDB; the found rows are JSON records in Cutover's value encoding. The type
of the expected column decides how a cell is compared:

    integers, decimals      exact, as numbers: 1.50 is 1.5, whatever the scale
    floats                  to one part in 10^9, since sums depend on their order; -0.0 is 0.0, every NaN is one value
    strings, bool, binary   exact (binary as hex digits)
    dates, times            exact, as days and nanoseconds since 1970
    lists, structs          cell by cell, exact

Where DuckDB has a double and Cutover a decimal, as for averages and quotients of decimals, the tolerance is one part in
10^6, or the decimal's last digit: a quotient is rounded to a number of digits, and then added up or multiplied. Where
it is only rounded, it is half of the last digit.

Not for: running either side. Order is not compared: a version is sorted by its keys, whatever the query said.
"""

import datetime
import json
import math
import re
import struct
from collections import defaultdict
from decimal import Decimal

import pyarrow as pa

TOLERANCE = 1e-9
QUOTIENT_TOLERANCE = 1e-6
EPOCH = datetime.date(1970, 1, 1).toordinal()
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")
SPECIAL = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity"}
SHOWN_ROWS = 3
# Placeholder for a float in the part of a row that is compared exactly.
FLOAT = "float"


class Unreadable(Exception):
    """A cell is not a value of its column's type; the message says which."""


def parse(line):
    """Parses JSON, keeping every digit of its numbers."""
    return json.loads(line, parse_float=Decimal)


def expected_rows(table):
    """The rows of an Arrow table."""
    columns = [column_cells(column) for column in table.columns]
    return list(zip(*columns)) if columns else []


def column_cells(column):
    kind = column.type
    if pa.types.is_timestamp(kind):
        unit = UNITS[kind.unit]
        return [None if cell is None else cell * unit for cell in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).to_pylist()
    return [cell_of(cell, kind) for cell in column.to_pylist()]


def cell_of(cell, kind):
    """A cell of the expected table, as a comparable value."""
    if cell is None:
        return None
    if pa.types.is_floating(kind):
        return float_of(cell)
    if pa.types.is_boolean(kind):
        return ("bool", cell)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return cell.hex()
    if pa.types.is_date(kind):
        return cell.toordinal() - EPOCH
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return tuple(cell_of(item, kind.value_type) for item in cell)
    if pa.types.is_struct(kind):
        return tuple(cell_of(cell[field.name], field.type) for field in kind)
    if isinstance(cell, (int, str, Decimal)):
        return cell
    raise Unreadable(f"the judge does not know cells of type {kind}")


def float_of(number):
    """A double without the sign of zero, or one name for NaN and each infinity."""
    number = float(number)
    return number + 0.0 if math.isfinite(number) else SPECIAL[str(number)]


def found_rows(records, schema):
    """The rows of JSON records, read with the columns of an expected schema."""
    readers = [(field.name, field.type) for field in schema]
    for name, _ in readers:
        if any(name not in record for record in records):
            raise Unreadable(f"column {name} is not there")
    return [tuple(found_cell(record[name], kind, name) for name, kind in readers) for record in records]


def found_cell(cell, kind, name):
    if cell is None:
        return None
    try:
        return read_cell(cell, kind, name)
    except (ValueError, KeyError, TypeError, OverflowError, struct.error):
        raise Unreadable(f"column {name}: {cell!r} is no {kind}") from None


def read_cell(cell, kind, name):
    if pa.types.is_floating(kind):
        return found_float(cell, kind)
    if pa.types.is_boolean(kind):
        return ("bool", is_a(cell, bool))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        if isinstance(cell, bool):
            raise TypeError
        return is_a(cell, int, Decimal)
    if pa.types.is_date(kind):
        return datetime.date.fromisoformat(cell).toordinal() - EPOCH
    if pa.types.is_timestamp(kind):
        if bool(TIMESTAMP.fullmatch(cell)[6]) != (kind.tz is not None):
            raise ValueError
        return nanoseconds(cell)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return tuple(found_cell(item, kind.value_type, name) for item in is_a(cell, list))
    if pa.types.is_struct(kind):
        return tuple(found_cell(cell[field.name], field.type, name) for field in kind)
    return is_a(cell, str)


def is_a(cell, *types):
    if not isinstance(cell, types):
        raise TypeError
    return cell


def found_float(cell, kind):
    if isinstance(cell, str):
        return SPECIAL[cell.lower()]
    number = float(is_a(cell, int, Decimal))
    if pa.types.is_float32(kind):
        number = struct.unpack("f", struct.pack("f", number))[0]
    return float_of(number)


def nanoseconds(text):
    """Nanoseconds since 1970 of a time in UTC, or with its offset."""
    day, hour, minute, second, fraction, zone = TIMESTAMP.fullmatch(text).groups()
    days = datetime.date.fromisoformat(day).toordinal() - EPOCH
    minutes = (days * 24 + int(hour)) * 60 + int(minute)
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 60 + int(zone[4:6])
        minutes -= -offset if zone[0] == "-" else offset
    return (minutes * 60 + int(second)) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def slack(type_name, units=1.0, least=QUOTIENT_TOLERANCE):
    """The tolerance of a number of this type of Cutover's, in `units` of its last digit, where it is compared with a
    double."""
    decimal = re.fullmatch(r"decimal\(\d+, (-?\d+)\)", type_name)
    return max(units * 10.0 ** -int(decimal.group(1)), least) if decimal else 0.0


def difference(expected, found, slacks=None):
    """What one multiset of rows has and the other has not, as a string; None if they are equal."""
    missing, extra = grouped(expected), grouped(found)
    for exact in list(missing):
        left = match(missing[exact], extra.get(exact, []), slacks)
        missing[exact], extra[exact] = left
    missing = [row for rows in missing.values() for _, row in rows]
    extra = [row for rows in extra.values() for _, row in rows]
    if not missing and not extra:
        return None
    counts = f"{len(expected)} rows expected, {len(found)} found"
    lines = [f"{counts}; {len(missing)} are missing, {len(extra)} are too many"]
    for what, rows in (("expected", missing), ("found", extra)):
        lines += [f"{what} {shown(row)}" for row in sorted(rows, key=repr)[:SHOWN_ROWS]]
    return "\n".join(lines)


def shown(row):
    text = repr(row)
    return text if len(text) <= 400 else f"{text[:400]}…"


def grouped(rows):
    """Rows by the part of them that is compared exactly: their floats, with the row, in lists."""
    groups = defaultdict(list)
    for row in rows:
        exact = tuple(FLOAT if isinstance(cell, float) else cell for cell in row)
        groups[exact].append((tuple((place, cell) for place, cell in enumerate(row) if isinstance(cell, float)), row))
    return groups


def match(expected, found, slacks):
    """What is left of rows that are equal except for their floats, after matching them."""
    expected, found = sorted(expected), sorted(found)
    if len(expected) == len(found) and all(close(a, b, slacks) for (a, _), (b, _) in zip(expected, found)):
        return [], []
    missing = []
    for floats, row in expected:
        partner = next((at for at, (other, _) in enumerate(found) if close(floats, other, slacks)), None)
        if partner is None:
            missing.append((floats, row))
        else:
            found.pop(partner)
    return missing, found


def close(expected, found, slacks):
    return all(
        abs(a - b) <= max(TOLERANCE * max(abs(a), abs(b)), slacks[place] * max(1.0, abs(a)) if slacks else 0.0)
        for (place, a), (_, b) in zip(expected, found)
    )
