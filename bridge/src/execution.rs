//! The trait that an execution plane implements, and its requests.

use crate::descriptor::{PlaneDescriptor, Preflight};
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::event::{ExecutionEvent, ExecutionEventSink};
use crate::ids::{CallId, ContextId, ExecutionId, VmId};
use crate::network_scope::NetworkScope;
use crate::profile::ExecutionProfile;
use crate::published_port::PublishedPort;
use crate::rehearsal::Rehearsal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Who implements a bridge, and how it fails.
pub trait BridgeTypes {
    /// The error its calls answer.
    type Error: Into<BridgeError> + Send + Sync + 'static;
}

/// The language of a guest that is no native program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum GuestRuntime {
    /// JavaScript.
    JavaScript,
    /// WebAssembly.
    WebAssembly,
}

/// A signal that a host may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecutionSignal {
    /// SIGTERM to the program.
    Terminate,
    /// SIGINT to the program's foreground group.
    Interrupt,
    /// SIGHUP to the program.
    Hangup,
    /// SIGQUIT to the program's foreground group.
    Quit,
    /// SIGUSR1 to the program.
    User1,
    /// SIGUSR2 to the program.
    User2,
    /// SIGTSTP: stop, as a terminal's Ctrl-Z does.
    Stop,
    /// SIGCONT.
    Continue,
    /// SIGKILL to everything in the execution.
    Kill,
}

/// Where a standard stream of the guest goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamMode {
    /// Nowhere: reads give end of file, writes are dropped.
    #[default]
    Null,
    /// Through the kernel: output as events, input by `write_stdin`.
    Piped,
    /// The host process's own descriptor of the same number is handed through.
    Inherit,
    /// As `Piped`, for output of which the host keeps only the last part: bounded only where the policy says so.
    Followed,
}

/// The size of a terminal, in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TerminalSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

impl TerminalSize {
    /// A size.
    pub fn new(rows: u16, columns: u16) -> Self {
        Self { rows, columns }
    }
}

/// The three standard streams, or a terminal in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Streams {
    /// One by one.
    Separate {
        /// Standard input.
        stdin: StreamMode,
        /// Standard output.
        stdout: StreamMode,
        /// Standard error.
        stderr: StreamMode,
    },
    /// A terminal of its own: its output comes as `Stdout` events, `write_stdin` types on it.
    Terminal {
        /// Its size at the start.
        size: TerminalSize,
    },
}

/// Asks a plane to compile a profile for native programs, once for many executions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CreateCommandContextRequest {
    /// The tenant.
    pub vm_id: VmId,
    /// What to enforce.
    pub profile: ExecutionProfile,
    /// How much of what is refused at run time is told.
    #[serde(default)]
    pub explain: Explain,
    /// Whether its executions reach each other over the network.
    #[serde(default)]
    pub network_scope: NetworkScope,
}

impl CreateCommandContextRequest {
    /// A request.
    pub fn new(vm_id: VmId, profile: ExecutionProfile) -> Self {
        Self { vm_id, profile, explain: Explain::default(), network_scope: NetworkScope::default() }
    }
}

/// How much of what is refused at run time is told in an execution's report.
///
/// What the operating system refuses by itself a plane does not hear of; to tell it, the plane must look at each call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Explain {
    /// What the plane hears of without slowing anything down.
    #[default]
    Known,
    /// As much as the plane can find out, at a price for each call that names a path or an address. It changes what is told, and
    /// nothing of what is refused.
    Everything,
}

/// Asks a plane for a JavaScript or WebAssembly context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CreateGuestContextRequest {
    /// The tenant.
    pub vm_id: VmId,
    /// What to enforce.
    pub profile: ExecutionProfile,
    /// The module: JavaScript source (UTF-8) or WebAssembly binary.
    pub module: Vec<u8>,
    /// The name the guest sees for it.
    pub module_name: String,
}

impl CreateGuestContextRequest {
    /// A request.
    pub fn new(vm_id: VmId, profile: ExecutionProfile, module: Vec<u8>, module_name: impl Into<String>) -> Self {
        Self { vm_id, profile, module, module_name: module_name.into() }
    }
}

/// A context that a plane has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CreatedContext {
    /// Its id, unique in the plane.
    pub context_id: ContextId,
}

impl CreatedContext {
    /// An answer.
    pub fn new(context_id: ContextId) -> Self {
        Self { context_id }
    }
}

/// How the file of a program is found between the check and the execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProgramFile {
    /// Again by its path: a program that replaces itself meanwhile is executed as it is then, wherever the path leads.
    #[default]
    ByPath,
    /// It is opened once, checked, and executed by its descriptor, and so is the interpreter that a script names (`#!`), which must be
    /// allowed as well. The policy is asked first about where the path leads, so that no refusal tells whether something is there. The
    /// script itself is handed to its interpreter as `/dev/fd/N`.
    Held,
}

/// Asks a plane to start something in a context.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StartExecutionRequest {
    /// The tenant.
    pub vm_id: VmId,
    /// The context it runs in.
    pub context_id: ContextId,
    /// The id the kernel gave it; unique in the kernel.
    pub execution_id: ExecutionId,
    /// The program: an absolute path inside, or a bare name that the plane looks up in the `PATH` of
    /// `environment`; empty for guests, whose context holds the module.
    pub program: String,
    /// Arguments after the program's name.
    pub arguments: Vec<String>,
    /// The whole environment: nothing else crosses but what [`Temporary`](crate::profile::Temporary) adds.
    pub environment: BTreeMap<String, String>,
    /// Absolute path inside.
    pub working_directory: String,
    /// Standard streams.
    pub streams: Streams,
    /// How the program's file is found.
    #[serde(default)]
    pub program_file: ProgramFile,
    /// How long after the program's end what it started may go on while it holds standard output or error open, in milliseconds. At 0,
    /// and when nobody holds them any more, everything ends with the program. Limits hold meanwhile as before (`Feature::OutputWait`).
    #[serde(default)]
    pub output_wait_ms: u64,
}

impl StartExecutionRequest {
    /// A request to run `program` with no arguments, an empty environment, in `/`, all streams null.
    pub fn new(vm_id: VmId, context_id: ContextId, execution_id: ExecutionId, program: impl Into<String>) -> Self {
        Self {
            vm_id,
            context_id,
            execution_id,
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            working_directory: "/".to_owned(),
            streams: Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Null, stderr: StreamMode::Null },
            program_file: ProgramFile::ByPath,
            output_wait_ms: 0,
        }
    }
}

/// Arguments and environment values are left out, since they may hold secrets.
impl fmt::Debug for StartExecutionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartExecutionRequest")
            .field("vm_id", &self.vm_id)
            .field("context_id", &self.context_id)
            .field("execution_id", &self.execution_id)
            .field("program", &self.program)
            .field("argument_count", &self.arguments.len())
            .field("environment_names", &self.environment.keys().collect::<Vec<_>>())
            .field("working_directory", &self.working_directory)
            .field("streams", &self.streams)
            .finish()
    }
}

/// A started execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StartedExecution {
    /// The host's process id of the sandbox's first process, where there is one. For display only.
    pub process_id: Option<u32>,
    /// Which of its ports the host's loopback has, and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedPort>,
}

impl StartedExecution {
    /// An answer.
    pub fn new(process_id: Option<u32>) -> Self {
        Self { process_id, published: Vec::new() }
    }
}

/// What all requests about a running execution name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ExecutionRef {
    /// The tenant.
    pub vm_id: VmId,
    /// The execution.
    pub execution_id: ExecutionId,
}

impl ExecutionRef {
    /// Names an execution.
    pub fn new(vm_id: VmId, execution_id: ExecutionId) -> Self {
        Self { vm_id, execution_id }
    }
}

/// The answer to a guest's call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct GuestReply {
    /// The execution whose guest asked.
    pub execution: ExecutionRef,
    /// The call.
    pub call_id: CallId,
    /// The value, or why there is none.
    pub outcome: GuestOutcome,
}

impl GuestReply {
    /// An answer.
    pub fn new(execution: ExecutionRef, call_id: CallId, outcome: GuestOutcome) -> Self {
        Self { execution, call_id, outcome }
    }
}

/// A value for a guest, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GuestOutcome {
    /// The value.
    Value(serde_json::Value),
    /// Why there is none.
    Error(BridgeError),
}

fn unsupported(operation: &str) -> BridgeError {
    BridgeError::new(
        ErrorCode::UnsupportedOperation,
        format!("this plane does not offer `{operation}`; its descriptor lists what it can do"),
    )
    .with("operation", operation)
}

/// An execution plane.
///
/// **Guarantees of the kernel.** A context is created before it is used; ids are unique; no call follows
/// `forget_vm` for that VM; the profile was accepted by `preflight`.
///
/// **Duties of a plane.** What a profile does not allow does not happen. Exactly one
/// [`ExecutionEvent::Exited`] ends each execution that `start_execution` accepted, after all output and when nothing of it is left.
/// A dropped plane ends all it started. Calls may block, but for bounded time; they may come from several threads.
///
/// **Provided methods** answer `unsupported_operation`; the descriptor must say so beforehand.
pub trait ExecutionBridge: BridgeTypes + Send + Sync {
    /// What this plane is and can do. Constant.
    fn describe(&self) -> PlaneDescriptor;

    /// Whether `profile` can be enforced here, and what is missing. Changes nothing.
    fn preflight(&self, profile: &ExecutionProfile) -> Preflight;

    /// Compiles a profile for native programs.
    fn create_command_context(&self, request: CreateCommandContextRequest) -> Result<CreatedContext, Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = request;
        Err(unsupported("create_command_context").into())
    }

    /// Makes a JavaScript context.
    fn create_javascript_context(&self, request: CreateGuestContextRequest) -> Result<CreatedContext, Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = request;
        Err(unsupported("create_javascript_context").into())
    }

    /// Makes a WebAssembly context.
    fn create_wasm_context(&self, request: CreateGuestContextRequest) -> Result<CreatedContext, Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = request;
        Err(unsupported("create_wasm_context").into())
    }

    /// Starts something in a context; its events go to `events`.
    fn start_execution(
        &self,
        request: StartExecutionRequest,
        events: Arc<dyn ExecutionEventSink>,
    ) -> Result<StartedExecution, Self::Error>;

    /// What `start_execution` would come to, by the same checks. Starts nothing and changes nothing.
    fn rehearse_execution(&self, request: &StartExecutionRequest) -> Result<Rehearsal, Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = request;
        Err(unsupported("rehearse_execution").into())
    }

    /// Writes to standard input or types on the terminal. Blocks while the guest does not read, at most until it ends.
    /// Bytes for a guest that has closed its input are dropped, as a pipe's writer that ignores SIGPIPE sees it: `io_failed` with kind `broken_pipe`.
    fn write_stdin(&self, execution: &ExecutionRef, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Closes standard input. Closing twice is no error.
    fn close_stdin(&self, execution: &ExecutionRef) -> Result<(), Self::Error>;

    /// Sends a signal. `Kill` ends everything in the execution; an execution that has ended is no error.
    fn kill_execution(&self, execution: &ExecutionRef, signal: ExecutionSignal) -> Result<(), Self::Error>;

    /// Changes the size of the terminal.
    fn resize_terminal(&self, execution: &ExecutionRef, size: TerminalSize) -> Result<(), Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = (execution, size);
        Err(unsupported("resize_terminal").into())
    }

    /// Whether a program of the execution itself, and no other, accepts TCP connections at `port` now (`Feature::ListeningPorts`).
    fn is_listening(&self, execution: &ExecutionRef, port: u16) -> Result<bool, Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = (execution, port);
        Err(unsupported("is_listening").into())
    }

    /// Answers a guest's call.
    fn reply_to_guest(&self, reply: GuestReply) -> Result<(), Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = reply;
        Err(unsupported("reply_to_guest").into())
    }

    /// The next event of an execution, for planes without a push side (`Feature::PolledEvents`). `None`: nothing yet.
    fn poll_execution_event(&self, execution: &ExecutionRef) -> Result<Option<ExecutionEvent>, Self::Error>
    where
        Self::Error: From<BridgeError>,
    {
        let _ = execution;
        Err(unsupported("poll_execution_event").into())
    }

    /// Ends all of a VM's executions and frees everything it held.
    fn forget_vm(&self, vm_id: &VmId);
}
