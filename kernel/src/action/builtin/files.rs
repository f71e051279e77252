//! The actions that a worker does: one request, one answer.

use crate::action::define::{Action, Place};
use crate::action::step::{Plan, Step, StepEnd};
use cofferdam_bridge::action::{
    FileList, FileListed, FileRead, FileReadResult, FileSearch, FileSearched, FileWrite, FileWritten, WorkerAnswer,
    WorkerRequest,
};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// What becomes of arguments: the request, and what it asks of the policy.
type Planned = Result<(WorkerRequest, Plan), BridgeError>;

/// An action of one request to the worker.
pub(super) struct Worked<A, R> {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) plan: fn(A, &Place) -> Planned,
    pub(super) result: PhantomData<fn() -> R>,
}

impl<A, R> Action for Worked<A, R>
where
    A: DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static,
    R: DeserializeOwned + Serialize + JsonSchema + 'static,
{
    type Arguments = A;
    type Output = R;

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn plan(&self, arguments: &A, place: &Place) -> Result<Plan, BridgeError> {
        let (request, plan) = (self.plan)(arguments.clone(), place)?;
        Ok(plan.then(Step::worker(request)))
    }

    fn conclude(&self, _: &A, ends: &[StepEnd]) -> Result<R, BridgeError> {
        let answer = ends.first().and_then(|end| serde_json::from_slice(&end.stdout).ok());
        match answer {
            Some(WorkerAnswer::Done(value)) => serde_json::from_value(value).map_err(|_| misunderstood()),
            Some(WorkerAnswer::Failed(error)) => Err(error),
            _ => Err(misunderstood()),
        }
    }
}

fn misunderstood() -> BridgeError {
    let message = "the worker's answer is none; kernel and worker must come from one release";
    BridgeError::new(ErrorCode::ActionFailed, message)
}

pub(super) fn read() -> Worked<FileRead, FileReadResult> {
    Worked {
        name: "file_read",
        summary: "Reads a file, or a part of it.",
        plan: |mut asked, place| {
            asked.path = place.resolve(&asked.path)?;
            let plan = Plan::default().reads(&asked.path);
            Ok((WorkerRequest::FileRead(asked), plan))
        },
        result: PhantomData,
    }
}

pub(super) fn write() -> Worked<FileWrite, FileWritten> {
    Worked {
        name: "file_write",
        summary: "Writes a file, whole or not at all.",
        plan: |mut asked, place| {
            asked.path = place.resolve(&asked.path)?;
            let plan = Plan::default().writes(&asked.path);
            Ok((WorkerRequest::FileWrite(asked), plan))
        },
        result: PhantomData,
    }
}

pub(super) fn list() -> Worked<FileList, FileListed> {
    Worked {
        name: "file_list",
        summary: "Lists what a directory holds.",
        plan: |mut asked, place| {
            asked.path = place.resolve(&asked.path)?;
            let plan = Plan::default().reads(&asked.path);
            Ok((WorkerRequest::FileList(asked), plan))
        },
        result: PhantomData,
    }
}

pub(super) fn search() -> Worked<FileSearch, FileSearched> {
    Worked {
        name: "file_search",
        summary: "Finds lines in files by a text or a regular expression.",
        plan: |mut asked, place| {
            asked.path = place.resolve(&asked.path)?;
            let plan = Plan::default().reads(&asked.path);
            Ok((WorkerRequest::FileSearch(asked), plan))
        },
        result: PhantomData,
    }
}
