//! Warns about CSV files that have one column: most often their delimiter is another one.
//!
//! ```text
//! id           "has a single column, "id", and its values seem to be divided by ';': set delimiter = ";""
//! 1;2
//! ```
//! Not for: a header with several names and another delimiter, which `csv` refuses.

use super::chunks::{Cutter, Shape};
use super::place::Place;
use super::text_error::shown;
use super::{DELIMITERS, FIRST_LINE};
use crate::error::Result;
use crate::input::Input;

/// What may divide values, the most common first.
const DIVIDERS: [char; 6] = [DELIMITERS[0], DELIMITERS[1], DELIMITERS[2], DELIMITERS[3], ':', ' '];
/// Lines that are looked at.
const LINES: usize = 100;

/// The warning about an input with these columns, phrased to follow its name. If a contract names the one column, its
/// values have to look divided.
///
/// # Errors
/// As for reading the first file.
pub(super) fn warning(input: &Input, columns: &[(String, Place)]) -> Result<Option<String>> {
    let [(name, _)] = columns else { return Ok(None) };
    let mut cutter = Cutter::open(&input.files[0], Shape::Json, FIRST_LINE, 1)?;
    let text = cutter.next()?.unwrap_or_default().text;
    let told = format!("has a single column, {}", shown(name));
    Ok(match (divider(&text, input), &input.contract) {
        (Some(divider), _) => Some(format!(
            "{told}, and its values seem to be divided by {divider:?}; set delimiter = {}",
            toml_string(divider)
        )),
        (None, None) => Some(format!("{told}; if there should be more, set another delimiter")),
        (None, Some(_)) => None,
    })
}

/// The character that most lines have, outside of quotes.
fn divider(text: &str, input: &Input) -> Option<char> {
    let rows = text.lines().skip(usize::from(input.csv.header)).filter(|line| !line.trim().is_empty());
    let rows: Vec<String> = rows.take(LINES).map(|line| line.trim().split('"').step_by(2).collect()).collect();
    let candidates = if input.contract.is_some() { &DIVIDERS[..DELIMITERS.len()] } else { &DIVIDERS[..] };
    let having = |divider: char| rows.iter().filter(|row| row.contains(divider)).count();
    let candidates = candidates.iter().copied().filter(|divider| *divider != input.csv.delimiter);
    let best = candidates.rev().max_by_key(|divider| having(*divider))?;
    (having(best) * 2 > rows.len()).then_some(best)
}

/// A delimiter as the job file has it.
fn toml_string(divider: char) -> String {
    format!("\"{}\"", divider.escape_default())
}
