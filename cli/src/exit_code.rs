//! The one table of exit codes.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;

/// The wall-clock limit passed.
pub(crate) const TIMED_OUT: u8 = 124;
/// Cofferdam itself refused or failed.
pub(crate) const REFUSED: u8 = 125;
/// The program failed as a function.
const FAILED: u8 = 1;
/// A plane does not do what its contract says.
pub(crate) const CHECKS_FAILED: u8 = 1;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const SIGNAL: u8 = 128;
const KILLED: u8 = SIGNAL + 9;

/// The table, for help.
pub(crate) const HELP: &str = "Exit codes:
  the program's own, when it ended by itself
  124  the time limit passed
  125  cofferdam refused or failed; the program did not run, or the sandbox broke
  126  the program is there but cannot be executed
  127  there is no such program
  137  another limit of the policy ended the run (the last lines say which), or it was killed
  128+n  signal n ended the program";

/// The table of `exec`, for help.
pub(crate) const EXEC_HELP: &str = "Exit codes:
  0    the program's JSON is on standard output; with any other code it is the error, as JSON
  1    the program failed, or what it printed is too much or no JSON
  124  the time limit passed
  125  cofferdam refused or failed; the program did not run
  126  the program is there but cannot be executed
  127  there is no such program";

/// The exit code for a program that answered with an error.
pub(crate) fn of_exec(error: &BridgeError) -> u8 {
    match error.code {
        ErrorCode::ExecTimeout => TIMED_OUT,
        ErrorCode::ExecFailed
        | ErrorCode::ExecStdinWriteFailed
        | ErrorCode::ExecStdoutTooLarge
        | ErrorCode::ExecStderrTooLarge
        | ErrorCode::ExecStdoutInvalidJson => FAILED,
        code => of_error(code),
    }
}

/// The exit code that tells of `cause`.
pub(crate) fn of_cause(cause: &ExitCause) -> u8 {
    match cause {
        ExitCause::Exited { code } => u8::try_from(*code & 0xff).unwrap_or(u8::MAX),
        ExitCause::Signalled { signal, .. } => {
            u8::try_from(*signal).map_or(u8::MAX, |signal| SIGNAL.saturating_add(signal))
        }
        ExitCause::TimedOut { .. } => TIMED_OUT,
        ExitCause::Killed | ExitCause::Limit { .. } => KILLED,
        ExitCause::PlaneFault { error } => of_error(error.code),
        _ => REFUSED,
    }
}

/// The exit code for a run that did not start.
pub(crate) fn of_error(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::ProgramNotFound | ErrorCode::ExecProgramMissing => NOT_FOUND,
        ErrorCode::ProgramNotExecutable | ErrorCode::ExecProgramNotExecutable => NOT_EXECUTABLE,
        _ => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::limits::LimitName;

    #[test]
    fn each_cause_has_its_code() {
        let limit = ExitCause::Limit { limit: LimitName::Memory, value: 1, observed: 2, held_by: "x".to_owned() };
        let table = [
            (ExitCause::Exited { code: 0 }, 0),
            (ExitCause::Exited { code: 3 }, 3),
            (ExitCause::Signalled { signal: 15, core_dumped: false }, 143),
            (ExitCause::TimedOut { limit_ms: 1 }, 124),
            (ExitCause::Killed, 137),
            (limit, 137),
        ];
        for (cause, code) in table {
            assert_eq!(of_cause(&cause), code, "{cause:?}");
        }
    }

    #[test]
    fn a_run_that_did_not_start_tells_why() {
        assert_eq!(of_error(ErrorCode::ProgramNotFound), 127);
        assert_eq!(of_error(ErrorCode::ProgramNotExecutable), 126);
        assert_eq!(of_error(ErrorCode::DeniedByPolicy), 125);
        assert_eq!(of_error(ErrorCode::PolicyInvalid), 125);
    }
}
