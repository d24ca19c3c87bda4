//! `array_agg(… ORDER BY …)`, held as columns and sorted once.
//!
//! ```text
//!  values, and what they are ordered by ─▶ copied into columns, piece by piece ─▶ sorted at the end ─▶ a list
//! ```
//! DataFusion holds every value, and each value that it is ordered by, as a scalar of its own: 60 times the bytes of a
//! whole number, so a group of a few megabytes does not fit into a hundred.
//!
//! Not for: what is gathered without an order, or `DISTINCT`; those are DataFusion's own.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, make_array, new_empty_array};
use arrow::compute::{SortColumn, SortOptions, concat, filter, is_not_null, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::scalar::copy_array_data;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::prelude::SessionContext;

use super::delegated_aggregate::delegated;

const NAME: &str = "array_agg";
/// Rows that pieces are copied together into; smaller ones would be more of headers than of rows.
const PIECE_ROWS: usize = 4096;
/// How many times the bytes of a group are counted: sorting makes a copy of them.
const COPIES_WHILE_SORTED: usize = 2;

/// Takes the place of a session's `array_agg`.
pub(super) fn register(context: &SessionContext) {
    if let Ok(inner) = context.udaf(NAME) {
        context.register_udaf(AggregateUDF::new_from_impl(Ordered { inner }));
    }
}

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ordered {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Ordered {
    delegated!(
        inner: name, aliases, signature, return_type, state_fields, groups_accumulator_supported,
        create_groups_accumulator, create_sliding_accumulator, order_sensitivity, supports_null_handling_clause
    );

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct || args.order_bys.is_empty() {
            return self.inner.accumulator(args);
        }
        let value = args.expr_fields.first().ok_or_else(|| internal_datafusion_err!("{NAME} takes a value"))?;
        let mut types = vec![value.data_type().clone()];
        for by in args.order_bys {
            types.push(by.expr.data_type(args.schema)?);
        }
        Ok(Box::new(CollectedValues {
            keys: args.order_bys.iter().zip(&types[1..]).map(key).collect(),
            types,
            options: args.order_bys.iter().map(|by| by.options).collect(),
            is_reversed: args.is_reversed,
            ignore_nulls: args.ignore_nulls,
            pieces: Vec::new(),
            bytes: 0,
        }))
    }

    /// Sorted rows are sorted again, in little time.
    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(self.clone())))
    }
}

/// The field of what values are ordered by, in the state.
fn key((by, of): (&PhysicalSortExpr, &DataType)) -> FieldRef {
    Arc::new(Field::new(by.expr.to_string(), of.clone(), true))
}

/// What one group has gathered.
#[derive(Debug)]
struct CollectedValues {
    /// Of the values, and of what they are ordered by.
    types: Vec<DataType>,
    /// What they are ordered by, in the state.
    keys: Fields,
    options: Vec<SortOptions>,
    is_reversed: bool,
    ignore_nulls: bool,
    /// Columns of `types`.
    pieces: Vec<Vec<ArrayRef>>,
    bytes: usize,
}

impl CollectedValues {
    /// Takes columns of `types`, as a copy: they may be a small part of a large batch.
    fn push(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let rows = columns.first().map_or(0, |column| column.len());
        if rows == 0 {
            return Ok(());
        }
        let held = |piece: &Vec<ArrayRef>| piece.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        let before =
            self.pieces.last().filter(|last| last.first().map_or(0, |column| column.len()) + rows <= PIECE_ROWS);
        let piece: Vec<ArrayRef> = match before {
            Some(last) => {
                let both = last.iter().zip(columns).map(|(last, new)| concat(&[last.as_ref(), new.as_ref()]));
                both.collect::<std::result::Result<_, _>>()?
            }
            None => columns.iter().map(|column| make_array(copy_array_data(&column.to_data()))).collect(),
        };
        if before.is_some() {
            self.bytes -= self.pieces.pop().as_ref().map_or(0, held);
        }
        self.bytes += held(&piece);
        self.pieces.push(piece);
        Ok(())
    }

    /// A column of all pieces.
    fn column(&self, place: usize) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.pieces.iter().filter_map(|piece| Some(piece.get(place)?.as_ref())).collect();
        match parts.as_slice() {
            [] => Ok(new_empty_array(&self.types[place])),
            parts => Ok(concat(parts)?),
        }
    }

    fn keys(&self) -> Result<Vec<ArrayRef>> {
        (1..self.types.len()).map(|place| self.column(place)).collect()
    }

    fn list(values: ArrayRef) -> ScalarValue {
        SingleRowListArrayBuilder::new(values).build_list_scalar()
    }
}

impl Accumulator for CollectedValues {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let nulls = columns.first().map_or(0, |values| values.logical_null_count());
        if !self.ignore_nulls || nulls == 0 {
            return self.push(columns);
        }
        let kept = is_not_null(&columns[0])?;
        let columns = columns.iter().map(|column| filter(column, &kept)).collect::<std::result::Result<Vec<_>, _>>()?;
        self.push(&columns)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let keys = StructArray::try_new(self.keys.clone(), self.keys()?, None)?;
        let values = match self.pieces.is_empty() {
            true => ScalarValue::new_null_list(self.types[0].clone(), true, 1),
            false => Self::list(self.column(0)?),
        };
        Ok(vec![values, Self::list(Arc::new(keys))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.iter().map(|state| state.as_list_opt::<i32>()).collect::<Option<Vec<_>>>();
        let Some([values, keys]) = lists.as_deref() else {
            return Err(internal_datafusion_err!("{NAME} has a state of two lists"));
        };
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let mut columns = vec![values.value(row)];
            columns.extend(keys.value(row).as_struct().columns().iter().cloned());
            self.push(&columns)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.pieces.is_empty() {
            return Ok(ScalarValue::new_null_list(self.types[0].clone(), true, 1));
        }
        let by = self.keys()?.into_iter().zip(&self.options);
        let by: Vec<SortColumn> = by.map(|(values, options)| SortColumn { values, options: Some(*options) }).collect();
        let order = lexsort_to_indices(&by, None)?;
        drop(by);
        let order = match self.is_reversed {
            true => order.values().iter().rev().copied().collect(),
            false => order,
        };
        Ok(Self::list(take(&self.column(0)?, &order, None)?))
    }

    fn size(&self) -> usize {
        size_of_val(self) + COPIES_WHILE_SORTED * self.bytes + self.pieces.capacity() * size_of::<Vec<ArrayRef>>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::SessionConfig;

    use super::*;

    /// The rows of a query, by this function or DataFusion's own.
    fn answer(sql: &str, ours: bool, threads: usize, memory: usize) -> Result<Vec<String>> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let config = SessionConfig::new().with_target_partitions(threads).with_batch_size(8);
            let config = config.with_sort_spill_reservation_bytes(0);
            let pool = Arc::new(GreedyMemoryPool::new(memory));
            let environment = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
            let context = SessionContext::new_with_config_rt(config, environment);
            if ours {
                register(&context);
            }
            let rows = context.sql(sql).await?.collect().await?;
            let text = pretty_format_batches(&rows)?.to_string();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            Ok(lines)
        })
    }

    const ROWS: &str = "(SELECT value % 7 AS g, value AS x, value * 7919 % 1000 AS y, \
                        CASE WHEN value % 5 = 0 THEN NULL ELSE concat('text ', value % 11) END AS s \
                        FROM generate_series(1, 900))";

    #[test]
    fn lists_are_in_the_requested_order() {
        for of in [
            "array_agg(x ORDER BY y, x)",
            "array_agg(s ORDER BY y DESC, x)",
            "array_agg(x ORDER BY s DESC NULLS LAST, x), array_agg(s ORDER BY s NULLS FIRST), array_agg(y ORDER BY x DESC)",
            "array_agg(s IGNORE NULLS ORDER BY y, x)",
            "array_agg(x ORDER BY y, x) FILTER (WHERE g > 2)",
            "array_agg(named_struct('x', x, 's', s) ORDER BY named_struct('y', y, 'x', x))",
            "array_agg(DISTINCT s ORDER BY s), count(DISTINCT x)",
            "first_value(x ORDER BY x), array_agg(y ORDER BY x DESC), last_value(s ORDER BY x)",
        ] {
            for sql in [format!("SELECT g, {of} FROM {ROWS} GROUP BY g"), format!("SELECT {of} FROM {ROWS}")] {
                let expected = answer(&sql, false, 1, 1 << 30).unwrap();
                for threads in [1, 3] {
                    assert_eq!(answer(&sql, true, threads, 1 << 30).unwrap(), expected, "{sql}, {threads} threads");
                }
            }
        }
        let none = format!("SELECT array_agg(x ORDER BY y) FROM {ROWS} WHERE x < 0");
        assert_eq!(answer(&none, true, 2, 1 << 30).unwrap(), answer(&none, false, 2, 1 << 30).unwrap());
    }

    #[test]
    fn a_group_takes_little_more_memory_than_its_values() {
        let sql = "SELECT cardinality(array_agg(value ORDER BY value % 10, value)), \
                   cardinality(array_agg(value ORDER BY value % 100, value)) FROM generate_series(1, 50000)";
        assert!(answer(sql, true, 1, 8 << 20).unwrap().join("").contains("50000"));
        assert!(answer(sql, false, 1, 8 << 20).is_err(), "DataFusion's own does as well by now");
    }
}
