//! Whatever a program does to whatever tree: kept apart and then committed, it comes to the same as done at once.

use cofferdam_tests::changes::{Apart, tree};
use cofferdam_tests::command::{run, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Does what it is told, and tells the outcome of each step, so that not only the trees are compared.
const INTERPRETER: &str = r#"
import errno, json, os, stat, sys

def remove(path):
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in sorted(os.listdir(path)): remove(path + "/" + name)
        os.rmdir(path)
    else: os.unlink(path)

def write(path, how, text):
    file = os.open(path, os.O_WRONLY | os.O_NONBLOCK | how, 0o644)
    try: os.write(file, text.encode())
    finally: os.close(file)

def do(step):
    what, path, other = step
    if what == "write": write(path, os.O_CREAT | os.O_TRUNC, other)
    elif what == "append": write(path, os.O_APPEND, other)
    elif what == "replace": write(path + ".new", os.O_CREAT | os.O_EXCL, other); os.rename(path + ".new", path)
    elif what == "truncate": os.truncate(path, 1)
    elif what == "mkdir": os.mkdir(path, 0o755)
    elif what == "remove": remove(path)
    elif what == "rename": os.rename(path, other)
    elif what == "link": os.link(path, other, follow_symlinks=False)
    elif what == "symlink": os.symlink(other, path)
    elif what == "fifo": os.mkfifo(path, 0o640)
    elif what == "chmod": os.chmod(path, int(other, 8))
    elif what == "times": os.utime(path, ns=(10**18, int(other)))
    elif what == "open": os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    elif what == "list": return sorted(os.listdir(path))
    elif what == "read": return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb").read().decode("latin-1")

for step in json.loads(sys.argv[1]):
    try: print(step, do(step))
    except OSError as error: print(step, errno.errorcode[error.errno])
"#;

/// Makes the tree that a program finds; all of it lies long back.
const BUILDER: &str = r#"
import json, os, sys
entries = json.loads(sys.argv[1])
for kind, path, text, mode in entries:
    try:
        if kind == "folder": os.mkdir(path)
        elif kind == "link": os.symlink(text, path)
        elif not os.path.lexists(path): open(path, "w").write(text); os.chmod(path, mode)
    except OSError: pass
for kind, path, text, mode in reversed(entries):
    if os.path.isdir(path) and not os.path.islink(path) and kind == "folder": os.chmod(path, mode)
at = 10**18
for folder, folders, files in sorted(os.walk(".", topdown=False)):
    for name in sorted(folders + files):
        at += 1001
        os.utime(folder + "/" + name, ns=(at, at), follow_symlinks=False)
os.utime(".", ns=(10**18, 10**18))
"#;

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc]", 1..4).prop_map(|parts| parts.join("/"))
}

fn entry() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![4 => Just("file"), 4 => Just("folder"), 1 => Just("link")];
    (kind, path(), "[xyz]{1,3}", prop::sample::select(vec![0o644, 0o755, 0o600, 0o555])).prop_map(
        |(kind, path, word, mode)| {
            let mode = if kind == "folder" { mode | 0o500 } else { mode };
            json!([kind, path, word, mode])
        },
    )
}

fn step() -> impl Strategy<Value = Value> {
    let word = "[xyz]{0,4}";
    prop_oneof![
        3 => ("(write|append|replace)", path(), word).prop_map(|(what, path, text)| json!([what, path, text])),
        3 => path().prop_map(|path| json!(["mkdir", path, ""])),
        3 => path().prop_map(|path| json!(["remove", path, ""])),
        5 => (path(), path()).prop_map(|(path, other)| json!(["rename", path, other])),
        2 => (path(), path()).prop_map(|(path, other)| json!(["link", path, other])),
        1 => (path(), path()).prop_map(|(path, other)| json!(["symlink", path, other])),
        2 => (path(), prop::sample::select(vec!["644", "755", "500", "0", "1777", "600"]))
            .prop_map(|(path, mode)| json!(["chmod", path, mode])),
        1 => (path(), 1_u64..1_000_000_000_000).prop_map(|(path, time)| json!(["times", path, time.to_string()])),
        2 => ("(truncate|open|fifo|list|read)", path()).prop_map(|(what, path)| json!([what, path, ""])),
    ]
}

fn without_time(line: &mut String) {
    let parts: Vec<_> = line.split(' ').collect();
    *line = parts.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, part)| *part).collect::<Vec<_>>().join(" ");
}

fn build(folder: &Path, entries: &Value) {
    let built = Command::new("python3").args(["-c", BUILDER, &entries.to_string()]).current_dir(folder).output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
}

#[test]
fn what_is_committed_is_what_would_have_been_done_at_once() {
    if skip::program("python3").is_none() {
        return;
    }
    // The same few cases at each run of the suite, since one takes a third of a second; others, and as many as wanted, when asked.
    let asked = std::env::var("COFFERDAM_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let cases = asked.unwrap_or(24);
    let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let tree_of = proptest::collection::vec(entry(), 0..14).prop_map(Value::from);
    let steps_of = proptest::collection::vec(step(), 1..25).prop_map(Value::from);
    let outcome = TestRunner::new(config).run(&(tree_of, steps_of), |(entries, steps)| {
        let (apart, plain) = (Apart::new(), Scratch::new());
        build(apart.workspace.path(), &entries);
        build(plain.path(), &entries);
        let steps = steps.to_string();
        let program = ["python3", "-c", INTERPRETER, &steps];
        let inside = apart.run(&program);
        let expected = run(plain.path(), &[], &program).output().unwrap();
        prop_assert_eq!(text(&inside.stdout), text(&expected.stdout), "{}", text(&inside.stderr));
        let kept = !apart.sets().is_empty();
        if kept {
            let committed = apart.changes(&["commit"]);
            prop_assert!(committed.status.success(), "{}", text(&committed.stderr));
        }
        prop_assert_eq!(apart.sets().len(), 0, "nothing is left of what was committed");
        let (mut got, mut wanted) = (tree(apart.workspace.path()), tree(plain.path()));
        if !kept {
            // Where nothing but times of folders would be others, there is nothing to keep.
            for lines in [&mut got, &mut wanted] {
                lines.iter_mut().filter(|line| line.ends_with(" folder")).for_each(without_time);
            }
        }
        prop_assert_eq!(got, wanted);
        Ok(())
    });
    if let Err(fault) = outcome {
        panic!("{fault}");
    }
}
