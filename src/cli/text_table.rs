//! Text tables: columns two spaces apart, a rule under the header, at most as wide as the terminal.
//!
//! ```text
//! version  state            rows
//! ───────────────────────────────
//!       2  published   1,234,567
//! ```

use std::io::IsTerminal;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets};

use crate::escape::escaped;

/// Assumed width of a terminal whose width is unknown or below the minimum.
const USUAL_WIDTH: u16 = 80;
/// Minimum width of a terminal that is believed.
const MIN_WIDTH: u16 = 20;
/// Longest rule under a header.
const LONGEST_RULE: usize = 100;

/// The width of standard output; none if it is not a terminal.
pub(super) fn width() -> Option<u16> {
    std::io::stdout().is_terminal().then(|| usable(Table::new().width()))
}

/// The width of standard error; none if it is not a terminal.
pub(super) fn error_width() -> Option<u16> {
    std::io::stderr().is_terminal().then(|| usable(Table::new().use_stderr().width()))
}

fn usable(known: Option<u16>) -> u16 {
    known.filter(|width| *width >= MIN_WIDTH).unwrap_or(USUAL_WIDTH)
}

/// Wraps text between words, so that no line is wider than `width`; a longer word gets a line of its own.
pub(super) fn wrapped(text: &str, width: Option<u16>) -> String {
    let Some(width) = width.map(usize::from) else { return text.to_owned() };
    text.lines().map(|line| wrapped_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, width: usize) -> String {
    let (mut shown, mut used) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let letters = word.trim_end().chars().count();
        if used > 0 && used + letters > width {
            shown.truncate(shown.trim_end().len());
            shown.push('\n');
            used = 0;
        }
        shown.push_str(word);
        used += word.chars().count();
    }
    shown
}

/// A table that is being filled. Where the terminal is too narrow for it, each row becomes lines of name and value.
pub(super) struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Rows {
    /// A table with these column names; the columns numbered in `right` hold numbers.
    pub(super) fn new(header: &[&str], right: &'static [usize]) -> Self {
        Self { header: header.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new(), right }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| escaped(&cell).into_owned()).collect());
    }

    /// The table as text, without a trailing newline.
    pub(super) fn text(&self) -> String {
        match width() {
            Some(width) => self.within(width),
            None => self.shown(None),
        }
    }

    fn within(&self, width: u16) -> String {
        let shown = self.shown(Some(width));
        let fits = shown.lines().all(|line| line.chars().count() <= usize::from(width));
        if fits { shown } else { self.stacked(width) }
    }

    /// Every row as lines of a column's name and its value, with a blank line between rows.
    fn stacked(&self, width: u16) -> String {
        let longest = self.header.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let row = |cells: &Vec<String>| {
            let filled = self.header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
            let lines = filled.map(|(name, cell)| wrapped(&format!("{name:longest$}  {cell}"), Some(width)));
            lines.collect::<Vec<_>>().join("\n")
        };
        self.rows.iter().map(row).collect::<Vec<_>>().join("\n\n")
    }

    fn shown(&self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─')
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(&self.header)
            .add_rows(&self.rows);
        if let Some(width) = width {
            table.set_width(width);
        }
        for (number, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 1));
            if self.right.contains(&number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            let cells = self.rows.iter().chain([&self.header]).filter_map(|row| row.get(number));
            let words = cells.map(|cell| longest_word(cell)).max().unwrap_or_default();
            column.set_constraint(match self.right.contains(&number) {
                // Neither numbers nor words are ever broken.
                true => ColumnConstraint::ContentWidth,
                false => ColumnConstraint::LowerBoundary(Width::Fixed(words.saturating_add(1))),
            });
        }
        let is_rule = |line: &&str| !line.is_empty() && line.chars().all(|letter| letter == '─');
        let text = table.trim_fmt();
        let lines = text.lines().map(|line| match Some(line).filter(is_rule) {
            Some(rule) => rule.chars().take(LONGEST_RULE).collect(),
            None => line.to_owned(),
        });
        lines.collect::<Vec<String>>().join("\n")
    }
}

/// Length of the longest word.
fn longest_word(text: &str) -> u16 {
    let longest = text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    u16::try_from(longest).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_table_breaks_between_words_alone() {
        let mut rows = Rows::new(&["number", "what was done"], &[0]);
        rows.add(["173,739,271".into(), "readers went from one version to another".into()]);
        let text = rows.within(24);
        assert!(text.contains("173,739,271"), "{text}");
        for word in ["readers", "went", "version", "another"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(text.lines().count() > 4, "{text}");
    }

    #[test]
    fn a_table_that_does_not_fit_becomes_lines() {
        let mut rows = Rows::new(&["version", "state", "rows", "stored"], &[0, 2, 3]);
        rows.add(["2".into(), "published".into(), "173,739,271".into(), "1.32 GiB".into()]);
        rows.add(["1".into(), "retired".into(), "173,739,270".into(), String::new()]);
        let text = rows.within(24);
        assert!(
            text.starts_with("version  2\nstate    published\nrows     173,739,271\nstored   1.32 GiB\n\n"),
            "{text}"
        );
        assert!(text.ends_with("rows     173,739,270"), "{text}");
    }

    #[test]
    fn a_terminal_without_a_width_has_eighty_columns() {
        assert_eq!([None, Some(0), Some(1), Some(120)].map(usable), [80, 80, 80, 120]);
        let text = "version 2 is live: 173,739,271 bytes";
        assert_eq!(wrapped(text, None), text);
        assert_eq!(wrapped(text, Some(25)), "version 2 is live:\n173,739,271 bytes");
        assert_eq!(wrapped("a\n\n  b", Some(25)), "a\n\n  b");
    }

    #[test]
    fn numbers_are_right_aligned() {
        let mut rows = Rows::new(&["version", "state", "rows"], &[0, 2]);
        rows.add(["2".into(), "published".into(), "1,234,567".into()]);
        rows.add(["1".into(), "retired".into(), "9".into()]);
        let text = rows.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "version  state           rows");
        assert!(lines[1].chars().all(|letter| letter == '─'), "{text}");
        assert_eq!(lines[2], "      2  published  1,234,567");
        assert_eq!(lines[3], "      1  retired            9");
    }
}
