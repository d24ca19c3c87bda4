//! Wraps SQL functions with a guard: checks of their arguments or their result, or another computation of some results.
//! Everything else is the function's own.
//!
//! Not for: the checks themselves (`bounded_functions`, `exact::checked_dates`).

use std::any::Any;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

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
        let aliases = inner.aliases().to_vec();
        context.register_udf(ScalarUDF::new_from_impl(Guarded { inner, aliases, guard }));
    }
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
        let result = self.inner.invoke_with_args(args)?;
        self.guard.after(self.name(), &given, rows, &result)?;
        Ok(result)
    }
}
