//! Parameters: values that `--set k=v` passes to one run of a job.
//!
//! `${k}` in an input's path, its `require` and `partitions`, the store's path and `as_of` is replaced by the value, so
//! such a value must be a literal part of a path: it cannot leave a directory or contain a glob. `$k` in the SQL is
//! never substituted: the query stage binds it as a value. The query engine's own tokenizer finds the `$k`, so those in
//! strings and comments do not count.
//!
//! Not for: defaults. Invariant: every parameter the job names has a value, and every value given is used.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::diagnostics::Problems;
use super::suggest;
use super::toml_section::Item;

/// Longest value that can be in a path, in bytes: no file name is longer.
const LONGEST_IN_PATH: usize = 255;

/// The given values, and the parameters that the job has named so far.
pub(super) struct Params<'a> {
    sets: &'a BTreeMap<String, String>,
    named: RefCell<BTreeSet<String>>,
}

impl<'a> Params<'a> {
    pub(super) fn new(sets: &'a BTreeMap<String, String>, problems: &Problems) -> Self {
        for name in sets.keys().filter(|name| !is_name(name)) {
            problems.add_general(format!(
                "--set {name:?} is not a parameter name: letters, digits and _ only, beginning with a letter or _"
            ));
        }
        Self { sets, named: RefCell::default() }
    }

    /// `text` of `item` with every `${k}` replaced.
    pub(super) fn fill(&self, item: &Item<'_>, text: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        let mut good = true;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                item.problem("has a ${ without a closing }");
                return None;
            };
            match self.path_value(item, name) {
                Some(value) => filled.push_str(value),
                None => good = false,
            }
            rest = after;
        }
        filled.push_str(rest);
        good.then_some(filled)
    }

    fn path_value(&self, item: &Item<'_>, name: &str) -> Option<&'a str> {
        if !is_name(name) {
            item.problem(format!(
                "has ${{{name}}}: a parameter name is letters, digits and _, beginning with a letter or _"
            ));
            return None;
        }
        self.named.borrow_mut().insert(name.to_owned());
        let Some(value) = self.sets.get(name) else {
            item.problem(format!("needs a value for ${{{name}}}: add --set {name}=…"));
            return None;
        };
        if let Err(reason) = check_path_value(value) {
            item.problem(format!("cannot take --set {name}={value:?}: a value that is filled in {reason}"));
            return None;
        }
        Some(value)
    }

    /// The values of the parameters in `text`, as they were given: `--set date=2026-11-31`.
    pub(super) fn given_in(&self, text: &str) -> Vec<String> {
        let named = text.split("${").skip(1).filter_map(|piece| piece.split_once('}')).map(|(name, _)| name);
        named.filter_map(|name| Some(format!("--set {name}={}", self.sets.get(name)?))).collect()
    }

    /// The parameters in `sql`, with their values; problems are reported for `item`, which holds or names the SQL.
    pub(super) fn bind(&self, item: &Item<'_>, sql: &str) -> BTreeMap<String, String> {
        let names = match placeholders(sql) {
            Ok(names) => names,
            Err(problem) => {
                item.problem(problem);
                return BTreeMap::new();
            }
        };
        let mut bound = BTreeMap::new();
        for name in names {
            self.named.borrow_mut().insert(name.clone());
            let Some(value) = self.sets.get(&name) else {
                item.problem(format!("needs a value for ${name}: add --set {name}=…"));
                continue;
            };
            bound.insert(name, value.clone());
        }
        bound
    }

    /// Reports every value that was not used; to be called last.
    pub(super) fn report_unused(&self, problems: &Problems) {
        let named = self.named.borrow();
        for name in self.sets.keys().filter(|name| is_name(name) && !named.contains(*name)) {
            let hint = match suggest::nearest(name, named.iter().map(String::as_str)) {
                Some(near) => format!(", did you mean {near:?}?"),
                None => format!(": neither ${{{name}}} in a path or as_of, nor ${name} in the SQL"),
            };
            problems.add_general(format!("--set {name}=… is used nowhere in this job{hint}"));
        }
    }
}

/// Whether `text` is a valid name of a parameter.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Checks a value that is filled into a path. A leading `-` is fine, as no path is passed to another program; `.` is
/// not, as two adjacent parameters could make `..` of it.
fn check_path_value(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if value.len() > LONGEST_IN_PATH {
        return Err(format!("must not be longer than {LONGEST_IN_PATH} bytes"));
    }
    if value.contains("..") || value == "." {
        return Err("must not be \".\" or contain \"..\"".to_owned());
    }
    let refused = |letter: char| letter.is_control() || "/\\*?[]{}".contains(letter);
    match value.chars().find(|letter| refused(*letter)) {
        Some(letter) => Err(format!("must not contain {letter:?}")),
        None => Ok(()),
    }
}

/// Names of the `$k` in `sql`, or the problem with one of them.
fn placeholders(sql: &str) -> Result<BTreeSet<String>, String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| format!("is not SQL: {error}"))?;
    let mut names = BTreeSet::new();
    for (index, found) in tokens.iter().enumerate() {
        let Token::Placeholder(text) = &found.token else { continue };
        let line = found.span.start.line;
        let name = text.strip_prefix('$').unwrap_or_default();
        if is_name(name) {
            names.insert(name.to_owned());
        } else if name.is_empty() && matches!(tokens.get(index + 1).map(|next| &next.token), Some(Token::LBrace)) {
            return Err(format!(
                "has ${{…}} in line {line}: write $name in SQL, which is bound as a value and never substituted as text"
            ));
        } else {
            return Err(format!(
                "has {text} in line {line}: write parameters as $name and give them with --set name=…"
            ));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<String> {
        placeholders(sql).unwrap().into_iter().collect()
    }

    #[test]
    fn only_real_placeholders_count() {
        assert_eq!(names("SELECT $a, x + $b_2 FROM t WHERE y = $a"), ["a", "b_2"]);
        assert!(names("SELECT '$a', \"$b\", 'it''s $c' -- $d\n/* $e /* $f */ */").is_empty());
        assert!(names("SELECT $$ $a $$, $tag$ $b $tag$").is_empty());
        assert_eq!(names("SELECT '--', $a /* */ , '/*' , $b"), ["a", "b"]);
    }

    #[test]
    fn other_placeholders_are_refused_with_the_line() {
        assert!(placeholders("SELECT\n$1").unwrap_err().contains("has $1 in line 2"));
        assert!(placeholders("SELECT ?").unwrap_err().contains("has ? in line 1"));
        assert!(placeholders("SELECT ${day}").unwrap_err().contains("write $name in SQL"));
        assert!(placeholders("SELECT 'open").unwrap_err().contains("is not SQL: Unterminated string literal"));
    }

    #[test]
    fn a_value_in_a_path_is_one_literal_piece() {
        for good in ["2026-11-22", "eu", "-1", ".hidden", "a b", "ü"] {
            check_path_value(good).unwrap();
        }
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "a..b", "a/b", "/", "*", "a?", "[a]", "{a}", "a\0", "a\n", "\u{7f}", "a\\b", &long] {
            assert!(check_path_value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_ascii_identifiers() {
        assert!(["a", "_a", "A9_"].iter().all(|name| is_name(name)));
        assert!(!["", "9a", "a-b", "a b", "ü", "$a"].iter().any(|name| is_name(name)));
    }
}
