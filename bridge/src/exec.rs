//! Running a program as a function: a JSON request in, JSON out.
//!
//! The request is read with care: whatever is missing, unknown or of the wrong type is `exec_request_invalid` with the place of the
//! fault (a JSON pointer, RFC 6901, or a byte offset), and never with what stands there.

use crate::call::CallContext;
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::execution::BridgeTypes;
use crate::ids::VmId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// How long a program may take that is given no time, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 300_000;

/// Most bytes of standard input, as JSON text.
pub const MOST_STDIN_BYTES: u64 = 1 << 20;

/// Most bytes of standard output, and of standard error.
pub const MOST_OUTPUT_BYTES: u64 = 1 << 20;

/// Most bytes of a request as JSON text: its standard input, and as much again and more for arguments and environment, which a kernel
/// bounds itself (execve(2): a quarter of the stack's limit, 2 MiB by default on Linux).
pub const MOST_REQUEST_BYTES: u64 = 8 << 20;

/// What a request knows, for messages.
const MEMBERS: &str = "kind, program_path, argv, stdin_json, timeout_ms, env and output_wait_ms";

/// The kind of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum RunProgramKind {
    /// The first, and so far the only one.
    #[default]
    #[serde(rename = "run_program_v1")]
    V1,
}

/// A program to run: JSON goes to its standard input, and what it prints is JSON.
///
/// ```
/// use cofferdam_bridge::exec::RunProgram;
///
/// let text = br#"{"kind": "run_program_v1", "program_path": "/usr/bin/jq", "argv": ["."], "stdin_json": {"a": 1}}"#;
/// let request = RunProgram::from_json(text)?;
/// assert_eq!(request, RunProgram::new("/usr/bin/jq").arg(".").stdin_json(serde_json::json!({ "a": 1 })));
/// assert_eq!(request.timeout_ms, 300_000);
///
/// let faulty = br#"{"kind": "run_program_v1", "program_path": "/usr/bin/jq", "argv": ["-r", 5]}"#;
/// assert_eq!(RunProgram::from_json(faulty).unwrap_err().details["pointer"], "/argv/1");
/// # Ok::<(), cofferdam_bridge::error::BridgeError>(())
/// ```
#[derive(Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct RunProgram {
    /// What kind of request this is.
    pub kind: RunProgramKind,
    /// The program: an absolute path.
    pub program_path: String,
    /// Its arguments, without its own name.
    #[schemars(default)]
    pub argv: Vec<String>,
    /// What it finds on its standard input, as JSON text.
    #[schemars(default)]
    pub stdin_json: Value,
    /// How long it may take, in milliseconds; the policy may allow less.
    #[schemars(default = "default_timeout", range(min = 1))]
    pub timeout_ms: u64,
    /// Variables beside those of the policy. None that loads code into a program.
    #[schemars(default)]
    pub env: BTreeMap<String, String>,
    /// How long the answer waits, after the program's end, for what the program started and what holds its standard output or error open,
    /// in milliseconds. At 0 all of that ends with the program. `timeout_ms` holds for the waiting, too.
    #[schemars(default)]
    pub output_wait_ms: u64,
}

/// Input, arguments and values stay out of logs.
impl fmt::Debug for RunProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunProgram")
            .field("program_path", &self.program_path)
            .field("argument_count", &self.argv.len())
            .field("environment_names", &self.env.keys().collect::<Vec<_>>())
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_MS
}

impl RunProgram {
    /// A request to run the program at an absolute path: no arguments, null on standard input, five minutes.
    pub fn new(program_path: impl Into<String>) -> Self {
        Self {
            kind: RunProgramKind::V1,
            program_path: program_path.into(),
            argv: Vec::new(),
            stdin_json: Value::Null,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            env: BTreeMap::new(),
            output_wait_ms: 0,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets what is on standard input.
    pub fn stdin_json(mut self, value: Value) -> Self {
        self.stdin_json = value;
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets how long it may take, in milliseconds.
    pub fn timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout_ms = milliseconds;
        self
    }

    /// Sets how long the answer waits for what holds the program's output after its end, in milliseconds.
    pub fn output_wait_ms(mut self, milliseconds: u64) -> Self {
        self.output_wait_ms = milliseconds;
        self
    }

    /// Reads a request from JSON text (RFC 8259).
    ///
    /// # Errors
    /// `exec_request_invalid`, with `byte_offset` for what is no JSON and `pointer` for what does not fit.
    pub fn from_json(text: &[u8]) -> Result<Self, BridgeError> {
        if text.len() as u64 > MOST_REQUEST_BYTES {
            let message =
                format!("the request is larger than {MOST_REQUEST_BYTES} bytes; hand large inputs over in files");
            return Err(BridgeError::new(ErrorCode::ExecRequestInvalid, message)
                .with("limit_bytes", MOST_REQUEST_BYTES)
                .with("bytes", text.len()));
        }
        let value = serde_json::from_slice(text).map_err(|error| {
            let offset = crate::json_fault::offset_of(&error, text);
            BridgeError::new(ErrorCode::ExecRequestInvalid, format!("the request is no JSON at byte {offset}"))
                .with("byte_offset", offset)
        })?;
        Self::from_value(value)
    }

    /// Reads a request from a JSON value.
    ///
    /// # Errors
    /// `exec_request_invalid`, with the `pointer` of what does not fit.
    pub fn from_value(value: Value) -> Result<Self, BridgeError> {
        let Value::Object(mut members) = value else {
            return Err(invalid("", "must be an object"));
        };
        match members.remove("kind") {
            Some(Value::String(kind)) if kind == "run_program_v1" => {}
            Some(_) => return Err(invalid("/kind", "must be \"run_program_v1\", the only kind that is known")),
            None => return Err(invalid("/kind", "is missing; it must be \"run_program_v1\"")),
        }
        let program_path = match members.remove("program_path") {
            Some(Value::String(path)) => path,
            Some(_) => return Err(invalid("/program_path", "must be a string")),
            None => return Err(invalid("/program_path", "is missing; name a program by its absolute path")),
        };
        let timeout_ms = match members.remove("timeout_ms") {
            None => DEFAULT_TIMEOUT_MS,
            Some(value) => value.as_u64().ok_or_else(wrong_timeout)?,
        };
        let request = Self {
            kind: RunProgramKind::V1,
            program_path,
            argv: arguments(members.remove("argv"))?,
            stdin_json: members.remove("stdin_json").unwrap_or_default(),
            timeout_ms,
            env: variables(members.remove("env"))?,
            output_wait_ms: match members.remove("output_wait_ms") {
                None => 0,
                Some(value) => value.as_u64().ok_or_else(wrong_wait)?,
            },
        };
        if !members.is_empty() {
            // Its name is the caller's, and may be a value that was meant for somewhere else.
            return Err(invalid("", &format!("has a member that is not known; known are {MEMBERS}")));
        }
        request.check()?;
        Ok(request)
    }

    /// Whether each part is one that a program can be started with.
    ///
    /// # Errors
    /// `exec_request_invalid`, with the `pointer` of what is not.
    pub fn check(&self) -> Result<(), BridgeError> {
        if !self.program_path.starts_with('/') || self.program_path.contains('\0') {
            return Err(invalid("/program_path", "must be an absolute path without NUL bytes"));
        }
        if self.timeout_ms == 0 {
            return Err(wrong_timeout());
        }
        if let Some(at) = self.argv.iter().position(|argument| argument.contains('\0')) {
            return Err(invalid(&format!("/argv/{at}"), "holds a NUL byte"));
        }
        for (name, value) in &self.env {
            let pointer = format!("/env/{}", escaped(name));
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(invalid(&pointer, "is no name of a variable: it is empty or holds `=` or a NUL byte"));
            }
            if value.contains('\0') {
                return Err(invalid(&pointer, "holds a NUL byte"));
            }
            if crate::environment::loads_code(name) {
                return Err(invalid(
                    &pointer,
                    "is a variable that loads code into programs; only a policy sets it, under environment.set",
                ));
            }
        }
        Ok(())
    }
}

fn wrong_timeout() -> BridgeError {
    invalid("/timeout_ms", "must be a whole number of milliseconds, at least 1")
}

fn wrong_wait() -> BridgeError {
    invalid("/output_wait_ms", "must be a whole number of milliseconds")
}

fn arguments(value: Option<Value>) -> Result<Vec<String>, BridgeError> {
    let values = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(values)) => values,
        Some(_) => return Err(invalid("/argv", "must be a list of strings")),
    };
    let text = |(at, value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(invalid(&format!("/argv/{at}"), "must be a string")),
    };
    values.into_iter().enumerate().map(text).collect()
}

fn variables(value: Option<Value>) -> Result<BTreeMap<String, String>, BridgeError> {
    let members: Map<String, Value> = match value {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(invalid("/env", "must be an object of strings")),
    };
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(invalid(&format!("/env/{}", escaped(&name)), "must be a string")),
    };
    members.into_iter().map(text).collect()
}

/// A name as a part of a JSON pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn invalid(pointer: &str, why: &str) -> BridgeError {
    let subject = if pointer.is_empty() { "the request".to_owned() } else { format!("`{pointer}` of the request") };
    BridgeError::new(ErrorCode::ExecRequestInvalid, format!("{subject} {why}")).with("pointer", pointer)
}

/// Asks for a program to be run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunProgramRequest {
    /// The tenant.
    pub vm_id: VmId,
    /// The program, and what goes in.
    #[schemars(with = "RunProgram")]
    pub request: Value,
}

impl RunProgramRequest {
    /// A request.
    pub fn new(vm_id: VmId, request: impl Into<Value>) -> Self {
        Self { vm_id, request: request.into() }
    }
}

/// What is asked stays out of logs.
impl fmt::Debug for RunProgramRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunProgramRequest").field("vm_id", &self.vm_id).finish_non_exhaustive()
    }
}

/// Runs programs for guests, in their own VM and under its policy.
pub trait ExecBridge: BridgeTypes {
    /// Runs a program to its end, and answers the JSON that it printed. Blocks until then.
    fn run_program(&self, call: &CallContext, request: RunProgramRequest) -> Result<Value, Self::Error>;
}
