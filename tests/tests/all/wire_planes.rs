//! Planes that are programs of their own, by the command line: in Python, from the tutorial, and ours behind the wire.

use cofferdam_tests::command::{binary, cofferdam, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

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
fn b7_every_format_of_the_kit_s_report_is_what_it_says() {
    let folder = Scratch::new();
    let Some(plane) = python_plane(folder.path(), EXAMPLE) else { return };
    for (format, begins) in [("text", "/"), ("tap", "TAP version 14\n1..12\n"), ("junit", "<?xml"), ("json", "{")] {
        let mut command = cofferdam();
        command.args(["conformance", "--format", format, "--group", "descriptor", "--"]).arg(&plane);
        let output = command.output().unwrap();
        assert!(
            output.status.success() && text(&output.stdout).starts_with(begins),
            "{format}: {}",
            text(&output.stdout)
        );
    }
}
