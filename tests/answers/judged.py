"""Tests of the judges: what they must call a difference, a refusal and a failure.

`make answers` runs it first. A judge that passes everything would be worse than none.
"""

import unittest
from decimal import Decimal

import pyarrow as pa

from answers import answers, differential, files, tables

TYPES = [
    ("i", pa.int64()), ("f", pa.float64()), ("d", pa.decimal128(9, 2)), ("s", pa.string()), ("b", pa.bool_()),
    ("day", pa.date32()), ("at", pa.timestamp("us")),
    ("zoned", pa.timestamp("us", "UTC")), ("l", pa.list_(pa.int64())), ("x", pa.binary()),
]  # fmt: skip
ROW = {
    "i": 1, "f": 0.5, "d": Decimal("2.50"), "s": "é", "b": True,
    "day": 20779, "at": 1_500_000, "zoned": 1_500_000, "l": [1, None], "x": b"\xca",
}  # fmt: skip
SAID = """{"i":1,"f":5e-1,"d":2.5,"s":"é","b":true,"day":"2026-11-22","at":"1970-01-01T00:00:01.5",
"zoned":"1970-01-01T00:00:01.5Z","l":[1,null],"x":"ca"}"""


def table(*rows):
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES})


def said(**changes):
    return answers.parse(SAID) | changes


def compared(expected, *records):
    return answers.difference(answers.expected_rows(expected), answers.found_rows(records, expected.schema))


class Answers(unittest.TestCase):
    def test_the_same_rows_are_the_same(self):
        self.assertIsNone(compared(table(ROW, ROW), said(), said()))
        self.assertIsNone(compared(table(ROW), said(f=Decimal("0.50000000001"))), "floats have a tolerance")
        self.assertIsNone(compared(table(ROW), said(zoned="1970-01-01T02:00:01.500+02:00")))

    def test_every_change_of_a_cell_is_a_difference(self):
        changes = {
            "i": 2, "f": Decimal("0.5001"), "d": Decimal("2.51"), "s": "e", "b": False, "day": "2026-11-23",
            "at": "1970-01-01T00:00:01.500001", "zoned": "1970-01-01T00:00:01.5+02:00", "l": [1], "x": "cb",
        }  # fmt: skip
        for name, change in changes.items():
            self.assertIsNotNone(compared(table(ROW), said(**{name: change})), name)
            self.assertIsNotNone(compared(table(ROW), said(**{name: None})), f"{name}: null")
            self.assertIsNotNone(compared(table(ROW | {name: None}), said()), f"{name}: no null")

    def test_what_is_of_another_type_is_no_answer(self):
        cells = {
            "i": "1", "f": "half", "d": True, "s": 1, "b": 1, "day": "never", "at": "1970-01-01T00:00:01.5Z",
            "zoned": "1970-01-01T00:00:01.5", "l": "[1]", "x": 1,
        }  # fmt: skip
        for name, cell in cells.items():
            with self.assertRaises(answers.Unreadable, msg=name):
                compared(table(ROW), said(**{name: cell}))

    def test_rows_count(self):
        self.assertIsNotNone(compared(table(ROW), said(), said()))
        self.assertIsNotNone(compared(table(ROW, ROW), said()))
        self.assertIsNotNone(compared(table(), said()))

    def test_what_is_no_number_has_a_name(self):
        for number, name in ((float("nan"), "NaN"), (float("inf"), "Infinity"), (-float("inf"), "-Infinity")):
            self.assertIsNone(compared(table(ROW | {"f": number}), said(f=name)))
            self.assertIsNotNone(compared(table(ROW | {"f": number}), said(f=None)))
            self.assertIsNotNone(compared(table(ROW | {"f": number}), said(f=0)))

    def test_a_rounded_decimal_may_be_off_by_its_last_digit(self):
        expected = answers.expected_rows(pa.table({"f": [1 / 3]}))
        off = lambda digits, kind: answers.difference(expected, [(float(digits),)], [answers.slack(kind)])  # noqa: E731
        self.assertIsNone(off("0.3333", "decimal(19, 4)"))
        self.assertIsNotNone(off("0.3331", "decimal(19, 4)"))
        self.assertIsNotNone(off("0.3333", "float64"))
        expected = answers.expected_rows(pa.table({"f": [2 / 3]}))
        off = lambda digits: answers.difference(expected, [(float(digits),)], [half])  # noqa: E731
        half = answers.slack("decimal(19, 4)", differential.ROUNDED, 0.0)
        self.assertIsNone(off("0.6667"))
        self.assertIsNotNone(off("0.6666"), "it is cut off")


class Verdicts(unittest.TestCase):
    def verdict(self, *found):
        return differential.verdict(table(ROW), list(found))[0]

    def test_what_both_runs_come_to(self):
        right = {"columns": [[name, "?"] for name, _ in TYPES], "rows": [said()]}
        wrong = right | {"rows": [said(i=2)]}
        refused = {"error": "invalid", "message": "no such function"}
        self.assertEqual(self.verdict(right, right), "same")
        self.assertEqual(self.verdict(right, wrong), "differs")
        self.assertEqual(self.verdict(right, right | {"rows": [said(f=Decimal("0.50000000001"))]}), "two digests")
        self.assertEqual(self.verdict(refused, refused), "refused")
        self.assertEqual(self.verdict(right, refused), "refused once")
        self.assertEqual(self.verdict(right, refused | {"message": ""}), "invalid")
        self.assertEqual(self.verdict(refused, refused | {"message": "assertion `left == right` failed"}), "fault")
        for kind in ("internal", "unavailable", "panic", "crash", "hang"):
            self.assertEqual(self.verdict(refused, {"error": kind, "message": "why"}), kind)

    def test_the_same_number_is_the_same_job(self):
        rng = [differential.Random("tables 3") for _ in range(2)]
        one, two = (
            tables.table("t", "parquet", list(tables.KINDS), [], 50, tables.Pools(each), each) for each in rng
        )
        self.assertEqual(one.columns, two.columns)
        self.assertTrue(all(kind in tables.KINDS for kind in files.IN_CSV + files.IN_JSON + files.DISTINGUISHABLE))


def main(_):
    suite = unittest.defaultTestLoader.loadTestsFromName(__name__)
    return 0 if unittest.TextTestRunner(verbosity=0).run(suite).wasSuccessful() else 1
