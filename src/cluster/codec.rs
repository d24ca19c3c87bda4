//! Plans on the wire: a task node is a mark, the program that made it, and the tasks, as JSON. Ballista's own nodes are
//! left to its codec.
//!
//! A driver and an executor of different builds could disagree on what a task is, so an executor refuses the plan of
//! another program, and says which two met.
//!
//! Not for: credentials, which no plan has.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use super::task_exec::{RunTask, TaskExec};
use crate::pipeline::{TaskSet, program};

/// What the bytes of a task node begin with.
const MARK: &[u8] = b"CUTOVER1";

/// A task node.
#[derive(Debug, Serialize, Deserialize)]
struct Node {
    program: String,
    tasks: TaskSet,
}

/// The codec of both sides; an executor's has its worker.
#[derive(Debug, Default)]
pub(super) struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
    worker: Option<Arc<dyn RunTask>>,
}

impl Codec {
    /// The codec of an executor.
    pub(super) fn of(worker: Arc<dyn RunTask>) -> Self {
        Self { ballista: BallistaPhysicalExtensionCodec::default(), worker: Some(worker) }
    }
}

/// The tasks of a node that this program made.
fn parse(bytes: &[u8]) -> Result<TaskSet> {
    let node: Node = serde_json::from_slice(bytes)
        .map_err(|error| DataFusionError::Plan(format!("a task of a program that is not this one: {error}")))?;
    if node.program == program() {
        return Ok(node.tasks);
    }
    Err(DataFusionError::Plan(format!(
        "the driver is cutover {}, this executor is cutover {}: run the same build everywhere",
        node.program,
        program()
    )))
}

fn text(tasks: &TaskSet, program: String) -> Result<Vec<u8>> {
    serde_json::to_vec(&Node { program, tasks: tasks.clone() })
        .map_err(|error| DataFusionError::Internal(format!("a task cannot be written: {error}")))
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes.strip_prefix(MARK), inputs) {
            (Some(node), [child]) => Ok(Arc::new(TaskExec::new(parse(node)?, self.worker.clone(), Arc::clone(child)))),
            (Some(_), _) => Err(DataFusionError::Plan("a task node has one input".to_owned())),
            (None, _) => self.ballista.try_decode(bytes, inputs, context, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(task) = node.downcast_ref::<TaskExec>() else {
            return self.ballista.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(MARK);
        bytes.extend(text(&task.tasks, program())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn tasks_of_another_build_are_refused_and_both_builds_are_named() {
        let tasks: TaskSet =
            serde_json::from_str(r#"{"store": "s3://lake/store", "build": "b", "kind": "build"}"#).unwrap();
        assert_eq!(parse(&text(&tasks, program()).unwrap()).unwrap(), tasks);
        let refused = parse(&text(&tasks, "0.0.1-other".into()).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("0.0.1-other") && refused.contains(&program()), "{refused}");
        assert!(parse(b"not json").is_err() && parse(b"").is_err());
    }
}
