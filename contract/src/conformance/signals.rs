//! Signals: each arrives where it should, and kill ends everything.

use super::check::{Group, Suite, ensure};
use super::execution::still;
use super::stage::{LONG, Running, Stage, told};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::execution::ExecutionSignal;
use cofferdam_bridge::exit_cause::ExitCause;
use std::fs;
use std::time::{Duration, Instant};

const GROUP: Group = Group::Signals;

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    let start = |line: &str| -> Result<Running<'_>, String> {
        let run = stage.start(stage.request(line)).map_err(|error| told(&error))?;
        run.says("up")?;
        Ok(run)
    };
    kill(suite, stage, &start);
    if !stage.has(Feature::Signals) {
        return suite.skip(GROUP, "signals", "signals arrive", "the plane does not claim `signals`");
    }
    for (name, signal) in [
        ("TERM", ExecutionSignal::Terminate),
        ("INT", ExecutionSignal::Interrupt),
        ("HUP", ExecutionSignal::Hangup),
        ("QUIT", ExecutionSignal::Quit),
        ("USR1", ExecutionSignal::User1),
        ("USR2", ExecutionSignal::User2),
    ] {
        suite.check(GROUP, format!("arrives_{name}"), "a signal arrives as itself", || {
            let run = start(&format!("trap 'echo got {name}; exit 7' {name}; echo up; while :; do sleep 0.05; done"))?;
            run.signal(signal)?;
            let ended = run.finish()?;
            ensure!(ended.text().contains(&format!("got {name}")), "the program did not hear it");
            ended.exited(7)
        });
    }
    suite.check(GROUP, "terminates", "a program that does not handle it is ended by it", || {
        let run = start("echo up; exec sleep 1000")?;
        run.signal(ExecutionSignal::Terminate)?;
        let cause = run.finish()?.report.cause;
        ensure!(matches!(cause, ExitCause::Signalled { signal: 15, .. }), "the cause is {cause:?}");
        Ok(())
    });
    suite.check(GROUP, "stop_and_continue", "a program stops and goes on", || {
        let run = start("echo up; while :; do echo beat >> stopping; sleep 0.02; done")?;
        run.signal(ExecutionSignal::Stop)?;
        let size = || fs::metadata(stage.work().join("stopping")).map_or(0, |metadata| metadata.len());
        let settled = || {
            let before = size();
            std::thread::sleep(Duration::from_millis(250));
            size() == before
        };
        let end = Instant::now() + LONG;
        while !settled() {
            ensure!(Instant::now() < end, "it goes on after a stop");
        }
        run.signal(ExecutionSignal::Continue)?;
        let before = size();
        while size() == before {
            ensure!(Instant::now() < end, "it does not go on");
            std::thread::sleep(Duration::from_millis(10));
        }
        run.signal(ExecutionSignal::Kill)?;
        run.finish().map(|_| ())
    });
    suite.check(GROUP, "kill_stopped", "what is stopped can be killed", || {
        let run = start("echo up; while :; do sleep 0.05; done")?;
        run.signal(ExecutionSignal::Stop)?;
        run.signal(ExecutionSignal::Kill)?;
        let cause = run.finish()?.report.cause;
        ensure!(cause == ExitCause::Killed, "the cause is {cause:?}");
        Ok(())
    });
    suite.check(GROUP, "after_the_end", "a signal to what has ended is no error", || {
        let run = start("echo up")?;
        run.finish()?;
        run.signal(ExecutionSignal::Terminate)
    });
    suite.check(GROUP, "of_one_only", "a signal to one execution does not reach another", || {
        let (one, other) = (start("echo up; exec sleep 1000")?, start("echo up; sleep 0.4; exit 5")?);
        one.signal(ExecutionSignal::Terminate)?;
        one.finish()?;
        other.finish()?.exited(5)
    });
}

fn kill<'a>(suite: &mut Suite, stage: &'a Stage, start: &impl Fn(&str) -> Result<Running<'a>, String>) {
    if !stage.has(Feature::Commands) {
        return suite.skip(GROUP, "kill", "what runs can be killed", "the plane does not claim `commands`");
    }
    suite.check(GROUP, "kill", "kill ends a program, and the cause says who did", || {
        let run = start("echo up; sleep 1000")?;
        run.signal(ExecutionSignal::Kill)?;
        let cause = run.finish()?.report.cause;
        ensure!(cause == ExitCause::Killed, "the cause is {cause:?}");
        Ok(())
    });
    suite.check(GROUP, "kill_deaf", "kill ends a program that hears no other signal", || {
        let run = start("trap '' TERM INT HUP QUIT; echo up; while :; do sleep 0.05; done")?;
        run.signal(ExecutionSignal::Kill)?;
        run.finish().map(|_| ())
    });
    suite.check(GROUP, "kill_all", "kill ends everything that the program started", || {
        let run = start("(while :; do echo beat >> killed; sleep 0.02; done) & echo up; sleep 0.2; wait")?;
        let end = Instant::now() + LONG;
        // It is there before anything is in it.
        while !fs::metadata(stage.work().join("killed")).is_ok_and(|metadata| metadata.len() > 0) {
            ensure!(Instant::now() < end, "it never began");
            std::thread::sleep(Duration::from_millis(10));
        }
        run.signal(ExecutionSignal::Kill)?;
        run.finish()?;
        still(stage, "killed")
    });
    suite.check(GROUP, "kill_twice", "killing twice is no error", || {
        let run = start("echo up; sleep 1000")?;
        run.signal(ExecutionSignal::Kill)?;
        run.signal(ExecutionSignal::Kill)?;
        run.finish().map(|_| ())
    });
    suite.check(GROUP, "kill_flood", "a program that prints without end can be killed", || {
        let run = start("echo up; while :; do echo 0123456789012345678901234567890123456789; sleep 0.001; done")?;
        run.signal(ExecutionSignal::Kill)?;
        let cause = run.finish()?.report.cause;
        ensure!(cause == ExitCause::Killed, "the cause is {cause:?}");
        Ok(())
    });
}
