//! A sample of an input's rows, from which an estimate extrapolates: row groups, chunks of text files, or whole files.
//!
//! Not for: how large a sample is taken (`estimate`), or reading it (`table_provider`, `text_scan`).

use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use crate::input::text::{Part, Survey};
use crate::input::{Input, InputFile};

/// A sample of an input's rows: the first `rows` of every `step`-th row group, or chunk of text files. Of Avro files it
/// is every `step`-th file, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowGroupSample {
    pub(super) step: usize,
    pub(super) rows: u64,
}

/// The sampled part of one file.
pub(super) struct Taken {
    /// None if nothing of the file is sampled; no plan if all of it is.
    pub(super) plan: Option<Option<ParquetAccessPlan>>,
    /// Its rows, if known.
    pub(super) rows: Option<u64>,
}

impl RowGroupSample {
    pub(super) const ALL: Self = Self { step: 1, rows: u64::MAX };

    /// Number of sampled rows, or of files if there are no row groups.
    pub(super) fn rows(self, input: &Input) -> u64 {
        if let Some(survey) = input.surveyed.get() {
            return self.parts(input, survey).iter().map(|part| part.rows).sum();
        }
        let mut groups = 0;
        let of_file = |file: &InputFile| {
            let taken = self.of(input, file, groups);
            groups += file.parts() as usize;
            taken.rows.unwrap_or(u64::from(taken.plan.is_some()))
        };
        input.files.iter().map(of_file).sum()
    }

    /// The sampled parts of text files: the first rows of every `step`-th chunk.
    pub(super) fn parts(self, input: &Input, survey: &Survey) -> Vec<Part> {
        let files = survey.files().iter().enumerate();
        let chunks =
            files.flat_map(|(file, of)| of.chunks.iter().enumerate().map(move |(chunk, it)| (file, chunk, it.rows)));
        let part = |(file, chunk, rows): (usize, usize, u64)| Part { file, chunk, rows: rows.min(self.rows) };
        let read = chunks.filter(|(.., rows)| *rows > 0).zip(0..).filter(|(_, number)| input.reads(*number));
        read.map(|(chunk, _)| chunk).step_by(self.step).map(part).collect()
    }

    /// The sample of a file whose first row group is number `first` of the input.
    pub(super) fn of(self, input: &Input, file: &InputFile, first: usize) -> Taken {
        let takes = |group: usize| (first + group).is_multiple_of(self.step) && input.reads((first + group) as u64);
        let Some(footer) = &file.footer else {
            return Taken { plan: takes(0).then_some(None), rows: None };
        };
        let is_read = |group: usize| input.reads((first + group) as u64);
        if self == Self::ALL && (0..footer.row_groups.len()).all(is_read) {
            return Taken { plan: Some(None), rows: Some(footer.rows) };
        }
        let mut plan = ParquetAccessPlan::new_none(footer.row_groups.len());
        let mut rows = 0;
        for (number, all) in footer.row_groups.iter().enumerate().filter(|(number, _)| takes(*number)) {
            let seen = self.rows.min(*all);
            rows += seen;
            if seen == *all {
                plan.set(number, RowGroupAccess::Scan);
                continue;
            }
            let selected = [(seen, false), (all - seen, true)];
            let selectors = selected.map(|(rows, skip)| RowSelector { row_count: rows as usize, skip });
            plan.set(number, RowGroupAccess::Selection(RowSelection::from(selectors.to_vec())));
        }
        Taken { plan: (rows > 0).then_some(Some(plan)), rows: Some(rows) }
    }
}
