//! Changes that are kept apart: what a run sees, what is shown, committed and refused.

use cofferdam_tests::changes::{Apart, assert_fine, tree};
use cofferdam_tests::command::text;
use cofferdam_tests::skip;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_run_sees_its_changes_and_the_workspace_does_not() {
    let apart = Apart::new();
    apart.workspace.write("file", "old\n");
    let output = apart.shell("echo new > file; echo x > made; cat file; pwd");
    assert_eq!(text(&output.stdout), format!("new\n{}\n", apart.workspace.path().display()));
    assert!(text(&output.stderr).contains("1 created, 1 changed; next: cofferdam changes show c"), "{output:?}");
    assert_eq!(fs::read_to_string(apart.workspace.join("file")).unwrap(), "old\n");
    assert!(!apart.workspace.join("made").exists());
    assert_eq!(apart.shown(), ["M  file", "A  made"]);
    assert_fine(&apart.changes(&["commit"]));
    assert_eq!(fs::read_to_string(apart.workspace.join("file")).unwrap(), "new\n");
    assert!(apart.sets().is_empty());
}

#[test]
fn the_policy_can_say_so_and_the_result_names_the_set() {
    let apart = Apart::new();
    let policy =
        apart.workspace.write("p.toml", "version = 1\nextends = \"dev\"\n[filesystem]\nchanges = \"overlay\"\n");
    let run = ["run", "--json", "--policy", &policy.display().to_string(), "--", "touch", "made"];
    let output = apart.command(&run).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let set = apart.sets()[0].file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!((told["changes"]["id"].as_str(), told["changes"]["created"].as_u64()), (Some(set.as_str()), Some(1)));
    assert!(!apart.workspace.join("made").exists());
    assert_fine(&apart.changes(&["commit", &set]));
    assert!(apart.workspace.join("made").exists());
}

#[test]
fn a_run_that_changes_nothing_leaves_nothing() {
    let apart = Apart::new();
    apart.workspace.write("folder/file", "x");
    for line in ["true", "cat folder/file", "touch a; rm a", "mv folder/file b; mv b folder/file"] {
        let output = apart.shell(line);
        assert!(output.status.success() && !text(&output.stderr).contains("changes"), "{line}: {output:?}");
        assert!(apart.sets().is_empty(), "{line}");
    }
    assert_eq!(apart.changes(&["show"]).status.code(), Some(125));
}

#[test]
fn everything_is_shown_by_its_letter() {
    let apart = Apart::new();
    for name in ["changed", "gone/a", "gone/b", "mode", "times", "old-name", "to-folder"] {
        apart.workspace.write(name, &format!("{name}\n"));
    }
    fs::create_dir(apart.workspace.join("to-file")).unwrap();
    symlink("changed", apart.workspace.join("link")).unwrap();
    let line = "echo x > changed; rm -r gone; chmod 755 mode; touch times; mv old-name new-name; rm to-folder; mkdir to-folder; \
                rmdir to-file; echo > to-file; ln -sf mode link; mkdir -p made/in; mkfifo made/pipe; \
                python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"made/socket\")'";
    assert_fine(&apart.shell(line));
    let expected = [
        "M  changed",
        "D  gone/",
        "D  gone/a",
        "D  gone/b",
        "M  link (link to mode)",
        "A  made/",
        "A  made/in/",
        "A  made/pipe (a FIFO)",
        "P  mode (644 -> 755)",
        "R  old-name -> new-name",
        "T  times",
        "M  to-file (directory -> file)",
        "M  to-folder/ (file -> directory)",
        "-  made/socket (a socket, left out by a commit)",
    ];
    assert_eq!(apart.shown(), expected);
    let started = Instant::now();
    assert_fine(&apart.changes(&["commit"]));
    assert!(started.elapsed() < Duration::from_secs(5), "a FIFO is waited for");
    assert!(fs::metadata(apart.workspace.join("made/pipe")).unwrap().file_type().is_fifo());
    assert!(!apart.workspace.join("made/socket").exists());
}

#[test]
fn text_is_compared_line_by_line_and_cannot_steer_a_terminal() {
    let apart = Apart::new();
    apart.workspace.write("text", "one\ntwo\nthree\n");
    apart.workspace.write("large", &"x\n".repeat(700_000));
    let line = "printf 'one\\n2\\033[2J\\nthree\\n' > text; echo >> large; printf 'a\\000b' > binary; echo n > new";
    assert_fine(&apart.shell(line));
    let shown = text(&apart.changes(&["show", "--diff"]).stdout);
    for part in [
        "--- a/text\n+++ b/text\n@@ -1,3 +1,3 @@\n one\n-two\n+2\\u{1b}[2J\n three\n",
        "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n",
        "binary is no text",
        "large is too large to compare",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_discard_asks_or_is_told_and_leaves_nothing() {
    let apart = Apart::new();
    let before = tree(apart.workspace.path());
    assert_fine(&apart.shell("mkdir -p a/b; echo x > a/b/c; chmod 0 a/b/c; chmod 0 a/b; chmod 0 a"));
    let refused = apart.changes(&["discard"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(text(&refused.stderr).contains("--yes"), "{refused:?}");
    assert_eq!(apart.sets().len(), 1);
    assert_fine(&apart.changes(&["discard", "--yes"]));
    assert!(apart.sets().is_empty());
    assert_eq!(tree(apart.workspace.path()), before);
}

#[test]
fn what_the_guest_closed_is_committed_as_it_left_it() {
    let apart = Apart::new();
    assert_fine(&apart.shell("mkdir a; echo x > a/f; chmod 0 a/f; chmod 100 a"));
    assert_eq!(apart.shown(), ["A  a/", "A  a/f"]);
    assert_fine(&apart.changes(&["commit"]));
    let lines = tree(apart.workspace.path());
    assert_eq!(lines[1..], ["a 100 now folder", "a/f 0 now \"x\\n\" of 1"]);
}

#[test]
fn a_conflict_names_the_path_and_changes_nothing() {
    let hosts: [(&str, &str); 8] = [
        ("echo >> both", "both"),
        ("chmod 600 both", "both"),
        ("rm both", "both"),
        ("rm both; mkdir both", "both"),
        ("cp both x; mv x both", "both"),
        ("echo x > gone/new", "gone/new"),
        ("echo x > made", "made"),
        ("touch gone/inner", "gone/inner"),
    ];
    for (host, path) in hosts {
        let apart = Apart::new();
        apart.workspace.write("both", "both\n");
        apart.workspace.write("other", "other\n");
        apart.workspace.write("gone/inner", "x");
        assert_fine(&apart.shell("echo guest >> both; echo >> other; rm -r gone; echo x > made"));
        assert_fine(&Command::new("sh").args(["-c", host]).current_dir(apart.workspace.path()).output().unwrap());
        let error = apart.refused();
        assert_eq!(
            (&error["code"], &error["details"]["paths"][0]),
            (&"changes_conflict".into(), &path.into()),
            "{host}"
        );
        assert_eq!(error["details"]["paths_count"], 1, "{host}: {error}");
        assert_eq!(fs::read_to_string(apart.workspace.join("other")).unwrap(), "other\n", "{host}");
        assert_eq!(apart.sets().len(), 1, "{host}");
    }
}

#[test]
fn what_the_host_changes_elsewhere_is_no_conflict_and_stays() {
    let apart = Apart::new();
    apart.workspace.write("folder/one", "1");
    apart.workspace.write("folder/two", "2");
    // Just before the run, and just after its end: within one step of the clock.
    for round in 0..10 {
        apart.workspace.write("folder/one", &format!("host {round}\n"));
        assert_fine(&apart.shell("echo guest >> folder/one; echo new > folder/three"));
        apart.workspace.write("folder/two", &format!("host {round}"));
        apart.workspace.write("folder/four", "4");
        let committed = apart.changes(&["commit"]);
        assert_fine(&committed);
        assert_eq!(fs::read_to_string(apart.workspace.join("folder/one")).unwrap(), format!("host {round}\nguest\n"));
        assert_eq!(fs::read_to_string(apart.workspace.join("folder/two")).unwrap(), format!("host {round}"));
        fs::remove_file(apart.workspace.join("folder/three")).unwrap();
    }
}

#[test]
fn a_change_right_after_the_start_of_a_run_is_a_conflict() {
    let apart = Apart::new();
    for _ in 0..10 {
        let file = apart.workspace.write("file", "before");
        // The guest tells that it runs; the host changes the file at once; the guest then changes it, too.
        let mut child = apart.under_way("echo up; read go; echo guest > file");
        fs::write(&file, "after!").unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(apart.refused()["code"], "changes_conflict");
        assert_eq!(fs::read_to_string(&file).unwrap(), "after!");
        assert_fine(&apart.changes(&["discard", "--yes"]));
    }
}

#[test]
fn a_set_in_use_is_neither_committed_nor_discarded() {
    let apart = Apart::new();
    let mut child = apart.under_way("echo x > made; echo up; read go; true");
    assert_eq!(apart.refused()["code"], "changes_in_use");
    for arguments in [&["show"][..], &["discard", "--yes"]] {
        let output = apart.changes(arguments);
        assert!(!output.status.success() && text(&output.stderr).contains("in use"), "{output:?}");
    }
    assert!(text(&apart.changes(&["list"]).stdout).contains("in use"));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_fine(&apart.changes(&["commit"]));
    assert!(apart.workspace.join("made").exists());
}

#[test]
fn what_a_killed_command_leaves_can_be_committed_or_discarded() {
    let apart = Apart::new();
    let mut child = apart.under_way("echo x > made; echo up; sleep 60");
    child.kill().unwrap();
    child.wait().unwrap();
    let listed = || text(&apart.changes(&["list"]).stdout).contains("interrupted");
    assert!(cofferdam_tests::observe::within(Duration::from_secs(5), listed));
    let done = cofferdam_tests::observe::within(Duration::from_secs(5), || apart.changes(&["commit"]).status.success());
    assert!(done && apart.workspace.join("made").exists() && apart.sets().is_empty());
}

#[test]
fn git_gcc_and_python_work_in_it_and_what_they_made_works_after() {
    for program in ["git", "gcc", "python3"] {
        if skip::program(program).is_none() {
            return;
        }
    }
    let apart = Apart::new();
    let git = "git -c user.name=a -c user.email=a@b";
    let prepare = format!(
        "git init -q . && echo one > one && mkdir folder && echo x > folder/x && git add . && {git} commit -qm one"
    );
    assert_fine(&Command::new("sh").args(["-c", &prepare]).current_dir(apart.workspace.path()).output().unwrap());
    let line = format!(
        "set -e; echo two > two; git mv folder moved; git add .; {git} commit -qm two; git gc -q; git checkout -q -b other; \
         printf 'int main(void){{return 42;}}' > a.c; gcc -o a a.c; ./a || test $? = 42; \
         python3 -c 'import venv; venv.create(\"env\", with_pip=False)'; env/bin/python -c 'print(\"in env\")'"
    );
    let output = apart.shell(&line);
    assert_fine(&output);
    assert_eq!(text(&output.stdout), "in env\n");
    assert_fine(&apart.changes(&["commit"]));
    let after = "git status --short | grep -v '?? ' ; git log --oneline other | wc -l; git fsck 2>&1; ./a; echo $?; \
                 env/bin/python -c 'print(1)'; ls moved";
    let looked = Command::new("sh").args(["-c", after]).current_dir(apart.workspace.path()).output().unwrap();
    assert_eq!(text(&looked.stdout), "2\n42\n1\nx\n", "{looked:?}");
}

#[test]
fn many_files_together_count_against_the_limit_on_disk() {
    let apart = Apart::new();
    let policy = apart.workspace.write("p.toml", "version = 1\nextends = \"dev\"\n[limits]\ndisk = \"8MiB\"\n");
    let line = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > $i; done";
    let run = ["run", "--json", "--overlay", "--timeout", "30s", "--policy", &policy.display().to_string(), "--"];
    let output = apart.command(&[&run[..], &["sh", "-c", line]].concat()).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["cause"]["limit"], told["exit_code"].as_u64()), (&"disk".into(), Some(137)), "{told}");
    assert!(told["cause"]["observed"].as_u64() > Some(8 << 20), "{told}");
}

#[test]
fn a_rename_is_told_where_it_is_certain_and_never_guessed() {
    let apart = Apart::new();
    for (name, text) in [("a", "1"), ("b", "2"), ("twin", "3"), ("other-twin", "3"), ("copied", "4"), ("edited", "5")] {
        apart.workspace.write(&format!("folder/{name}"), text);
    }
    let long_ago = "touch -d @1000000000 folder/*";
    assert_fine(&Command::new("sh").args(["-c", long_ago]).current_dir(apart.workspace.path()).output().unwrap());
    let line = "mv folder moved; cp -p moved/copied copy; rm moved/copied; mv moved/edited edited; echo >> edited";
    assert_fine(&apart.shell(line));
    let expected = [
        "A  copy",
        "A  edited",
        "D  folder/",
        "D  folder/copied",
        "D  folder/edited",
        "D  folder/other-twin",
        "D  folder/twin",
        "A  moved/",
        "R  folder/a -> moved/a",
        "R  folder/b -> moved/b",
        "A  moved/other-twin",
        "A  moved/twin",
    ];
    assert_eq!(apart.shown(), expected);
    assert_fine(&apart.changes(&["commit"]));
    assert_eq!(fs::read_to_string(apart.workspace.join("moved/twin")).unwrap(), "3");
}

#[test]
fn a_folder_takes_the_place_of_an_empty_one_whatever_the_rights_of_that_are() {
    for mode in ["644", "311", "000"] {
        let apart = Apart::new();
        let line = "mkdir b c && echo x > b/x";
        assert_fine(&Command::new("sh").args(["-c", line]).current_dir(apart.workspace.path()).output().unwrap());
        assert_fine(&apart.shell(&format!("chmod {mode} c && mv -T b c")));
        assert_fine(&apart.changes(&["commit"]));
        assert!(!apart.workspace.join("b").exists(), "{mode}");
        assert_eq!(fs::read_to_string(apart.workspace.join("c/x")).unwrap(), "x\n", "{mode}");
    }
}

#[test]
fn a_file_with_several_names_is_changed_under_the_one_that_was_used() {
    let apart = Apart::new();
    let one = apart.workspace.write("one", "old");
    fs::hard_link(&one, apart.workspace.join("other")).unwrap();
    assert_fine(&apart.shell("echo new > one; chmod 600 one"));
    assert_fine(&apart.changes(&["commit"]));
    let other = apart.workspace.join("other");
    assert_eq!(
        (fs::read_to_string(&one).unwrap().as_str(), fs::read_to_string(&other).unwrap().as_str()),
        ("new\n", "old")
    );
    assert_eq!(fs::metadata(&other).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn attributes_are_carried_over() {
    let apart = Apart::new();
    apart.workspace.write("file", "x");
    let script = "import os; os.mkdir('d'); [os.setxattr(p, 'user.note', b'n') for p in ('file', 'd')]";
    assert_fine(&apart.run(&["python3", "-c", script]));
    assert_fine(&apart.changes(&["commit"]));
    let script = "import os; print([os.getxattr(p, 'user.note') for p in ('file', 'd')], os.listxattr('d'))";
    let looked = Command::new("python3").args(["-c", script]).current_dir(apart.workspace.path()).output().unwrap();
    assert_eq!(text(&looked.stdout), "[b'n', b'n'] ['user.note']\n", "{looked:?}");
}

#[test]
fn two_commits_at_once_come_one_after_the_other() {
    let apart = Apart::new();
    for name in ["a", "b"] {
        assert_fine(&apart.shell(&format!("mkdir {name}; cd {name}; seq 300 | xargs touch")));
    }
    let ids: Vec<_> = apart.sets().iter().map(|set| set.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let start = |id: &String| apart.command(&["changes", "commit", id]).stdout(std::process::Stdio::null()).spawn();
    let children: Vec<_> = ids.iter().map(|id| start(id).unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for name in ["a", "b"] {
        assert_eq!(fs::read_dir(apart.workspace.join(name)).unwrap().count(), 300);
    }
}

#[test]
fn two_runs_have_two_sets_and_the_newest_is_meant() {
    let apart = Apart::new();
    apart.workspace.write("file", "0");
    assert_fine(&apart.shell("echo 1 > file; echo 1 > one"));
    assert_fine(&apart.shell("echo 2 > file; test ! -e one"));
    assert_eq!(apart.sets().len(), 2);
    assert_eq!(apart.shown(), ["M  file"]);
    assert_fine(&apart.changes(&["commit"]));
    assert_eq!(fs::read_to_string(apart.workspace.join("file")).unwrap(), "2\n");
    // What the first saw is not there any more.
    assert_eq!(apart.refused()["details"]["paths"][0], "file");
    assert!(!apart.workspace.join("one").exists());
}

#[test]
fn a_thousand_files_are_committed_whole() {
    let apart = Apart::new();
    assert_fine(&apart.shell("mkdir many; cd many; seq 1000 | xargs touch; mkdir -p a/b/c; ln 1 a/b/c/linked"));
    assert_fine(&apart.changes(&["commit"]));
    let made = apart.workspace.join("many");
    assert_eq!(fs::read_dir(&made).unwrap().count(), 1001);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&made.join("1")), inode(&made.join("a/b/c/linked")));
}
