//! A commit that is ended at any step: the next use of the store brings it to its end, and the workspace is as before or as wanted.

use cofferdam_sandbox_linux::changes::{ChangeStore, CommitSteps};
use cofferdam_tests::changes::{Apart, tree};
use cofferdam_tests::command::text;
use cofferdam_tests::scratch::Scratch;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// Where a process of this test's own finds what to do: the store, the set, and the step at which to end.
const TASK: &str = "COFFERDAM_TEST_COMMIT";

/// Counts steps, and ends the process by SIGKILL at one of them: nothing of it runs any more.
struct Killed {
    left: usize,
}

impl CommitSteps for Killed {
    fn before(&mut self, _: &'static str) {
        if self.left == 0 {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        self.left -= 1;
    }
}

#[test]
fn what_another_process_does() {
    // On its own this test does nothing: it is what the others start.
    let Ok(task) = std::env::var(TASK) else { return };
    let [what, store, id, step] = task.split(';').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let (store, mut steps) = (ChangeStore::at(store).unwrap(), Killed { left: step.parse().unwrap() });
    if what == "commit" {
        store.find(id).unwrap().commit_watched(&mut steps).unwrap();
    } else {
        assert_eq!(store.recover_watched(&mut steps).unwrap().len(), 1);
    }
}

/// Commits, or recovers what was committed by half, in a process of its own, which ends at `step`; answers whether it came to its end.
fn until(apart: &Apart, what: &str, step: usize) -> bool {
    let id = apart.sets()[0].file_name().unwrap().to_string_lossy().into_owned();
    let task = format!("{what};{};{id};{step}", apart.store().display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args(["--exact", "changes_crash::what_another_process_does"]).env(TASK, task).output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "step {step}: {}", text(&output.stdout));
    !killed
}

/// A workspace with something of each kind.
fn prepared() -> Apart {
    let apart = Apart::new();
    let workspace = &apart.workspace;
    for name in ["kept", "changed", "removed", "mode", "touched", "gone/a", "gone/b/c", "merged/x/y", "file-to-folder"]
    {
        workspace.write(name, name);
    }
    fs::create_dir_all(workspace.join("folder-to-file/inner")).unwrap();
    workspace.write("closed/inner", "x");
    let long_ago = "find . -depth -exec touch -h -d @1000000000 {} +; chmod 555 closed";
    assert!(Command::new("sh").args(["-c", long_ago]).current_dir(workspace.path()).status().unwrap().success());
    apart
}

const CHANGES: &str = "echo new > changed; rm removed; chmod 755 mode; touch -d @1100000000 touched; rm -r gone; \
    echo 1 > merged/x/new; ln merged/x/new linked; rm file-to-folder; mkdir file-to-folder; echo x > file-to-folder/in; \
    rm -r folder-to-file; echo f > folder-to-file; ln -s kept link; mkfifo pipe; chmod 755 closed; echo 2 > closed/second; \
    rm closed/inner; chmod 555 closed; mkdir -p made/deep; echo z > made/deep/z; chmod 500 made; chmod 700 .";

#[test]
fn a_commit_that_is_killed_at_any_step_is_done_or_undone_whole() {
    let before = tree(prepared().workspace.path());
    let whole = prepared();
    assert!(whole.shell(CHANGES).status.success());
    let committed = whole.changes(&["commit"]);
    assert!(committed.status.success(), "{}", text(&committed.stderr));
    let after = tree(whole.workspace.path());
    assert_ne!(before, after);
    let (mut step, mut done, mut undone) = (0, 0, 0);
    loop {
        let apart = prepared();
        assert!(apart.shell(CHANGES).status.success());
        let ended = until(&apart, "commit", step);
        // Any command brings it to its end.
        let listed = apart.changes(&["list"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        let staging = fs::read_dir(apart.workspace.path()).unwrap().flatten();
        let staging: Vec<_> =
            staging.filter(|entry| entry.file_name().to_string_lossy().starts_with(".cofferdam")).collect();
        assert!(staging.is_empty(), "step {step} left {staging:?}");
        if apart.sets().is_empty() {
            done += 1;
        } else {
            undone += 1;
            assert!(!ended);
            // What was undone can be committed still: it is no conflict that we did and undid it ourselves.
            let shown = apart.changes(&["show"]);
            assert!(shown.status.success(), "{}", text(&shown.stderr));
            let modes = "stat -c '%n %a %Y' . closed kept changed; find . -name 'new' -o -name made";
            let looked = Command::new("sh").args(["-c", modes]).current_dir(apart.workspace.path()).output().unwrap();
            let looked = text(&looked.stdout);
            assert!(looked.contains("closed 555 1000000000\n") && !looked.contains("made"), "step {step}: {looked}");
            let again = apart.changes(&["commit"]);
            assert!(again.status.success(), "step {step}: {}", text(&again.stderr));
        }
        assert_eq!(tree(apart.workspace.path()), after, "step {step}");
        if ended {
            break;
        }
        step += 1;
    }
    assert!(step > 30 && done > 10 && undone > 10, "{step} steps, {done} done, {undone} undone");
}

/// Writes down the steps.
#[derive(Default)]
struct Steps(Vec<&'static str>);

impl CommitSteps for Steps {
    fn before(&mut self, step: &'static str) {
        self.0.push(step);
    }
}

#[test]
fn a_commit_that_is_killed_while_it_is_undone_is_undone_whole() {
    let whole = prepared();
    assert!(whole.shell(CHANGES).status.success());
    let mut steps = Steps::default();
    let mut sets = ChangeStore::at(whole.store()).unwrap().list().unwrap();
    sets.remove(0).commit_watched(&mut steps).unwrap();
    let last = steps.0.iter().rposition(|step| *step == "apply").unwrap();
    let (mut step, mut hindered) = (0, 0);
    loop {
        let apart = prepared();
        assert!(apart.shell(CHANGES).status.success());
        // First up to the point where all is decided and most is done, ...
        let ended = until(&apart, "commit", last);
        assert!(!ended, "the commit has more steps");
        // ... then the host is in the way of what is left, ...
        let undone_later = apart.workspace.join("touched");
        fs::remove_file(&undone_later).unwrap();
        fs::write(&undone_later, "by the host").unwrap();
        // ... and whoever brings it to its end is killed, too.
        let killed = !until(&apart, "recover", step);
        let listed = apart.changes(&["list"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        assert_eq!(apart.sets().len(), 1, "step {step}: nothing is committed");
        assert_eq!(fs::read_to_string(&undone_later).unwrap(), "by the host");
        fs::remove_file(&undone_later).unwrap();
        assert!(!fs::read_dir(apart.workspace.path()).unwrap().flatten().any(|e| e.file_name() == "made"));
        let refused = apart.changes(&["commit"]);
        let told = text(&refused.stderr);
        assert!(told.contains("`touched`") && !told.contains("more"), "step {step}: {told}");
        hindered += usize::from(killed);
        let mut expected = tree(prepared().workspace.path());
        expected.retain(|line| !line.starts_with("touched "));
        let mut got = tree(apart.workspace.path());
        for lines in [&mut expected, &mut got] {
            // Making and removing a file in it is the test's own doing.
            lines.retain(|line| !line.starts_with(" "));
        }
        assert_eq!(got, expected, "step {step}");
        if !killed {
            break;
        }
        step += 1;
    }
    assert!(hindered > 10, "{hindered}");
}

/// The host, or another guest in the same workspace, exchanges folders for links that lead out, at one of the steps.
struct Exchanges<'a> {
    left: usize,
    workspace: &'a Path,
    victim: &'a Path,
}

impl CommitSteps for Exchanges<'_> {
    fn before(&mut self, _: &'static str) {
        if self.left == 0 {
            let staging = fs::read_dir(self.workspace).unwrap().flatten().map(|entry| entry.file_name());
            let staging = staging.filter(|name| name.to_string_lossy().starts_with(".cofferdam"));
            for name in staging.chain(["merged", "closed", "gone", "file-to-folder"].map(Into::into)) {
                let (place, aside) = (self.workspace.join(&name), self.victim.with_extension(&name));
                if place.is_dir() && !place.is_symlink() && fs::rename(&place, &aside).is_ok() {
                    symlink(self.victim, &place).unwrap();
                }
            }
        }
        self.left = self.left.wrapping_sub(1);
    }
}

#[test]
fn whoever_exchanges_folders_while_a_commit_is_under_way_leads_it_nowhere() {
    let (mut step, mut refused) = (0, 0);
    loop {
        let (apart, outside) = (prepared(), Scratch::new());
        assert!(apart.shell(CHANGES).status.success());
        for name in ["new", "inner", "a", "in", "0", "1", "2", "3", "x/y", "b/c", "x/new"] {
            outside.write(&format!("victim/{name}"), "precious");
        }
        let victim = outside.join("victim");
        let before = Command::new("ls").args(["-lR", "--full-time"]).arg(&victim).output().unwrap().stdout;
        let mut sets = ChangeStore::at(apart.store()).unwrap().list().unwrap();
        let mut steps = Exchanges { left: step, workspace: apart.workspace.path(), victim: &victim };
        refused += usize::from(sets.remove(0).commit_watched(&mut steps).is_err());
        let over = steps.left < usize::MAX / 2;
        // Whoever comes next is led nowhere, either.
        apart.changes(&["list"]);
        let after = Command::new("ls").args(["-lR", "--full-time"]).arg(&victim).output().unwrap().stdout;
        assert_eq!(text(&after), text(&before), "step {step}");
        let contents = Command::new("grep").args(["-rL", "precious"]).arg(&victim).output().unwrap();
        assert_eq!(text(&contents.stdout), "", "step {step}");
        // A folder that was closed would keep the scratch folder from being removed.
        Command::new("chmod").args(["-R", "u+rwx"]).arg(outside.path()).status().unwrap();
        if over {
            break;
        }
        step += 1;
    }
    assert!(step > 30 && refused > 10, "{step} steps, {refused} refused");
}
