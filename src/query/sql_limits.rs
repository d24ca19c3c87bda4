//! Rejects SQL that is nested too deeply or expands too far, before it is planned.
//!
//! ```text
//! a OR b OR c …              ((a OR b) OR c) …           one level for each
//! a UNION ALL b UNION ALL c  ((a ∪ b) ∪ c)               the same, and so are joins
//! WITH a AS (… FROM b, b)    each use of a name is its whole query
//! ```
//! Planning and execution recurse over the statement's tree, so a chain of a hundred thousand operators would overflow
//! the stack, and names that use names twice would exhaust memory. The depth is computed from the tokens, before any
//! tree is built: for each pair of brackets, the longest chains of operators of each precedence.
//!
//! Not for: SQL syntax. The parser limits nested brackets.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Maximum depth of a statement.
const DEEPEST: usize = 2000;
/// Maximum number of joins in a row, whose order takes ever longer to plan.
const MOST_JOINS: usize = 200;
/// Maximum number of casts of casts: planning one more takes twice as long.
const MOST_CASTS: usize = 16;
/// Maximum number of table reads, once every name of a `WITH` is expanded.
const MAX_READS: u64 = 5000;
/// Maximum number of `WITH` names that build on each other.
const LONGEST_CHAIN: u64 = 500;

/// Rejects a statement whose tree would be too deep.
///
/// # Errors
/// `Plan`, with what to do about it; invalid SQL is left to the parser.
pub(super) fn check_words(sql: &str) -> Result<()> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let Extent { depth, joins, casts } = extent(&tokens);
    if joins > MOST_JOINS {
        return plan_err!(
            "the query joins {joins} tables one after another, at most {MOST_JOINS} can be planned: read them as one \
             input of several files, or make a dataset of some and read that"
        );
    }
    if casts > MOST_CASTS {
        return plan_err!("casts are nested {casts} deep, at most {MOST_CASTS} can be planned");
    }
    match depth {
        ..=DEEPEST => Ok(()),
        deep => plan_err!(
            "the query is {deep} levels deep, at most {DEEPEST} can be planned: replace long chains of AND, OR, + \
             or || by lists (IN, concat, coalesce), and long chains of UNION ALL or JOIN by one input of several files"
        ),
    }
}

/// Rejects a statement whose `WITH` expands too far.
///
/// # Errors
/// `Plan`, with what to do about it.
pub(super) fn check_names(statement: &Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let mut reads = Reads::default();
    let _ = statement.visit(&mut reads);
    let whole = reads.whole;
    let wrong = match whole {
        Unfolded { tables: u64::MAX, .. } => format!("unfold into more than 2^64 reads of tables, at most {MAX_READS}"),
        Unfolded { tables, .. } if tables > MAX_READS => {
            format!("unfold into {tables} reads of tables, at most {MAX_READS}")
        }
        Unfolded { chain, .. } if chain > LONGEST_CHAIN => format!("are nested {chain} deep, at most {LONGEST_CHAIN}"),
        _ => return Ok(()),
    };
    Err(DataFusionError::Plan(format!(
        "the names of WITH {wrong} can be planned: use each name once, or make a dataset of one and read that"
    )))
}

/// Number of operator precedences, the loosest first.
const RANKS: usize = 7;

/// The operators between two brackets.
#[derive(Default)]
struct Level {
    /// Length of the current chain of operators of each precedence, and of the longest such chains of this item.
    runs: [usize; RANKS],
    longest: [usize; RANKS],
    unions: usize,
    joins: usize,
    in_from: bool,
    is_case: bool,
    is_cast: bool,
    /// Casts of casts in the current operand, and the most of any operand.
    casts: usize,
    most_casts: usize,
}

impl Level {
    fn depth(&self) -> usize {
        1 + self.unions + self.joins + self.longest.iter().sum::<usize>()
    }

    fn operator(&mut self, rank: usize) {
        self.runs[rank] += 1;
        self.runs[rank + 1..].fill(0);
        self.longest[rank] = self.longest[rank].max(self.runs[rank]);
    }

    /// The current operand is a cast of this many casts.
    fn cast(&mut self, casts: usize) {
        self.casts = casts;
        self.most_casts = self.most_casts.max(casts);
    }

    fn next_item(&mut self) {
        self.runs = [0; RANKS];
        self.longest = [0; RANKS];
    }
}

/// How large a statement's tree may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    /// An upper bound of its depth.
    depth: usize,
    /// The most joins in a row.
    joins: usize,
    /// The most casts of casts.
    casts: usize,
}

fn extent(tokens: &[Token]) -> Extent {
    let mut levels = vec![Level::default()];
    // Sum of the depths of all levels but the innermost, whose depth still changes.
    let (mut around, mut extent) = (0, Extent::default());
    let mut before = Keyword::NoKeyword;
    // After :: comes a type, which is no operand.
    let mut names_type = false;
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        // After AS every word is a name, even one that elsewhere begins a clause.
        let word = if before == Keyword::AS { Keyword::NoKeyword } else { keyword(token) };
        let opens = matches!(token, Token::LParen | Token::LBracket | Token::LBrace) || word == Keyword::CASE;
        let ends_case = word == Keyword::END && levels.last().is_some_and(|level| level.is_case);
        let closes = matches!(token, Token::RParen | Token::RBracket | Token::RBrace) || ends_case;
        if opens {
            around += levels.last().map_or(0, Level::depth);
            let is_cast = matches!(before, Keyword::CAST | Keyword::TRY_CAST);
            levels.push(Level { is_case: word == Keyword::CASE, is_cast, ..Level::default() });
        } else if closes && levels.len() > 1 {
            let inner = levels.pop().map_or(0, |level| level.most_casts + usize::from(level.is_cast));
            around -= levels.last().map_or(0, Level::depth);
            if let Some(outer) = levels.last_mut() {
                outer.cast(inner.max(outer.casts));
            }
        } else if let Some(level) = levels.last_mut() {
            match word {
                Keyword::NoKeyword => sign(level, token),
                word => name(level, word, before),
            }
            match token {
                Token::DoubleColon => level.cast(level.casts + 1),
                Token::Period => {}
                _ if names_type => {}
                _ => level.casts = 0,
            }
            extent.depth = extent.depth.max(around + level.depth());
            extent.joins = extent.joins.max(level.joins);
        }
        extent.casts = extent.casts.max(levels.last().map_or(0, |level| level.most_casts));
        names_type = *token == Token::DoubleColon;
        before = keyword(token);
    }
    extent
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Handles a word. Only words that no expression can contain begin a new item: a word that could also be a column's
/// name would hide a chain.
fn name(level: &mut Level, word: Keyword, before: Keyword) {
    use Keyword as K;
    match word {
        K::SELECT => {
            level.next_item();
            level.joins = 0;
            level.in_from = false;
        }
        K::FROM => level.in_from |= before != K::DISTINCT,
        K::WHERE | K::GROUP | K::HAVING | K::ORDER => level.in_from = false,
        K::WHEN | K::THEN | K::ELSE if level.is_case => level.next_item(),
        K::JOIN => level.joins += 1,
        K::UNION | K::EXCEPT | K::INTERSECT | K::MINUS => {
            level.next_item();
            level.unions += 1;
        }
        K::OR | K::XOR => level.operator(0),
        K::AND => level.operator(1),
        K::NOT => level.operator(2),
        K::IS | K::IN | K::LIKE | K::ILIKE | K::BETWEEN | K::SIMILAR | K::REGEXP | K::RLIKE => level.operator(3),
        K::DIV => level.operator(5),
        K::AT | K::COLLATE | K::ESCAPE => level.operator(6),
        _ => {}
    }
}

/// Handles an operator, a string or a number.
fn sign(level: &mut Level, token: &Token) {
    match token {
        Token::Comma => {
            level.next_item();
            level.joins += usize::from(level.in_from);
        }
        Token::DoubleEq | Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => {
            level.operator(3)
        }
        Token::Mul | Token::Div | Token::DuckIntDiv | Token::Mod => level.operator(5),
        Token::Period | Token::DoubleColon | Token::Colon => level.operator(6),
        Token::Word(_) | Token::Number(..) | Token::Placeholder(_) | Token::SemiColon | Token::EOF => {}
        Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_) => {}
        // Anything else may be an operator: +, -, ||, arrows, bits.
        _ => level.operator(4),
    }
}

/// The number of table reads of a query once its names are expanded.
#[derive(Clone, Copy, Default)]
struct Unfolded {
    tables: u64,
    chain: u64,
}

/// What every name of a `WITH` expands to.
#[derive(Default)]
struct Reads {
    named: HashMap<String, Unfolded>,
    /// The queries around the one being visited.
    around: Vec<Around>,
    whole: Unfolded,
}

/// A query being visited.
#[derive(Default)]
struct Around {
    sum: Unfolded,
    /// The queries of its own `WITH`, by address, with their names.
    names: HashMap<*const Query, String>,
}

impl Unfolded {
    fn add(&mut self, other: Self) {
        self.tables = self.tables.saturating_add(other.tables);
        self.chain = self.chain.max(other.chain);
    }
}

impl Visitor for Reads {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = tables.map(|table| (std::ptr::from_ref(&*table.query), normal(&table.alias.name.value)));
        let names: HashMap<_, _> = names.collect();
        // A recursive query reads itself, which is not another query.
        for name in names.values() {
            self.named.remove(name);
        }
        self.around.push(Around { sum: Unfolded::default(), names });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(Around { sum, .. }) = self.around.pop() else { return ControlFlow::Continue(()) };
        let outer = self.around.last_mut();
        match outer.map(|outer| (outer.names.remove(&std::ptr::from_ref(query)), outer)) {
            // The reads of a name are counted where it is used.
            Some((Some(name), _)) => {
                let named = Unfolded { tables: sum.tables.max(1), chain: sum.chain + 1 };
                self.named.insert(name, named);
            }
            Some((None, outer)) => outer.sum.add(sum),
            None => self.whole.add(sum),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let table = Unfolded { tables: 1, chain: 0 };
        let reads = self.named.get(&normal(&relation.to_string())).copied().unwrap_or(table);
        match self.around.last_mut() {
            Some(around) => around.sum.add(reads),
            None => self.whole.add(reads),
        }
        ControlFlow::Continue(())
    }
}

/// A name without quotes and in lower case, so that no use is missed.
fn normal(name: &str) -> String {
    name.trim_matches('"').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(sql: &str) -> usize {
        extent(&Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap()).depth
    }

    #[test]
    fn casts_of_casts_and_joins_are_counted() {
        let of = |sql: &str| extent(&Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap());
        for (sql, casts) in [
            ("SELECT CAST(a AS INT) + CAST(b AS INT), c::INT", 1),
            ("SELECT TRY_CAST(CAST(abs(CAST(a AS INT)) AS TEXT) AS INT)", 3),
            ("SELECT (a::INT)::TEXT::DECIMAL(10, 2)::TEXT", 4),
            ("SELECT CASE WHEN a::INT = 1 THEN b::INT::TEXT END", 2),
        ] {
            assert_eq!(of(sql).casts, casts, "{sql}");
        }
        let nested = (0..40).fold("v".to_owned(), |sql, _| format!("CAST({sql} AS INT)"));
        assert!(check_words(&format!("SELECT {nested}")).unwrap_err().to_string().contains("40 deep, at most 16"));
        let joins = |count| format!("SELECT a FROM x{}", " JOIN x USING (a)".repeat(count));
        assert!(check_words(&joins(600)).unwrap_err().to_string().contains("600 tables"));
        check_words(&joins(200)).unwrap();
    }

    fn chain(piece: &str, times: usize) -> String {
        vec!["x"; times].join(piece)
    }

    #[test]
    fn every_chain_counts_and_lists_do_not() {
        for piece in
            [" OR ", " AND ", " + ", " || ", " / ", " = ", "::int + ", " IS NULL OR ", " IS DISTINCT FROM y OR "]
        {
            let deep = levels(&format!("SELECT {} FROM t", chain(piece, 1000)));
            assert!((999..=3010).contains(&deep), "{piece}: {deep}");
        }
        for piece in [" UNION ALL SELECT a FROM ", " JOIN ", ", ", " AS where, ", " CROSS JOIN "] {
            let deep = levels(&format!("SELECT a FROM {}", chain(piece, 1000)));
            assert!((999..=3010).contains(&deep), "{piece}: {deep}");
        }
        let cases = chain(" THEN 2 END + CASE WHEN ", 1000);
        assert!(levels(&format!("SELECT CASE WHEN {cases} THEN 1 END")) >= 999);
        let flat = [
            format!("SELECT {} FROM t", chain(" + 1 AS a, ", 20_000)),
            format!("SELECT a IS DISTINCT FROM b, {} FROM t", chain(", ", 20_000)),
            format!("SELECT a FROM t WHERE a IN ({})", chain(", ", 20_000)),
            format!("SELECT CASE WHEN {} THEN 1 END FROM t", chain(" = 1 AND y THEN 2 WHEN ", 20_000)),
            format!("SELECT concat({})", chain(" || 'and or', ", 20_000)),
        ];
        flat.iter().for_each(|sql| assert!(levels(sql) < 20, "{}: {}", &sql[..50], levels(sql)));
        assert!(levels(&format!("SELECT {} FROM t", chain(" OR y AND z = 1 AND ", 1000))) < 2010);
    }

    #[test]
    fn a_long_chain_is_refused_with_an_alternative_and_invalid_sql_is_left_to_the_parser() {
        let error = check_words(&chain(" + ", 100_000)).unwrap_err().to_string();
        assert!(error.contains("levels deep, at most 2000") && error.contains("concat"), "{error}");
        check_words(&chain(" + ", 1900)).unwrap();
        check_words("SELECT 'open").unwrap();
        check_words("SELECT 1 END ) ] }").unwrap();
    }

    fn names(sql: &str) -> Result<()> {
        use datafusion::sql::parser::DFParser;
        check_names(&DFParser::parse_sql(sql).unwrap()[0])
    }

    #[test]
    fn aliases_are_counted_as_their_expressions() {
        let chained = |from: &str, length: usize| {
            let link = |at: usize| format!("c{at} AS (SELECT * FROM {})", from.replace('#', &format!("c{}", at - 1)));
            let links: Vec<String> = (1..=length).map(link).collect();
            format!("WITH c0 AS (SELECT * FROM t), {} SELECT * FROM c{length}", links.join(", "))
        };
        names(&chained("#", 300)).unwrap();
        names(&chained("# JOIN # USING (k)", 10)).unwrap();
        for sql in [
            chained("#", 600),
            chained("#, # AS b", 14),
            chained("# JOIN \"C0\" JOIN #", 40),
            chained("# a, # b", 2000),
        ] {
            let error = names(&sql).unwrap_err().to_string();
            assert!(error.contains("names of WITH"), "{error}");
        }
        let nested =
            (0..20).fold("SELECT 1 FROM t".to_owned(), |sql, at| format!("WITH n{at} AS ({sql}) SELECT * FROM n{at}"));
        names(&nested).unwrap();
        names("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT * FROM r").unwrap();
    }
}
