//! `cofferdam action`: typed operations that happen inside the sandbox or not at all.

use cofferdam_tests::command::{binary, text};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

pub(crate) fn command(workspace: &Path, name: &str, arguments: &Value, options: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["action", "run", name, "--arguments", &arguments.to_string()]).args(options);
    command.arg("--workspace").arg(workspace).current_dir(workspace);
    command
}

fn output(workspace: &Path, name: &str, arguments: &Value, options: &[&str]) -> Output {
    command(workspace, name, arguments, options).output().unwrap()
}

/// What came of it. The exit code must tell the same.
pub(crate) fn act(workspace: &Path, name: &str, arguments: &Value, options: &[&str]) -> Value {
    let output = output(workspace, name, arguments, options);
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", text(&output.stdout), text(&output.stderr)));
    let result = value["result"].clone();
    assert_eq!(output.status.code(), Some(i32::from(result["success"] != true)), "{result}");
    result
}

#[test]
fn r10_a_file_is_read_in_parts_and_bytes_that_are_no_text_come_in_base64() {
    let scratch = Scratch::new();
    scratch.write("plain", "0123456789");
    std::fs::write(scratch.join("binary"), b"\x00\xff\x01").unwrap();
    let result = act(scratch.path(), "file_read", &json!({ "path": "plain", "offset": 4, "length": 3 }), &[]);
    assert_eq!(result["output"]["contents"], json!({ "text": "456" }), "{result}");
    assert_eq!((&result["output"]["size"], &result["output"]["complete"]), (&json!(10), &json!(false)));
    let whole = scratch.join("binary").display().to_string();
    let result = act(scratch.path(), "file_read", &json!({ "path": whole }), &[]);
    assert_eq!(result["output"]["contents"], json!({ "base64": "AP8B" }), "{result}");
    let result = act(scratch.path(), "file_read", &json!({ "path": "plain", "length": 9_000_000 }), &[]);
    assert_eq!(result["error"]["code"], "request_invalid", "{result}");
}

#[test]
fn r10_a_file_is_written_whole_keeps_its_mode_and_nothing_stays_beside_it() {
    let scratch = Scratch::new();
    let file = scratch.write("tool", "old");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o750)).unwrap();
    let result = act(scratch.path(), "file_write", &json!({ "path": "tool", "contents": { "base64": "AP8B" } }), &[]);
    assert_eq!(result["output"], json!({ "size": 3, "created": false, "mode": "0750" }), "{result}");
    assert_eq!(std::fs::read(&file).unwrap(), b"\x00\xff\x01");
    let names: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["tool"]);
    let absent = json!({ "path": "tool", "contents": { "text": "x" }, "when": "absent" });
    let result = act(scratch.path(), "file_write", &absent, &[]);
    assert_eq!(result["error"]["code"], "already_exists", "{result}");
    assert_eq!(std::fs::read(&file).unwrap(), b"\x00\xff\x01");
    let new = json!({ "path": "a/b/c", "contents": { "text": "x" }, "when": "absent", "parents": true });
    assert_eq!(act(scratch.path(), "file_write", &new, &[])["output"]["created"], true);
}

#[test]
fn r10_a_single_file_that_the_policy_lets_be_changed_is_written_in_place() {
    let scratch = Scratch::new();
    let file = scratch.write("elsewhere/one", "old");
    let lines = format!("version = 1\nextends = \"strict\"\n[filesystem]\nwrite = [\"{}\"]\n", file.display());
    let policy = scratch.write("policy.toml", &lines).display().to_string();
    let workspace = scratch.join("work");
    std::fs::create_dir(&workspace).unwrap();
    let mut asked = json!({ "path": file, "contents": { "text": "new" } });
    let result = act(&workspace, "file_write", &asked, &["--policy", &policy]);
    assert_eq!(result["success"], false, "{result}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
    asked["in_place"] = json!(true);
    let result = act(&workspace, "file_write", &asked, &["--policy", &policy]);
    assert_eq!(result["success"], true, "{result}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
}

#[test]
fn r10_files_are_listed_and_searched() {
    let scratch = Scratch::new();
    scratch.write("src/a.rs", "one\nneedle(1)\n");
    scratch.write("b.txt", "a needle\n");
    symlink("b.txt", scratch.join("link")).unwrap();
    let result = act(scratch.path(), "file_list", &json!({ "path": ".", "depth": 2 }), &[]);
    let entries = result["output"]["entries"].as_array().unwrap();
    let told: Vec<_> =
        entries.iter().map(|one| (one["path"].as_str().unwrap(), one["kind"].as_str().unwrap())).collect();
    assert_eq!(told, [("b.txt", "file"), ("link", "symbolic_link"), ("src", "directory"), ("src/a.rs", "file")]);
    let asked = json!({ "path": ".", "pattern": "needle\\(\\d", "regex": true });
    let result = act(scratch.path(), "file_search", &asked, &[]);
    assert_eq!(
        result["output"]["matches"],
        json!([{ "path": "src/a.rs", "line": 2, "column": 1, "text": "needle(1)" }])
    );
    let result =
        act(scratch.path(), "file_search", &json!({ "path": ".", "pattern": "needle(", "include": ["*.txt"] }), &[]);
    assert_eq!(result["output"]["matches"], json!([]), "{result}");
}

#[test]
fn r10_nothing_is_done_in_the_kernel_s_own_process_so_no_link_leads_out() {
    let scratch = Scratch::new();
    let canary = scratch.write("outside/secret", "canary-8241");
    let workspace = scratch.join("work");
    std::fs::create_dir(&workspace).unwrap();
    symlink(&canary, workspace.join("link")).unwrap();
    symlink(canary.parent().unwrap(), workspace.join("folder")).unwrap();
    assert_eq!(std::fs::read_to_string(workspace.join("link")).unwrap(), "canary-8241", "outside it can be read");
    let attempts = [
        ("file_read", json!({ "path": "link" })),
        ("file_read", json!({ "path": "folder/secret" })),
        ("file_read", json!({ "path": "/proc/self/root/../outside/secret" })),
        ("file_read", json!({ "path": canary })),
        ("file_list", json!({ "path": "folder" })),
        ("file_search", json!({ "path": "folder", "pattern": "canary", "everything": true })),
        ("file_search", json!({ "path": "link", "pattern": "canary" })),
        ("file_write", json!({ "path": "link", "contents": { "text": "gone" } })),
        ("file_write", json!({ "path": "folder/new", "contents": { "text": "x" } })),
        ("file_write", json!({ "path": "folder/secret", "contents": { "text": "x" }, "in_place": true })),
        ("git_clone_local", json!({ "source": "folder", "target": "copy" })),
    ];
    for (name, arguments) in attempts {
        let result = act(&workspace, name, &arguments, &[]);
        let told = result.to_string();
        assert!(!told.contains("canary-8241"), "{name}: {told}");
        let nothing = result["output"]["matches"] == json!([]);
        assert!(result["success"] == false || nothing, "{name}: {told}");
    }
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "canary-8241");
    assert_eq!(std::fs::read_dir(canary.parent().unwrap()).unwrap().count(), 1);
    // What the policy names and refuses is told with the rule.
    let result = act(&workspace, "file_read", &json!({ "path": "/etc/shadow" }), &[]);
    assert_eq!(result["error"]["code"], "denied_by_policy", "{result}");
    assert_eq!(result["error"]["details"]["denial"]["rule"]["source"], "built-in secrets");
}

#[test]
fn r10_under_strict_and_without_namespaces_the_worker_works_and_cannot_be_changed() {
    let scratch = Scratch::new();
    let asked = json!({ "path": "/usr/bin/env", "length": 4 });
    let result = act(scratch.path(), "file_read", &asked, &["--policy", "strict"]);
    assert_eq!(result["output"]["contents"], json!({ "text": "\u{7f}ELF" }), "{result}");
    let scratch_file = json!({ "path": "/tmp/own", "contents": { "text": "x" } });
    assert_eq!(act(scratch.path(), "file_write", &scratch_file, &["--policy", "strict"])["success"], true);
    assert!(!Path::new("/tmp/own").exists(), "the private /tmp is gone");
    let lines = "version = 1\nextends = \"dev\"\n[isolation]\nrequire = \"landlock\"\n";
    let policy = scratch.write("landlock.toml", lines);
    let (canary, work) = (scratch.write("outside", "canary-8242"), scratch.join("work"));
    let without = |arguments: &Value| {
        const REFUSE: &str = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77; \
                              exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-current-user", "--keep-caps", "sh", "-c", REFUSE, "sh"]).arg(binary());
        command.args(["action", "run", "file_read", "--arguments", &arguments.to_string(), "--policy"]).arg(&policy);
        command.arg("--workspace").arg(&work).output().unwrap()
    };
    scratch.write("work/f", "inside");
    let output = without(&json!({ "path": "f" }));
    if output.status.code() == Some(125) || output.status.code() == Some(77) {
        skip::skipped("the tier landlock is not to be had here");
    } else {
        assert!(text(&output.stdout).contains("inside"), "{}", text(&output.stdout));
        let output = without(&json!({ "path": canary }));
        assert!(
            output.status.code() == Some(1) && !text(&output.stdout).contains("canary-8242"),
            "{}",
            text(&output.stdout)
        );
    }
    // Where guests could put another program in the worker's place, it is not run.
    let own = scratch.join("bin/cofferdam");
    std::fs::create_dir(scratch.join("bin")).unwrap();
    std::fs::copy(binary(), &own).unwrap();
    let run = |workspace: &Path| {
        let mut command = Command::new(&own);
        command
            .args(["action", "run", "file_list", "--arguments", "{\"path\": \"/usr\"}", "--workspace"])
            .arg(workspace);
        serde_json::from_slice::<Value>(&command.output().unwrap().stdout).unwrap()["result"].clone()
    };
    assert_eq!(run(scratch.path())["error"]["code"], "invalid_state");
    assert_eq!(run(&work)["success"], true);
}

#[test]
fn r4_a_failed_validation_or_execution_is_a_result_and_quotes_nothing() {
    let scratch = Scratch::new();
    let wrong = [
        ("file_read", json!({})),
        ("file_read", json!({ "path": 7 })),
        ("file_read", json!({ "path": "x", "hush-hush": 1 })),
        ("file_read", json!({ "path": ["hush-hush"] })),
        ("file_read", json!({ "path": "hush-hush/../x" })),
        ("file_read", json!("hush-hush")),
        ("file_write", json!({ "path": "x", "contents": { "base64": "hush-hush" } })),
        ("file_search", json!({ "path": ".", "pattern": "(hush-hush", "regex": true })),
        ("http_fetch", json!({ "url": "ftp://hush-hush/" })),
        ("git_diff", json!({ "base": "--output=hush-hush" })),
    ];
    for (name, arguments) in wrong {
        let result = act(scratch.path(), name, &arguments, &[]);
        assert_eq!(result["error"]["category"], "parsing_input", "{name} {result}");
        assert!(!result.to_string().contains("hush-hush"), "{name}: {result}");
        assert!(
            result["job_id"].is_string() && result["telemetry"]["before"]["memory_available_bytes"].is_u64(),
            "{result}"
        );
    }
    let result = act(scratch.path(), "file_read", &json!({ "path": "not-there" }), &[]);
    assert_eq!(result["error"]["code"], "not_found", "{result}");
    let result = act(scratch.path(), "shell", &json!({ "line": "echo out; echo err >&2; exit 3" }), &[]);
    let said = json!({ "exit_code": 3, "stdout": { "text": "out\n" }, "stderr": { "text": "err\n" } });
    assert_eq!((&result["success"], &result["output"]), (&json!(true), &said));
    let result = act(scratch.path(), "shell", &json!({ "line": "kill -9 $$" }), &[]);
    assert_eq!(result["error"]["code"], "action_failed", "{result}");
    let output = output(scratch.path(), "no_such_action", &json!({}), &[]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("file_read"), "{}", text(&output.stderr));
}

#[test]
fn r3_arguments_past_their_bound_are_refused_with_both_sizes_before_anything_runs() {
    let scratch = Scratch::new();
    let asked = json!({ "path": "f", "contents": { "text": "x".repeat(1 << 20) } }).to_string();
    let mut command = Command::new(binary());
    command.args(["action", "run", "file_write", "--arguments", "-", "--workspace"]).arg(scratch.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &value["result"]["error"];
    assert_eq!(error["code"], "resource_limit_exceeded", "{error}");
    assert_eq!(
        (&error["details"]["limit_bytes"], &error["details"]["observed_bytes"]),
        (&json!(1 << 20), &json!(asked.len()))
    );
    assert!(!scratch.join("f").exists());
    assert_eq!(value["result"]["steps"], json!([]));
}

#[test]
fn r5_the_processes_that_are_told_are_exactly_the_run_s_own() {
    let scratch = Scratch::new();
    // A neighbour that starts processes all the time.
    let mut neighbour = Command::new("sh").args(["-c", "while :; do /bin/true; done"]).spawn().unwrap();
    let counted: Vec<_> = (0..3)
        .map(|_| act(scratch.path(), "shell", &json!({ "line": "/bin/true; /bin/true; exec /bin/true" }), &[]))
        .map(|result| result["processes"].clone())
        .collect();
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    if counted[0]["started"].is_null() {
        return skip::skipped("this plane does not count tasks here");
    }
    for told in counted {
        assert_eq!((&told["started"], &told["left"]), (&json!(3), &json!(0)), "{told}");
        // Those that lived long enough to be seen are named, too; a neighbour among them would make them more than there were.
        assert!(told["seen"].as_array().is_none_or(|seen| seen.len() <= 3), "{told}");
    }
}

#[test]
fn r8_past_its_time_everything_of_an_action_is_ended() {
    let scratch = Scratch::new();
    let mark = format!("7{:05}01", std::process::id() % 100_000);
    let line = format!("trap '' TERM; (setsid sleep {mark} &) ; sleep {mark}");
    let result = act(scratch.path(), "shell", &json!({ "line": line }), &["--timeout-ms", "500"]);
    assert_eq!(result["error"]["code"], "wall_time_exceeded", "{result}");
    assert_eq!(result["steps"][0]["cause"]["cause"], "timed_out", "{result}");
    assert!(within(Duration::from_secs(1), || processes_with(&mark).is_empty()), "left: {:?}", processes_with(&mark));
}

#[test]
fn r7_a_job_joins_its_session_whether_or_not_it_succeeds() {
    let (scratch, state) = (Scratch::new(), Scratch::new());
    let run = |name: &str, arguments: Value| {
        let mut command = command(scratch.path(), name, &arguments, &["--session", "review-7"]);
        command.env("XDG_STATE_HOME", state.path()).output().unwrap()
    };
    run("file_write", json!({ "path": "f", "contents": { "text": "hush-hush" } }));
    run("file_read", json!({ "path": "not-there" }));
    run("file_read", json!({ "path": 7 }));
    let mut list = Command::new(binary());
    let list = list.args(["action", "jobs", "review-7"]).env("XDG_STATE_HOME", state.path()).output().unwrap();
    let told = text(&list.stdout);
    let jobs: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let marks: Vec<_> =
        jobs.iter().map(|job| (job["action"].as_str().unwrap(), &job["success"], &job["code"])).collect();
    let expected = [
        ("file_write", json!(true), Value::Null),
        ("file_read", json!(false), json!("not_found")),
        ("file_read", json!(false), json!("request_invalid")),
    ];
    assert_eq!(marks, expected.iter().map(|(name, success, code)| (*name, success, code)).collect::<Vec<_>>());
    assert!(!told.contains("hush-hush"));
    let file = state.join("cofferdam/jobs/review-7.jsonl");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for name in ["../x", "", ".hidden", "a/b"] {
        let output = output(scratch.path(), "file_read", &json!({ "path": "f" }), &["--session", name]);
        assert_eq!(output.status.code(), Some(125), "{name}");
    }
    assert!(!state.join("x").exists());
    // A job that cannot be kept is not begun.
    std::fs::remove_dir_all(state.join("cofferdam")).unwrap();
    state.write("cofferdam", "a file where a folder should be");
    let output = run("file_write", json!({ "path": "g", "contents": { "text": "x" } }));
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stdout));
    assert!(!scratch.join("g").exists());
}

#[test]
fn r6_a_dry_run_of_an_action_tells_what_it_would_ask_for_and_does_none_of_it() {
    let scratch = Scratch::new();
    scratch.write("f", "old");
    let asked = json!({ "path": "f", "contents": { "text": "new" } });
    let output = output(scratch.path(), "file_write", &asked, &["--dry-run"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &value["action"]["would_run"]), (Some(0), &json!(true)), "{value}");
    let decision = &value["action"]["decisions"][0];
    assert_eq!((&decision["access"], &decision["verdict"]), (&json!("filesystem.write"), &json!("allow")), "{value}");
    assert_eq!(value["action"]["steps"][0]["program"], "action worker");
    let refused =
        command(scratch.path(), "file_read", &json!({ "path": "/etc/shadow" }), &["--dry-run"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
    assert_eq!(std::fs::read_to_string(scratch.join("f")).unwrap(), "old");
}

#[test]
fn r6_with_an_overlay_an_action_s_changes_are_told_and_discarded() {
    let (scratch, state) = (Scratch::new(), Scratch::new());
    scratch.write("f", "old");
    let line = json!({ "line": "echo new > f; echo x > g" });
    let mut command = command(scratch.path(), "shell", &line, &["--overlay", "--dry-run"]);
    let output = command.env("XDG_STATE_HOME", state.path()).output().unwrap();
    if text(&output.stderr).contains("no plane here can enforce") {
        return skip::skipped("changes cannot be kept apart here");
    }
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told: Vec<_> = value["changes"].as_array().unwrap().iter().map(|one| (&one["path"], &one["kind"])).collect();
    assert_eq!(told, [(&json!("f"), &json!("changed")), (&json!("g"), &json!("created"))], "{value}");
    assert_eq!(std::fs::read_to_string(scratch.join("f")).unwrap(), "old");
    assert!(!scratch.join("g").exists());
    let sets = std::fs::read_dir(state.join("cofferdam/changes")).into_iter().flatten().flatten();
    assert!(
        sets.filter(|entry| entry.path().is_dir()).count() <= 1,
        "the set is gone; a folder for locks may be there"
    );
}

#[test]
fn r10_on_the_host_plane_actions_run_with_a_warning() {
    let scratch = Scratch::new();
    scratch.write("f", "x");
    let output = output(scratch.path(), "file_read", &json!({ "path": "f" }), &["--plane", "host"]);
    assert!(text(&output.stderr).contains("nothing is isolated on the host plane"), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["result"]["output"]["contents"], json!({ "text": "x" }), "{value}");
}

#[test]
fn r10_every_action_has_a_name_and_two_schemas() {
    let output = Command::new(binary()).args(["action", "list", "--json"]).output().unwrap();
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all.len(), 10);
    for action in all {
        assert_eq!(action["arguments"]["type"], "object", "{action}");
        assert_eq!(action["arguments"]["additionalProperties"], false, "{action}");
        assert_eq!(action["output"]["type"], "object", "{action}");
        let shown = Command::new(binary()).args(["action", "show", action["name"].as_str().unwrap()]).output().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&shown.stdout).unwrap(), action);
    }
}
