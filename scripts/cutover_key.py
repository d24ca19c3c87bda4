"""The bytes of a key, from the string that a user types and the key schema of a manifest or an announcement.

    key_bytes({"columns": [{"name": "id", "kind": {"int": {"bits": 64, "signed": True}}}],
               "encoding": "tuple", "numbered": False}, "42")          b"\\x15\\x2a"

It accepts what `cutover get` does: plain text for a key of one column, a JSON array for several, 0x and hex digits for
binary columns, dates and times in ISO 8601 or as integers in the column's unit. `encoding` `bytes` is the one column as
it is; `tuple` is FoundationDB's tuple layer: https://github.com/apple/foundationdb/blob/main/design/tuple.md

Not for: values. Needs only Python 3.9.
"""

from __future__ import annotations

import json
import struct
from datetime import date, datetime, time, timezone
from decimal import Decimal, InvalidOperation

PER_SECOND = {"second": 1, "millisecond": 10**3, "microsecond": 10**6, "nanosecond": 10**9}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def key_bytes(schema: dict, text: str) -> bytes:
    """The stored bytes of one complete key. Raises ValueError if the string is not a key."""
    columns = schema["columns"]
    if schema["encoding"] == "bytes":
        return unhex(text) if columns[0]["kind"] == "binary" else text.encode()
    width = len(columns) + bool(schema.get("numbered"))
    if width == 1:
        elements = [unquoted(text)]
    else:
        elements = array(text)
        if len(elements) != width:
            names = ", ".join(column["name"] for column in columns)
            raise ValueError(f"{text} is not an array of {width}: [{names}{', number' * (width - len(columns))}]")
    kinds = [column["kind"] for column in columns] + [{"int": {"bits": 64, "signed": False}}]
    return b"".join(element(kind, value) for kind, value in zip(kinds, elements))


def unquoted(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def array(text: str) -> list[str]:
    """The elements of a JSON array, each as a string: numbers keep all their digits."""
    try:
        values = json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        values = None
    if not isinstance(values, list):
        raise ValueError(f"{text} is not a JSON array; a key of several columns must be one")
    return [json.dumps(value) if isinstance(value, bool) else str(value) for value in values]


def element(kind: object, text: str) -> bytes:
    """One element of a tuple."""
    name, of = next(iter(kind.items())) if isinstance(kind, dict) else (kind, None)
    if name == "string":
        return b"\x02" + terminated(text.encode())
    if name == "binary":
        return b"\x01" + terminated(unhex(text))
    if name == "bool":
        if text not in ("true", "false"):
            raise ValueError(f"{text} is neither true nor false")
        return b"\x27" if text == "true" else b"\x26"
    if name in ("float32", "float64"):
        code, form, size = (b"\x20", ">f", 4) if name == "float32" else (b"\x21", ">d", 8)
        bits = int.from_bytes(struct.pack(form, float(text) + 0.0), "big")
        sign = 1 << (8 * size - 1)
        return code + (bits ^ (2 * sign - 1) if bits & sign else bits | sign).to_bytes(size, "big")
    if name == "decimal":
        try:
            unscaled = Decimal(text).scaleb(of["scale"])
        except InvalidOperation:
            raise ValueError(f"{text} is not a number") from None
        if unscaled != unscaled.to_integral_value():
            raise ValueError(f"{text} has more than {of['scale']} digits after the point")
        return integer(int(unscaled))
    return integer(count(name, of, text))


def count(name: str, of: object, text: str) -> int:
    """The integer as which a number, date or time is stored."""
    try:
        value = int(text)
    except ValueError:
        value = calendar(name, of, text)
    if name == "int":
        low, high = (-(1 << of["bits"] - 1), 1 << of["bits"] - 1) if of["signed"] else (0, 1 << of["bits"])
        if not low <= value < high:
            raise ValueError(f"{text} is beyond the column's {of['bits']} bits")
    return value


def calendar(name: str, of: object, text: str) -> int:
    if name == "date":
        return (date.fromisoformat(text) - EPOCH.date()).days
    if name == "time":
        at = time.fromisoformat(text)
        return units(((at.hour * 60 + at.minute) * 60 + at.second) * 10**6 + at.microsecond, of, text)
    if name == "timestamp":
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if of["utc"] and at.tzinfo is None:
            raise ValueError(f"{text} has no offset; write it like 2026-11-22T10:30:00Z")
        past = at.replace(tzinfo=at.tzinfo or timezone.utc) - EPOCH
        return units((past.days * 86400 + past.seconds) * 10**6 + past.microseconds, of["unit"], text)
    raise ValueError(f"{text} is not an integer")


def units(microseconds: int, unit: str, text: str) -> int:
    whole, rest = divmod(microseconds * PER_SECOND[unit], 10**6)
    if rest:
        raise ValueError(f"{text} is finer than a {unit}")
    return whole


def integer(value: int) -> bytes:
    size = (abs(value).bit_length() + 7) // 8
    if value >= 0:
        head = bytes([0x14 + size]) if size <= 8 else bytes([0x1D, size])
        return head + value.to_bytes(size, "big")
    head = bytes([0x14 - size]) if size <= 8 else bytes([0x0B, size ^ 0xFF])
    return head + ((1 << 8 * size) - 1 + value).to_bytes(size, "big")


def terminated(value: bytes) -> bytes:
    return value.replace(b"\0", b"\0\xff") + b"\0"


def unhex(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(f"{text} is not 0x and hex digits")
    return bytes.fromhex(text[2:])
