//! Partition pruning for estimates: which files of an input a query reads, judging by the values in their directory
//! names. Otherwise the sample might consist of files that the query skips.
//!
//! ```text
//! WHERE date > '2026-11-23'      date=2026-11-22/ ✗      date=2026-11-24/ ✓      date=2026-11-25/ ✓
//! ```
//! Not for: running a query. There DataFusion prunes by the same filters.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::partition_value::partition_value;
use super::session::Query;
use crate::input::Input;

impl Query<'_> {
    /// The input with only the files that the query reads; all files if that cannot be determined.
    pub fn kept(&self, input: &Input) -> Input {
        // The survey of text files refers to files by their index.
        let is_text = input.surveyed.get().is_some();
        let reads = if is_text || input.partition_columns.is_empty() { None } else { self.reads(input).ok().flatten() };
        match reads {
            Some(reads) if reads.iter().any(|read| *read) => {
                let mut kept = input.clone();
                let mut reads = reads.into_iter();
                kept.files.retain(|_| reads.next() == Some(true));
                kept
            }
            _ => input.clone(),
        }
    }

    /// For every file, whether a scan of the input reads it; none if no filter uses only directory columns.
    fn reads(&self, input: &Input) -> Result<Option<Vec<bool>>> {
        let optimized = self.state.optimize(&self.plan)?;
        let (directories, columns) = directories(input)?;
        let mut reads: Option<Vec<bool>> = None;
        optimized.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && scan.table_name.table() == input.name
            {
                let columns = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &columns)?;
                let mut of_scan = vec![true; input.files.len()];
                for filter in scan.filters.iter().filter(|filter| is_about(filter, &columns)) {
                    let filter = self.state.create_physical_expr(filter.clone(), &columns)?;
                    let kept = filter.evaluate(&directories)?.into_array(directories.num_rows())?;
                    let kept = kept.as_boolean().iter().map(|kept| kept == Some(true));
                    of_scan.iter_mut().zip(kept).for_each(|(read, kept)| *read &= kept);
                }
                let all = reads.get_or_insert_with(|| vec![false; input.files.len()]);
                all.iter_mut().zip(of_scan).for_each(|(read, of_scan)| *read |= of_scan);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(reads)
    }
}

fn is_about(filter: &Expr, columns: &DFSchema) -> bool {
    let used = filter.column_refs();
    !used.is_empty() && used.iter().all(|column| columns.has_column(column))
}

/// The directory values of all files, one row per file.
fn directories(input: &Input) -> Result<(RecordBatch, Schema)> {
    let external = |error: crate::error::Error| datafusion::common::DataFusionError::External(Box::new(error));
    let fields = input.partition_fields().map_err(external)?;
    let mut arrays = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        let value = |file: &crate::input::InputFile| {
            partition_value(file.partitions.get(at).and_then(|value| value.as_deref()), field, file)
        };
        let values = input.files.iter().map(value).collect::<crate::error::Result<Vec<_>>>().map_err(external)?;
        arrays.push(ScalarValue::iter_to_array(values)?);
    }
    let schema = Schema::new(fields);
    Ok((RecordBatch::try_new(Arc::new(schema.clone()), arrays)?, schema))
}
