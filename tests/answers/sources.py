"""The sources of a random query: tables, joins of them, derived tables; and conditions on their rows, with subqueries.

    source      a table, a join of two or three (inner, left, right, full, cross, USING, self joins), a derived table
    condition   filters, and IN, NOT IN, EXISTS, scalar subqueries, correlated or not, also below OR and IS NULL

Known errors of DuckDB are avoided: a FULL JOIN has equal columns only, no NOT EXISTS is below a NOT (DuckDB 1.4.4
returns too many rows if its condition is `<>`), and no EXISTS below an OR after an outer join.

Not for: what is selected (queries.py).
"""

from dataclasses import dataclass, field

from answers.expressions import COMPARISONS, Expressions, Ref
from answers.tables import KINDS

# Rows of a table that may be joined with every row of another.
FEW = 60


@dataclass
class Source:
    """What comes after FROM: columns, and a subset of them that is unique."""

    sql: str
    refs: list
    unique: list = field(default_factory=list)


@dataclass
class Select:
    """A whole query, with its columns by name."""

    sql: str
    columns: list  # (name, Kind)


class Sources:
    """Sources and conditions over a set of tables. A subclass adds selects, from which derived tables are made."""

    COUNT = KINDS["int64"]

    def __init__(self, rng, tables):
        self.rng, self.tables, self.aliases = rng, tables, 0

    def alias(self):
        self.aliases += 1
        return f"a{self.aliases}"

    # Sources

    def table(self, table=None):
        table = table or self.rng.choice(self.tables)
        alias = self.alias()
        named = {f'"{name}"' if " " in name else name: kind for name, kind in table.columns.items()}
        refs = [Ref(f"{alias}.{name}", kind) for name, kind in named.items()]
        return Source(f"{table.name} as {alias}", refs, [f"{alias}.id"])

    def derived(self, sql, select):
        alias = self.alias()
        return Source(f"{sql} as {alias}", [Ref(f"{alias}.{name}", kind) for name, kind in select.columns])

    def source(self):
        share = self.rng.random()
        if share < 0.45:
            return self.table()
        if share < 0.55:
            inner = self.select(self.table())
            return self.derived(f"({self.limited(inner, 0.2)})", inner)
        if share < 0.6:
            return self.lateral(self.table())
        joined = self.join(self.table(), self.rng.choice(self.tables))
        if share > 0.9 and self.rng.random() < 0.7:
            joined = self.join(joined, min(self.tables, key=lambda table: table.data.num_rows))
        return joined

    def join(self, left, table):
        r, right = self.rng, self.table(table)
        refs, unique = left.refs + right.refs, left.unique + right.unique
        if left.sql.count(" as ") == 1 and r.random() < 0.12:
            return self.using(left, right, unique)
        small = table.data.num_rows <= FEW and all(other.data.num_rows <= FEW for other in self.tables)
        if small and r.random() < 0.1:
            return Source(f"{left.sql} cross join {right.sql}", refs, unique)
        kind = r.choice(["join", "join", "left join", "left join", "right join", "full join"])
        equal = self.equal(left, right)
        tests = [equal]
        if r.random() < 0.2:
            tests.append(self.equal(left, right))
        elif r.random() < 0.25 and kind != "full join":
            tests.append(Expressions(r, refs).predicate(1))
        return Source(f"{left.sql} {kind} {right.sql} on {' and '.join(tests)}", refs, unique)

    def lateral(self, left):
        """The result of a subquery for every row."""
        r, inner, alias = self.rng, self.table(), self.alias()
        pairs = [pair for pair in Expressions(r, left.refs).pairs(inner.refs) if self.is_key(pair)]
        if not pairs:
            return left
        one, two = r.choice(pairs)
        found = f"select count(*) as n, min({inner.refs[0].sql}) as m from {inner.sql} where {two.sql} = {one.sql}"
        refs = [Ref(f"{alias}.n", self.COUNT), Ref(f"{alias}.m", self.COUNT)]
        return Source(f"{left.sql} cross join lateral ({found}) as {alias}", left.refs + refs, left.unique)

    def using(self, left, right, unique):
        """A join whose key is one column of both."""
        r = self.rng
        key = r.choice(["k", "g"])
        kind = r.choice(["join", "left join", "right join", "full join"])
        shared = {ref.sql.split(".", 1)[1] for ref in left.refs} & {ref.sql.split(".", 1)[1] for ref in right.refs}
        refs = [Ref(key, ref.kind) for ref in left.refs if ref.sql.endswith(f".{key}")]
        refs += [ref for ref in left.refs + right.refs if not ref.sql.endswith(f".{key}")]
        return Source(f"{left.sql} {kind} {right.sql} using ({key})", refs, unique) if shared else left

    def equal(self, left, right):
        """A test that columns of both sides are equal."""
        r = self.rng
        if r.random() < 0.6:
            pairs = [pair for pair in Expressions(r, left.refs).pairs(right.refs) if self.is_key(pair)]
        else:
            pairs = Expressions(r, left.refs).pairs(right.refs)
        one, two = r.choice(pairs)
        return f"({one.sql} {r.choice(['=', '=', '=', '=', 'is not distinct from'])} {two.sql})"

    def is_key(self, pair):
        one, two = (ref.sql.rsplit(".", 1)[-1] for ref in pair)
        return one == two

    # Conditions

    def condition(self, source):
        """A predicate of WHERE, with subqueries in some."""
        r, expressions = self.rng, Expressions(self.rng, source.refs)
        if r.random() < 0.55:
            return expressions.predicate()
        subquery = self.subquery(source)
        share = r.random()
        outer = any(f" {side} join " in source.sql for side in ("left", "right", "full"))
        if share < 0.4 or (outer and "exists (" in subquery):
            return subquery
        if share < 0.55:
            return f"({subquery} or {expressions.predicate(1)})"
        if share < 0.7:
            return f"({subquery} and {expressions.predicate(1)})"
        if subquery.startswith("(not exists"):
            return subquery
        if share < 0.8:
            return f"(not {subquery})"
        return f"(({subquery}) is {r.choice(['null', 'not null', 'not true', 'false'])})"

    def subquery(self, source):
        r, inner = self.rng, self.table()
        pairs = Expressions(r, source.refs).pairs(inner.refs)
        keys = [pair for pair in pairs if self.is_key(pair)]
        if not pairs:
            return Expressions(r, source.refs).predicate()
        outer, own = r.choice(pairs)
        where = self.where(inner, 0.5, subqueries=False)
        form = r.randrange(8)
        tie = r.choice(keys or pairs)
        tied = f"{tie[1].sql} = {tie[0].sql}"
        if form == 0:
            return f"({outer.sql} {r.choice(['', 'not '])}in (select {own.sql} from {inner.sql}{where}))"
        if form == 1:
            tied = f"{where} and {tied}" if where else f" where {tied}"
            return f"({outer.sql} {r.choice(['', 'not '])}in (select {own.sql} from {inner.sql}{tied}))"
        if form <= 3:
            tests = [tied]
            if r.random() < 0.4 and outer.kind.scalar:
                tests.append(f"{own.sql} {r.choice(COMPARISONS)} {outer.sql}")
            elif r.random() < 0.4:
                tests.append(Expressions(r, inner.refs).predicate(1))
            exists = f"exists (select 1 from {inner.sql} where {' and '.join(tests)})"
            return f"({r.choice(['', 'not '])}{exists})"
        if form == 6 and outer.kind.scalar and outer.kind.family != "binary":
            tied = f"{where} and {tied}" if where else f" where {tied}"
            tied = tied if r.random() < 0.5 else where
            how = f"{r.choice(COMPARISONS)} {r.choice(['any', 'all'])}"
            return f"({outer.sql} {how} (select {own.sql} from {inner.sql}{tied}))"
        if form == 7:
            return f"(exists (select {r.choice(['max', 'count'])}({own.sql}) from {inner.sql} where {tied}))"
        if form == 4:
            tied = f" where {tied}" if r.random() < 0.6 else where
            number = Expressions(r, source.refs).of("int", 1)
            return f"({number} {r.choice(COMPARISONS)} (select count(*) from {inner.sql}{tied}))"
        if not outer.kind.scalar or outer.kind.family == "binary":
            return f"({outer.sql} in (select {own.sql} from {inner.sql}{where}))"
        tied = f" where {tied}" if r.random() < 0.6 else where
        edge = f"select {r.choice(['min', 'max'])}({own.sql}) from {inner.sql}{tied}"
        return f"({outer.sql} {r.choice(COMPARISONS)} ({edge}))"

    def where(self, source, share=0.6, subqueries=True):
        if self.rng.random() >= share:
            return ""
        if not subqueries:
            return f" where {Expressions(self.rng, source.refs).predicate(1)}"
        return f" where {self.condition(source)}"
