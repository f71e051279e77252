//! Actions whose accesses the policy says to ask about: asked once, at the object itself, and nothing else waits.

use super::prompts_terminal::Desk;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::prompt::{PromptAccess, PromptAnswer};
use cofferdam_kernel::action::{ActionOptions, Actions, Worker};
use cofferdam_tests::command::{binary, text};
use cofferdam_tests::prompted::Prompted;
use cofferdam_tests::pseudo_terminal;
use serde_json::json;
use std::process::{Command, Stdio};

/// This machine's own `cofferdam` as the worker.
fn worker() -> Worker {
    let program = binary().canonicalize().unwrap();
    Worker::new(program.to_string_lossy(), ["action-worker"]).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn r10_an_action_waits_for_the_host_while_others_go_through() {
    let lines = "[prompt]\nfilesystem.write = [\"{place}/asked/**\"]\n";
    let host = Prompted::built(lines, |_, kernel| kernel, |policy| worker().admitted(policy).unwrap());
    let (actions, options) = (Actions::builtin(worker()), ActionOptions::new());
    let file = host.path("asked/file").to_string_lossy().into_owned();
    for (answer, contents) in [(PromptAnswer::Deny, "old"), (PromptAnswer::once(), "new")] {
        let arguments = json!({ "path": file, "contents": { "text": "new" } });
        let result = std::thread::scope(|scope| {
            let vm = &host.vm;
            let (actions, options) = (&actions, &options);
            let asked = scope.spawn(move || runtime().block_on(actions.run(vm, "file_write", &arguments, options)));
            let (prompt, reply) = host.question();
            assert_eq!((prompt.question.access, &prompt.question.subject), (PromptAccess::Write, &file));
            let own = json!({ "path": "own" });
            let other = runtime().block_on(actions.run(vm, "file_read", &own, options)).unwrap();
            assert!(other.success, "{:?}", other.error);
            assert_eq!(host.text("asked/file").as_deref(), Some("old"), "nothing happens before the answer");
            reply.answer(answer).unwrap();
            asked.join().unwrap().unwrap()
        });
        assert_eq!(host.text("asked/file").as_deref(), Some(contents));
        assert!(host.further().is_none(), "one question for one file");
        assert_eq!(result.success, contents == "new", "{:?}", result.error);
        if let Some(error) = result.error {
            assert_eq!(error.code, ErrorCode::DeniedByPolicy);
            assert!(error.denial().unwrap().note.unwrap().contains("said no"));
        }
    }
}

#[test]
fn r10_an_action_asks_at_the_terminal_and_nobody_without_one() {
    let line = |desk: &Desk, options: &[&str]| -> Vec<String> {
        let path = |name: &str| desk.path(name).display().to_string();
        let arguments = json!({ "path": path("asked/file"), "contents": { "text": "new\n" } }).to_string();
        let (state, program) = (format!("XDG_STATE_HOME={}", path("state")), binary().display().to_string());
        let own = ["/usr/bin/env", &state, &program, "action", "run", "file_write", "--arguments", &arguments];
        let place = ["--policy", &path("policy.toml"), "--workspace", &path("work")];
        [&own[..], &place, options].concat().iter().map(|word| (*word).to_owned()).collect()
    };
    for (answer, ended, contents) in [("yes", "finished 0\n", "new\n"), ("no", "finished 1\n", "old")] {
        let desk = Desk::new("session");
        let line = line(&desk, &[]);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let steps = format!("[(b'allow? ', b'{answer}\\r')]");
        let Some(seen) = pseudo_terminal::drive(&desk.place, &steps, &line) else { return };
        assert_eq!((seen.as_str(), desk.file().as_str()), (ended, contents), "{answer}");
    }
    let desk = Desk::new("session");
    let line = line(&desk, &["--no-prompt"]);
    let output = Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), desk.file().as_str()), (Some(1), "old"), "{output:?}");
    assert!(text(&output.stdout).contains("denied_by_policy"), "{output:?}");
}
