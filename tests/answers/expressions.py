"""Random expressions over columns: values of a family, and predicates in three-valued logic.

Both engines must give them the same meaning. So this is left out, or written in a way that both read alike:

    `/` of integers and of decimals        another type: quotients are of doubles, by powers of two (see queries.py)
    int32 arithmetic                       every integer is a bigint before anything is done with it
    1.5                                    a double in Cutover, a decimal in DuckDB: literals are cast from text
    casts of fractions to integers         truncated in Cutover, rounded in DuckDB
    `+ interval`, `date_trunc`             of dates: a date and a timestamp in Cutover, vice versa in DuckDB: cast
    upper, trim, length of odd texts       differing Unicode tables: only of plain words
    NULLS FIRST or LAST                    always given
    a IS DISTINCT FROM b AND c             refused by Cutover: always in brackets

Not for: FROM, GROUP BY and the rest of a query (queries.py).
"""

from dataclasses import dataclass
from decimal import Decimal

from answers.functions import Functions
from answers.tables import KINDS, ODD_TEXTS, Kind

# The SQL type of a family, and the kind of an expression's result.
SQL_TYPES = {
    "int": "bigint", "float": "double", "text": "varchar", "date": "date", "timestamp": "timestamp",
    "instant": "timestamptz",
}  # fmt: skip
RESULT = {
    "int": "int64", "float": "float64", "text": "word", "date": "date", "timestamp": "timestamp[us]",
    "instant": "timestamp[us, UTC]",
}  # fmt: skip
FAMILIES = ["int", "int", "float", "text", "text", "date", "timestamp", "decimal", "instant"]
CAST_LEAVES = ("int", "float", "timestamp", "instant")
WIDENING = ("int", "float", "decimal")
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
PATTERNS = ["a%", "%b%", "a_c", "%", "", "_", "%e%r%", "B%"]
DATE_PARTS = ["year", "month", "day", "quarter", "doy", "dow", "week"]
TIME_PARTS = ["year", "month", "day", "hour", "minute", "second"]
TIMES = [
    "2010-06-15 12:00:00", "1960-02-29 00:00:01", "2005-01-01 00:00:00.5", "9999-12-31 00:00:01", "1500-01-01 00:00:00",
]  # fmt: skip
TRUNCATIONS = ["year", "quarter", "month", "week", "day"]


@dataclass(frozen=True)
class Ref:
    """A column as SQL names it."""

    sql: str
    kind: Kind


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Expressions(Functions):
    """Expressions over the columns that are in scope."""

    def __init__(self, rng, refs):
        self.rng, self.refs = rng, refs

    def some(self, *families, tame=True):
        """The columns of these families."""
        return [ref for ref in self.refs if ref.kind.family in families and (ref.kind.tame or not tame)]

    def value(self, depth=2):
        """An expression of any family, and the kind of its result."""
        family = self.rng.choice(FAMILIES)
        if family == "decimal":
            found = self.decimal(depth) or self.mixed_value(depth)
            return found if found else self.value(depth)
        if self.rng.random() < 0.1:
            return self.predicate(depth), KINDS["bool"]
        return self.of(family, depth), KINDS[RESULT[family]]

    def of(self, family, depth):
        """An expression of a family whose values are tame."""
        if depth <= 0 or self.rng.random() < 0.25:
            return self.leaf(family)
        if self.rng.random() < 0.3:
            return self.choice(family, depth - 1)
        if self.rng.random() < 0.4 and hasattr(self, f"{family}_function"):
            return getattr(self, f"{family}_function")(depth - 1)
        return getattr(self, family)(depth - 1)

    def leaf(self, family):
        found = self.some(family)
        if not found or self.rng.random() < 0.15:
            return self.constant(family)
        ref = self.rng.choice(found)
        return f"cast({ref.sql} as {SQL_TYPES[family]})" if family in CAST_LEAVES else ref.sql

    def constant(self, family):
        r = self.rng
        if family == "bool":
            return r.choice(["true", "false"])
        if r.random() < 0.1:
            return f"cast(null as {SQL_TYPES[family]})"
        day = f"{2000 + r.randint(0, 30)}-0{r.randint(1, 9)}-1{r.randint(0, 9)}"
        return {
            "int": lambda: f"cast({r.randint(-9, 30)} as bigint)",
            "float": lambda: f"cast('{r.randint(-40, 40) / 4}' as double)",
            "text": lambda: quoted(KINDS["word"].draw(r)),
            "date": lambda: f"date '{day}'",
            "timestamp": lambda: f"timestamp '{day} 12:3{r.randint(0, 9)}:00'",
            "instant": lambda: f"timestamptz '{day} 12:3{r.randint(0, 9)}:00+0{r.randint(0, 5)}:00'",
        }[family]()

    def choice(self, family, depth):
        """CASE, coalesce and the like, over values of the family."""
        one, two = self.of(family, depth), self.of(family, depth)
        form = self.rng.randrange(6)
        if form == 0:
            return f"case when {self.predicate(depth)} then {one} else {two} end"
        if form == 1:
            return f"case when {self.predicate(depth)} then {one} when {self.predicate(depth)} then {two} end"
        if form == 2:
            return f"nullif({one}, {two})"
        if form == 3:
            return f"greatest({one}, {two})"
        if form == 4:
            return f"least({one}, {two})"
        return f"coalesce({one}, {two})"

    def int(self, depth):
        r, one = self.rng, self.of("int", depth)
        form = r.randrange(9)
        if form <= 2:
            return f"({one} {r.choice('+-')} {self.of('int', depth)})"
        if form == 3:
            return f"({self.leaf('int')} * {self.leaf('int')})"
        if form == 4:
            return f"({one} % {r.choice([2, 3, 7, 10])})"
        if form == 5:
            return f"abs({one})"
        if form == 6:
            text = self.of("text", depth)
            return r.choice([f"cast(length({text}) as bigint)", f"cast(strpos({text}, 'a') as bigint)"])
        if form == 7:
            return f"cast(extract({r.choice(TIME_PARTS)} from {self.of('timestamp', depth)}) as bigint)"
        if r.random() < 0.2:
            return f"cast({self.of('date', depth)} - {self.of('date', depth)} as bigint)"
        dates = self.some("date", tame=False)
        day = r.choice(dates).sql if dates else self.of("date", depth)
        return f"cast(extract({r.choice(DATE_PARTS)} from {day}) as bigint)"

    def float(self, depth):
        r, one = self.rng, self.of("float", depth)
        form = r.randrange(6)
        if form <= 1:
            return f"({one} {r.choice('+-')} {self.of('float', depth)})"
        if form == 2:
            return f"({self.leaf('float')} * {self.leaf('float')})"
        if form == 3:
            return f"cast({self.of('int', depth)} as double)"
        if form == 4:
            return f"({one} / cast('{r.choice([2, 4])}' as double))"
        return f"{r.choice(['abs', 'floor', 'ceil'])}({one})"

    def decimal(self, depth):
        """An expression over decimals of one type, and its kind; None if there are none."""
        found = self.some("decimal")
        if not found:
            return None
        r, kind = self.rng, self.rng.choice(found).kind
        found = [ref.sql for ref in found if ref.kind == kind]
        number = Decimal(r.randint(-999, 99999)).scaleb(-kind.arrow.scale)
        literal = f"cast('{number:f}' as decimal({kind.arrow.precision}, {kind.arrow.scale}))"
        one, two = r.choice(found), r.choice([*found, literal])
        forms = [one, f"({one} + {two})", f"({one} - {two})", f"abs({one})", f"coalesce({one}, {literal})"]
        forms += [f"case when {self.predicate(depth)} then {one} else {two} end", f"nullif({one}, {two})"]
        if kind.arrow.precision < 20:
            forms.append(f"({one} * {self.leaf('int')})")
            forms.append(self.decimal_function(one, kind))
        return r.choice(forms), KINDS["decimal(38, 0) edges"]

    def text(self, depth):
        r, one = self.rng, self.of("text", depth)
        form = r.randrange(8)
        if form == 0:
            return f"{r.choice(['upper', 'lower', 'trim', 'ltrim', 'rtrim'])}({one})"
        if form == 1:
            return f"substr({one}, {r.randint(1, 3)}, {r.randint(0, 4)})"
        if form == 2:
            return f"{r.choice(['left', 'right'])}({one}, {r.randint(0, 3)})"
        if form == 3:
            return f"replace({one}, {quoted(r.choice(['a', 'b', 'er']))}, {quoted(r.choice(['', 'x', 'aa']))})"
        if form == 4:
            return f"({one} || {self.of('text', depth)})"
        if form == 5:
            return f"concat({one}, '-', {self.of('text', depth)})"
        if form == 6:
            return f"{r.choice(['lpad', 'rpad'])}({one}, {r.randint(1, 6)}, '*')"
        return f"cast({self.of(r.choice(['int', 'date']), depth)} as varchar)"

    def date(self, depth):
        r, one = self.rng, self.of("date", depth)
        form = r.randrange(4)
        if form == 0:
            return f"cast({one} {r.choice('+-')} interval '{r.randint(1, 40)} days' as date)"
        if form == 1:
            return f"cast({one} + interval '{r.randint(1, 14)} months' as date)"
        if form == 2:
            return f"cast(date_trunc('{r.choice(TRUNCATIONS)}', {one}) as date)"
        return f"cast({self.of('timestamp', depth)} as date)"

    def timestamp(self, depth):
        r, one = self.rng, self.of("timestamp", depth)
        form = r.randrange(3)
        if form == 0:
            return f"({one} {r.choice('+-')} interval '{r.randint(1, 900)} minutes')"
        if form == 1:
            return f"cast(date_trunc('{r.choice([*TRUNCATIONS, 'hour', 'minute'])}', {one}) as timestamp)"
        return f"cast({self.of('date', depth)} as timestamp)"

    def bool(self, depth):
        return self.predicate(depth)

    def predicate(self, depth=2):
        """A condition that is true, false or null."""
        r = self.rng
        if depth > 0 and r.random() < 0.4:
            form = r.randrange(6)
            if form <= 1:
                return f"({self.predicate(depth - 1)} and {self.predicate(depth - 1)})"
            if form <= 3:
                return f"({self.predicate(depth - 1)} or {self.predicate(depth - 1)})"
            if form == 4:
                return f"(not {self.predicate(depth - 1)})"
            return f"(({self.predicate(depth - 1)}) is {r.choice(['', 'not '])}{r.choice(['null', 'true', 'false'])})"
        return self.test(depth)

    def test(self, depth):
        """A single comparison or similar predicate."""
        r = self.rng
        form = r.randrange(14)
        if form >= 11:
            return self.bool_function(max(depth - 1, 0))
        if form >= 9:
            ref = r.choice(self.refs)
            literal = self.literal(ref.kind)
            if literal:
                return f"({ref.sql} {r.choice(COMPARISONS)} {literal})"
        if form == 0:
            return f"({r.choice(self.refs).sql} is {r.choice(['', 'not '])}null)"
        if form <= 2:
            pairs = self.pairs()
            if pairs:
                one, two = r.choice(pairs)
                scalar = one.kind.scalar
                how = r.choice([*(COMPARISONS if scalar else ["=", "<>"]), "is distinct from", "is not distinct from"])
                return f"({one.sql} {how} {two.sql})"
        if form == 3:
            flags = self.some("bool")
            if flags:
                return r.choice(flags).sql
        known = [family for family in SQL_TYPES if self.some(family)]
        family = r.choice(known or ["int"])
        one = self.of(family, depth - 1)
        if form == 4:
            two, three = self.of(family, 0), self.of(family, 0)
            return f"({one} {r.choice(['', 'not '])}between {two} and {three})"
        if form == 5:
            items = [self.constant(family) for _ in range(r.randint(1, 4))]
            return f"({one} {r.choice(['', 'not '])}in ({', '.join(items)}))"
        if form == 6:
            return f"({self.of('text', depth - 1)} {r.choice(['', 'not '])}like {quoted(r.choice(PATTERNS))})"
        return f"({one} {r.choice(COMPARISONS)} {self.of(family, depth - 1)})"

    def literal(self, kind):
        """A constant that a column of the kind can be compared with directly; None if there is none."""
        r = self.rng
        if kind.family == "int":
            return str(r.choice([0, 1, 5, -1, 100, 127, 128, 300, -129, 40_000, 2_147_483_648, -2_147_483_649]))
        if kind.family == "float":
            return f"cast('{r.choice(['0', '-0.0', '1.5', '0.5', 'NaN', 'inf', '-inf', '1e300'])}' as double)"
        if kind.family == "text" and not kind.tame:
            return quoted(r.choice([text for text in ODD_TEXTS if "\0" not in text]))
        if kind.family == "date":
            return f"date '{r.choice(['2010-06-15', '1970-01-01', '1500-01-01', '9999-12-31', '0001-01-01'])}'"
        if kind.family == "timestamp":
            return f"timestamp '{r.choice(TIMES[:3] if 'ns' in kind.name else TIMES)}'"
        if kind.family == "instant":
            return f"timestamptz '{r.choice(TIMES[:3])}+0{r.randint(0, 3)}:00'"
        if kind.family == "decimal":
            return r.choice(["0", "5", "1.5", "-2.25", "100", "cast('1000000000000000' as double)"])
        return self.constant(kind.family) if kind.family in ("text", "bool") else None

    def pairs(self, other=None):
        """Pairs of columns that can be compared; one of each scope if there are two. Numbers of one family may differ
        in width."""
        others = self.refs if other is None else other
        same = WIDENING if self.rng.random() < 0.3 else ()
        return [
            (one, two)
            for one in self.refs
            for two in others
            if one.sql != two.sql
            and (one.kind.arrow == two.kind.arrow or (one.kind.family == two.kind.family and one.kind.family in same))
        ]
