//! What works inside a sandbox for the actions on files and over HTTP.
//!
//! A host hands this program's path to the kernel, which runs it in a plane, once for each action. It reads one request from standard
//! input, does it with what the sandbox lets it do, prints one answer, and ends. It decides nothing and trusts nobody: whoever runs it
//! outside of a sandbox gets what any program of the same user would.
//!
//! A host is its own worker when its `main` begins with
//!
//! ```
//! if cofferdam_action_worker::is_asked(std::env::args_os()) {
//!     std::process::exit(cofferdam_action_worker::serve());
//! }
//! ```

#![forbid(unsafe_code)]

mod fault;
mod fetch;
mod list;
mod place;
mod read;
mod search;
mod write;

use cofferdam_bridge::action::{LONGEST_REQUEST, WorkerAnswer, WorkerRequest};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use serde::Serialize;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{Read, Write};

/// The one argument by which a program is asked to be a worker.
pub const ARGUMENT: &str = "action-worker";

/// Whether a program with these arguments, its own name first, is asked to be a worker.
pub fn is_asked(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.nth(1).is_some_and(|argument| argument == ARGUMENT) && arguments.next().is_none()
}

/// Answers one request from standard input on standard output; gives the exit code: 0 wherever an answer was printed.
pub fn serve() -> i32 {
    let answer = match request().and_then(|request| answer(&request)) {
        Ok(value) => WorkerAnswer::Done(value),
        Err(error) => WorkerAnswer::Failed(error),
    };
    let mut stdout = std::io::stdout().lock();
    let printed = serde_json::to_writer(&mut stdout, &answer).is_ok() && stdout.flush().is_ok();
    i32::from(!printed)
}

fn request() -> Result<WorkerRequest, BridgeError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST_REQUEST + 1).read_to_end(&mut bytes);
    let whole = read.is_ok() && bytes.len() as u64 <= LONGEST_REQUEST;
    whole.then(|| serde_json::from_slice(&bytes).ok()).flatten().ok_or_else(|| {
        let message = "the worker got no request that it understands; kernel and worker must come from one release";
        BridgeError::new(ErrorCode::RequestInvalid, message)
    })
}

/// Does what is asked for.
///
/// # Errors
/// What kept it from being done.
pub fn answer(request: &WorkerRequest) -> Result<Value, BridgeError> {
    match request {
        WorkerRequest::FileRead(asked) => value(read::read(asked)?),
        WorkerRequest::FileWrite(asked) => value(write::write(asked)?),
        WorkerRequest::FileList(asked) => value(list::list(asked)?),
        WorkerRequest::FileSearch(asked) => value(search::search(asked)?),
        WorkerRequest::HttpFetch(asked) => value(fetch::fetch(asked)?),
        _ => Err(BridgeError::new(
            ErrorCode::UnknownOperation,
            "this worker does not know the operation; use a newer one",
        )),
    }
}

fn value(result: impl Serialize) -> Result<Value, BridgeError> {
    serde_json::to_value(result).map_err(|_| {
        BridgeError::new(ErrorCode::IoFailed, "the result has no form in JSON; this is a fault of the worker")
    })
}
