//! Actions that run programs of the sandbox, and those that leave it over HTTP.

use crate::actions::{act, command};
use cofferdam_tests::command::text;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn r10_git_tells_commits_and_copies_without_running_what_the_repository_holds() {
    let scratch = Scratch::new();
    if skip::program("git").is_none() {
        return;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(scratch.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    scratch.write("a file", "one\n");
    scratch.write(".git/hooks/pre-commit", "#!/bin/sh\ntouch hook-ran\nexit 1\n");
    scratch.write(".git/hooks/post-commit", "#!/bin/sh\ntouch hook-ran\n");
    for hook in ["pre-commit", "post-commit"] {
        let path = scratch.join(".git/hooks").join(hook);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    git(&["config", "core.fsmonitor", "touch monitor-ran; false"]);
    git(&["config", "diff.external", "touch differ-ran; false"]);
    let status = act(scratch.path(), "git_status", &json!({}), &[])["output"].clone();
    assert_eq!(status["entries"], json!([{ "path": "a file", "staged": "?", "unstaged": "?" }]), "{status}");
    let author = json!({ "name": "Somebody", "email": "s@example.com" });
    let asked = json!({ "message": "First\n\nwith a body", "paths": ["a file"], "author": author });
    let result = act(scratch.path(), "git_commit", &asked, &[]);
    assert_eq!(result["output"]["commit"], git(&["rev-parse", "HEAD"]), "{result}");
    assert_eq!(git(&["log", "--format=%an %s|%b"]), "Somebody First|with a body");
    let status = act(scratch.path(), "git_status", &json!({}), &[])["output"].clone();
    assert_eq!((&status["branch"], &status["clean"]), (&json!("main"), &json!(true)), "{status}");
    scratch.write("a file", "two\n");
    let diff = act(scratch.path(), "git_diff", &json!({ "base": "HEAD", "paths": ["a file"] }), &[])["output"].clone();
    assert!(diff["diff"]["text"].as_str().unwrap().contains("-one\n+two"), "{diff}");
    let copied = act(scratch.path(), "git_clone_local", &json!({ "source": ".", "target": "copy" }), &[]);
    assert_eq!(copied["output"]["commit"], git(&["rev-parse", "HEAD"]), "{copied}");
    assert_eq!(std::fs::read_to_string(scratch.join("copy/a file")).unwrap(), "one\n");
    for trace in ["hook-ran", "monitor-ran", "differ-ran"] {
        assert!(!scratch.join(trace).exists(), "{trace}");
    }
    let failed =
        act(scratch.path(), "git_commit", &json!({ "message": "x", "paths": ["no such file"], "author": author }), &[]);
    assert_eq!(failed["error"]["code"], "action_failed", "{failed}");
    assert!(failed["steps"][0]["stderr_tail"].as_str().unwrap().contains("did not match"), "{failed}");
}

/// A repository with a commit and a part of its own, where whatever runs leaves `mark`. git itself runs it there with `line`.
fn repository(line: &str) -> Scratch {
    let scratch = Scratch::new();
    let evil = format!("#!/bin/sh\necho ran >> '{}'\ncat\n", scratch.join("mark").display());
    std::fs::set_permissions(scratch.write("evil", &evil), std::fs::Permissions::from_mode(0o755)).unwrap();
    let made = "git init -q . && git init -q part && for one in part .; do git -C $one config user.email a@b.c && \
                git -C $one config user.name n && echo one > $one/file && git -C $one add file && git -C $one commit -qm first; done; \
                git add part 2>/dev/null; git commit -qm second; ";
    let made = Command::new("sh").args(["-c", &format!("{made}{line}")]).current_dir(scratch.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let _ = std::fs::remove_file(scratch.join("mark"));
    scratch
}

/// Commands of a repository's own configuration: for a file, for a file of a part of it, and for objects that are not there.
const OWN_COMMANDS: [&str; 3] = [
    "git config 'filter.a b.clean' \"$PWD/evil\"; echo 'file filter=\"a b\"' > .git/info/attributes; \
     git config filter.x.process \"$PWD/evil\"; git config filter.x.clean \"$PWD/evil\"; echo 'file filter=x' > .git/info/attributes; echo two > file",
    "git config diff.submodule diff; git -C part config filter.x.clean \"$PWD/evil\"; \
     echo 'file filter=x' > part/.git/info/attributes; echo two > part/file",
    "object=$(git rev-parse HEAD:file); rm -f .git/objects/$(echo $object | cut -c1-2)/$(echo $object | cut -c3-); echo two > file; \
     git config core.repositoryformatversion 1; git config extensions.partialClone origin; git config remote.origin.promisor true; \
     git config remote.origin.url ssh://nowhere.invalid/x; git config core.sshCommand \"$PWD/evil </dev/null\"",
];

#[test]
fn r10_git_runs_no_command_that_a_repository_s_configuration_names() {
    if skip::program("git").is_none() {
        return;
    }
    let author = json!({ "name": "Somebody", "email": "s@example.com" });
    for line in OWN_COMMANDS {
        // git by itself does run it.
        let control = repository(line);
        let plain = "git status >/dev/null 2>&1; git diff >/dev/null 2>&1 </dev/null; :";
        Command::new("timeout").args(["20", "sh", "-c", plain]).current_dir(control.path()).output().unwrap();
        assert!(control.join("mark").exists(), "control: {line}");
        let held = repository(line);
        act(held.path(), "git_status", &json!({}), &[]);
        act(held.path(), "git_diff", &json!({}), &[]);
        act(held.path(), "git_diff", &json!({ "base": "HEAD" }), &[]);
        act(held.path(), "git_clone_local", &json!({ "source": ".", "target": "copy" }), &[]);
        let asked = json!({ "message": "x", "paths": ["file", "part"], "author": author });
        act(held.path(), "git_commit", &asked, &[]);
        assert!(!held.join("mark").exists(), "{line}: {}", std::fs::read_to_string(held.join("mark")).unwrap());
    }
}

#[test]
fn r10_git_commits_nothing_that_a_filter_of_the_repository_s_own_would_have_changed() {
    if skip::program("git").is_none() {
        return;
    }
    let scratch = repository(OWN_COMMANDS[0]);
    let author = json!({ "name": "Somebody", "email": "s@example.com" });
    let head = || Command::new("git").args(["rev-parse", "HEAD"]).current_dir(scratch.path()).output().unwrap().stdout;
    let before = head();
    let failed =
        act(scratch.path(), "git_commit", &json!({ "message": "x", "paths": ["file"], "author": author }), &[]);
    assert_eq!((&failed["error"]["code"], head()), (&json!("action_failed"), before), "{failed}");
    assert!(failed["steps"][0]["stderr_tail"].as_str().unwrap().contains("filter"), "{failed}");
    // Of another size, so that git need not look into it to see that it differs.
    scratch.write("file", "longer than before\n");
    scratch.write("other", "needs none");
    let done = act(scratch.path(), "git_commit", &json!({ "message": "x", "paths": ["other"], "author": author }), &[]);
    assert_eq!(done["success"], true, "{done}");
}

/// A server that answers each connection with `answer`, and counts them.
fn server(answer: &'static str) -> (u16, std::sync::Arc<std::sync::atomic::AtomicU32>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, count)
}

#[test]
fn r10_http_is_fetched_by_the_policy_s_rules_and_no_redirection_is_followed() {
    use std::sync::atomic::Ordering::SeqCst;
    let scratch = Scratch::new();
    let lines = "version = 1\nextends = \"dev\"\n[network]\nmode = \"inherit\"\n";
    let open = scratch.write("open.toml", lines).display().to_string();
    let (port, count) =
        server("HTTP/1.1 418 Teapot\r\nX-Tea: green\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    let asked = json!({ "url": format!("http://127.0.0.1:{port}/x?y"), "most": 4 });
    let result = act(scratch.path(), "http_fetch", &asked, &["--policy", &open]);
    let output = &result["output"];
    assert_eq!((&output["status"], &output["headers"]["x-tea"]), (&json!(418), &json!("green")), "{result}");
    assert_eq!((&output["body"], &output["complete"]), (&json!({ "text": "hell" }), &json!(false)), "{result}");
    assert_eq!(count.load(SeqCst), 1);
    let result = act(scratch.path(), "http_fetch", &asked, &[]);
    assert_eq!(result["error"]["code"], "denied_by_policy", "{result}");
    assert_eq!(result["error"]["details"]["reason_code"], "network_blocked", "{result}");
    assert_eq!(count.load(SeqCst), 1, "nobody was asked");
    let (target, reached) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{target}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let (port, _) = server(answer.leak());
    let asked = json!({ "url": format!("http://127.0.0.1:{port}/") });
    let mut command = command(scratch.path(), "http_fetch", &asked, &["--policy", &open]);
    // A proxy of the caller's would be another place than the one that was decided about.
    let proxied = command.env("http_proxy", format!("http://127.0.0.1:{target}")).output().unwrap();
    let value: Value = serde_json::from_slice(&proxied.stdout).unwrap();
    assert_eq!(value["result"]["output"]["status"], 302, "{value}");
    assert_eq!(reached.load(SeqCst), 0, "where it leads is told, and not gone to");
}

#[test]
fn r1_an_action_is_on_record_before_its_programs_and_its_result_names_the_record() {
    let (scratch, folder) = (Scratch::new(), Scratch::new());
    // A log must be its user's alone; one that is not there is made so.
    let log = folder.join("log");
    let run = |name: &str, arguments: Value| {
        let mut command = command(scratch.path(), name, &arguments, &[]);
        let output = command.env("COFFERDAM_AUDIT", &log).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["result"].clone()
    };
    let written = run("file_write", json!({ "path": "f", "contents": { "text": "hush-hush" } }));
    let failed = run("file_read", json!({ "path": 7 }));
    let mut show = Command::new(cofferdam_tests::command::binary());
    let told = show.args(["audit", "show", "--json", "--log"]).arg(&log).output().unwrap();
    let told = text(&told.stdout);
    assert!(!told.contains("hush-hush"), "{told}");
    let records: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = records.iter().filter_map(|one| one["event"]["kind"].as_str()).collect();
    let ours = |kind: &&&str| kind.starts_with("action") || ["started", "completed"].contains(*kind);
    let order: Vec<_> = kinds.iter().filter(ours).copied().collect();
    let expected = ["action_started", "started", "completed", "action_completed", "action_started", "action_failed"];
    assert_eq!(order, expected, "{told}");
    let numbers: Vec<_> =
        records.iter().filter(|one| one["event"]["kind"] == "action_started").map(|one| one["seq"].clone()).collect();
    assert_eq!(numbers, [written["log_sequence"].clone(), failed["log_sequence"].clone()]);
    // Where it cannot be put on record, nothing is run.
    let mut command = command(scratch.path(), "file_write", &json!({ "path": "g", "contents": { "text": "x" } }), &[]);
    let output = command.env("COFFERDAM_AUDIT", "/dev/null/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stdout));
    assert!(!scratch.join("g").exists());
}
