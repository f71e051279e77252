//! Row X2: between the check of a program and its execution its path may lead elsewhere; what was checked runs, or nothing.

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_kernel::Vm;
use cofferdam_tests::one_shot::{PLANES, PlaneKind, Programs, block_on};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long each race is run.
const TIME: Duration = Duration::from_secs(2);

/// What came of the runs of one race.
#[derive(Debug, Default)]
struct Came {
    fine: usize,
    refused: usize,
    evil: usize,
}

/// Runs `act` again and again while two names are exchanged, until `enough`, or the time is over.
fn race(one: &Path, other: &Path, act: impl Fn() -> Result<String, ErrorCode>, enough: impl Fn(&Came) -> bool) -> Came {
    let over = AtomicBool::new(false);
    let mut came = Came::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        // Also where this one panics, since the scope waits for the other.
        let _stopped = Stop(&over);
        let end = Instant::now() + TIME;
        while Instant::now() < end && !enough(&came) {
            match act() {
                Ok(text) if text.contains("evil") => came.evil += 1,
                Ok(_) => came.fine += 1,
                // Nothing ran: the name led outside when it was looked at, or elsewhere at the second look.
                Err(ErrorCode::ExecProgramNotAllowed | ErrorCode::ExecProgramMissing | ErrorCode::DeniedByPolicy) => {
                    came.refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    });
    came
}

/// Ends a race when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a race needs: a program that may run and, under the name that is exchanged with it, a link to one that may not.
fn prepared(text: impl Fn(&str) -> String) -> Programs {
    let programs = Programs::default();
    programs.program("bin/program", &text("fine"));
    programs.program("outside/evil", &text("evil"));
    symlink("../outside/evil", programs.path("bin/other")).unwrap();
    programs
}

fn held(vm: &Vm, path: &str) -> Result<String, ErrorCode> {
    let answer = block_on(vm.exec(RunProgram::new(path)));
    answer.map(|value| value.to_string()).map_err(|error| error.code)
}

fn by_path(vm: &Vm, path: &str) -> Result<String, ErrorCode> {
    let output = block_on(vm.command(path).output()).map_err(|error| error.code())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program of one file each, without `#!`: copies of a real one, of which one is given another answer.
fn script(word: &str) -> String {
    format!("#!/bin/sh\necho '\"{word}\"'\n")
}

#[test]
fn x2_a_name_that_is_exchanged_while_it_is_started_never_runs_what_is_not_allowed() {
    let programs = prepared(script);
    let (one, other) = (programs.path("bin/program"), programs.path("bin/other"));
    for plane in PLANES {
        let (vm, path) = (programs.vm(plane), programs.text("bin/program"));
        if plane == PlaneKind::Host {
            // The attack is one: a program that is looked up again is another by then.
            let came = race(&one, &other, || by_path(&vm, &path), |came| came.evil > 0);
            assert!(came.evil > 0, "the race was not run: {came:?}");
        }
        let came = race(&one, &other, || held(&vm, &path), |_| false);
        assert_eq!(came.evil, 0, "{plane:?}: {came:?}");
        assert!(came.fine > 0 && came.refused > 0, "{plane:?}: the race was not run: {came:?}");
    }
}

#[test]
fn x2_the_interpreter_of_a_script_is_held_as_the_program_is() {
    // The interpreter is exchanged, the script stays: cat prints the script's own text, evil prints another.
    let programs = Programs::default();
    std::fs::copy("/bin/cat", programs.path("bin/interpreter")).unwrap();
    programs.program("outside/evil", &script("evil"));
    symlink("../outside/evil", programs.path("bin/other")).unwrap();
    let path = programs.program("bin/script", &format!("#!{}\n", programs.text("bin/interpreter")));
    let (one, other) = (programs.path("bin/interpreter"), programs.path("bin/other"));
    for plane in PLANES {
        let vm = programs.vm(plane);
        let run = || match held(&vm, &path) {
            // It has run: what it prints begins with `#!`, which is no JSON.
            Err(ErrorCode::ExecStdoutInvalidJson) => Ok(json!("fine").to_string()),
            other => other,
        };
        let came = race(&one, &other, run, |_| false);
        assert_eq!(came.evil, 0, "{plane:?}: {came:?}");
        assert!(came.fine > 0 && came.refused > 0, "{plane:?}: the race was not run: {came:?}");
    }
}
