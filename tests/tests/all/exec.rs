//! Programs as functions: rows X1 to X9, X11 and X12, on every plane that runs programs.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::{ErrorCategory, ErrorCode};
use cofferdam_bridge::exec::RunProgram;
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_tests::command::{cofferdam, text};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::one_shot::{PLANES, PlaneKind, Programs, shell};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A number of seconds that stands in no other command line.
fn mark(number: u32) -> String {
    format!("7{:05}{number:03}", std::process::id() % 100_000)
}

#[track_caller]
fn assert_error(
    plane: PlaneKind,
    got: Result<Value, BridgeError>,
    code: ErrorCode,
    category: ErrorCategory,
) -> BridgeError {
    let Err(error) = got else { panic!("{plane:?}: an answer where there was to be {code:?}") };
    assert_eq!((error.code, error.category), (code, category), "{plane:?}: {error:?}");
    assert!(!error.message.is_empty());
    error
}

/// Nothing with `mark` in its command line is left.
#[track_caller]
fn assert_gone(plane: PlaneKind, mark: &str) {
    assert!(
        within(Duration::from_secs(2), || processes_with(mark).is_empty()),
        "{plane:?}: left {:?}",
        processes_with(mark)
    );
}

#[test]
fn x1_a_request_is_read_strictly_and_says_where_it_is_wrong() {
    let fine = json!({ "kind": "run_program_v1", "program_path": "/bin/x" });
    let read = RunProgram::from_value(fine.clone()).unwrap();
    assert_eq!((read.timeout_ms, read.argv.len(), read.env.len(), read.output_wait_ms), (300_000, 0, 0, 0));
    assert_eq!(read.stdin_json, Value::Null);
    let with = |name: &str, value: Value| {
        let mut request = fine.clone();
        request[name] = value;
        request
    };
    let without = |name: &str| {
        let mut request = fine.clone();
        request.as_object_mut().unwrap().remove(name);
        request
    };
    for (request, pointer) in [
        (json!([]), ""),
        (json!("run_program_v1"), ""),
        (without("kind"), "/kind"),
        (with("kind", json!("run_program_v2")), "/kind"),
        (with("kind", json!(1)), "/kind"),
        (without("program_path"), "/program_path"),
        (with("program_path", json!(null)), "/program_path"),
        (with("program_path", json!("")), "/program_path"),
        (with("program_path", json!("bin/x")), "/program_path"),
        (with("program_path", json!("/bin/x\0")), "/program_path"),
        (with("argv", json!(null)), "/argv"),
        (with("argv", json!("x")), "/argv"),
        (with("argv", json!(["a", 5])), "/argv/1"),
        (with("argv", json!(["a", "b", "\0"])), "/argv/2"),
        (with("env", json!(["A=b"])), "/env"),
        (with("env", json!({ "A": "b", "a/b~c": 5 })), "/env/a~1b~0c"),
        (with("env", json!({ "": "b" })), "/env/"),
        (with("env", json!({ "A=B": "b" })), "/env/A=B"),
        (with("env", json!({ "A": "\0" })), "/env/A"),
        (with("env", json!({ "LD_PRELOAD": "/x.so" })), "/env/LD_PRELOAD"),
        (with("timeout_ms", json!("5")), "/timeout_ms"),
        (with("timeout_ms", json!(null)), "/timeout_ms"),
        (with("timeout_ms", json!(1.5)), "/timeout_ms"),
        (with("timeout_ms", json!(-1)), "/timeout_ms"),
        (with("timeout_ms", json!(0)), "/timeout_ms"),
        (with("timeout", json!(5)), ""),
        (with("output_wait_ms", json!("5")), "/output_wait_ms"),
        (with("output_wait_ms", json!(null)), "/output_wait_ms"),
        (with("output_wait_ms", json!(-1)), "/output_wait_ms"),
    ] {
        let error = RunProgram::from_value(request.clone()).unwrap_err();
        assert_eq!((error.code, error.category), (ErrorCode::ExecRequestInvalid, ErrorCategory::ParsingInput));
        assert_eq!(error.details["pointer"], pointer, "{request}");
    }
    assert_eq!(RunProgram::from_json(b"{\"kind\": tru}").unwrap_err().details["byte_offset"], 12);
    assert_eq!(RunProgram::from_json(&vec![b' '; 9 << 20]).unwrap_err().code, ErrorCode::ExecRequestInvalid);
}

#[test]
fn x1_the_command_answers_json_and_tells_failures_by_its_exit_code() {
    for plane in ["linux", "host"] {
        for (request, code, expected) in [
            (
                r#"{"kind": "run_program_v1", "program_path": "/bin/cat", "stdin_json": {"a": [1]}}"#,
                0,
                json!({ "a": [1] }),
            ),
            (r#"{"kind": "run_program_v1", "program_path": "/bin/false"}"#, 1, json!("exec_failed")),
            (
                r#"{"kind": "run_program_v1", "program_path": "/bin/no-such-program"}"#,
                127,
                json!("exec_program_missing"),
            ),
            (r#"{"kind": "run_program_v1"}"#, 125, json!("exec_request_invalid")),
            ("{", 125, json!("exec_request_invalid")),
        ] {
            let mut command = cofferdam();
            command.args(["exec", "--plane", plane, "--request", "-"]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(code), "{plane} {request}: {answer}");
            assert_eq!(if code == 0 { &answer } else { &answer["code"] }, &expected, "{plane} {request}");
            assert_eq!(text(&output.stderr), "", "nobody sits at a terminal");
        }
    }
}

#[test]
fn x2_missing_not_executable_and_not_allowed_are_told_apart() {
    let programs = Programs::default();
    std::fs::write(programs.path("bin/plain"), "no program").unwrap();
    std::fs::create_dir(programs.path("binx")).unwrap();
    programs.program("binx/beside", "#!/bin/sh\necho 1\n");
    for plane in PLANES {
        let code = |path: &str| programs.exec(plane, RunProgram::new(programs.text(path)));
        let missing = assert_error(plane, code("bin/missing"), ErrorCode::ExecProgramMissing, ErrorCategory::Guest);
        assert_eq!(missing.details["program_path"], programs.text("bin/missing"));
        for path in ["bin/plain", "bin"] {
            assert_error(plane, code(path), ErrorCode::ExecProgramNotExecutable, ErrorCategory::Guest);
        }
        // By components: what only begins like a prefix does not lie beneath it.
        for path in ["binx/beside", "binx/missing", "bin/../binx/beside"] {
            assert_error(plane, code(path), ErrorCode::ExecProgramNotAllowed, ErrorCategory::Refused);
        }
    }
}

#[test]
fn x2_no_answer_tells_whether_a_file_outside_the_prefixes_is_there() {
    let programs = Programs::default();
    programs.program("outside/there", "#!/bin/sh\necho 1\n");
    for (link, target) in [("to-there", "../outside/there"), ("to-missing", "../outside/missing")] {
        symlink(target, programs.path("bin").join(link)).unwrap();
    }
    programs.program("bin/by-there", &format!("#!{}\n", programs.text("outside/there")));
    programs.program("bin/by-missing", &format!("#!{}\n", programs.text("outside/missing")));
    programs.program("bin/by-link-there", &format!("#!{}\n", programs.text("bin/to-there")));
    programs.program("bin/by-link-missing", &format!("#!{}\n", programs.text("bin/to-missing")));
    for plane in PLANES {
        for (there, missing) in [
            ("outside/there", "outside/missing"),
            ("bin/to-there", "bin/to-missing"),
            ("bin/../outside/there", "bin/../outside/missing"),
            ("bin/by-there", "bin/by-missing"),
            ("bin/by-link-there", "bin/by-link-missing"),
        ] {
            let told = |name: &str| {
                let path = programs.text(name);
                let got = programs.exec(plane, RunProgram::new(path.as_str()));
                let error = assert_error(plane, got, ErrorCode::ExecProgramNotAllowed, ErrorCategory::Refused);
                serde_json::to_string(&error).unwrap().replace(&path, "PATH")
            };
            assert_eq!(told(there), told(missing), "{plane:?}");
            assert!(!told(there).contains("outside"), "where a link leads is the host's own affair: {}", told(there));
        }
    }
}

#[test]
fn x2_scripts_run_by_interpreters_that_may_run_themselves() {
    let programs = Programs::default();
    let script = programs.program("bin/script", "#!/bin/sh -e\necho \"[\\\"$1\\\", \\\"$(cat)\\\"]\"\n");
    // The interpreter is a script itself, as execve(2) allows it.
    let nested = programs.program("bin/nested", &format!("#!{script}\n"));
    symlink("script", programs.path("bin/link")).unwrap();
    for plane in PLANES {
        for path in [&script, &programs.text("bin/link")] {
            let got = programs.exec(plane, RunProgram::new(path.as_str()).arg("an argument").stdin_json(json!(5)));
            assert_eq!(got.unwrap(), json!(["an argument", "5"]), "{plane:?}");
        }
        let got = programs.exec(plane, RunProgram::new(nested.as_str())).unwrap();
        assert!(got[0].as_str().unwrap().starts_with("/dev/fd/"), "{got}");
        let env = programs.program("bin/by-env", "#!/usr/bin/env cat\n\"itself\"\n");
        assert_eq!(programs.exec(plane, RunProgram::new(env)).unwrap_err().code, ErrorCode::ExecStdoutInvalidJson);
    }
}

#[test]
fn x2_a_prefix_that_names_no_place_is_refused_when_the_policy_is_loaded() {
    for prefix in ["", "bin", "./bin", "../bin"] {
        let text = format!("version = 1\n[commands]\nallow = [\"{prefix}\"]\n");
        let compiled = Policy::parse(&text, "test", &NoFiles)
            .and_then(|policy| policy.compile(&Default::default(), &Default::default()).map(drop));
        assert_eq!(compiled.unwrap_err().code, ErrorCode::PolicyInvalid, "`{prefix}`");
    }
    let text = Policy::builtin_text("strict").unwrap();
    assert!(text.contains("\"/nix/store\""), "programs of the Nix store may be run by default");
}

#[test]
fn x3_standard_input_is_the_json_text_up_to_a_mebibyte() {
    let programs = Programs::default();
    // A string with its two quotes.
    let of = |bytes: usize| Value::from("x".repeat(bytes - 2));
    for plane in PLANES {
        let vm = programs.vm(plane);
        let request = || shell("wc -c");
        let count = |value| cofferdam_tests::one_shot::block_on(vm.exec(request().stdin_json(value)));
        assert_eq!(count(Value::Null).unwrap(), json!(4));
        assert_eq!(count(of(1 << 20)).unwrap(), json!(MIB), "{plane:?}");
        let error = assert_error(plane, count(of((1 << 20) + 1)), ErrorCode::ExecStdinTooLarge, ErrorCategory::Limit);
        assert_eq!((&error.details["limit_bytes"], &error.details["bytes"]), (&json!(MIB), &json!(MIB + 1)));
    }
    let tight = Programs::with("[limits]\nstdin = \"10B\"\n");
    let error = tight.exec(PlaneKind::Host, shell("cat").stdin_json(json!("0123456789"))).unwrap_err();
    assert_eq!(error.details["limit_bytes"], 10, "the policy may allow less");
}

#[test]
fn x4_output_past_its_limit_ends_the_program() {
    let programs = Programs::default();
    for (at, plane) in PLANES.into_iter().enumerate() {
        for (number, redirect, code) in
            [(1, "", ErrorCode::ExecStdoutTooLarge), (2, " >&2", ErrorCode::ExecStderrTooLarge)]
        {
            let mark = mark(u32::try_from(at).unwrap() * 10 + number);
            // The other stream is quiet, and the program has no mind to end.
            let line = format!("head -c 1200000 /dev/zero{redirect}; setsid sleep {mark} & sleep {mark}");
            let error = assert_error(plane, programs.exec(plane, shell(&line)), code, ErrorCategory::Limit);
            assert_eq!(error.details["limit_bytes"], MIB);
            let seen = error.details["seen_bytes"].as_u64().unwrap();
            assert!((MIB + 1..=1_200_000).contains(&seen), "{seen}");
            assert_gone(plane, &mark);
        }
        let line = "printf '\"'; head -c 1048574 /dev/zero | tr '\\0' x; printf '\"'; head -c 1048576 /dev/zero >&2";
        let whole = programs.exec(plane, shell(line)).unwrap();
        assert_eq!(whole.as_str().unwrap().len(), 1_048_574, "what is just within both limits is answered");
    }
    let tight = Programs::with("[limits]\nstdout = \"10B\"\n");
    for plane in PLANES {
        let error = tight.exec(plane, shell("echo 01234567890")).unwrap_err();
        assert_eq!(
            (error.code, &error.details["limit_bytes"]),
            (ErrorCode::ExecStdoutTooLarge, &json!(10)),
            "{plane:?}"
        );
    }
}

#[test]
fn x5_past_its_time_it_ends_with_all_that_it_started_and_the_policy_sets_the_most() {
    let programs = Programs::default();
    let tight = Programs::with("[limits]\nwall = \"300ms\"\n");
    for (at, plane) in PLANES.into_iter().enumerate() {
        let mark = mark(100 + u32::try_from(at).unwrap());
        let line = format!("trap '' TERM; setsid sleep {mark} & while :; do sleep {mark}; done");
        let got = programs.exec(plane, shell(&line).timeout_ms(200));
        let error = assert_error(plane, got, ErrorCode::ExecTimeout, ErrorCategory::Limit);
        assert_eq!(error.details["timeout_ms"], 200);
        assert_gone(plane, &mark);
        let got = tight.exec(plane, shell(&line).timeout_ms(60_000));
        let error = assert_error(plane, got, ErrorCode::ExecTimeout, ErrorCategory::Limit);
        assert_eq!((&error.details["timeout_ms"], &error.details["asked_ms"]), (&json!(300), &json!(60_000)));
        assert!(error.message.contains("policy"), "{error}");
        assert_gone(plane, &mark);
    }
}

#[test]
fn x6_a_start_that_fails_names_the_error_number() {
    let programs = Programs::default();
    for plane in PLANES {
        // execve(2): a single text may have 128 KiB.
        let got = programs.exec(plane, shell("echo 1").arg("x".repeat(200_000)));
        let error = assert_error(plane, got, ErrorCode::ExecSpawnFailed, ErrorCategory::Host);
        assert_eq!((&error.details["errno"], &error.details["errno_name"]), (&json!(7), &json!("E2BIG")), "{plane:?}");
        assert!(error.message.contains("E2BIG"), "{error}");
    }
}

#[test]
fn x7_a_program_that_does_not_read_its_input_is_no_error_unless_it_fails() {
    let programs = Programs::default();
    let large = json!("x".repeat(1_000_000));
    for plane in PLANES {
        for line in ["exec <&-; echo 1", "echo 1", "head -c 10 >/dev/null; echo 1"] {
            let got = programs.exec(plane, shell(line).stdin_json(large.clone()));
            assert_eq!(got.unwrap(), json!(1), "{plane:?} {line}");
        }
        let got = programs.exec(plane, shell("exec <&-; exit 3").stdin_json(large.clone()));
        let error = assert_error(plane, got, ErrorCode::ExecFailed, ErrorCategory::Guest);
        assert_eq!(error.details["exit_code"], 3);
    }
}

#[test]
fn x8_a_failure_tells_exit_code_signal_and_limit() {
    let programs = Programs::default();
    let cpu = Programs::with("[limits]\ncpu = \"300ms\"\n");
    for plane in PLANES {
        let failed = |line: &str| {
            assert_error(plane, programs.exec(plane, shell(line)), ErrorCode::ExecFailed, ErrorCategory::Guest).details
        };
        let details = failed("echo 1; exit 7");
        assert_eq!((&details["exit_code"], &details["signal"]), (&json!(7), &Value::Null), "{plane:?}");
        assert_eq!(details["program_path"], "/bin/sh");
        let details = failed("echo 1; kill -TERM $$");
        assert_eq!((&details["exit_code"], &details["signal"]), (&Value::Null, &json!(15)), "{plane:?}");
        assert_eq!(details["core_dumped"], false);
        let got = cpu.exec(plane, shell("while :; do :; done"));
        let error = assert_error(plane, got, ErrorCode::ExecFailed, ErrorCategory::Guest);
        assert_eq!((&error.details["limit"], &error.details["value"]), (&json!("cpu"), &json!(300)), "{plane:?}");
    }
}

#[test]
fn x9_output_that_is_no_json_is_told_by_its_place() {
    let programs = Programs::default();
    for plane in PLANES {
        for (line, offset) in [
            ("printf '[1, 2'", 5),
            ("printf '[1, x]'", 4),
            ("printf '1 2'", 2),
            ("printf ''", 0),
            ("printf '\"\\377\"'", 1),
        ] {
            let got = programs.exec(plane, shell(line));
            let error = assert_error(plane, got, ErrorCode::ExecStdoutInvalidJson, ErrorCategory::ParsingInput);
            assert_eq!(error.details["byte_offset"], offset, "{plane:?} {line}");
        }
        assert_eq!(programs.exec(plane, shell("printf ' [1]\\n\\n'")).unwrap(), json!([1]));
    }
}

#[test]
fn x11_the_environment_is_the_policy_s_and_the_request_s_and_nothing_else() {
    let programs = Programs::default();
    let policy = programs.path("policy.toml");
    let set = "[environment]\npass = [\"PASSED\"]\nset = { SET = \"by policy\" }\n";
    std::fs::write(&policy, format!("{}{set}", programs.policy())).unwrap();
    let request = json!({
        "kind": "run_program_v1", "program_path": "/usr/bin/env", "argv": ["-0"], "env": { "ASKED": "by request" },
    });
    for plane in ["linux", "host"] {
        let script =
            programs.program("bin/names", "#!/bin/sh\nprintf '\"'; env | cut -d= -f1 | tr '\\n' ' '; printf '\"'\n");
        let mut request = request.clone();
        request["program_path"] = json!(script);
        request["argv"] = json!([]);
        let file = programs.path("request.json");
        std::fs::write(&file, request.to_string()).unwrap();
        let mut command = cofferdam();
        command.args(["exec", "--plane", plane, "--policy"]).arg(&policy).arg("--request").arg(&file);
        command.arg("--workspace").arg(programs.path(""));
        command.env("AMBIENT", "x").env("PASSED", "y").env("LD_DEBUG_OUTPUT", "/tmp/x").env("PYTHONPATH", "/tmp");
        let output = command.output().unwrap();
        let names = serde_json::from_slice::<Value>(&output.stdout).unwrap();
        let names: Vec<_> = names.as_str().unwrap_or_default().split(' ').map(str::to_owned).collect();
        for name in ["ASKED", "PASSED", "SET", "PATH"] {
            assert!(names.iter().any(|own| own == name), "{plane}: {names:?}");
        }
        for name in ["AMBIENT", "LD_DEBUG_OUTPUT", "PYTHONPATH", "USER"] {
            assert!(!names.iter().any(|own| own == name), "{plane}: {names:?}");
        }
    }
}

#[test]
fn x12_the_answer_comes_when_the_program_has_ended_whoever_holds_its_output_open() {
    let programs = Programs::default();
    for (at, plane) in PLANES.into_iter().enumerate() {
        let mark = mark(200 + u32::try_from(at).unwrap());
        // It left the session, ignores what it can, and keeps both streams.
        let line = format!("(trap '' HUP TERM; setsid sleep {mark}) & echo 1");
        // Past this time the call would have hung.
        assert_eq!(programs.exec(plane, shell(&line).timeout_ms(60_000)).unwrap(), json!(1), "{plane:?}");
        assert_gone(plane, &mark);
    }
}
