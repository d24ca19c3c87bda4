//! Rewrites SQL errors in the terms of the job: its inputs, its parameters, and the line.
//!
//! ```text
//! table 'datafusion.public.event' not found        ─▶  there is no input event, did you mean "events"?
//! Cannot cast string '2026-11-31' … Date32          ─▶  the parameter date, "2026-11-31", is not a date
//! … at Line: 4, Column: 1, No field named w         ─▶  line 4 of the SQL, by position or by the name
//! ```
//! DataFusion's message stays as the cause, without its internal names.
//!
//! Not for: finding errors. This only rewords those that the planner found.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::error::without_prefixes;
use crate::error::{Error, Kind};
use crate::job::suggest;

/// What DataFusion puts before the name of a table.
const INTERNAL: &str = "datafusion.public.";

/// What DataFusion puts before a part of the SQL that it cannot plan.
const UNSUPPORTED: &str = "Unsupported ast node";
/// What it says of a function's types, after an internal error for each of the types that it takes.
const NO_FUNCTION: &str = "No function matches the given name and argument types";

/// A query as written in the job.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// Its SQL.
    pub sql: &'a str,
    /// The names of the inputs.
    pub inputs: &'a [&'a str],
    /// The values of the parameters in it.
    pub params: &'a BTreeMap<String, String>,
}

impl Written<'_> {
    /// The same error in the query's own terms, and the line of the SQL that it is about, if known.
    pub fn pinpoint(&self, error: Error) -> (Error, Option<usize>) {
        let chain = error.chain();
        let (Kind::Invalid | Kind::Input, Some(said)) = (error.kind(), chain.last()) else { return (error, None) };
        let message = plain(said);
        let line = line_in(&message).or_else(|| self.line_of(&named(&message)?));
        let message = without_place(&message);
        // What the engine says of a parameter's value only repeats the sentence.
        if let Some(said) = self.unread_parameter(&message) {
            return (Error::invalid(said), line);
        }
        let said = match self.unknown_input(&message).or_else(|| self.untyped_parameter(&message)) {
            Some(said) => Error::invalid(said).because(message),
            None if message == *said => return (error, line),
            None if chain.len() == 1 => Error::new(error.kind(), message),
            None => Error::new(error.kind(), error.message()).because(message),
        };
        (said, line)
    }

    fn unknown_input(&self, said: &str) -> Option<String> {
        let name = between(said, "table '", "' not found")?;
        Some(format!("there is no input {name}{}", suggest::hint(name, self.inputs)))
    }

    fn untyped_parameter(&self, said: &str) -> Option<String> {
        if !said.contains("Utf8") || !["Cannot coerce", "Cannot infer"].iter().any(|words| said.contains(words)) {
            return None;
        }
        let (name, _) = self.params.first_key_value()?;
        Some(format!(
            "parameters are text in SQL: write CAST(${name} AS DATE), or AS BIGINT, where ${name} is to be another type"
        ))
    }

    fn unread_parameter(&self, said: &str) -> Option<String> {
        if self.untyped_parameter(said).is_some() {
            return None;
        }
        let is_cast = ["cast", "pars", "convert", "Invalid timezone"].iter().any(|word| said.contains(word));
        let quoted = |value: &str| [format!("'{value}'"), format!("\"{value}\"")].iter().any(|it| said.contains(it));
        let (name, value) = self.params.iter().find(|(_, value)| is_cast && quoted(value))?;
        let kind = [("Date", "date"), ("Timestamp", "time"), ("Int", "whole number"), ("Float", "number")];
        let kind = kind
            .iter()
            .find(|(word, _)| said.contains(word))
            .map_or("value of the type that the SQL wants", |kind| kind.1);
        Some(format!("the parameter {name}, given as --set {name}={value}, is not a {kind}"))
    }

    /// The first line that contains this name.
    fn line_of(&self, name: &str) -> Option<usize> {
        let tokens = Tokenizer::new(&GenericDialect {}, self.sql).tokenize_with_location().ok()?;
        let is_named = |token: &Token| match token {
            Token::Word(word) => word.value.eq_ignore_ascii_case(name),
            Token::Placeholder(text) => text.strip_prefix('$') == Some(name),
            _ => false,
        };
        let found = tokens.iter().find(|found| is_named(&found.token))?;
        usize::try_from(found.span.start.line).ok()
    }
}

/// The value that DataFusion could not parse as another type, if that is the error.
pub fn unread_value(error: &Error) -> Option<String> {
    let said = error.chain().pop()?;
    let is_cast = ["cast string", "parsing"].iter().any(|word| said.contains(word));
    let rest = said.split_once(" '").filter(|_| is_cast)?.1;
    // A value may contain quotes itself.
    let end = rest.rfind("' to value of").or_else(|| rest.rfind("':")).or_else(|| rest.rfind('\''))?;
    Some(rest[..end].to_owned())
}

/// DataFusion's message, without its internal names and its stages of planning.
fn plain(said: &str) -> String {
    let said = said.rsplit("\ncaused by\n").next().unwrap_or(said).replace(INTERNAL, "");
    let prefixes = [
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "Arrow error: ",
        "Cast error: ",
        "External error: ",
    ];
    let rest = without_prefixes(&said, &prefixes);
    if let Some(limit) = between(rest, "RecursionLimitExceeded (current limit: ", ")") {
        return format!("the query is nested more than {limit} deep");
    }
    if let Some((_, node)) = rest.split_once(UNSUPPORTED) {
        // The rest is the node as the parser's own structure.
        let node = node.trim_start_matches(" in sqltorel:").trim_start();
        let name: String = node.chars().take_while(|letter| letter.is_alphanumeric()).collect();
        return format!("this SQL is not supported: {name}; write it in another way");
    }
    if let Some((_, found)) = rest.split_once(NO_FUNCTION) {
        return format!("{NO_FUNCTION}{found}");
    }
    let parsed = rest.strip_prefix("ParserError(\"").and_then(|rest| rest.strip_suffix("\")"));
    parsed.map_or_else(|| rest.to_owned(), |text| text.replace("\\\"", "\"").replace("\\n", "\n"))
}

fn line_in(said: &str) -> Option<usize> {
    between(said, "Line: ", ",")?.parse().ok()
}

/// The same without the position, which is reported as a line of the file.
fn without_place(said: &str) -> String {
    said.split_once(" at Line: ").map_or(said, |(before, _)| before).to_owned()
}

/// The name that DataFusion does not know.
fn named(said: &str) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned();
    if let Some(rest) = said.split("No field named ").nth(1) {
        let end = rest.find(['\n', ' ']).unwrap_or(rest.len());
        return Some(last(rest[..end].trim_end_matches(['.', ','])));
    }
    let quoted = between(said, "table '", "'").or_else(|| between(said, "Invalid function '", "'"));
    quoted.map(last)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosed(sql: &str, said: &str) -> (String, Option<usize>) {
        let params = [("date".to_owned(), "2026-11-31".to_owned())].into();
        let written = Written { sql, inputs: &["events", "profiles"], params: &params };
        let (error, line) = written.pinpoint(Error::invalid("the query cannot be planned").because(said.to_owned()));
        (error.chain().join(": "), line)
    }

    #[test]
    fn errors_of_the_planner_use_the_names_of_the_job() {
        let (said, line) =
            diagnosed("SELECT *\nFROM event", "Error during planning: table 'datafusion.public.event' not found");
        assert!(said.starts_with("there is no input event, did you mean \"events\"?"), "{said}");
        assert!(!said.contains("datafusion.public"), "{said}");
        assert_eq!(line, Some(2));

        let said_there = "SQL error: ParserError(\"Expected: end of statement, found: GRUOP at Line: 4, Column: 1\")";
        let (said, line) = diagnosed("", said_there);
        assert!(said.ends_with("Expected: end of statement, found: GRUOP"), "{said}");
        assert_eq!(line, Some(4));

        let said_there = "Schema error: No field named w.\nValid fields are events.id.";
        assert_eq!(diagnosed("SELECT id,\n\n w FROM events", said_there).1, Some(3));
        let said_there = "Schema error: No field named e.\"My W\". Did you mean 'e.w'?.";
        assert_eq!(named(said_there).as_deref(), Some("My"), "the rest is found by a later word");
        assert_eq!(
            diagnosed("SELECT\nsmu(v)", "Error during planning: Invalid function 'smu'.\nDid you mean 'sum'?").1,
            Some(2)
        );
    }

    #[test]
    fn unsupported_sql_is_named_without_internal_structures() {
        let (said, _) =
            diagnosed("", "This feature is not implemented: Unsupported ast node in sqltorel: Lambda { x: Ident }");
        assert!(said.ends_with("this SQL is not supported: Lambda; write it in another way"), "{said}");
        let said_there = "Error during planning: Internal error: Function 'sum' failed to match any signature, errors: …\n\
                          This issue was likely caused by a bug in DataFusion's code. No function matches the given name \
                          and argument types 'sum(Utf8)'. You might need to add explicit type casts.";
        let (said, _) = diagnosed("", said_there);
        assert!(!said.contains("bug") && said.contains("argument types 'sum(Utf8)'. You might"), "{said}");
    }

    #[test]
    fn the_value_that_was_not_read_is_found_in_the_engines_message() {
        let value = |said: &str| unread_value(&Error::input("x").because(said.to_owned()));
        assert_eq!(value("Cannot cast string 'it's' to value of Int64 type").as_deref(), Some("it's"));
        assert_eq!(
            value("Parser error: Error parsing timestamp from '2026-13-01': month").as_deref(),
            Some("2026-13-01")
        );
        assert_eq!(value("Divide by zero"), None);
    }

    #[test]
    fn a_parameter_that_does_not_fit_is_named() {
        let said = "Optimizer rule 'simplify_expressions' failed\ncaused by\nArrow error: Cast error: Cannot cast string \
                    '2026-11-31' to value of Date32 type";
        let (said, _) = diagnosed("", said);
        assert!(said.starts_with("the parameter date, given as --set date=2026-11-31, is not a date"), "{said}");
        let said = "type_coercion\ncaused by\nError during planning: Cannot coerce arithmetic expression Utf8 - \
                    Interval(MonthDayNano) to valid types";
        assert!(diagnosed("", said).0.starts_with("parameters are text in SQL: write CAST($date AS DATE)"));
    }
}
