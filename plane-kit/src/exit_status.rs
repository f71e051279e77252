//! A wait status as an exit cause.

use cofferdam_bridge::exit_cause::ExitCause;

/// What the wait status of an ended process (waitpid(2)) says.
pub fn cause_of(status: i32) -> ExitCause {
    if libc::WIFSIGNALED(status) {
        ExitCause::Signalled { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
    } else {
        ExitCause::Exited { code: libc::WEXITSTATUS(status) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_signals_and_core_dumps_are_told_apart() {
        assert_eq!(cause_of(0x0300), ExitCause::Exited { code: 3 });
        assert_eq!(cause_of(9), ExitCause::Signalled { signal: 9, core_dumped: false });
        assert_eq!(cause_of(0x8b), ExitCause::Signalled { signal: 11, core_dumped: true });
    }
}
