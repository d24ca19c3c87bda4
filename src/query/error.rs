//! Maps DataFusion's errors to error kinds and advice for the user.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use crate::error::{Error, Kind, says_disk_full};

/// How tokio reports that a task panicked; the panic's message follows.
const PANICKED: &str = "panicked with message ";

/// How DataFusion reports a correlated subquery that it could not turn into a join.
const UNPLANNED: &str = "Physical plan does not support logical expression";

/// Converts an error of DataFusion: wrong SQL is an invalid job, bad rows are bad input.
pub(super) fn convert(doing: &str, error: DataFusionError) -> Error {
    if let Some(ours) = ours(&error) {
        let converted = Error::new(ours.kind(), ours.message());
        return match ours.chain().get(1..) {
            Some(causes) if !causes.is_empty() => converted.because(causes.join(": ")),
            _ => converted.because(doing.to_owned()),
        };
    }
    let (kind, advice) = match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Diagnostic(..) => (Kind::Invalid, "fix the SQL of the job"),
        DataFusionError::ResourcesExhausted(_) => {
            (Kind::Unavailable, "the query needs more memory than its share; raise --memory")
        }
        // What Arrow cannot read is bad input; a full disk is not.
        DataFusionError::ArrowError(error, _) if is_disk_full(error) => (
            Kind::Unavailable,
            "the disk that it spills to is full; free space there, or point --spill-dir elsewhere, or raise --memory",
        ),
        DataFusionError::ArrowError(error, _) if matches!(error.as_ref(), ArrowError::NotYetImplemented(_)) => {
            (Kind::Invalid, "DataFusion does not support this; rewrite the SQL")
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            (Kind::Unavailable, "cannot read an input file or write to the spill directory")
        }
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) | DataFusionError::Substrait(_) => {
            (Kind::Internal, "this is a bug, in Cutover or in DataFusion")
        }
        _ => (Kind::Input, "a row of the input caused an error"),
    };
    // The names of the planner's rules mean nothing to the user.
    let mut innermost = &error;
    while let DataFusionError::Context(_, inner) = innermost {
        innermost = inner;
    }
    let text = innermost.strip_backtrace();
    // A decoder that panics on damaged data ends its task; the message of the panic is the cause to report.
    let cause = text.split_once(PANICKED).map_or(text.as_str(), |(_, message)| message);
    Error::new(kind, format!("{doing}: {advice}")).because(cause.to_owned())
}

/// Converts an error of a query that DataFusion cannot plan. An internal error is then a limit of its planner: no row
/// was read, and the query written differently may work. Nor can failing constants be the fault of a row.
pub(super) fn unplanned(error: DataFusionError) -> Error {
    let is_ours = ours(&error).is_some();
    let converted = convert("the query cannot be planned", error);
    match converted.kind() {
        Kind::Input if !is_ours => {
            let cause = converted.chain().pop().unwrap_or_default();
            Error::invalid("the query cannot be planned: fix the SQL of the job, or the parameters").because(cause)
        }
        Kind::Invalid if converted.chain().iter().any(|text| text.contains(UNPLANNED)) => Error::invalid(
            "the query cannot be planned: DataFusion cannot plan a subquery that uses columns of the outer query in \
             this place, or by another comparison than =; write it as a join",
        ),
        Kind::Internal => {
            let cause = converted.chain().pop().unwrap_or_default();
            let cause = cause.rsplit("Internal error: ").next().unwrap_or_default();
            let cause = cause.split("\nThis issue").next().unwrap_or_default().to_owned();
            Error::invalid("the query cannot be planned: DataFusion does not support this; rewrite the SQL")
                .because(cause)
        }
        _ => converted,
    }
}

fn is_disk_full(error: &ArrowError) -> bool {
    matches!(error, ArrowError::IoError(text, _) if says_disk_full(text))
}

/// The Cutover error inside an error that went through DataFusion.
fn ours(error: &DataFusionError) -> Option<&Error> {
    Error::inside(error)
}

/// Whether a query failed because its memory budget is too small.
pub(super) fn out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// A message without what it begins with of these, however often.
pub(super) fn without_prefixes<'m>(mut message: &'m str, prefixes: &[&str]) -> &'m str {
    while let Some(shorter) = prefixes.iter().find_map(|prefix| message.strip_prefix(prefix)) {
        message = shorter;
    }
    message
}
