"""Random calls of functions, casts and operators, and comparisons of two types.

Each method returns SQL of one family. Names are Cutover's where the engines differ, and duckdb_side.py translates them.
Left out, as the engines rightly differ:

    doubles and times as strings   1e+300, 2000-01-01 00:00:00
    lower, upper, reverse          of words only: differing Unicode tables
    levenshtein                    of digits only: letters here, bytes there
    shifts that lose bits          an error in Cutover
    `to_char`, `strftime`          different format languages

Not for: CASE and the like, and predicates in general (expressions.py).
"""

from decimal import Decimal

ESCAPED = ["a!%", "%!_b", "B%", "10!%", "_!__", "%!!%"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
BINS = ["15 minutes", "1 hour", "1 day", "7 days", "1 month", "3 months"]
FIELDS = ["year", "month", "day", "hour", "minute", "second", "quarter", "week", "doy", "dow"]
UNITS = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
EXPRESSIONS = ["a+", "^a", "b$", "[a-c]{2}", "e.", "(a|z)", "x?b"]
# Families of which two columns can be compared, or combined into one value.
MEETINGS = [("date", "timestamp"), ("timestamp", "instant"), ("decimal", "float"), ("int", "decimal"), ("int", "float")]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def makes_one(one, two):
    """Whether both engines have a common type for columns of two types."""
    apart = one.kind.family in ("date", "timestamp", "decimal") and one.kind.tame and two.kind.tame
    if two.kind.family == "instant":
        return apart and one.kind.name == "timestamp[us]"
    # DuckDB's common type of a REAL and a decimal is REAL.
    return apart and two.kind.name in ("float64", "timestamp[us]", "timestamp[ms]", "timestamp[s]")


class Functions:
    """Calls of functions over the columns in scope."""

    def int_function(self, depth):
        r, one = self.rng, self.of("int", depth)
        text = self.any_text(depth)
        return r.choice([
            lambda: f"cast(length({text}) as bigint)",
            lambda: f"cast(strpos({text}, {quoted(r.choice(['a', 'é', '🦀', ' ']))}) as bigint)",
            lambda: f"cast(bit_length({text}) as bigint)",
            lambda: f"cast(ascii({self.of('text', depth)}) as bigint)",
            lambda: f"cast(levenshtein({self.typed('digits', 'text')}, {self.typed('digits', 'text')}) as bigint)",
            lambda: f"({one} {r.choice('&|')} {self.of('int', depth)})",
            lambda: f"({one} >> {r.randint(0, 8)})",
            lambda: f"(abs({one} % 1000) << {r.randint(0, 8)})",
            lambda: f"cast(signum({one}) as bigint)",
            lambda: f"gcd({self.leaf('int')}, {r.randint(1, 12)})",
            lambda: f"({one} % nullif({self.leaf('int')}, 0))",
            lambda: f"({one} / /* whole */ nullif({self.leaf('int')}, 0))",
            lambda: f"cast({self.predicate(0)} as bigint)",
            lambda: f"cast({self.typed('digits', 'text')} as bigint)",
            lambda: f"try_cast({self.of('text', depth)} as bigint)",
            lambda: f"cast(floor({self.of('float', depth)}) as bigint)",
            lambda: f"cast(extract({r.choice(FIELDS)} from {self.of('instant', depth)}) as bigint)",
            lambda: f"cast(extract({r.choice(FIELDS[:3])} from {self.far_time()}) as bigint)",
            lambda: f"cast(extract(epoch from {self.of('timestamp', depth)}) as bigint)",
            lambda: self.of_list("array_length", "cast({} as bigint)"),
            lambda: self.of_list("element", "cast({} as bigint)", "int64"),
            lambda: self.of_struct("a", "bigint"),
        ])()  # fmt: skip

    def float_function(self, depth):
        r, one = self.rng, self.of("float", depth)
        return r.choice([
            lambda: f"round({one}, {r.randint(0, 1)})",
            lambda: f"trunc({one})",
            lambda: f"sqrt(abs({one}))",
            lambda: f"power({self.leaf('float')}, cast('2' as double))",
            lambda: f"signum({one})",
            lambda: f"try_cast({self.of('text', depth)} as double)",
            lambda: f"cast({self.some_decimal() or one} as double)",
            lambda: f"cast({self.of('float', 0)} as real)",
            lambda: f"({one} / nullif({r.choice([2, 4, 8])}, 0))",
        ])()  # fmt: skip

    def text_function(self, depth):
        r, one = self.rng, self.of("text", depth)
        odd = self.any_text(depth)
        return r.choice([
            lambda: f"substr({odd}, {r.randint(1, 4)}, {r.randint(0, 4)})",
            lambda: f"{r.choice(['left', 'right'])}({odd}, {r.randint(-2, 4)})",
            lambda: f"split_part({one}, ' ', {r.randint(1, 3)})",
            lambda: f"translate({odd}, 'aé', 'xy')",
            lambda: f"regexp_replace({odd}, {quoted(r.choice(EXPRESSIONS))}, '_'{r.choice(['', ', ' + quoted('g')])})",
            lambda: f"concat_ws('-', {one}, {self.of('text', depth)}, 'z')",
            lambda: f"replace({odd}, {quoted(r.choice(['a', 'é', '日']))}, {quoted(r.choice(['', 'ü']))})",
            lambda: f"repeat({one}, {r.randint(0, 3)})",
            lambda: f"reverse({self.typed('digits', 'text')})",
            lambda: f"lpad({odd}, {r.randint(0, 5)}, 'é')",
            lambda: f"cast({self.predicate(0)} as varchar)",
            lambda: f"cast({self.some_decimal() or self.of('int', 0)} as varchar)",
            lambda: f"chr({r.randint(65, 90)})",
            lambda: f"md5({odd})",
            lambda: f"encode(sha256({odd}), 'hex')",
            lambda: self.of_list("element", "{}", "string", "text"),
            lambda: self.of_struct("b", "varchar"),
        ])()  # fmt: skip

    def date_function(self, depth):
        r, one = self.rng, self.of("date", depth)
        return r.choice([
            lambda: f"make_date({r.randint(1, 9999)}, {r.randint(1, 12)}, {r.randint(1, 28)})",
            lambda: f"try_cast({self.of('text', depth)} as date)",
            lambda: f"cast({self.of('instant', depth)} as date)",
            lambda: f"cast(cast({one} as timestamp) {r.choice('+-')} interval '{r.randint(1, 50)} hours' as date)",
            lambda: f"cast({one} {r.choice('+-')} interval '{r.randint(1, 3)} years' as date)",
            lambda: f"cast({self.far_time()} as date)",
            lambda: f"cast(cast({one} as varchar) as date)",
        ])()  # fmt: skip

    def timestamp_function(self, depth):
        r, one = self.rng, self.of("timestamp", depth)
        return r.choice([
            lambda: f"date_bin(interval '{r.choice(BINS)}', {one}, timestamp '2000-01-01 00:00:00')",
            lambda: f"cast(date_trunc('{r.choice(UNITS)}', {one}) as timestamp)",
            lambda: f"cast(date_trunc('{r.choice(UNITS[:5])}', {self.far_time()}) as timestamp)",
            lambda: f"cast({self.of('instant', depth)} as timestamp)",
            lambda: f"({one} {r.choice('+-')} interval '{r.randint(1, 30)} months')",
            lambda: f"({one} {r.choice('+-')} interval '{r.randint(1, 99)} days {r.randint(1, 90)} seconds')",
            lambda: f"({one} + ({self.leaf('timestamp')} - {self.leaf('timestamp')}))",
            lambda: f"cast({self.far_date()} as timestamp)",
        ])()  # fmt: skip

    def instant(self, depth):
        """A TIMESTAMP WITH TIME ZONE."""
        r, one = self.rng, self.of("instant", depth)
        return r.choice([
            lambda: f"cast({self.of('timestamp', depth)} as timestamptz)",
            lambda: f"cast({self.of('date', depth)} as timestamptz)",
            lambda: f"({one} {r.choice('+-')} interval '{r.randint(1, 90)} minutes')",
            lambda: f"cast(date_trunc('{r.choice(UNITS)}', {one}) as timestamptz)",
            lambda: self.constant("instant"),
        ])()  # fmt: skip

    def bool_function(self, depth):
        r, one = self.rng, self.of("text", depth)
        odd = self.any_text(depth)
        return r.choice([
            lambda: f"regexp_like({odd}, {quoted(r.choice(EXPRESSIONS))})",
            lambda: f"starts_with({odd}, {quoted(r.choice(['a', 'é', '', 'B']))})",
            lambda: f"contains({odd}, {quoted(r.choice(['a', 'é', 'er', ' ']))})",
            lambda: f"({one} {r.choice(['like', 'ilike', 'not like'])} {quoted(r.choice(ESCAPED))} escape '!')",
            lambda: f"({odd} ilike {quoted(r.choice(['B%', '%A%', '_A']))})",
            lambda: f"cast({self.leaf('int')} as boolean)",
            lambda: self.of_list("array_has", "{}", "int64", "bool"),
            lambda: self.meeting(depth),
            lambda: self.between_anything(),
            lambda: self.in_anything(),
        ])()  # fmt: skip

    # Columns of some kinds

    def any_text(self, depth):
        """A string, of any characters in some places."""
        odd = self.some("text", tame=False)
        return self.rng.choice(odd).sql if odd and self.rng.random() < 0.5 else self.of("text", depth)

    def typed(self, kind, family):
        found = [ref for ref in self.refs if ref.kind.name == kind]
        return self.rng.choice(found).sql if found else f"'{self.rng.randint(-99, 999)}'"

    def some_decimal(self):
        found = self.some("decimal")
        return self.rng.choice(found).sql if found else None

    def far_date(self):
        found = [ref.sql for ref in self.some("date", tame=False)]
        return self.rng.choice(found) if found else self.of("date", 0)

    def far_time(self):
        found = [ref.sql for ref in self.some("timestamp", tame=False) if "ns" not in ref.kind.name]
        return self.rng.choice(found) if found else self.of("timestamp", 0)

    def of_list(self, what, shape, items=None, family="int"):
        """An expression over a list's items; a constant if there is no list."""
        lists = [ref for ref in self.refs if ref.kind.family == "list" and (not items or items in ref.kind.name)]
        if not lists:
            return self.constant(family)
        sql = self.rng.choice(lists).sql
        call = {
            "array_length": f"array_length({sql})",
            "array_has": f"array_has({sql}, {self.rng.randint(0, 3)})",
            "element": f"{sql}[{self.rng.randint(1, 3)}]",
        }[what]
        return shape.format(call)

    def of_struct(self, field, as_type):
        structs = self.some("struct", tame=False)
        if not structs:
            return f"cast(null as {as_type})"
        return f"cast({self.rng.choice(structs).sql}['{field}'] as {as_type})"

    # Two comparable types

    def meeting(self, depth):
        """A comparison of columns of two types."""
        r = self.rng
        pairs = [(one, two) for one, two in self.meetings() if r.random() < 0.9]
        if not pairs:
            return f"({self.of('date', depth)} {r.choice(COMPARISONS)} {self.of('timestamp', depth)})"
        one, two = r.choice(pairs)
        one, two = r.choice([(one, two), (two, one)])
        return f"({one.sql} {r.choice([*COMPARISONS, 'is distinct from'])} {two.sql})"

    def meetings(self):
        """Pairs of columns of two comparable types; integers beyond doubles are not compared with floats."""
        known = {
            "float": lambda one, _: one.kind.tame,
            "instant": lambda one, two: "UTC" in two.kind.name and "ns" not in one.kind.name,
            # DuckDB converts the date to nanoseconds.
            "timestamp": lambda one, two: one.kind.tame or "ns" not in two.kind.name,
        }
        return [
            (one, two)
            for first, second in MEETINGS
            for one in self.some(first, tame=False)
            for two in self.some(second, tame=False)
            if known.get(second, lambda *_: True)(one, two)
        ]

    def between_anything(self):
        """A column of any kind between two others of its kind, or constants."""
        r = self.rng
        ref = r.choice(self.refs)
        same = [other.sql for other in self.refs if other.kind.arrow == ref.kind.arrow]
        ends = [self.literal(ref.kind) or r.choice(same) if r.random() < 0.5 else r.choice(same) for _ in range(2)]
        if not ref.kind.scalar:
            return f"({ref.sql} is not null)"
        return f"({ref.sql} {r.choice(['', 'not '])}between {ends[0]} and {ends[1]})"

    def in_anything(self):
        r = self.rng
        ref = r.choice(self.refs)
        literals = [self.literal(ref.kind) for _ in range(r.randint(1, 4))]
        if not all(literals):
            return f"({ref.sql} is null)"
        literals += r.choice([[], [], ["null"]])
        return f"({ref.sql} {r.choice(['', 'not '])}in ({', '.join(literals)}))"

    def mixed_value(self, depth):
        """A value of columns of two types, and its family; None if no two can be combined."""
        r = self.rng
        pairs = [pair for pair in self.meetings() if makes_one(*pair)]
        if not pairs:
            return None
        one, two = r.choice(pairs)
        first, second = r.choice([(one, two), (two, one)])
        form = r.choice([
            "coalesce({}, {})", "greatest({}, {})", "least({}, {})",
            f"case when {self.predicate(depth)} then {{}} else {{}} end",
        ])  # fmt: skip
        return form.format(first.sql, second.sql), two.kind

    def decimal_function(self, one, kind):
        """A function of a decimal that both engines return as a number of any type."""
        r = self.rng
        number, digits = Decimal(r.randint(1, 999)), (kind.arrow.precision, kind.arrow.scale)
        literal = f"cast('{number.scaleb(-kind.arrow.scale):f}' as decimal{digits})"
        return r.choice([f"floor({one})", f"ceil({one})", f"({one} % {literal})", f"(-{one})", f"abs({one})"])
