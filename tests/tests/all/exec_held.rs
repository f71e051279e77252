//! Row X2 wherever a program is held: without namespaces, under profiles of system calls, by launchers that wait, and in an overlay. Its name is
//! exchanged, again and again, for a link to one that may not run.

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_kernel::Vm;
use cofferdam_tests::command::{cofferdam, cofferdam_without_namespaces};
use cofferdam_tests::one_shot::{PlaneKind, Programs, block_on};
use cofferdam_tests::scratch::Scratch;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long each race is run, at least, and until both ends of it were seen, at most.
const TIME: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);

/// What came of the runs of one race.
#[derive(Debug, Default)]
struct Came {
    fine: usize,
    refused: usize,
}

/// Programs that may run (a script, and a copy of `echo`), and beside each a link to one that may not.
fn prepared(programs: Programs) -> Programs {
    programs.program("bin/script", "#!/bin/sh\necho '\"fine\"'\n");
    std::fs::copy("/bin/echo", programs.path("bin/binary")).unwrap();
    programs.program("outside/evil", "#!/bin/sh\necho '\"evil\"'\n");
    for name in ["bin/script-other", "bin/binary-other"] {
        symlink("../outside/evil", programs.path(name)).unwrap();
    }
    programs
}

/// Ends a race when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the script and the binary, in turn, while their names are exchanged; no answer is ever another program's.
#[track_caller]
fn race(what: &str, programs: &Programs, act: impl Fn(RunProgram) -> Result<Value, ErrorCode>) {
    let over = AtomicBool::new(false);
    let mut came = Came::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let swap = |name: &str| {
                let (one, other) = (programs.path(&format!("bin/{name}")), programs.path(&format!("bin/{name}-other")));
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
            };
            while !over.load(Ordering::Relaxed) {
                swap("script");
                swap("binary");
                // Both are met on one processor, too.
                std::thread::yield_now();
            }
        });
        let _stopped = Stop(&over);
        let begun = Instant::now();
        while begun.elapsed() < TIME || ((came.fine == 0 || came.refused == 0) && begun.elapsed() < MOST) {
            for request in [
                RunProgram::new(programs.text("bin/script")),
                RunProgram::new(programs.text("bin/binary")).arg("\"fine\""),
            ] {
                match act(request) {
                    Ok(answer) => {
                        assert_eq!(answer, json!("fine"), "{what}: what was not checked has run");
                        came.fine += 1;
                    }
                    // Nothing ran: the name led outside when it was looked at, or elsewhere at the second look.
                    Err(ErrorCode::ExecProgramNotAllowed | ErrorCode::ExecProgramMissing) => came.refused += 1,
                    Err(other) => panic!("{what}: {other}"),
                }
            }
        }
    });
    assert!(came.fine > 0 && came.refused > 0, "{what}: the race was not run: {came:?}");
}

fn by(vm: &Vm) -> impl Fn(RunProgram) -> Result<Value, ErrorCode> {
    |request| block_on(vm.exec(request)).map_err(|error| error.code)
}

#[test]
fn x2_what_was_checked_runs_under_profiles_of_system_calls() {
    for calls in ["no-exec", "compute"] {
        let programs = prepared(Programs::with(&format!("calls = \"{calls}\"\n")));
        race(calls, &programs, by(&programs.vm(PlaneKind::Linux)));
    }
}

#[test]
fn x2_what_was_checked_runs_in_launchers_and_under_keepers_that_wait() {
    let programs = prepared(Programs::default());
    for plane in [PlaneKind::Pooled, PlaneKind::Prepared] {
        race(&format!("{plane:?}"), &programs, by(&programs.vm(plane)));
    }
    let programs = prepared(Programs::with("calls = \"no-exec\"\n"));
    race("pooled, no-exec", &programs, by(&programs.vm(PlaneKind::Pooled)));
}

/// By the command, under a policy with what else is wanted of it.
fn by_command<'a>(
    command: impl Fn() -> Command + 'a,
    programs: &'a Programs,
    state: &'a Scratch,
) -> impl Fn(RunProgram) -> Result<Value, ErrorCode> + 'a {
    move |request| {
        let mut command = command();
        command.args(["exec", "--request", "-", "--policy"]).arg(programs.path("policy.toml"));
        command.arg("--workspace").arg(programs.path("")).env("XDG_STATE_HOME", state.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), &request).unwrap();
        let output = child.wait_with_output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        match answer.get("code") {
            Some(code) => Err(serde_json::from_value(code.clone()).unwrap()),
            None => Ok(answer),
        }
    }
}

fn write_policy(programs: &Programs, replaced: &str, by: &str) {
    let policy = programs.policy();
    assert!(policy.contains(replaced));
    std::fs::write(programs.path("policy.toml"), policy.replace(replaced, by)).unwrap();
}

#[test]
fn x2_what_was_checked_runs_without_namespaces() {
    let state = Scratch::new();
    for lines in ["", "calls = \"no-exec\"\n"] {
        let programs = prepared(Programs::with(lines));
        write_policy(&programs, "[filesystem]", "[isolation]\nrequire = \"landlock\"\n[filesystem]");
        race(&format!("landlock {lines}"), &programs, by_command(cofferdam_without_namespaces, &programs, &state));
    }
}

#[test]
fn x2_what_was_checked_runs_in_an_overlay() {
    let state = Scratch::new();
    let programs = prepared(Programs::default());
    // What a program may overwrite it may not run, so what may run is protected.
    let overlay = "write = [\"{workspace}\"]\nprotect = [\"{workspace}/bin\"]\nchanges = \"overlay\"";
    write_policy(&programs, "read = [\"{workspace}\"]", overlay);
    race("overlay", &programs, by_command(cofferdam, &programs, &state));
}
