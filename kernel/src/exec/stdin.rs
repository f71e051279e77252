//! What goes to a program's standard input: the JSON text, within its limit, written while the program runs.

use super::failure::Asked;
use crate::execution::Controller;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::MOST_STDIN_BYTES;
use serde_json::Value;

/// What fits into the smallest pipe that a kernel gives (pipe(7): one page), so that writing it waits for nobody.
const NEVER_WAITS: usize = 4096;

/// The value as JSON text.
///
/// # Errors
/// `exec_stdin_too_large` past `limit`, or past the limit of every request.
pub(super) fn text(value: &Value, limit: Option<u64>, asked: &Asked) -> Result<Vec<u8>, BridgeError> {
    let limit = limit.unwrap_or(MOST_STDIN_BYTES).min(MOST_STDIN_BYTES);
    let text = serde_json::to_vec(value).map_err(|_| {
        BridgeError::new(ErrorCode::ExecRequestInvalid, "`/stdin_json` of the request has no JSON text")
    })?;
    let bytes = text.len() as u64;
    if bytes > limit { Err(asked.stdin_too_large(limit, bytes)) } else { Ok(text) }
}

/// Writes all of it and closes the input; answers the kind of an error other than that the program does not read.
pub(super) async fn feed(controller: &Controller, text: Vec<u8>) -> Option<String> {
    let written = if text.len() <= NEVER_WAITS {
        controller.write_at_once(&text)
    } else {
        let written = controller.write_stdin(text).await;
        // A program that reads to the end must see one, whatever became of the rest. Its own end closes its input, too.
        let closed = controller.close_stdin().await;
        written.and(closed)
    };
    let error = written.err()?;
    let kind = error.error().details.get("kind").and_then(Value::as_str);
    match kind {
        Some("broken_pipe") => None,
        Some(kind) => Some(kind.to_owned()),
        // The run has ended and is forgotten, so nobody reads.
        None if error.code() == ErrorCode::UnknownExecution => None,
        None => Some(error.code().as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_bridge::exec::RunProgram;

    #[test]
    fn a_fraction_reaches_the_program_as_the_number_that_was_read() {
        let read = |text: &str| {
            let request = format!(r#"{{"kind":"run_program_v1","program_path":"/x","argv":[],"stdin_json":{text}}}"#);
            RunProgram::from_json(request.as_bytes()).expect("a request").stdin_json
        };
        // Read by the quick way, these are one unit in the last place off, and change each time they are read.
        for text in ["14e-40", "1e23", "0.30000000000000004", "2.2250738585072014e-308"] {
            let exact: f64 = text.parse().expect("a number");
            assert_eq!(read(text).as_f64().map(f64::to_bits), Some(exact.to_bits()), "{text}");
        }
    }
}
