//! Planes that are programs of their own, by the command line: in Python, from the tutorial, and ours behind the wire.

use cofferdam_tests::command::{binary, cofferdam, cofferdam_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file that can be executed.
fn script(folder: &Path, name: &str, contents: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A program that starts a plane in Python with the Python that runs in the end.
fn python_plane(folder: &Path, contents: &str) -> Option<PathBuf> {
    let python = skip::python()?;
    let file = script(folder, "plane_in_python.py", contents);
    Some(script(folder, "plane", &format!("#!/bin/sh\nexec {python} {}\n", file.display())))
}

const EXAMPLE: &str = include_str!("../../../examples/planes/python/plane.py");

/// The plane of the tutorial: its pieces one after the other.
fn tutorial() -> String {
    let page = include_str!("../../../docs/writing-a-plane.md");
    page.split("```python\n").skip(1).map(|piece| piece.split("```").next().unwrap_or_default()).collect()
}

fn run(plane: &Path, options: &[&str], program: &[&str], input: &str) -> Output {
    let mut command = cofferdam();
    command.arg("run").arg("--plane").arg(plane).args(options).arg("--").args(program);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn assert_conforms(folder: &Path, plane: &Path) {
    let output = cofferdam().arg("conformance").arg("--scratch").arg(folder).arg("--").arg(plane).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn b6_a_real_program_runs_on_the_plane_in_python_with_input_output_and_exit_code() {
    let folder = Scratch::new();
    let Some(plane) = python_plane(folder.path(), EXAMPLE) else { return };
    let line = "read word; seq 1 30000 | tail -1; echo \"heard $word\" >&2; exit 3";
    let output = run(&plane, &[], &["sh", "-c", line], "this\n");
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), "30000\n"), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("heard this") && told.contains("nothing is isolated on the python plane"), "{told}");
    let output = run(&plane, &["--json"], &["no-such-program"], "");
    assert_eq!(output.status.code(), Some(127), "{}", text(&output.stdout));
}

#[test]
fn b7_the_plane_in_python_passes_the_kit_by_the_command_line() {
    let folder = Scratch::new();
    let Some(plane) = python_plane(folder.path(), EXAMPLE) else { return };
    assert_conforms(folder.path(), &plane);
}

#[test]
fn b7_the_plane_of_the_tutorial_runs_a_program_and_passes_the_kit() {
    let folder = Scratch::new();
    let Some(plane) = python_plane(folder.path(), &tutorial()) else { return };
    assert_eq!(text(&run(&plane, &[], &["echo", "hello"], "").stdout), "hello\n");
    assert_conforms(folder.path(), &plane);
}

#[test]
fn b6_our_own_sandbox_behind_the_wire_isolates_as_it_does_otherwise() {
    let folder = Scratch::new();
    let plane = script(folder.path(), "plane", &format!("#!/bin/sh\nexec {} plane serve linux\n", binary().display()));
    std::fs::write(folder.path().join("canary"), "seen").unwrap();
    let path = folder.path().join("canary").display().to_string();
    let output = run(&plane, &[], &["cat", &path], "");
    if text(&output.stderr).contains("no plane here can enforce") {
        return skip::skipped("this machine gives no isolation");
    }
    assert!(!output.status.success() && !text(&output.stdout).contains("seen"), "{}", text(&output.stderr));
    let output = run(&plane, &["--read", &path], &["cat", &path], "");
    assert_eq!(text(&output.stdout), "seen", "{}", text(&output.stderr));
}

#[test]
fn b6_a_plane_without_isolation_is_never_used_by_accident() {
    let folder = Scratch::new();
    let Some(plane) = python_plane(folder.path(), EXAMPLE) else { return };
    let output = run(&plane, &["--overlay", "--workspace", &folder.path().display().to_string()], &["true"], "");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("keep changes apart"), "{}", text(&output.stderr));
}

#[test]
fn b6_what_is_no_plane_is_told_as_such() {
    let output = run(Path::new("/bin/echo"), &[], &["true"], "");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("wire protocol"), "{}", text(&output.stderr));
}

#[test]
fn b6_git_python_and_pipelines_run_on_the_plane_in_python() {
    let folder = Scratch::new();
    let Some(plane) = python_plane(folder.path(), EXAMPLE) else { return };
    let (Some(_), Some(python)) = (skip::program("git"), skip::python()) else { return };
    let at = folder.path().display().to_string();
    let line = format!(
        "cd {at} && HOME={at} && export HOME && git init -q repo && cd repo && echo text > file && git add file \
         && git -c user.name=n -c user.email=e commit -qm message && git log --format=%s && git status --short | wc -l"
    );
    let output = run(&plane, &[], &["sh", "-c", &line], "");
    assert_eq!(
        text(&output.stdout).split_whitespace().collect::<Vec<_>>(),
        ["message", "0"],
        "{}",
        text(&output.stderr)
    );
    // The policy allows programs of the system; what they start is nobody's business without isolation.
    let line = format!("{python} -c 'import sys; print(len(sys.stdin.read()) * 2)'");
    let output = run(&plane, &[], &["sh", "-c", &line], "four");
    assert_eq!(text(&output.stdout), "8\n", "{}", text(&output.stderr));
    let output = run(&plane, &[], &["sh", "-c", "seq 1 200000 | sort -rn | head -2 | tr '\\n' ' '"], "");
    assert_eq!(text(&output.stdout), "200000 199999 ", "{}", text(&output.stderr));
}

#[test]
fn b7_our_own_planes_behind_the_wire_pass_the_kit() {
    for name in ["host", "linux"] {
        let folder = Scratch::new();
        let plane =
            script(folder.path(), "plane", &format!("#!/bin/sh\nexec {} plane serve {name}\n", binary().display()));
        let mut command = cofferdam();
        let output = command.arg("conformance").arg("--scratch").arg(folder.path()).arg("--").arg(&plane).output();
        let output = output.unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success() && told.contains(" 0 failed, "), "{name}: {told}{}", text(&output.stderr));
    }
}

#[test]
fn b7_our_sandbox_passes_the_kit_where_no_namespace_can_be_made_too() {
    let folder = Scratch::new();
    let plane = script(folder.path(), "plane", &format!("#!/bin/sh\nexec {} plane serve linux\n", binary().display()));
    let mut command = cofferdam_without_namespaces();
    command.args(["conformance", "--format", "tap", "--scratch"]).arg(folder.path()).arg("--").arg(&plane);
    let output = command.output().unwrap();
    if output.status.code() == Some(77) {
        return skip::skipped("no machine without namespaces can be made here");
    }
    let told = text(&output.stdout);
    assert!(output.status.success() && !told.contains("\nnot ok"), "{told}{}", text(&output.stderr));
    // Rules inside a folder were tried, too, and not passed over.
    for name in ["isolation.denied_read", "isolation.kept_write", "preflight.refused_is_refused"] {
        let line = told.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.starts_with("ok ") && !line.contains("# SKIP"), "{line}");
    }
}

/// A plane that tells everything there is to tell, with what would steer a terminal in it.
const STEERING: &str = r#"
import json, os, sys
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e\r"
os.write(2, EVIL.encode() + b"\xff\n")
def send(**message): os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    held = {"tier": "none", "mechanisms": [{"mechanism": "containment", "asked": True, "held": False, "why_not": EVIL}]}
    if method == "session.hello":
        send(id=message["id"], result={"protocol_version": 1, "encoding": "json", "descriptor": {"name": "x" + EVIL,
            "version": EVIL, "contract_generation": 1, "tiers": ["none"], "features": ["commands"], "limits": []}})
    elif method == "plane.preflight":
        blocking = os.path.exists("REFUSE")
        send(id=message["id"], result={"enforcement": held, "shortfalls": [{"message": EVIL, "blocking": blocking, "fix": EVIL}]})
    elif method == "plane.create_command_context":
        send(id=message["id"], result={"context_id": "c"})
    elif "id" in message:
        send(id=message["id"], error={"code": -32000, "message": EVIL, "data": {"code": "spawn_failed",
            "category": "host", "retryable": False, "message": EVIL, "details": {EVIL: EVIL}}})
"#;

#[test]
fn b6_nothing_that_a_plane_says_steers_a_terminal() {
    let folder = Scratch::new();
    for refuse in ["/no/such/file", "/"] {
        let Some(plane) = python_plane(folder.path(), &STEERING.replace("REFUSE", refuse)) else { return };
        let mut outputs = vec![run(&plane, &[], &["true"], ""), run(&plane, &["--json"], &["true"], "")];
        outputs.push(run(&plane, &["--dry-run"], &["true"], ""));
        for format in ["text", "tap", "junit", "json"] {
            let mut command = cofferdam();
            outputs.push(command.args(["conformance", "--format", format, "--"]).arg(&plane).output().unwrap());
        }
        for (number, output) in outputs.iter().enumerate() {
            let told = text(&output.stdout) + &text(&output.stderr);
            assert!(!output.status.success() && told.contains("owned"), "{number}: {told:?}");
            let steers = |letter: &char| (letter.is_control() && *letter != '\n') || *letter == '\u{202e}';
            let found: Vec<char> = told.chars().filter(|letter| steers(letter) || *letter == '\u{fffd}').collect();
            assert!(found.is_empty(), "{number}: {found:?} in {told:?}");
        }
    }
}

/// A plane whose descriptor is wrong, with letters that formats must escape.
fn failing_plane() -> String {
    EXAMPLE.replace("\"name\": \"python\"", r##""name": "Py # \\ <&\">]]>\u009b""##).replace("\"1.0.0\"", "\"\"")
}

#[test]
fn b7_every_format_of_the_kit_s_report_is_read_by_a_parser_of_its_own() {
    let folder = Scratch::new();
    let (Some(right), Some(python)) = (python_plane(folder.path(), EXAMPLE), skip::python()) else { return };
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let Some(wrong) = python_plane(&other, &failing_plane()) else { return };
    for (plane, groups) in [(&right, ["descriptor", "streams"]), (&wrong, ["descriptor", "preflight"])] {
        let told = |format: &str| {
            let mut command = cofferdam();
            command.args(["conformance", "--format", format, "--group", groups[0], "--group", groups[1], "--"]);
            let output = command.arg(plane).output().unwrap();
            assert_eq!(output.status.success(), plane == &right, "{}", text(&output.stderr));
            output.stdout
        };
        let json: serde_json::Value = serde_json::from_slice(&told("json")).unwrap();
        let results = json["results"].as_array().unwrap();
        let failed = results.iter().filter(|result| result["outcome"].get("failed").is_some()).count();
        let skipped = results.iter().filter(|result| result["outcome"].get("skipped").is_some()).count();
        assert_eq!(failed > 0, plane == &wrong, "{json:#}");
        let sum = format!("{} passed, {failed} failed, {skipped} skipped\n", results.len() - failed - skipped);
        assert!(text(&told("text")).ends_with(&sum), "{sum}");
        let file = folder.path().join("report");
        std::fs::write(&file, told("junit")).unwrap();
        let script = "import sys, xml.etree.ElementTree as tree; suite = tree.parse(sys.argv[1]).getroot(); \
            cases = suite.findall('testcase'); count = lambda tag: len([case for case in cases if case.find(tag) is not None]); \
            assert suite.tag == 'testsuite' and int(suite.get('tests')) == len(cases); \
            assert int(suite.get('failures')) == count('failure') and int(suite.get('skipped')) == count('skipped'); \
            [float(case.get('time')) for case in cases]; print(len(cases), count('failure'), count('skipped'))";
        let read = Command::new(&python).args(["-c", script]).arg(&file).output().unwrap();
        assert_eq!(text(&read.stdout), format!("{} {failed} {skipped}\n", results.len()), "{}", text(&read.stderr));
        assert_tap(&file, &told("tap"), results.len(), failed);
    }
}

/// By the parser of Perl's own tests.
fn assert_tap(file: &Path, tap: &[u8], checks: usize, failed: usize) {
    let Some(prove) = skip::program("prove") else { return };
    std::fs::write(file, tap).unwrap();
    let read = Command::new(prove).args(["--exec", "cat"]).arg(file).output().unwrap();
    let told = text(&read.stdout) + &text(&read.stderr);
    assert_eq!(read.status.success(), failed == 0, "{told}");
    assert!(!told.contains("Parse errors") && told.contains(&format!("Tests={checks},")), "{told}");
    assert!(failed == 0 || told.contains(&format!("Failed: {failed})")), "{told}");
}
