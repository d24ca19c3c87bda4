"""A table as files: several of them, in Parquet, CSV or JSON lines, each with its own schema.

How files may differ, while all of them together still contain the table:

    all formats   another order of columns; a missing column if the file's part of it is null and no contract asks
                  for it
    Parquet       a narrower type (int16 for int64, float32 for float64, fewer digits or a coarser unit), dictionaries,
                  large strings, other row groups, pages, codecs, no statistics, no stored Arrow schema
    CSV           unneeded quotes, \\r\\n; a string is never empty, as an empty field is a null
    JSON          another order in every line, nulls omitted; floats are finite

At least one file has every column, and in its full type. Text formats get a data contract with the types, or only
columns whose type can be inferred from their values.

Not for: the content of the table (tables.py).
"""

import csv
import datetime
import io
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from answers.tables import EPOCH, KINDS

MOST_FILES = 4
CODECS = ["none", "snappy", "zstd", "lz4"]
# Kinds whose values a text file can contain if a contract gives their type.
NEVER_IN_TEXT = {"float", "binary"}
IN_CSV = [
    name for name, kind in KINDS.items()
    if kind.scalar and (kind.tame or kind.family not in NEVER_IN_TEXT) and kind.family != "instant"
]  # fmt: skip
IN_JSON = [name for name, kind in KINDS.items() if kind.tame or kind.family not in NEVER_IN_TEXT]
# Kinds whose type can be inferred from all of their values.
DISTINGUISHABLE = ["int64", "int64 edges", "float64", "bool"]
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
NARROWER = {
    pa.int64(): [pa.int32(), pa.int16(), pa.uint32(), pa.uint8()],
    pa.int32(): [pa.int16(), pa.int8(), pa.uint8()],
    pa.int16(): [pa.int8()],
    pa.uint64(): [pa.uint32(), pa.uint16()],
    pa.uint32(): [pa.uint16(), pa.uint8()],
    pa.float64(): [pa.float32()],
    pa.decimal128(18, 4): [pa.decimal128(9, 4), pa.decimal128(12, 2)],
    pa.decimal128(38, 10): [pa.decimal128(25, 10)],
    pa.timestamp("us"): [pa.timestamp("ms")],
}


def for_text(table, rng):
    """The table as text files can represent it, and whether a contract is needed."""
    columns = {}
    for name in table.columns:
        column = table.data.column(name)
        if table.format == "csv" and pa.types.is_string(column.type):
            cells = [text.replace("\0", "") if text else "-" for text in column.to_pylist() if text is not None]
            cells = iter(cells)
            column = pa.array([next(cells) if valid else None for valid in column.is_valid().to_pylist()], pa.string())
        columns[name] = column
    table.data = pa.table(columns)
    known = all(kind.name in DISTINGUISHABLE or name in ("id", "k", "g") for name, kind in table.columns.items())
    filled = all(column.null_count < len(column) for column in table.data.columns)
    table.contract = not known or not filled or rng.random() < 0.3
    return table


def write(table, directory, rng, plain=False):
    """Writes the table below `directory`; its data becomes what the files contain. Returns the path of its contract, or
    None. The files of a plain table do not differ."""
    directory.mkdir(parents=True)
    drifts = rng.random() < 0.6 and not plain
    count = rng.randint(2, MOST_FILES) if drifts else rng.choice([1, 1, 2])
    cuts = sorted(rng.randint(0, table.data.num_rows) for _ in range(count - 1))
    cuts = [0, *cuts, table.data.num_rows]
    parts = [table.data.slice(low, high - low) for low, high in zip(cuts, cuts[1:])]
    full = rng.randrange(count)
    known = [name for name in table.columns if name != "id" and parts[full].column(name).null_count < parts[full].num_rows]
    for number, part in enumerate(parts):
        if drifts and number != full:
            part, shown = drifted(part, known, rng) if not table.contract else (part, part)
            parts[number] = part
        else:
            shown = part
        names = list(shown.schema.names)
        if drifts:
            rng.shuffle(names)
        if plain:
            pq.write_table(shown, directory / f"{number}.parquet")
        else:
            path = directory / f"{number}.{table.format}"
            WRITERS[table.format](shown.select(names), path, rng, drifts and number != full)
    table.data = pa.concat_tables(parts)
    return contract(table, directory.parent / f"{table.name}.contract.json") if table.contract else None


def drifted(part, names, rng):
    """A part with some of these columns null, and the same without those columns."""
    left_out = [name for name in names if rng.random() < 0.15]
    for name in left_out:
        place = part.schema.get_field_index(name)
        part = part.set_column(place, name, pa.nulls(part.num_rows, part.schema.field(name).type))
    return part, part.drop_columns(left_out)


def write_parquet(part, path, rng, narrows):
    for place, field in enumerate(part.schema):
        array = part.column(place)
        for narrower in rng.sample(NARROWER.get(field.type, []), len(NARROWER.get(field.type, []))):
            if narrows and rng.random() < 0.3 and fits(array, narrower):
                part = part.set_column(place, field.name, array.cast(narrower))
                break
        if pa.types.is_string(field.type):
            shape = rng.choice(["plain", "plain", "large", "dictionary"])
            if shape == "large":
                part = part.set_column(place, field.name, array.cast(pa.large_string()))
            elif shape == "dictionary":
                index = rng.choice([pa.int8(), pa.int16(), pa.int32(), pa.uint8()])
                coded = pa.chunked_array([array.combine_chunks().dictionary_encode()])
                part = part.set_column(place, field.name, coded.cast(pa.dictionary(index, pa.string())))
    zoned = any(pa.types.is_timestamp(field.type) for field in part.schema)
    pq.write_table(
        part,
        path,
        row_group_size=rng.choice([1 + part.num_rows // 3, 7, 100, 100_000]),
        compression=rng.choice(CODECS),
        use_dictionary=rng.random() < 0.6,
        write_statistics=rng.random() < 0.8,
        data_page_version=rng.choice(["1.0", "2.0"]),
        data_page_size=rng.choice([1 << 20, 256]),
        store_schema=zoned or rng.random() < 0.7,
        write_page_checksum=rng.random() < 0.2,
        write_page_index=rng.random() < 0.3,
    )


def fits(array, narrower):
    """Whether a type can represent the same values."""
    try:
        return array.cast(narrower).cast(array.type).equals(array)
    except pa.ArrowInvalid:
        return False


def write_csv(part, path, rng, _):
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_STRINGS if hasattr(csv, "QUOTE_STRINGS") else csv.QUOTE_MINIMAL])
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n"]))
    writer.writerow(part.schema.names)
    columns = [["" if cell is None else cell for cell in printable(column)] for column in part.columns]
    for row in zip(*columns):
        writer.writerow([field_text(cell) for cell in row])
    path.write_bytes(text.getvalue().encode())


def field_text(cell):
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"{cell:f}" if isinstance(cell, Decimal) else cell


def write_json(part, path, rng, _):
    omit, shuffled = rng.random() < 0.5, rng.random() < 0.3
    names, columns = part.schema.names, [printable(column) for column in part.columns]
    lines = []
    for row in zip(*columns):
        # A contract asks for every column in every file: the first line has all of them.
        omits = omit and lines
        cells = [(name, cell) for name, cell in zip(names, row) if not (omits and cell is None and rng.random() < 0.5)]
        if shuffled:
            rng.shuffle(cells)
        lines.append("{" + ", ".join(f"{json.dumps(name)}: {json_text(cell)}" for name, cell in cells) + "}\n")
    path.write_bytes("".join(lines).encode())


def json_text(cell):
    return f"{cell:f}" if isinstance(cell, Decimal) else json.dumps(cell, ensure_ascii=False)


def printable(column):
    """Cells as text formats write them: dates and times as strings, all else unchanged."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else moment(count, UNITS[kind.unit], kind.tz) for count in counts]
    if pa.types.is_date(kind):
        days = column.cast(pa.int32()).to_pylist()
        return [None if day is None else datetime.date.fromordinal(day + EPOCH).isoformat() for day in days]
    return column.to_pylist()


def moment(count, digits, zone):
    seconds, fraction = divmod(count, 10**digits)
    days, seconds = divmod(seconds, 86_400)
    day = datetime.date.fromordinal(days + EPOCH).isoformat()
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{day}T{clock}{f'.{fraction:0{digits}}' if digits else ''}{'Z' if zone else ''}"


def contract(table, path):
    types = {field.name: type_name(field.type) for field in table.data.schema}
    columns = [
        {"name": name, "type": types[name], "nullable": name != "id", "meaning": "random"} for name in table.columns
    ]
    path.write_text(json.dumps({"name": table.name, "columns": columns}, indent=1))
    return path


def type_name(kind):
    """The name of a type in a data contract."""
    if pa.types.is_timestamp(kind):
        return f"timestamp[{kind.unit}{f', {kind.tz}' if kind.tz else ''}]"
    if pa.types.is_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {type_name(field.type)}' for field in kind)}>"
    names = {"double": "float64", "float": "float32", "date32[day]": "date", "string": "string"}
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    return names.get(str(kind), str(kind))


WRITERS = {"parquet": write_parquet, "csv": write_csv, "json": write_json}
