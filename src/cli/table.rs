//! Tables as text: columns two spaces apart, a line under the header, as wide as the terminal at most.
//!
//! ```text
//! version  state            rows
//! ───────────────────────────────
//!       2  published   1,234,567
//! ```

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};

/// A table that is being filled.
pub(super) struct Rows {
    table: Table,
    right: &'static [usize],
}

impl Rows {
    /// A table with these column names; the columns numbered in `right` hold numbers.
    pub(super) fn new(header: &[&str], right: &'static [usize]) -> Self {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─')
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header);
        Self { table, right }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    /// The text, without a line end.
    pub(super) fn text(mut self) -> String {
        for (number, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, 1));
            if self.right.contains(&number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.table.trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
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
