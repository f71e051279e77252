//! Output is bounded, both streams are drained together, and a limit acts at once.

use crate::host::{Host, LONG, alive, profile};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use std::time::Instant;

const MEBIBYTE: usize = 1 << 20;

#[test]
fn c4_a_flood_of_errors_ends_the_run_though_standard_output_is_quiet() {
    let host = Host::new(profile());
    let begun = Instant::now();
    let mut run = host.shell("echo $$; sleep 1000 & exec cat /dev/zero >&2");
    let pid = run.line();
    let report = run.end();
    let ExitCause::Limit { limit: LimitName::Stderr, value, observed, .. } = report.cause else {
        panic!("{:?}", report.cause)
    };
    assert_eq!(report.cause.code(), Some(ErrorCode::OutputLimitExceeded));
    assert_eq!(value, 8 << 20);
    assert!(observed > value);
    assert_eq!(run.stderr.len(), 8 * MEBIBYTE, "what lies within the limit is handed over");
    assert!(!alive(&pid));
    assert!(begun.elapsed() < LONG);
}

#[test]
fn c4_a_flood_of_output_ends_the_run_though_standard_error_is_quiet() {
    let mut profile = profile();
    profile.limits.stdout_bytes = Some(1000);
    let host = Host::new(profile);
    let mut run = host.shell("exec cat /dev/zero");
    let report = run.end();
    assert!(matches!(report.cause, ExitCause::Limit { limit: LimitName::Stdout, value: 1000, .. }));
    assert_eq!(run.stdout.len(), 1000);
}

#[test]
fn c4_a_program_that_fills_one_stream_and_then_the_other_is_never_stuck() {
    let host = Host::new(profile());
    let mut run = host.shell("head -c 4194304 /dev/zero >&2; head -c 4194304 /dev/zero; head -c 4194304 /dev/zero >&2");
    assert!(run.end().cause.success());
    assert_eq!((run.stdout.len(), run.stderr.len()), (4 * MEBIBYTE, 8 * MEBIBYTE));
}
