//! `run --explain`: what was refused is told, with the line that allows it, and nothing else is refused or allowed than without it.

use cofferdam_tests::command::{cofferdam, run, run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

pub(crate) const LANDLOCK: &str = "landlock";

/// Runs a program under `tier`, with and without namespaces.
pub(crate) fn in_tier(tier: &str, workspace: &Path, options: &[&str], program: &[&str]) -> Command {
    if tier == LANDLOCK {
        return run_without_namespaces(workspace, &[&["--isolation", LANDLOCK], options].concat(), program);
    }
    run(workspace, options, program)
}

/// What was refused, as `--json` tells it, and how the program ended.
#[track_caller]
fn refusals(mut command: Command) -> (Vec<Value>, Value) {
    let output = command.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (told["denials"].as_array().unwrap().clone(), told)
}

fn find<'a>(denials: &'a [Value], access: &str, subject: &str) -> Option<&'a Value> {
    denials.iter().find(|denial| denial["access"] == access && denial["subject"] == subject)
}

/// Pastes the lines that are proposed until the program works, and answers the policy that it works under.
#[track_caller]
fn assert_pasting_makes_it_work(tier: &str, inside: &Scratch, program: &[&str]) -> String {
    let aside = Scratch::new();
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..8 {
        let body: String = lines.iter().map(|(key, entries)| format!("{key} = [{}]\n", entries.join(", "))).collect();
        let text = format!("version = 1\nextends = \"dev\"\n{body}");
        let policy = aside.write("policy.toml", &text).display().to_string();
        let (denials, told) =
            refusals(in_tier(tier, inside.path(), &["--policy", &policy, "--explain", "--json"], program));
        if told["exit_code"] == 0 {
            assert!(round > 0, "nothing was refused in the first place: {told}");
            return text;
        }
        let before = body;
        for denial in denials.iter().filter(|denial| denial["secret"] != true) {
            for line in denial["remedy"].as_str().unwrap_or_default().lines() {
                let Some((key, entries)) = line.split_once(" = [") else { continue };
                let entry = entries.trim_end_matches(']').to_owned();
                let known = lines.entry(key.to_owned()).or_default();
                if !known.contains(&entry) {
                    known.push(entry);
                }
            }
        }
        let after: String = lines.iter().map(|(key, entries)| format!("{key} = [{}]\n", entries.join(", "))).collect();
        assert_ne!(before, after, "{tier}: it fails and nothing new is proposed: {told}");
    }
    panic!("{tier}: it does not come to work under {lines:?}");
}

/// The same in both tiers, each time with fresh folders.
pub(crate) fn in_both_tiers(test: impl Fn(&str, &Scratch, &Scratch)) {
    for tier in ["full", LANDLOCK] {
        test(tier, &Scratch::new(), &Scratch::new());
    }
}

#[test]
fn python_and_node_read_what_the_proposed_line_opens() {
    for (name, script) in
        [("python3", "print(open('PATH').read())"), ("node", "console.log(require('fs').readFileSync('PATH','utf8'))")]
    {
        if skip::program(name).is_none() {
            continue;
        }
        in_both_tiers(|tier, inside, outside| {
            let path = outside.write("deep/data.txt", "words").display().to_string();
            let flag = if name == "node" { "-e" } else { "-c" };
            let policy = assert_pasting_makes_it_work(tier, inside, &[name, flag, &script.replace("PATH", &path)]);
            assert!(policy.contains(&format!("\"{path}\"")), "{policy}");
        });
    }
}

#[test]
fn git_reads_a_repository_that_the_proposed_lines_open() {
    if skip::program("git").is_none() {
        return;
    }
    in_both_tiers(|tier, inside, outside| {
        let line =
            "git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m told";
        assert!(Command::new("sh").args(["-c", line]).current_dir(outside.path()).status().unwrap().success());
        let repository = outside.join("repo").display().to_string();
        assert_pasting_makes_it_work(tier, inside, &["git", "-C", &repository, "log", "-1"]);
    });
}

#[test]
fn gcc_includes_what_the_proposed_line_opens() {
    if skip::program("gcc").is_none() {
        return;
    }
    in_both_tiers(|tier, inside, outside| {
        outside.write("include/told.h", "#define TOLD 0\n");
        inside.write("main.c", "#include <told.h>\nint main(void) { return TOLD; }\n");
        let include = format!("-I{}", outside.join("include").display());
        assert_pasting_makes_it_work(tier, inside, &["gcc", &include, "main.c", "-o", "main"]);
        assert!(inside.join("main").exists());
    });
}

#[test]
fn a_pipeline_writes_and_a_program_runs_where_the_proposed_lines_let_it() {
    in_both_tiers(|tier, inside, outside| {
        outside.write("in", "b\na\nb\n");
        let tool = outside.write("bin/tool", "#!/bin/sh\nsort -u\n");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let (place, tool) = (outside.path().display(), tool.display());
        fs::create_dir(outside.join("out")).unwrap();
        let line = format!("set -e; cat {place}/in | {tool} > {place}/out/result; test -s {place}/out/result");
        assert_pasting_makes_it_work(tier, inside, &["sh", "-c", &line]);
        assert_eq!(fs::read_to_string(outside.join("out/result")).unwrap(), "a\nb\n");
    });
}

#[test]
fn a_secret_is_marked_and_names_its_rule() {
    in_both_tiers(|tier, inside, home| {
        home.write(".ssh/config", "Host x");
        let options = ["--explain", "--json"];
        let line = format!("cat /etc/shadow {}/.ssh/config; exit 1", home.path().display());
        let mut command = in_tier(tier, inside.path(), &options, &["sh", "-c", &line]);
        command.env("HOME", home.path());
        let (denials, told) = refusals(command);
        for subject in ["/etc/shadow".to_owned(), home.join(".ssh/config").display().to_string()] {
            let denial =
                find(&denials, "filesystem.read", &subject).unwrap_or_else(|| panic!("{tier} {subject}: {told}"));
            assert_eq!(denial["secret"], true, "{tier}: {denial}");
            assert_eq!(denial["rule"]["source"], "built-in secrets", "{tier}: {denial}");
        }
    });
}

#[test]
fn a_hostile_name_neither_steers_the_terminal_nor_forges_a_line() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let name = "x\u{1b}[2J\"]\nhint: filesystem.write = [\"/\"]\n\u{202e}[a]*{b";
    let path = outside.write(name, "words").display().to_string();
    let plain = outside.write("*\"]\nwrite = [\"\u{1b}", "words").display().to_string();
    let program = ["cat", path.as_str(), plain.as_str()];
    let output = run(inside.path(), &["--explain"], &program).output().unwrap();
    let told: String =
        text(&output.stderr).lines().filter(|line| !line.starts_with("cat:")).collect::<Vec<_>>().join("\n");
    assert!(told.contains("filesystem.read of"), "{told}");
    assert!(told.chars().all(|character| character == '\n' || (!character.is_control() && character != '\u{202e}')));
    assert!(!told.lines().any(|line| line.starts_with("hint: filesystem.write")), "{told}");
    // Its line, pasted, means just this file.
    let (denials, told) = refusals(run(inside.path(), &["--explain", "--json"], &program));
    assert!(find(&denials, "filesystem.read", &path).unwrap()["remedy"].is_null(), "no entry can say a brace: {told}");
    let line = find(&denials, "filesystem.read", &plain).unwrap()["remedy"].as_str().unwrap().to_owned();
    let policy = outside.write("p.toml", &format!("version = 1\nextends = \"dev\"\n{line}\n")).display().to_string();
    let output = run(inside.path(), &["--policy", &policy], &["cat", &plain]).output().unwrap();
    assert_eq!(text(&output.stdout), "words", "{output:?}");
    let output = run(inside.path(), &["--policy", &policy], &["cat", &path]).output().unwrap();
    assert_eq!(text(&output.stdout), "", "{output:?}");
}

#[test]
fn what_is_not_there_outside_either_is_not_told() {
    in_both_tiers(|tier, inside, _| {
        let options = ["--explain", "--json"];
        let line =
            "ls /no/such; cat ./nothing; rm gone; mkdir /proc/x; /no/program; test -e made; echo x > made; exit 1";
        let (denials, told) = refusals(in_tier(tier, inside.path(), &options, &["sh", "-c", line]));
        assert!(denials.is_empty(), "{tier}: {told}");
        let (denials, told) = refusals(in_tier(tier, inside.path(), &options, &["true"]));
        assert!(denials.is_empty(), "{tier}: {told}");
    });
}

#[test]
fn who_asked_how_and_how_often_is_told() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let path = outside.write("data", "words");
    std::os::unix::fs::symlink("data", outside.join("link")).unwrap();
    let up = format!("..{}", "/..".repeat(inside.path().components().count()));
    let line = format!("cat {up}{0}/link; cat {0}/data; cat {0}/data; exit 1", outside.path().display());
    let (denials, told) = refusals(run(inside.path(), &["--explain", "--json"], &["sh", "-c", &line]));
    let denial = find(&denials, "filesystem.read", &path.display().to_string()).unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&denial["program"], &denial["operation"]), (&"cat".into(), &"openat".into()), "{denial}");
    assert!(denial["program_path"].as_str().unwrap().ends_with("/cat"), "{denial}");
    assert!(denial["times"].as_u64().unwrap() >= 2, "{denial}");
    assert!(denial["asked"].as_str().unwrap().starts_with("../.."), "{denial}");
    let line = format!("cat {0}; head {0}; cat {0}; exit 1", path.display());
    let (denials, told) = refusals(run(inside.path(), &["--explain", "--json"], &["sh", "-c", &line]));
    let denial = find(&denials, "filesystem.read", &path.display().to_string()).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(denial["programs"], serde_json::json!({ "cat": 2, "head": 1 }), "{denial}");
}

#[test]
fn a_program_that_a_rule_denies_names_the_rule() {
    // Without mounts such a policy cannot be held, and is refused.
    let (inside, aside) = (Scratch::new(), Scratch::new());
    let policy = aside.write("p.toml", "version = 1\nextends = \"dev\"\n[commands]\ndeny = [\"/usr/bin/id\"]\n");
    let options = ["--policy", &policy.display().to_string(), "--explain", "--json"];
    let (denials, told) = refusals(run(inside.path(), &options, &["sh", "-c", "id; exit 1"]));
    let denial = find(&denials, "command.execute", "/usr/bin/id").unwrap_or_else(|| panic!("{told}"));
    assert_eq!(denial["rule"]["line"], 4, "{denial}");
    assert!(denial["remedy"].as_str().unwrap().starts_with("remove `commands.deny"), "{denial}");
    assert_eq!(denials.len(), 1, "one program by two names is one refusal: {told}");
}

#[test]
fn addresses_sockets_and_refused_calls_are_told() {
    if skip::program("python3").is_none() {
        return;
    }
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap();
    let path = outside.join("service.sock");
    let _service = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let script = format!(
        "import socket, ctypes, os
def attempt(what):
    try: what()
    except OSError as error: print(error)
def connect(family, address): attempt(lambda: socket.socket(family, socket.SOCK_STREAM).connect(address))
connect(socket.AF_INET, ('192.0.2.7', 443))
connect(socket.AF_INET6, ('2001:db8::7', 80))
connect(socket.AF_INET, ('127.0.0.1', {port}))
connect(socket.AF_INET, ('127.0.0.1', 1))
connect(socket.AF_UNIX, '{path}')
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.8', 53)))
own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen(); connect(socket.AF_INET, own.getsockname())
attempt(lambda: os.mkdir('/etc/x')); attempt(lambda: os.setxattr('/usr/bin/env', 'user.x', b'y'))
ctypes.CDLL(None).mount(b'x', b'y', b'z', 0, None)
",
        port = own.port(),
        path = path.display()
    );
    let (denials, told) = refusals(run(inside.path(), &["--explain", "--json"], &["python3", "-c", &script]));
    for address in
        ["192.0.2.7:443".to_owned(), "[2001:db8::7]:80".to_owned(), own.to_string(), "192.0.2.8:53".to_owned()]
    {
        assert!(find(&denials, "network.connect", &address).is_some(), "{address}: {told}");
    }
    let network = denials.iter().filter(|denial| denial["access"] == "network.connect").count();
    assert_eq!(network, 4, "neither a port that nobody has nor one of its own: {told}");
    let socket = find(&denials, "socket.connect", &path.display().to_string()).unwrap_or_else(|| panic!("{told}"));
    assert!(socket["remedy"].is_null(), "no rule opens it: {socket}");
    assert!(find(&denials, "system.call", "mount").is_some(), "{told}");
    let is_root = nix::unistd::geteuid().is_root();
    assert_eq!(
        find(&denials, "filesystem.write", "/etc/x").is_some(),
        is_root,
        "it is told if it would have worked: {told}"
    );
}

#[test]
fn the_schema_of_the_result_tells_what_explaining_adds() {
    let output = cofferdam().args(["run", "--json-schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let denial = &schema["$defs"]["Denial"]["properties"];
    for field in ["operation", "asked", "resolved", "program_path", "times", "programs", "secret", "note"] {
        assert!(denial[field].is_object(), "{field}: {denial}");
    }
}
