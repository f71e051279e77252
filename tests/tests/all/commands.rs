//! Declared commands that run once, on each plane.

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::output::Shape;
use cofferdam_kernel::session::{CommandSpec, Persistence, RunError, RunOptions, SessionSpec};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::session::{PLANES, Plane, open, open_with, within_runtime};
use serde_json::{Value, json};
use std::time::Duration;

fn one(command: CommandSpec) -> SessionSpec {
    SessionSpec::default().command(command)
}

fn run(plane: Plane, command: CommandSpec, options: RunOptions) -> Result<Value, RunError> {
    let name = command.name().to_owned();
    let opened = open(plane, one(command));
    within_runtime(opened.session.run(&name, options)).map(|output| output.value)
}

fn mark(number: u32) -> String {
    format!("7{:05}{number:03}", std::process::id() % 100_000)
}

#[test]
fn c1_a_line_goes_through_the_shell_and_an_argv_through_none() {
    for plane in PLANES {
        let line = CommandSpec::shell("line", "echo one; echo $((1 + 1)) | cat");
        assert_eq!(run(plane, line, RunOptions::default()).unwrap(), json!("one\n2"), "{plane:?}");
        let argv = CommandSpec::argv("argv", "printf", ["%s", "$(echo one); echo two"]);
        assert_eq!(run(plane, argv, RunOptions::default()).unwrap(), json!("$(echo one); echo two"), "{plane:?}");
    }
}

#[test]
fn c1_an_empty_argv_and_an_empty_line_are_refused_before_anything_runs() {
    for command in [CommandSpec::argv("x", "", ["a"]), CommandSpec::shell("x", "  ")] {
        let error = open_with(Plane::Host, one(command), &[]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::SessionInvalid, "{error}");
    }
}

#[test]
fn c1_an_explicit_timeout_wins_over_a_declared_one() {
    for plane in PLANES {
        let slow = || CommandSpec::argv("slow", "sleep", ["1000"]);
        let short = slow().timeout(Duration::from_millis(50));
        let error = run(plane, short.clone(), RunOptions::default()).unwrap_err();
        assert_eq!(error.error().code, ErrorCode::WallTimeExceeded);
        assert_eq!(error.error().details["timeout_ms"], 50);
        let error = run(plane, short, RunOptions::default().timeout(Duration::from_millis(60))).unwrap_err();
        assert_eq!(error.error().details["timeout_ms"], 60, "{plane:?}");
    }
}

#[test]
fn c2_of_the_environment_only_what_is_declared_crosses() {
    for plane in PLANES {
        let host = [("SECRET_TOKEN", "hush"), ("WANTED", "here"), ("LD_LIBRARY_PATH", "/x"), ("NODE_OPTIONS", "-r x")];
        let command = CommandSpec::shell("env", "env").pass("WANTED").pass("ABSENT").set("OWN", "said");
        let opened = open_with(plane, one(command.output(Shape::lines())), &host).unwrap();
        let told = within_runtime(opened.session.run("env", RunOptions::default())).unwrap().value;
        let lines: Vec<&str> = told.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(lines.contains(&"WANTED=here") && lines.contains(&"OWN=said"), "{plane:?}: {lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("PATH=")));
        let never = ["hush", "LD_", "NODE_OPTIONS", "ABSENT"];
        assert!(!lines.iter().any(|line| never.iter().any(|name| line.contains(name))), "{plane:?}: {lines:?}");
    }
}

#[test]
fn c2_what_makes_programs_load_code_is_refused_whether_passed_or_set() {
    for name in ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "PERL5OPT", "GIT_SSH"]
    {
        for command in [CommandSpec::shell("x", "true").pass(name), CommandSpec::shell("x", "true").set(name, "y")] {
            let error = open_with(Plane::Host, one(command), &[]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::SessionInvalid, "{name}");
            assert!(error.to_string().contains("environment.set"), "{error}");
        }
    }
}

#[test]
fn c3_input_is_null_unless_given_and_given_whole_then() {
    for plane in PLANES {
        assert_eq!(run(plane, CommandSpec::shell("x", "cat"), RunOptions::default()).unwrap(), Value::Null);
        let input = RunOptions::default().stdin("a\nb");
        assert_eq!(run(plane, CommandSpec::shell("x", "cat"), input).unwrap(), json!("a\nb"), "{plane:?}");
        // A program that does not want its input is no error.
        let much = RunOptions::default().stdin(vec![b'x'; 4 << 20]);
        assert_eq!(run(plane, CommandSpec::shell("x", "echo done"), much).unwrap(), json!("done"), "{plane:?}");
    }
}

#[test]
fn c3_whatever_leaves_group_and_session_ends_with_its_command_however_that_ends() {
    for (plane, number) in [(Plane::Linux, 10), (Plane::Host, 20)] {
        for (at, (ending, works)) in
            [("exit 0", true), ("exit 3", false), ("sleep 1000", false)].into_iter().enumerate()
        {
            let marker = mark(number + u32::try_from(at).unwrap());
            let line = format!(
                "sleep {marker} & setsid sleep {marker} & (setsid sh -c 'sleep {marker} & disown' &) ; sleep 0.1; {ending}"
            );
            let command = CommandSpec::shell("x", line.replace("disown", "true")).timeout(Duration::from_millis(900));
            let outcome = run(plane, command, RunOptions::default());
            assert_eq!(outcome.is_ok(), works, "{plane:?} {ending}: {outcome:?}");
            assert!(within(Duration::from_secs(2), || processes_with(&marker).is_empty()), "{plane:?} after {ending}");
        }
    }
}

#[test]
fn c4_a_stream_past_8_mib_ends_the_command_though_the_other_is_quiet() {
    for plane in PLANES {
        for (stream, to) in [("stdout", ""), ("stderr", " >&2")] {
            let line = format!("head -c 9000000 /dev/zero{to}; sleep 1000");
            let error = run(plane, CommandSpec::shell("x", line), RunOptions::default()).unwrap_err();
            assert_eq!(error.error().code, ErrorCode::OutputLimitExceeded, "{plane:?} {stream}: {error}");
            assert_eq!(error.error().details["stream"], stream);
        }
        // Just as much as there may be.
        let line = "head -c 8388608 /dev/zero | tr '\\0' a";
        let value = run(plane, CommandSpec::shell("x", line), RunOptions::default()).unwrap();
        assert_eq!(value.as_str().map(str::len), Some(8 << 20), "{plane:?}");
    }
}

#[test]
fn c5_output_is_text_json_or_lines_and_invalid_utf_8_is_told() {
    for plane in PLANES {
        let shaped =
            |line: &str, shape: Shape| run(plane, CommandSpec::shell("x", line).output(shape), RunOptions::default());
        assert_eq!(shaped("printf '  a b \\n\\n'", Shape::text()).unwrap(), json!("a b"));
        assert_eq!(shaped("printf ' \\n'", Shape::text()).unwrap(), Value::Null);
        assert_eq!(shaped("echo '{\"a\": [1]}'", Shape::json()).unwrap(), json!({ "a": [1] }));
        assert_eq!(shaped("true", Shape::json()).unwrap(), Value::Null);
        assert_eq!(shaped("printf 'one\\n\\n two \\n'", Shape::lines()).unwrap(), json!(["one", "two"]));
        assert_eq!(shaped("echo '{'", Shape::json()).unwrap_err().error().code, ErrorCode::OutputInvalidJson);
        assert_eq!(shaped("printf '\\377'", Shape::text()).unwrap_err().error().code, ErrorCode::OutputInvalidUtf8);
        assert_eq!(shaped("printf '\\377'", Shape::text().lossy()).unwrap(), json!("\u{fffd}"));
    }
}

#[test]
fn c6_a_failure_carries_code_or_signal_and_the_guests_last_words_apart_from_the_error() {
    for plane in PLANES {
        let line = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo 'hush: last words' >&2; exit 7";
        let error = run(plane, CommandSpec::shell("x", line), RunOptions::default()).unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!((failure.exit_code, failure.signal), (Some(7), None), "{plane:?}");
        assert_eq!(failure.error.code, ErrorCode::CommandFailed);
        assert!(failure.stderr_tail.as_str().ends_with("hush: last words"));
        assert!(failure.stderr_tail.as_str().len() <= 4096);
        let logged = format!("{error} {error:?} {}", serde_json::to_string(error.error()).unwrap());
        assert!(!logged.contains("hush") && !logged.contains("xxx"), "{logged}");
        let error = run(plane, CommandSpec::shell("x", "kill -SEGV $$"), RunOptions::default()).unwrap_err();
        assert_eq!(error.failure().map(|failure| (failure.exit_code, failure.signal)), Some((None, Some(11))));
    }
}

#[test]
fn c8_the_wrong_verb_and_an_unknown_name_are_errors_that_name_what_there_is() {
    let spec = SessionSpec::default()
        .command(CommandSpec::shell("build", "true"))
        .command(CommandSpec::shell("test", "true"))
        .command(CommandSpec::shell("web", "sleep 1000").persistent(Persistence::default()));
    let opened = open(Plane::Host, spec);
    within_runtime(async {
        let error = opened.session.run("web", RunOptions::default()).await.unwrap_err();
        assert_eq!(error.error().code, ErrorCode::CommandNotOneShot);
        assert!(error.to_string().contains("build, test"), "{error}");
        let error = opened.session.start("build").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CommandNotPersistent);
        assert!(error.to_string().ends_with("are web"), "{error}");
        for error in [
            opened.session.start("wbe").await.unwrap_err(),
            opened.session.stop("wbe").await.unwrap_err(),
            opened.session.status("wbe").unwrap_err(),
        ] {
            assert_eq!(error.code(), ErrorCode::UnknownCommand);
            assert!(error.to_string().contains("build, test, web"), "{error}");
            assert_eq!(error.error().details["known"], json!(["build", "test", "web"]));
        }
        let error = opened.session.run("nix", RunOptions::default()).await.unwrap_err();
        assert_eq!(error.error().code, ErrorCode::UnknownCommand);
    });
}
