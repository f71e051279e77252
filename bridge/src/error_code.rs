//! The registry of error codes: stable names that callers match on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of fault an error is. Coarser than the code; a caller can treat all of one kind alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCategory {
    /// What was handed in could not be understood.
    ParsingInput,
    /// The policy decided against it.
    Refused,
    /// This plane or this machine cannot do it.
    Unsupported,
    /// A limit was reached.
    Limit,
    /// The program or guest itself failed.
    Guest,
    /// The operating system or the machine failed.
    Host,
    /// Caller and callee disagree about the state of things: a programming fault on one side.
    Protocol,
}

macro_rules! codes {
    ($($variant:ident, $text:literal, $category:ident, $doc:literal;)*) => {
        /// A stable name of a fault. Once released a code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorCode { $(#[doc = $doc] $variant,)* }

        impl ErrorCode {
            /// Every code there is, in the order of the registry.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The `snake_case` name, as it stands in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The kind of fault.
            pub const fn category(self) -> ErrorCategory {
                match self { $(Self::$variant => ErrorCategory::$category),* }
            }

            /// One sentence on what the code means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc),* }
            }
        }
    };
}

codes! {
    PolicyInvalid, "policy_invalid", ParsingInput, "The policy could not be read; the message names line and column.";
    PolicyNotFound, "policy_not_found", ParsingInput, "No policy of that name or at that path.";
    PathInvalid, "path_invalid", ParsingInput, "A path is empty, not absolute where it must be, or holds a NUL byte.";
    RequestInvalid, "request_invalid", ParsingInput, "A request lacks a field, or a field has the wrong type or value.";
    ContractInvalid, "contract_invalid", ParsingInput, "The bridge contract could not be read.";
    DeniedByPolicy, "denied_by_policy", Refused, "A rule of the policy, or the absence of one, forbids this.";
    UnsupportedOperation, "unsupported_operation", Unsupported, "This plane does not offer the operation; its descriptor says so.";
    UnsupportedBackendFeature, "unsupported_backend_feature", Unsupported, "This plane cannot enforce a part of the policy, so it refuses to run under it.";
    SandboxBackendUnavailable, "sandbox_backend_unavailable", Unsupported, "This machine offers less isolation than the policy requires.";
    MemoryLimitExceeded, "memory_limit_exceeded", Limit, "The run used more memory than its limit.";
    CpuLimitExceeded, "cpu_limit_exceeded", Limit, "The run used more processor time than its limit.";
    ProcessesLimitExceeded, "processes_limit_exceeded", Limit, "The run had more processes than its limit.";
    OpenFilesLimitExceeded, "open_files_limit_exceeded", Limit, "The run opened more files than its limit.";
    DiskLimitExceeded, "disk_limit_exceeded", Limit, "The run wrote more than its limit.";
    WallTimeExceeded, "wall_time_exceeded", Limit, "The run took longer than its limit.";
    OutputLimitExceeded, "output_limit_exceeded", Limit, "The run printed more than its limit.";
    OutputInvalidJson, "output_invalid_json", ParsingInput, "Output was to be JSON and is none; details hold the byte offset of the fault.";
    OutputInvalidUtf8, "output_invalid_utf8", ParsingInput, "Output is no UTF-8; details hold the byte offset of the fault.";
    InputLimitExceeded, "input_limit_exceeded", Limit, "More was written to standard input than its limit.";
    QueueFull, "queue_full", Limit, "A bounded queue is full; try again when it has drained.";
    ResourceLimitExceeded, "resource_limit_exceeded", Limit, "There is no room for what was asked for, or it is larger than may be; the message has figure and limit.";
    DeadlineExceeded, "deadline_exceeded", Limit, "A call was not answered within its time.";
    Cancelled, "cancelled", Protocol, "The caller cancelled the call.";
    ExecRequestInvalid, "exec_request_invalid", ParsingInput, "A request to run a program cannot be read; details hold the JSON pointer or byte offset of the fault.";
    ExecProgramNotAllowed, "exec_program_not_allowed", Refused, "The program does not lie where the policy allows programs; nothing is said about whether it is there.";
    ExecProgramMissing, "exec_program_missing", Guest, "The program, or the interpreter that it names, is not there.";
    ExecProgramNotExecutable, "exec_program_not_executable", Guest, "The program, or the interpreter that it names, is there but cannot be executed.";
    ExecStdinTooLarge, "exec_stdin_too_large", Limit, "What is to go to standard input is larger than its limit; details hold both sizes.";
    ExecStdinWriteFailed, "exec_stdin_write_failed", Host, "Standard input could not be written; details hold the kind of error.";
    ExecStdoutTooLarge, "exec_stdout_too_large", Limit, "The program printed more than the limit, and was ended.";
    ExecStderrTooLarge, "exec_stderr_too_large", Limit, "The program printed more to standard error than the limit, and was ended.";
    ExecStdoutInvalidJson, "exec_stdout_invalid_json", ParsingInput, "What the program printed is no JSON; details hold the byte offset of the fault.";
    ExecTimeout, "exec_timeout", Limit, "The program took longer than it may, and was ended with all that it started.";
    ExecSpawnFailed, "exec_spawn_failed", Host, "The program could not be started; details hold the error number.";
    ExecFailed, "exec_failed", Guest, "The program failed or was ended; details hold exit code, signal or limit.";
    ProgramNotFound, "program_not_found", Guest, "There is no such program where the run can see it.";
    ProgramNotExecutable, "program_not_executable", Guest, "The program is there but cannot be executed.";
    SpawnFailed, "spawn_failed", Host, "The operating system did not start the process.";
    SandboxSetupFailed, "sandbox_setup_failed", Host, "A step of building the sandbox failed; details name step, path and errno.";
    PortUnavailable, "port_unavailable", Host, "A port of the host's loopback that the policy publishes cannot be listened on: it is taken, or not for this user.";
    PlaneFault, "plane_fault", Host, "The plane itself failed; the run's fate is that of its processes, which are ended.";
    IoFailed, "io_failed", Host, "Reading or writing failed; details hold the kind of error.";
    NotFound, "not_found", Guest, "No such file, timer or object.";
    AlreadyExists, "already_exists", Guest, "Something of that name exists already.";
    NotADirectory, "not_a_directory", Guest, "A directory was needed.";
    IsADirectory, "is_a_directory", Guest, "Something other than a directory was needed.";
    DirectoryNotEmpty, "directory_not_empty", Guest, "The directory holds entries.";
    TooManySymbolicLinks, "too_many_symbolic_links", Guest, "More symbolic links than a path may follow.";
    ChangesNotFound, "changes_not_found", Protocol, "No change set of that id, or none of that workspace.";
    ChangesInUse, "changes_in_use", Protocol, "A run or another command works on the change set; try again when it has ended.";
    ChangesConflict, "changes_conflict", Protocol, "The workspace was changed since the run began, where the run changed it, too; nothing was committed.";
    ChangesDamaged, "changes_damaged", Host, "The change set on disk is not what a run left there.";
    ChangesStoreUnsuitable, "changes_store_unsuitable", Unsupported, "Changes cannot be kept apart in that place or of that workspace; the message says why.";
    GrantsDamaged, "grants_damaged", Host, "The file of remembered answers is not what was left there, or others may change it; until it is mended none holds.";
    SessionInvalid, "session_invalid", ParsingInput, "A session file, or a command of it, could not be read; the message names line and column.";
    UnknownCommand, "unknown_command", Protocol, "The session has no command of that name; details list those it has.";
    CommandNotOneShot, "command_not_one_shot", Protocol, "The command is persistent: it is started, not run.";
    CommandNotPersistent, "command_not_persistent", Protocol, "The command is a one-shot: it is run, not started.";
    CommandNotRunning, "command_not_running", Protocol, "The command does not run now.";
    CommandFailed, "command_failed", Guest, "The program ended with an exit code other than 0, or by a signal.";
    CommandNotReady, "command_not_ready", Guest, "The command ended before it was ready, or was not ready in time.";
    TooManyCommands, "too_many_commands", Limit, "As many persistent commands run as the session may have.";
    UnknownSession, "unknown_session", Protocol, "No session of that name is open.";
    SessionClosed, "session_closed", Protocol, "The session is closed, and everything in it has ended.";
    SessionUnreachable, "session_unreachable", Host, "The host process of a session does not answer, or is not who it should be.";
    AuditUnavailable, "audit_unavailable", Host, "The audit log cannot be written or read, and nothing runs that is not recorded; the message says why.";
    AuditDamaged, "audit_damaged", Host, "The audit log is not what its writers left there; `cofferdam audit verify` names the place.";
    UnknownVm, "unknown_vm", Protocol, "No VM of that id; it was never created or is forgotten.";
    UnknownExecution, "unknown_execution", Protocol, "No execution of that id; it was never started or its end was already told.";
    UnknownContext, "unknown_context", Protocol, "No context of that id.";
    UnknownOperation, "unknown_operation", Protocol, "The contract has no operation of that name.";
    UnknownAction, "unknown_action", Protocol, "No action of that name is registered.";
    ActionFailed, "action_failed", Guest, "A program that an action ran ended by a failure of its own.";
    InvalidState, "invalid_state", Protocol, "The call does not fit what has happened so far.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_name_equals_as_str_for_every_code() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_value(code).unwrap();
            assert_eq!(json, code.as_str());
        }
    }
}
