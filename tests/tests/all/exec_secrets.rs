//! Row X10: what goes into a program and what comes out of it stands in no error, no log and no event, whichever way it fails.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_tests::command::{cofferdam, text};
use cofferdam_tests::one_shot::{PLANES, PlaneKind, Programs};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Stands in input, arguments, environment and output of each program.
const SECRET: &str = "hunter2-planted-secret";

/// A request whose every part holds the secret, for a shell line that prints it on both streams.
fn request(line: &str) -> Value {
    json!({
        "kind": "run_program_v1",
        "program_path": "/bin/sh",
        "argv": ["-c", format!("echo {SECRET}; echo \"$SECRET\" >&2; {line}"), SECRET],
        "stdin_json": { "secret": SECRET },
        "env": { "SECRET": SECRET },
    })
}

fn with(mut request: Value, name: &str, value: impl Into<Value>) -> Value {
    request[name] = value.into();
    request
}

/// A way to fail: the code it must come to, and the request.
fn ways(programs: &Programs) -> Vec<(ErrorCode, Value)> {
    let of = |name: &str| with(request(""), "program_path", programs.text(name));
    let mut unknown = request("");
    unknown[SECRET] = json!(SECRET);
    vec![
        (ErrorCode::ExecRequestInvalid, with(request(""), "kind", SECRET)),
        (ErrorCode::ExecRequestInvalid, with(request(""), "argv", json!([{ "a": SECRET }]))),
        (ErrorCode::ExecRequestInvalid, with(request(""), "env", json!({ "A": [SECRET] }))),
        (ErrorCode::ExecRequestInvalid, with(request(""), "timeout_ms", SECRET)),
        (ErrorCode::ExecRequestInvalid, with(request(""), "output_wait_ms", SECRET)),
        (ErrorCode::ExecRequestInvalid, unknown),
        (ErrorCode::ExecProgramMissing, of("bin/missing")),
        (ErrorCode::ExecProgramNotExecutable, of("bin/plain")),
        (ErrorCode::ExecProgramNotAllowed, of("outside")),
        (ErrorCode::ExecStdinTooLarge, with(request(""), "stdin_json", SECRET.repeat(60_000))),
        (ErrorCode::ExecSpawnFailed, with(request(""), "argv", json!([SECRET.repeat(9_000)]))),
        (ErrorCode::ExecStdoutTooLarge, request("yes $SECRET")),
        (ErrorCode::ExecStderrTooLarge, request("exec >&2; yes $SECRET")),
        (ErrorCode::ExecTimeout, with(request("sleep 100"), "timeout_ms", 200)),
        (
            ErrorCode::ExecTimeout,
            with(with(request("sleep 100 & exit 0"), "output_wait_ms", 60_000), "timeout_ms", 200),
        ),
        (ErrorCode::ExecFailed, with(request("sleep 100 & exit 3"), "output_wait_ms", 50)),
        (ErrorCode::ExecFailed, request("exit 3")),
        (ErrorCode::ExecFailed, request("kill -9 $$")),
        (ErrorCode::ExecFailed, with(request("exec <&-; exit 4"), "stdin_json", SECRET.repeat(40_000))),
        (ErrorCode::ExecStdoutInvalidJson, request("exit 0")),
        (ErrorCode::ExecStdoutInvalidJson, request("printf '\\377'")),
    ]
}

fn programs() -> Programs {
    let programs = Programs::default();
    std::fs::write(programs.path("bin/plain"), SECRET).unwrap();
    std::fs::write(programs.path("outside"), SECRET).unwrap();
    programs
}

#[track_caller]
fn assert_silent(what: &str, text: &str) {
    // Half of it would be too much, too.
    for part in [SECRET, "hunter2", "planted"] {
        assert!(!text.contains(part), "{what} tells the secret: {text}");
    }
}

#[test]
fn x10_no_error_of_the_library_holds_what_went_in_or_came_out() {
    let programs = programs();
    for plane in PLANES {
        let mut met = BTreeSet::new();
        for (code, request) in ways(&programs) {
            let error = failed(&programs, plane, request);
            assert_eq!(error.code, code, "{plane:?}: {error:?}");
            met.insert(error.code);
            assert_silent("the error", &serde_json::to_string(&error).unwrap());
            assert_silent("its debug text", &format!("{error:?} {error}"));
        }
        // The twelfth, a write that fails otherwise than by a reader that is gone, no real pipe can be brought to: `kernel/tests/exec.rs`.
        assert_eq!(met.len(), 11, "{plane:?}: {met:?}");
    }
}

fn failed(programs: &Programs, plane: PlaneKind, request: Value) -> BridgeError {
    let read = match RunProgram::from_value(request) {
        Ok(request) => {
            assert_silent("the request's debug text", &format!("{request:?}"));
            programs.exec(plane, request)
        }
        Err(error) => Err(error),
    };
    read.unwrap_err()
}

#[test]
fn x10_nothing_that_the_command_prints_or_leaves_on_disk_holds_it() {
    let programs = programs();
    let (policy, state) = (programs.path("policy.toml"), programs.path("state"));
    std::fs::write(&policy, programs.policy()).unwrap();
    std::fs::create_dir(&state).unwrap();
    let file = std::env::temp_dir().join(format!("cofferdam-exec-request-{}", std::process::id()));
    for plane in ["linux", "host"] {
        let texts = ways(&programs).into_iter().map(|(code, request)| (code, request.to_string()));
        let broken = (ErrorCode::ExecRequestInvalid, format!("{{\"kind\": {SECRET}"));
        for (code, text_of_request) in texts.chain([broken]) {
            std::fs::write(&file, text_of_request).unwrap();
            let mut command = cofferdam();
            command.args(["exec", "--plane", plane, "--policy"]).arg(&policy).arg("--request").arg(&file);
            command.arg("--workspace").arg(programs.path("")).env("XDG_STATE_HOME", &state).env("SECRET", SECRET);
            let output = command.output().unwrap();
            let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(told.contains(code.as_str()), "{plane} {code}: {told}");
            assert_silent("the command", &told);
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert_silent_folder(&state);
}

fn assert_silent_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            assert_silent_folder(&entry.path());
        } else {
            assert_silent(&entry.path().display().to_string(), &text(&std::fs::read(entry.path()).unwrap()));
        }
    }
}
