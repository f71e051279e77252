//! Limits: each that is claimed strikes, says its figure, and leaves alone what stays below.

use super::check::{Found, Group, Suite, ensure};
use super::stage::{Ended, Stage};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::{LimitName, Limits};

const GROUP: Group = Group::Limits;

/// A limit, how it is set, a line that goes past it, and one that does not.
struct Row {
    name: LimitName,
    text: &'static str,
    value: u64,
    set: fn(&mut Limits, u64),
    past: &'static str,
    below: &'static str,
}

const MEBIBYTE: u64 = 1 << 20;

const ROWS: [Row; 6] = [
    Row {
        name: LimitName::Cpu,
        text: "cpu",
        value: 400,
        set: |limits, value| limits.cpu_ms = Some(value),
        past: "while :; do :; done",
        below: "sleep 1",
    },
    Row {
        name: LimitName::Memory,
        text: "memory",
        value: 64 * MEBIBYTE,
        set: |limits, value| limits.memory_bytes = Some(value),
        // Half as much again: with far more the program would end by itself where each process is bounded, too, before anybody looks.
        past: "head -c 110000000 /dev/zero | tail -c 100000000 | { sleep 5; wc -c; }",
        below: "head -c 3000000 /dev/zero | tail -c 2000000 | wc -c",
    },
    Row {
        name: LimitName::Processes,
        text: "processes",
        value: 8,
        set: |limits, value| limits.processes = Some(value),
        past: "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 3 & done; wait",
        below: "sleep 0.2 & sleep 0.2 & wait",
    },
    Row {
        name: LimitName::Stdout,
        text: "stdout",
        value: 10_000,
        set: |limits, value| limits.stdout_bytes = Some(value),
        past: "head -c 50000 /dev/zero; sleep 5",
        below: "head -c 10000 /dev/zero",
    },
    Row {
        name: LimitName::Stderr,
        text: "stderr",
        value: 10_000,
        set: |limits, value| limits.stderr_bytes = Some(value),
        past: "head -c 50000 /dev/zero >&2; sleep 5",
        below: "head -c 10000 /dev/zero >&2",
    },
    Row {
        name: LimitName::Wall,
        text: "wall",
        value: 700,
        set: |limits, value| limits.wall_ms = Some(value),
        past: "sleep 1000",
        below: "true",
    },
];

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    for row in &ROWS {
        let title = "a limit that is claimed strikes";
        if !stage.descriptor.limits.contains(&row.name) {
            suite.skip(GROUP, row.text, title, "the plane does not claim this limit");
            continue;
        }
        let run = |line: &str| -> Result<Ended, String> {
            let mut profile = stage.profile();
            (row.set)(&mut profile.limits, row.value);
            stage.shell_under(profile, line)
        };
        suite.check(GROUP, format!("{}_strikes", row.text), title, || {
            let cause = run(row.past)?.report.cause;
            struck(row, &cause)
        });
        suite.check(GROUP, format!("{}_below", row.text), "what stays below it ends by itself", || {
            run(row.below)?.exited(0)
        });
        suite.check(GROUP, format!("{}_without", row.text), "without a limit nothing strikes", || {
            stage.shell(row.below)?.exited(0)
        });
    }
    captured(suite, stage);
    files(suite, stage);
}

fn struck(row: &Row, cause: &ExitCause) -> Found {
    match cause {
        ExitCause::TimedOut { limit_ms } if row.name == LimitName::Wall => {
            ensure!(*limit_ms == row.value, "it tells {limit_ms} ms");
            Ok(())
        }
        ExitCause::Limit { limit, value, held_by, .. } if *limit == row.name => {
            ensure!(*value == row.value, "it tells the value {value}");
            ensure!(!held_by.is_empty(), "it does not tell what held it");
            Ok(())
        }
        other => Err(format!("the cause is {other:?}")),
    }
}

/// Where output is cut, all of it up to the limit has arrived and nothing of it beyond.
fn captured(suite: &mut Suite, stage: &Stage) {
    for (name, text, redirect) in [(LimitName::Stdout, "stdout", ""), (LimitName::Stderr, "stderr", " >&2")] {
        let title = "of output past its limit, as much as the limit is handed over";
        if !stage.descriptor.limits.contains(&name) {
            suite.skip(GROUP, format!("{text}_cut"), title, "the plane does not claim this limit");
            continue;
        }
        suite.check(GROUP, format!("{text}_cut"), title, || {
            let mut profile = stage.profile();
            (profile.limits.stdout_bytes, profile.limits.stderr_bytes) = (Some(5000), Some(5000));
            let ended = stage.shell_under(profile, &format!("head -c 9000 /dev/zero{redirect}; sleep 5"))?;
            let bytes = ended.stdout.len() + ended.stderr.len();
            ensure!(bytes == 5000, "{bytes} bytes were");
            Ok(())
        });
    }
}

/// Limits of each process by itself, which the kernel of the machine tells a shell.
fn files(suite: &mut Suite, stage: &Stage) {
    let title = "no process has more descriptors than the limit";
    if stage.descriptor.limits.contains(&LimitName::OpenFiles) {
        suite.check(GROUP, "open_files", title, || {
            let mut profile = stage.profile();
            profile.limits.open_files = Some(40);
            let text = stage.shell_under(profile, "ulimit -n")?.text();
            let told = text.trim().parse::<u64>();
            ensure!(told.is_ok_and(|most| most <= 40), "it may have {text:?}");
            Ok(())
        });
    } else {
        suite.skip(GROUP, "open_files", title, "the plane does not claim this limit");
    }
    let title = "no file grows past the limit on disk";
    if stage.descriptor.limits.contains(&LimitName::Disk) {
        suite.check(GROUP, "disk", title, || {
            let mut profile = stage.profile();
            profile.limits.disk_bytes = Some(MEBIBYTE);
            let cause = stage.shell_under(profile, "head -c 9000000 /dev/zero > large || exit 9")?.report.cause;
            let size = std::fs::metadata(stage.work().join("large")).map_or(0, |metadata| metadata.len());
            let _ = std::fs::remove_file(stage.work().join("large"));
            ensure!(!cause.success() && size <= 2 * MEBIBYTE, "{size} bytes lie there, and the cause is {cause:?}");
            Ok(())
        });
    } else {
        suite.skip(GROUP, "disk", title, "the plane does not claim this limit");
    }
}
