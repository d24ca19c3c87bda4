//! Functions of dates and times that give null where a date is too far away for them: an error that names the function
//! and the value, since a null would be another answer.
//!
//! Not for: nulls that functions get, which they give back.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, FieldRef};
use arrow::util::display::array_value_to_string;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

const FUNCTIONS: [&str; 5] = ["date_bin", "date_trunc", "date_part", "to_char", "to_local_time"];

/// Takes the place of the functions of a session that may give null for what is no null.
pub(super) fn register(context: &SessionContext) {
    for name in FUNCTIONS {
        if let Ok(inner) = context.udf(name) {
            let aliases = inner.aliases().to_vec();
            context.register_udf(ScalarUDF::new_from_impl(Total { inner, aliases }));
        }
    }
}

/// A function whose result is null only where an argument is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    inner: Arc<ScalarUDF>,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Total {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (given, rows) = (args.args.clone(), args.number_rows);
        let result = self.inner.invoke_with_args(args)?;
        let nulls = match &result {
            ColumnarValue::Array(array) => array.null_count() > 0,
            ColumnarValue::Scalar(value) => value.is_null(),
        };
        if nulls {
            let rows = if matches!(result, ColumnarValue::Scalar(_)) { 1 } else { rows };
            let values = result.to_array(rows)?;
            let given = given.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let lost = |row: &usize| values.is_null(*row) && given.iter().all(|argument| argument.is_valid(*row));
            if let Some(row) = (0..rows).find(lost) {
                let shown: Vec<String> =
                    given.iter().map(|argument| array_value_to_string(argument, row)).collect::<Result<_, _>>()?;
                return exec_err!("{}({}) is beyond what it can compute", self.name(), shown.join(", "));
            }
        }
        Ok(result)
    }
}

/// Refuses averages of durations, whose sum wraps round.
#[derive(Debug)]
pub(super) struct NoAverageDurations;

impl AnalyzerRule for NoAverageDurations {
    fn name(&self) -> &'static str {
        "no_average_durations"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            let check = |of: &Expr| {
                let (name, args) = match of {
                    Expr::AggregateFunction(of) => (of.func.name(), &of.params.args),
                    Expr::WindowFunction(of) => (of.fun.name(), &of.params.args),
                    _ => return Ok(false),
                };
                match args.first().map(|argument| argument.get_type(&schema)).transpose()? {
                    Some(DataType::Duration(_)) if name == "avg" => {
                        plan_err!("{of}: averages of durations are not supported; cast them to BIGINT first")
                    }
                    _ => Ok(false),
                }
            };
            for expression in node.expressions() {
                expression.exists(check)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }
}
