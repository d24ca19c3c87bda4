//! Wraps SQL functions with a guard: checks of their arguments or their result, or another computation of some results.
//! Everything else is the function's own, except that its errors name it and the arguments that it fails on.
//!
//! Not for: the checks themselves (`bounded_functions`, `exact::checked_dates`).

use std::any::Any;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use arrow::util::display::array_value_to_string;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

use super::error::without_prefixes;

/// Maximum characters of an argument in a message.
const MAX_SHOWN: usize = 80;

/// What a wrapped function checks or computes.
pub(super) trait Guard: Any + Debug + Eq + Hash + Send + Sync {
    /// Rejects arguments of a function; `rows` of them, or 1 if all are scalars.
    fn before(&self, _name: &str, _args: &[ColumnarValue], _rows: usize) -> Result<()> {
        Ok(())
    }

    /// The result if the guard computes it; none if the function itself does.
    fn instead(&self, _name: &str, _args: &[ColumnarValue]) -> Result<Option<ColumnarValue>> {
        Ok(None)
    }

    /// Rejects a result.
    fn after(&self, _name: &str, _args: &[ColumnarValue], _rows: usize, _result: &ColumnarValue) -> Result<()> {
        Ok(())
    }
}

/// Wraps a function of a session with a guard.
pub(super) fn register(context: &SessionContext, name: &str, guard: impl Guard) {
    if let Ok(inner) = context.udf(name) {
        context.register_udf(wrapped(inner, guard));
    }
}

/// A function wrapped with a guard.
pub(super) fn wrapped(inner: Arc<ScalarUDF>, guard: impl Guard) -> ScalarUDF {
    let aliases = inner.aliases().to_vec();
    ScalarUDF::new_from_impl(Guarded { inner, aliases, guard })
}

/// A call of a function for one row, as SQL.
///
/// # Errors
/// Values that cannot be displayed.
pub(super) fn call_of(name: &str, args: &[ColumnarValue], row: usize) -> Result<String> {
    let shown = args.iter().map(|argument| {
        let value = of_row(argument, row)?.to_array(1)?;
        let text = if value.is_null(0) { "NULL".to_owned() } else { array_value_to_string(&value, 0)? };
        let cut = text.char_indices().nth(MAX_SHOWN).map(|(end, _)| format!("{}…", &text[..end]));
        let text = cut.unwrap_or(text);
        Ok(if value.data_type().is_string() { format!("'{text}'") } else { text })
    });
    Ok(format!("{name}({})", shown.collect::<Result<Vec<_>>>()?.join(", ")))
}

/// The value of one row.
fn of_row(argument: &ColumnarValue, row: usize) -> Result<ColumnarValue> {
    Ok(ColumnarValue::Scalar(match argument {
        ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row)?,
        ColumnarValue::Scalar(scalar) => scalar.clone(),
    }))
}

/// A function with a guard.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded<G> {
    inner: Arc<ScalarUDF>,
    aliases: Vec<String>,
    guard: G,
}

impl<G: Guard> ScalarUDFImpl for Guarded<G> {
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
        let scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let (given, rows) = (args.args.clone(), if scalar { 1 } else { args.number_rows });
        self.guard.before(self.name(), &given, rows)?;
        if let Some(result) = self.guard.instead(self.name(), &given)? {
            return Ok(result);
        }
        let result = self.inner.invoke_with_args(args.clone());
        let result = result.map_err(|error| self.failed(&args, rows, error))?;
        self.guard.after(self.name(), &given, rows, &result)?;
        // Some functions return arrays without the time zone of the type that they declare.
        match result.data_type() == *args.return_field.data_type() {
            true => Ok(result),
            false => result.cast_to(args.return_field.data_type(), None),
        }
    }
}

impl<G: Guard> Guarded<G> {
    /// The error with the arguments of the first row that the function fails on.
    fn failed(&self, args: &ScalarFunctionArgs, rows: usize, error: DataFusionError) -> DataFusionError {
        let of_values = matches!(error.find_root(), DataFusionError::Execution(_) | DataFusionError::ArrowError(..));
        let fails = |row: &usize| {
            let values = args.args.iter().map(|argument| of_row(argument, *row)).collect::<Result<Vec<_>>>();
            let Ok(values) = values else { return false };
            let one = ScalarFunctionArgs { args: values, number_rows: 1, ..args.clone() };
            self.inner.invoke_with_args(one).is_err()
        };
        let call = of_values.then(|| (0..rows).find(fails)).flatten().map(|row| call_of(self.name(), &args.args, row));
        match call {
            Some(Ok(call)) => exec_datafusion_err!("{call}: {}", why(&error)),
            _ => error,
        }
    }
}

/// A message without the names of its kinds.
fn why(error: &DataFusionError) -> String {
    let kinds = ["Execution error: ", "Arrow error: ", "Compute error: ", "Cast error: ", "Parser error: "];
    without_prefixes(&error.strip_backtrace(), &kinds).to_owned()
}
