"""Random queries as in batch jobs, over a set of tables.

    select      rows, DISTINCT, DISTINCT ON, groups (HAVING, FILTER, grouping sets, ROLLUP, CUBE), windows, set
                operations, UNNEST
    around it   CTEs, ORDER BY … LIMIT with a total order

A query has exactly one correct answer: windows and collected values are ordered by unique columns, a LIMIT by all
columns. NaN and infinities, which JSON cannot represent, mostly become two columns, the number and its name.

Not for: what is read (sources.py) and expressions (expressions.py).
"""

from answers.expressions import COMPARISONS, Expressions, Ref
from answers.functions import makes_one
from answers.sources import Select, Sources
from answers.tables import KINDS

INT, DOUBLE, TEXT, BOOL = KINDS["int64 edges"], KINDS["float64 edges"], KINDS["odd text"], KINDS["bool"]
SUM_OF_DECIMALS = KINDS["decimal(38, 0) edges"]
INFINITY = "cast('inf' as double)"


class Queries(Sources):
    """Queries over tables; each call gives another one."""

    def query(self):
        """The SQL of a whole query."""
        r = self.rng
        with_, named = "", None
        if r.random() < 0.2:
            inner = self.select(self.source())
            with_, named = f"with w as ({inner.sql}) ", inner
        shape = r.random()
        if named:
            select = self.select(self.derived("w", named), last=True)
        elif shape < 0.12:
            select = self.set_operation()
        elif shape < 0.17:
            select = self.star()
        elif shape < 0.21:
            return self.recursive()
        else:
            select = self.select(self.source(), last=True)
        return with_ + self.ended(select)

    # Selects

    def select(self, source, last=False):
        """A SELECT; only the `last` one of a query may have quotients, which are rounded in one engine alone."""
        share = self.rng.random()
        if share < 0.3:
            return self.rows(source)
        if share < 0.72:
            return self.groups(source, last)
        if share < 0.76 and source.unique:
            return self.distinct_on(source)
        if share < 0.94 and source.unique:
            return self.windows(source)
        return self.unnested(source)

    def named(self, items):
        """Items of a SELECT as c0, c1, …, and their names with kinds."""
        columns = [(f"c{place}", kind) for place, (_, kind) in enumerate(items)]
        return ", ".join(f"{sql} as c{place}" for place, (sql, _) in enumerate(items)), columns

    def item(self, source, depth=2):
        """A column, or an expression."""
        if self.rng.random() < 0.5:
            ref = self.rng.choice(source.refs)
            return ref.sql, ref.kind
        return Expressions(self.rng, source.refs).value(depth)

    def rows(self, source):
        r = self.rng
        items = [self.item(source) for _ in range(r.randint(1, 5))]
        if r.random() < 0.15:
            table = self.table(min(self.tables, key=lambda table: table.data.num_rows))
            pairs = Expressions(r, source.refs).pairs(table.refs)
            tied = " where {1.sql} = {0.sql}".format(*r.choice(pairs)) if pairs else ""
            items.append((f"(select count({r.choice(table.refs).sql}) from {table.sql}{tied})", INT))
        if r.random() < 0.08:
            items.append((self.subquery(source), BOOL))
        if r.random() < 0.05:
            items.append((f"case when {self.subquery(source)} then 1 else 2 end", INT))
        listed, columns = self.named(items)
        distinct = "distinct " if r.random() < 0.25 else ""
        return Select(f"select {distinct}{listed} from {source.sql}{self.where(source)}", columns)

    def distinct_on(self, source):
        """The first row of each group in a total order."""
        r = self.rng
        by = r.choice([ref for ref in source.refs if ref.kind.scalar])
        listed, columns = self.named([(by.sql, by.kind), *(self.item(source, 1) for _ in range(r.randint(1, 3)))])
        order = self.ordered([by.sql, r.choice([ref.sql for ref in source.refs if ref.kind.scalar]), *source.unique])
        where = self.where(source, 0.3)
        return Select(f"select distinct on ({by.sql}) {listed} from {source.sql}{where} order by {order}", columns)

    def unnested(self, source):
        lists = [ref for ref in source.refs if ref.kind.family == "list"]
        if not lists:
            return self.rows(source)
        gathered = self.rng.choice(lists)
        kind = INT if "int" in gathered.kind.name else TEXT
        items = [(f"unnest({gathered.sql})", kind), *(self.item(source, 0) for _ in range(self.rng.randint(0, 2)))]
        listed, columns = self.named(items)
        return Select(f"select {listed} from {source.sql}{self.where(source, subqueries=False)}", columns)

    def groups(self, source, last):
        r = self.rng
        keys = [self.item(source, 1) for _ in range(r.choice([0, 1, 1, 1, 2, 2, 3]))]
        where = self.where(source)
        inner = f"{source.sql}{where}"
        # Keys get names first, so that they are columns wherever they are used.
        alias = self.alias()
        named = [Ref(f"{alias}.g{place}", kind) for place, (_, kind) in enumerate(keys)]
        values = [ref for ref in source.refs if ref.kind.family != "struct"] or source.refs
        picked = r.sample(values, min(len(values), 4))
        picked += [ref for ref in source.refs if ref.sql in source.unique and ref not in picked]
        within = [Ref(f"{alias}.v{place}", ref.kind) for place, ref in enumerate(picked)]
        unique = [ref.sql for ref, outer in zip(within, picked) if outer.sql in source.unique]
        listed = [f"{sql} as g{place}" for place, (sql, _) in enumerate(keys)]
        listed += [f"{ref.sql} as v{place}" for place, ref in enumerate(picked)]
        unique = unique if len(unique) == len(source.unique) else []
        aggregates = [self.aggregate(within, unique, last) for _ in range(r.randint(1, 4))]
        by, extra = self.grouping(named)
        items = [*((ref.sql, ref.kind) for ref in named), *extra, *aggregates]
        having = ""
        if r.random() < 0.2:
            having = f" having count({r.choice(within).sql}) {r.choice(COMPARISONS)} {r.randint(0, 5)}"
        shown, columns = self.named(items)
        return Select(f"select {shown} from (select {', '.join(listed)} from {inner}) as {alias}{by}{having}", columns)

    def grouping(self, keys):
        """GROUP BY, and columns that identify a row's grouping set."""
        r, names = self.rng, [ref.sql for ref in keys]
        if not names:
            return "", []
        share = r.random()
        if share < 0.75:
            return f" group by {', '.join(names)}", []
        flags = [(f"grouping({name})", INT) for name in names] if r.random() < 0.5 else []
        if share < 0.83:
            return f" group by rollup ({', '.join(names)})", flags
        if share < 0.91:
            return f" group by cube ({', '.join(names)})", flags
        sets = [r.sample(names, r.randint(0, len(names))) for _ in range(r.randint(1, 2))] + [names]
        return f" group by grouping sets ({', '.join('(' + ', '.join(one) + ')' for one in sets)})", flags

    def aggregate(self, refs, unique, last):
        r, expressions = self.rng, Expressions(self.rng, refs)
        which = " filter (where " + expressions.predicate(1) + ")" if r.random() < 0.2 else ""
        numbers, scalars = expressions.some("int", "float"), [ref for ref in refs if ref.kind.scalar]
        form = r.randrange(11)
        if last and expressions.some("decimal") and r.random() < 0.15:
            return self.quotient(expressions, which), SUM_OF_DECIMALS
        if form == 1 and expressions.some("decimal"):
            return f"sum({r.choice(expressions.some('decimal')).sql}){which}", SUM_OF_DECIMALS
        if form == 9 and numbers:
            return self.statistic(r.choice(numbers), r.choice(numbers), which)
        if form == 10 and expressions.some("int", tame=False):
            distinct = "distinct " if r.random() < 0.2 else ""
            return f"avg({distinct}{r.choice(expressions.some('int', tame=False)).sql}){which}", DOUBLE
        if form <= 3 and numbers:
            ref = r.choice(numbers)
            if r.random() < 0.3:
                return f"avg({ref.sql}){which}", DOUBLE
            distinct = "distinct " if r.random() < 0.2 else ""
            return f"sum({distinct}{ref.sql}){which}", INT if ref.kind.family == "int" else DOUBLE
        if form <= 5 and scalars:
            ref = r.choice(scalars)
            if ref.kind.family != "binary":
                return f"{r.choice(['min', 'max'])}({ref.sql}){which}", ref.kind
        if form == 6:
            return f"count(distinct {r.choice(refs).sql}){which}", INT
        if form == 7 and unique and r.random() < 0.6:
            return self.gathered(expressions, refs, unique, which)
        if form == 8 and expressions.some("bool"):
            return f"{r.choice(['bool_and', 'bool_or'])}({r.choice(expressions.some('bool')).sql}){which}", BOOL
        counted = r.choice([*refs, None])
        return f"count({counted.sql if counted else '*'}){which}", INT

    def quotient(self, expressions, which):
        """A decimal of Cutover's, rounded, that is a double of DuckDB's."""
        r = self.rng
        one, two = (r.choice(expressions.some("decimal")).sql for _ in range(2))
        return r.choice([
            f"avg({r.choice(['', 'distinct '])}{one}){which}",
            f"case when sum({two}) <> 0 then sum({one}){which} / sum({two}) end",
            f"{r.choice(['min', 'max'])}({one} / cast('{r.choice(['7', '-0.3', '64'])}' as decimal(5, 2))){which}",
        ])  # fmt: skip

    def statistic(self, one, two, which):
        """Statistics of tame numbers."""
        r, number = self.rng, f"cast({one.sql} as double)"
        # Fractions that are cast are cut off by one engine and rounded by the other.
        wholes = [it.sql if it.kind.family == "int" else f"floor(cast({it.sql} as double))" for it in (one, two)]
        return r.choice([
            # Their last digits depend on the order of the rows.
            (f"round({r.choice(['stddev_samp', 'stddev_pop', 'var_samp', 'var_pop'])}({number}){which}, 3)", DOUBLE),
            (f"median({number}){which}", DOUBLE),
            (f"percentile_cont({r.choice(['0.25', '0.5', '0.9'])}) within group (order by {number}){which}", DOUBLE),
            (f"{r.choice(['bit_and', 'bit_or', 'bit_xor'])}(cast({wholes[0]} as bigint)){which}", INT),
            (f"avg(cast({wholes[1]} as bigint)){which}", DOUBLE),
            (f"sum({two.sql}){which}", INT if two.kind.family == "int" else DOUBLE),
        ])  # fmt: skip

    def gathered(self, expressions, refs, unique, which):
        """Values collected in one order."""
        r, order = self.rng, self.ordered(unique)
        words = expressions.some("text")
        if words and r.random() < 0.5:
            return f"string_agg({r.choice(words).sql}, ',' order by {order}){which}", TEXT
        if words and r.random() < 0.3:
            return f"array_agg({r.choice(words).sql} order by {order}){which}", KINDS["list<string>"]
        numbers = [ref for ref in refs if ref.kind.arrow == KINDS["int64"].arrow]
        if not numbers:
            return f"count(*){which}", INT
        if r.random() < 0.3:
            # The space distinguishes the aggregate from the window function.
            return f"{r.choice(['first', 'last'])}_value( {r.choice(numbers).sql} order by {order}){which}", INT
        return f"array_agg({r.choice(numbers).sql} order by {order}){which}", KINDS["list<int64>"]

    def ordered(self, names):
        r = self.rng
        return ", ".join(f"{name} {r.choice(['asc', 'desc'])} nulls {r.choice(['first', 'last'])}" for name in names)

    def windows(self, source):
        r = self.rng
        scalars = [ref for ref in source.refs if ref.kind.scalar]
        items = [self.item(source, 0) for _ in range(r.randint(0, 2))]
        items += [(name, KINDS["int64"]) for name in source.unique]
        for _ in range(r.randint(1, 3)):
            parts = [ref.sql for ref in r.sample(scalars, r.choice([0, 1, 1, 2]) if len(scalars) > 1 else 0)]
            by = f"partition by {', '.join(parts)} " if parts else ""
            first = [r.choice(scalars).sql] if r.random() < 0.6 else []
            total = f"order by {self.ordered([*first, *source.unique])}"
            items.append(self.window(source, scalars, by, total, first))
        listed, columns = self.named(items)
        select = Select(f"select {listed} from {source.sql}{self.where(source)}", columns)
        if r.random() < 0.15:
            number = f"row_number() over (order by {self.ordered(source.unique)})"
            test = f"{number} {r.choice(['<=', '>'])} {r.randint(1, 9)}"
            return Select(f"{select.sql} qualify {test}", columns)
        numbered = [f"c{place}" for place, (sql, _) in enumerate(items) if sql.startswith(("row_number", "rank"))]
        if numbered and r.random() < 0.5:
            test = f"{r.choice(numbered)} {r.choice(['=', '<=', '<'])} {r.randint(1, 3)}"
            return Select(f"select * from ({select.sql}) as {self.alias()} where {test}", columns)
        return select

    def window(self, source, scalars, by, total, first):
        r, expressions = self.rng, Expressions(self.rng, source.refs)
        form, ref = r.randrange(12), r.choice(scalars)
        if form == 8:
            return f"nth_value({ref.sql}, {r.randint(1, 4)}) over ({by}{total}{self.frame()})", ref.kind
        if form == 9 and expressions.some("float", "int") and r.random() < 0.3:
            number = f"cast({r.choice(expressions.some('float', 'int')).sql} as double)"
            name = r.choice(["var_pop", "stddev_samp", "avg", "median"])
            return f"{name}({number}) over ({by}{total}{self.frame()})", DOUBLE
        if form == 9 and ref.kind.family != "binary":
            return f"{r.choice(['min', 'max'])}({ref.sql}) over ({by}{total}{self.frame()})", ref.kind
        if form == 10 and expressions.some("int", tame=False):
            number = r.choice(expressions.some("int", tame=False)).sql
            return f"avg({number}) over ({by}{total}{self.frame()})", DOUBLE
        if form == 11 and expressions.some("int", "float"):
            number, by_number = (r.choice(expressions.some("int", "float")) for _ in range(2))
            order = f"order by {self.ordered([f'cast({by_number.sql} as double)'])}"
            low, high = sorted(r.choices(range(-3, 4), k=2))
            units = r.choice(["range", "groups"])
            frame = f"{units} between {bound(low)} and {bound(high)}"
            return f"{r.choice(['sum', 'avg', 'count'])}({number.sql}) over ({by}{order} {frame})", DOUBLE
        if form == 0:
            return f"row_number() over ({by}{total})", INT
        if form == 1 and first:
            ranked = f"over ({by}order by {self.ordered(first)})"
            name = r.choice(["rank", "dense_rank", "percent_rank", "cume_dist"])
            return f"{name}() {ranked}", INT if "rank" in name and "percent" not in name else DOUBLE
        if form == 2:
            return f"{r.choice(['lag', 'lead'])}({ref.sql}, {r.randint(0, 3)}) over ({by}{total})", ref.kind
        if form == 3:
            return f"{r.choice(['first_value', 'last_value'])}({ref.sql}) over ({by}{total}{self.frame()})", ref.kind
        if form == 4:
            return f"ntile({r.randint(1, 5)}) over ({by}{total})", INT
        numbers = expressions.some("int", "float")
        if form <= 6 and numbers:
            number = r.choice(numbers)
            kind = INT if number.kind.family == "int" else DOUBLE
            if r.random() < 0.3:
                return f"sum({number.sql}) over ({by.strip()})", kind
            return f"{r.choice(['sum', 'sum', 'min', 'max'])}({number.sql}) over ({by}{total}{self.frame()})", kind
        return f"count({ref.sql}) over ({by}{total}{self.frame()})", INT

    def frame(self):
        r = self.rng
        if r.random() < 0.4:
            return ""
        low = r.choice(["unbounded preceding", f"{r.randint(0, 4)} preceding", "current row"])
        high = r.choice(["unbounded following", f"{r.randint(0, 4)} following", "current row"])
        return f" rows between {low} and {high}"

    def set_operation(self):
        """Rows of two tables by UNION, INTERSECT or EXCEPT, ALL or not."""
        r = self.rng
        left, right = self.table(), self.table()
        pairs = Expressions(r, left.refs).pairs(right.refs)
        if r.random() < 0.3:
            met = Expressions(r, [*left.refs, *right.refs]).meetings()
            pairs = [(one, two) for one, two in met if one in left.refs and two in right.refs and makes_one(one, two)] or pairs
        pairs = r.sample(pairs, min(len(pairs), r.randint(1, 3)))
        columns = [(f"c{place}", widest(*pair)) for place, pair in enumerate(pairs)]
        sides = []
        for side, source in enumerate((left, right)):
            listed = ", ".join(f"{pair[side].sql} as c{place}" for place, pair in enumerate(pairs))
            sides.append(f"select {listed} from {source.sql}{self.where(source, 0.4)}")
        word = r.choice(["union", "union all", "intersect", "except", "intersect all", "except all"])
        return Select(f"{sides[0]} {word} {sides[1]}", columns)

    def recursive(self):
        """Rows computed from rows recursively, up to a number."""
        r, source = self.rng, self.table()
        number = Expressions(r, source.refs).of("int", 1)
        start = f"select {source.unique[0]} as i, abs({number} % 7) as n from {source.sql}{self.where(source, 0.4)}"
        step = f"select i, n + {r.randint(1, 3)} from r where n < {r.randint(3, 12)}"
        kept = r.choice(["", " where n % 2 = 0"])
        return f"with recursive r as ({start} union all {step}) select i, n, count(*) as c from r{kept} group by i, n"

    def star(self):
        source = self.table()
        columns = [(ref.sql.split(".", 1)[1], ref.kind) for ref in source.refs]
        return Select(f"select {source.sql.split()[-1]}.* from {source.sql}{self.where(source)}", columns)

    # The end of a query

    def ended(self, select):
        """The whole query: values that JSON cannot represent as words, and a LIMIT if all columns have an order."""
        r = self.rng
        floats = [name for name, kind in select.columns if kind.family == "float"]
        sql, names = select.sql, [name for name, _ in select.columns]
        if floats and r.random() < 0.85:
            items = []
            for name in names:
                items += in_words(name) if name in floats else [name]
            alias = self.alias()
            sql, names = f"select {', '.join(items)} from ({sql}) as {alias}", None
        return self.limited(Select(sql, select.columns), 0.25) if names else sql

    def limited(self, select, share):
        """The query, or its first rows in the order of all columns."""
        r, sql, names = self.rng, select.sql, [name for name, _ in select.columns]
        if r.random() >= share or not all(kind.scalar for _, kind in select.columns):
            return sql
        if r.random() < 0.5 or " order by " in sql:
            sql = f"select * from ({sql}) as {self.alias()}"
        sql += f" order by {self.ordered(names)} limit {r.choice([0, 1, 5, 20, 100])}"
        return sql + (f" offset {r.randint(1, 5)}" if r.random() < 0.2 else "")


def bound(offset):
    """An end of a frame, before or after the current row."""
    return f"{abs(offset)} {'preceding' if offset < 0 else 'following'}" if offset else "current row"


def widest(one, two):
    """The common kind of two columns: not tame if one of them is not."""
    return one.kind if not one.kind.tame else two.kind


def in_words(name):
    """A double as a number that JSON has, and its name otherwise."""
    number = f"cast({name} as double)"
    odd = f"isnan({number}) or abs({number}) = {INFINITY}"
    word = f"case when isnan({number}) then 'nan' when {number} = {INFINITY} then 'inf' "
    word += f"when {number} = -{INFINITY} then '-inf' end as {name.strip(chr(34)).replace(' ', '_').lower()}_word"
    return [f"case when {odd} then cast(null as double) else {number} end as {name}", word]
