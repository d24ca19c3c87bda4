//! What an error of DataFusion's asks of the person who reads it.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use crate::error::{Error, Kind, says_disk_full};

/// How tokio says that a task panicked, before the message of the panic.
const PANICKED: &str = "panicked with message ";

/// How DataFusion says that a subquery was left where it can only be a join.
const UNPLANNED: &str = "Physical plan does not support logical expression";

/// Our error for one of DataFusion's: wrong SQL is the job's, bad rows are the data's.
pub(super) fn convert(doing: &str, error: DataFusionError) -> Error {
    if let Some(ours) = ours(&error) {
        let told = Error::new(ours.kind(), ours.message());
        return match ours.chain().get(1..) {
            Some(causes) if !causes.is_empty() => told.because(causes.join(": ")),
            _ => told.because(doing.to_owned()),
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
        // What Arrow cannot read is the data's fault; that a disk is full is not.
        DataFusionError::ArrowError(error, _) if matches!(error.as_ref(), ArrowError::IoError(told, _) if says_disk_full(told)) => {
            (
                Kind::Unavailable,
                "the disk that it spills to is full; free space there, or point --spill-dir elsewhere, \
                                 or raise --memory",
            )
        }
        DataFusionError::ArrowError(error, _) if matches!(error.as_ref(), ArrowError::NotYetImplemented(_)) => {
            (Kind::Invalid, "DataFusion has no way to do this; write it in another way")
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            (Kind::Unavailable, "a file could not be read or the spill directory not be written")
        }
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) | DataFusionError::Substrait(_) => {
            (Kind::Internal, "this is a bug, in Cutover or in DataFusion")
        }
        _ => (Kind::Input, "a row of the input breaks the query"),
    };
    // The names of the planner's rules tell nobody anything.
    let mut told = &error;
    while let DataFusionError::Context(_, inner) = told {
        told = inner;
    }
    let text = told.strip_backtrace();
    // A decoder that trips over damaged data ends its task; what it tripped over is what is worth telling.
    let cause = text.split_once(PANICKED).map_or(text.as_str(), |(_, message)| message);
    Error::new(kind, format!("{doing}: {advice}")).because(cause.to_owned())
}

/// Our error for a query that DataFusion cannot plan. What it calls internal is then a limit of its planner: no row was
/// read, and the same query in other words may do. What fails for constants is no row's fault either.
pub(super) fn unplanned(error: DataFusionError) -> Error {
    let is_ours = ours(&error).is_some();
    let told = convert("the query cannot be planned", error);
    match told.kind() {
        Kind::Input if !is_ours => {
            let cause = told.chain().pop().unwrap_or_default();
            Error::invalid("the query cannot be planned: fix the SQL of the job, or the parameters").because(cause)
        }
        Kind::Invalid if told.chain().iter().any(|text| text.contains(UNPLANNED)) => Error::invalid(
            "the query cannot be planned: DataFusion has no way to plan a subquery that uses columns of the outer query in \
             this place, or by another comparison than =; write it as a join",
        )
        .because(told.chain().pop().unwrap_or_default()),
        Kind::Internal => {
            let cause = told.chain().pop().unwrap_or_default();
            let cause = cause.rsplit("Internal error: ").next().unwrap_or_default();
            let cause = cause.split("\nThis issue").next().unwrap_or_default().to_owned();
            Error::invalid("the query cannot be planned: DataFusion has no way to do this; write it in another way")
                .because(cause)
        }
        _ => told,
    }
}

/// An error of ours that went through DataFusion.
fn ours(error: &DataFusionError) -> Option<&Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        next = error.source();
    }
    None
}

/// Whether a query failed because its share of the memory did not do.
pub(super) fn out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}
