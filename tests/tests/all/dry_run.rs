//! `--dry-run`: it tells what a run would come to, and the file system, the processes and the mounts are as they were.

use cofferdam_tests::command::{cofferdam, run, text};
use cofferdam_tests::observe::processes_with;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip::skipped;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Everything about a tree but access times: names, kinds, modes, owners, links, times of change, contents.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        let facts = path.symlink_metadata().unwrap();
        let mut contents = DefaultHasher::new();
        if facts.is_file() {
            contents.write(&std::fs::read(&path).unwrap());
        } else if facts.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if facts.is_symlink() {
            contents.write(std::fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes());
        }
        let (modified, changed) = ((facts.mtime(), facts.mtime_nsec()), (facts.ctime(), facts.ctime_nsec()));
        let numbers = (facts.mode(), facts.uid(), facts.gid(), facts.nlink(), facts.ino(), facts.size());
        found.insert(path, format!("{numbers:?} {modified:?} {changed:?} {:x}", contents.finish()));
    }
    found
}

/// What the machine is like as far as a run could change it: the workspace, the user's state, mounts, and what is of ours.
fn world(scratch: &Scratch) -> (BTreeMap<PathBuf, String>, String, Vec<u32>, Vec<PathBuf>) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let temporary = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten().map(|entry| entry.path());
    let processes = processes_with(&scratch.path().to_string_lossy());
    (tree(scratch.path()), mounts, processes, temporary.collect())
}

fn project(scratch: &Scratch) -> PathBuf {
    scratch.write("project/src/a.txt", "alpha\n");
    scratch.write("project/b.txt", "beta\n");
    std::os::unix::fs::symlink("b.txt", scratch.join("project/link")).unwrap();
    std::fs::create_dir_all(scratch.join("state")).unwrap();
    scratch.join("project")
}

fn dry(scratch: &Scratch, workspace: &Path, options: &[&str], program: &[&str]) -> Output {
    let options: Vec<_> = options.iter().chain(&["--dry-run"]).copied().collect();
    run(workspace, &options, program).env("XDG_STATE_HOME", scratch.join("state")).output().unwrap()
}

fn decided<'a>(value: &'a Value, access: &str, subject: &str) -> &'a Value {
    let all = value["start"]["decisions"].as_array().unwrap();
    all.iter().find(|one| one["access"] == access && one["subject"] == subject).unwrap_or(&Value::Null)
}

#[test]
fn r6_a_dry_run_tells_the_decisions_and_starts_nothing() {
    let scratch = Scratch::new();
    let workspace = project(&scratch);
    let before = world(&scratch);
    let line = "echo changed > b.txt; rm src/a.txt; touch new";
    let mut command =
        run(&workspace, &["--dry-run", "--json", "--env", "TOKEN=hush-hush"], &["sh", "-c", line, "b.txt"]);
    let output = command.env("XDG_STATE_HOME", scratch.join("state")).output().unwrap();
    assert_eq!(world(&scratch), before);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(!told.contains("hush-hush") && !told.contains("echo changed"), "{told}");
    let value: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(value["start"]["would_start"], true, "{value}");
    let program = value["start"]["program"].as_str().unwrap();
    assert!(program.ends_with("/sh"), "{program}");
    assert_eq!(decided(&value, "command.execute", program)["verdict"], "allow", "{value}");
    let place = workspace.canonicalize().unwrap();
    assert_eq!(decided(&value, "filesystem.write", place.to_str().unwrap())["verdict"], "allow", "{value}");
    assert_eq!(
        decided(&value, "filesystem.read", place.join("b.txt").to_str().unwrap())["verdict"],
        "allow",
        "{value}"
    );
    assert_eq!(value["start"]["profile"]["network"]["mode"], "deny");
    assert!(value["start"]["environment"].as_array().unwrap().contains(&"TOKEN".into()), "{value}");
}

#[test]
fn r6_what_would_be_refused_is_told_with_its_rule_and_the_code_of_a_refusal() {
    let scratch = Scratch::new();
    let workspace = project(&scratch);
    let lines = "version = 1\nextends = \"dev\"\n[commands]\ndeny = [\"/usr/bin/env\"]\n";
    let policy = scratch.write("policy.toml", lines).display().to_string();
    let before = world(&scratch);
    let output = dry(&scratch, &workspace, &["--policy", &policy], &["/usr/bin/env"]);
    assert_eq!(world(&scratch), before);
    assert_eq!(output.status.code(), Some(125));
    let told = text(&output.stdout);
    assert!(told.contains("would not be started") && told.contains("policy.toml:4"), "{told}");
    let output = dry(&scratch, &workspace, &["--json"], &["there-is-no-such-program"]);
    assert_eq!(output.status.code(), Some(127));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["start"]["refusal"]["code"], "program_not_found", "{value}");
    assert_eq!(world(&scratch), before);
}

#[test]
fn r6_a_policy_that_no_plane_can_enforce_is_told_with_what_is_missing() {
    let scratch = Scratch::new();
    let workspace = project(&scratch);
    let before = world(&scratch);
    let options = ["--plane", "host", "--overlay", "--json"];
    let output = dry(&scratch, &workspace, &options, &["true"]);
    assert_eq!(world(&scratch), before);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shortfalls = value["planes"][0]["preflight"]["shortfalls"].as_array().unwrap();
    assert!(shortfalls.iter().any(|one| one["blocking"] == true), "{value}");
    assert_eq!(value["error"]["category"], "unsupported", "{value}");
}

/// Whether this machine keeps changes apart at all.
fn keeps_apart(scratch: &Scratch, workspace: &Path) -> bool {
    let output = dry(scratch, workspace, &["--overlay"], &["true"]);
    if output.status.code() == Some(0) {
        return true;
    }
    let told = text(&output.stderr);
    assert!(told.contains("no plane here can enforce"), "{told}");
    skipped("changes cannot be kept apart here");
    false
}

#[test]
fn r6_with_an_overlay_it_tells_the_changes_and_makes_none() {
    let scratch = Scratch::new();
    let workspace = project(&scratch);
    if !keeps_apart(&scratch, &workspace) {
        return;
    }
    let before = (tree(&workspace), std::fs::read_to_string("/proc/self/mountinfo").unwrap());
    let line = "echo changed > b.txt; rm src/a.txt; mkdir d; echo n > d/new; mv link other; (sleep 300 &) ; echo said";
    let output = dry(&scratch, &workspace, &["--overlay", "--json"], &["sh", "-c", line]);
    assert_eq!((tree(&workspace), std::fs::read_to_string("/proc/self/mountinfo").unwrap()), before);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{value}");
    assert_eq!(value["tried"]["stdout"], "said\n");
    let changes = value["tried"]["changes"].as_array().unwrap();
    let kind = |path: &str| changes.iter().find(|one| one["path"] == path).map(|one| one["kind"].clone());
    assert_eq!(kind("b.txt"), Some("changed".into()), "{value}");
    assert_eq!(kind("src/a.txt"), Some("deleted".into()), "{value}");
    assert_eq!(kind("d/new"), Some("created".into()), "{value}");
    assert!(processes_with(&scratch.path().to_string_lossy()).is_empty());
    let mut list = cofferdam();
    let list = list.args(["changes", "list"]).env("XDG_STATE_HOME", scratch.join("state")).output().unwrap();
    assert_eq!(text(&list.stdout), "No changes are kept apart.\n", "the change set was discarded");
    let output = dry(&scratch, &workspace, &["--overlay"], &["sh", "-c", line]);
    let told = text(&output.stdout);
    assert!(told.contains("M  b.txt") && told.contains("D  src/a.txt") && told.contains("discarded"), "{told}");
    assert_eq!(tree(&workspace), before.0);
}

#[test]
fn r6_with_an_overlay_nothing_beside_it_can_be_changed_for_real() {
    let scratch = Scratch::new();
    let workspace = project(&scratch);
    if !keeps_apart(&scratch, &workspace) {
        return;
    }
    let beside = scratch.write("beside/file", "real");
    let place = beside.parent().unwrap().display().to_string();
    let line = format!("echo gone > {}", beside.display());
    let output = dry(&scratch, &workspace, &["--overlay", "--write", &place], &["sh", "-c", &line]);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("lies outside of the workspace"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(&beside).unwrap(), "real");
    // Nor over the network, whatever the policy says.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = "version = 1\nextends = \"dev\"\n[network]\nmode = \"inherit\"\n";
    let policy = scratch.write("policy.toml", lines).display().to_string();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo CONNECTED");
    let output = run(&workspace, &["--policy", &policy], &["bash", "-c", &connect]).output().unwrap();
    assert!(text(&output.stdout).contains("CONNECTED"), "a real run does connect: {}", text(&output.stderr));
    listener.accept().unwrap();
    let output = dry(&scratch, &workspace, &["--overlay", "--policy", &policy], &["bash", "-c", &connect]);
    assert!(!text(&output.stdout).contains("CONNECTED"), "{}", text(&output.stdout));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}
