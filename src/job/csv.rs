//! The keys of an input that describe the format of its CSV files.
//!
//! Each is checked on its own and against the others: no two may be the same character, as the format would be
//! ambiguous.
//!
//! Not for: reading files (`input`).

use super::spec::{CsvForm, Format};
use super::toml_section::{Item, Section};

/// Keys that apply to CSV files only.
const KEYS: [&str; 6] = ["delimiter", "quote", "escape", "header", "null", "comment"];

/// The format of an input's CSV files; defaults are those of RFC 4180.
pub(super) fn read(input: &Section<'_>, format: Option<Format>) -> CsvForm {
    let usual = CsvForm::default();
    if format.is_some_and(|format| format != Format::Csv) {
        KEYS.iter().filter_map(|key| input.item(key)).for_each(|item| item.problem("is for CSV files only"));
    }
    let letter = |key: &str| input.item(key).map(|item| letter(&item));
    let form = CsvForm {
        delimiter: letter("delimiter").flatten().unwrap_or(usual.delimiter),
        quote: input.item("quote").map_or(usual.quote, |item| letter_or_none(&item)),
        escape: letter("escape").flatten(),
        header: input.item("header").and_then(|item| item.boolean()).unwrap_or(usual.header),
        null: input.item("null").map(|item| texts(&item)).unwrap_or_default(),
        comment: letter("comment").flatten(),
    };
    let said = [("delimiter", Some(form.delimiter)), ("quote", form.quote), ("comment", form.comment)];
    for (at, (key, one)) in said.iter().enumerate() {
        let same = said[..at].iter().find(|(_, other)| one.is_some() && one == other);
        if let (Some((other, _)), Some(letter)) = (same, one) {
            let problem =
                |item: Item<'_>| item.problem(format!("is {letter:?}, the same as {other}; use another character"));
            input.item(key).or_else(|| input.item(other)).map(problem).unwrap_or_default();
        }
    }
    if form.escape.is_some() && (form.escape == Some(form.delimiter) || form.quote.is_none()) {
        let why =
            if form.quote.is_none() { "needs quotes, as it only applies in them" } else { "cannot be the delimiter" };
        input.item("escape").map(|item| item.problem(why)).unwrap_or_default();
    }
    // The quote as its own escape is the default.
    CsvForm { escape: form.escape.filter(|escape| Some(*escape) != form.quote), ..form }
}

fn letter(item: &Item<'_>) -> Option<char> {
    let text = item.text()?;
    let is_fit = |letter: &char| *letter == '\t' || *letter == ' ' || letter.is_ascii_punctuation();
    let letter = text.chars().next().filter(|letter| text.len() == 1 && is_fit(letter));
    if letter.is_none() {
        item.problem("must be one ASCII character that values do not contain, such as \";\", \"|\" or \"\\t\"");
    }
    letter
}

/// A character, or none if the string is empty.
fn letter_or_none(item: &Item<'_>) -> Option<char> {
    if item.text()?.is_empty() { None } else { letter(item) }
}

fn texts(item: &Item<'_>) -> Vec<String> {
    item.list("strings").into_iter().flatten().filter_map(|text| text.text().map(str::to_owned)).collect()
}
