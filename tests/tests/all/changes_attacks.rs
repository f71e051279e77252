//! Attacks on what is kept apart: by the guest, whose files and names a commit handles, and by whoever changes the workspace or the store.

use cofferdam_tests::changes::{Apart, assert_fine, tree};
use cofferdam_tests::command::{run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

#[test]
fn hostile_names_are_escaped_in_text_and_whole_in_json() {
    let apart = Apart::new();
    let script = "import os; [open(n, 'w').close() for n in (b'a\\nb', b'c\\x1b[31m', b'\\xff\\xfe', b'-rf', b'name.\\xe2\\x80\\xae')]";
    assert_fine(&apart.run(&["python3", "-c", script]));
    let expected = ["A  -rf", "A  a\\u{a}b", "A  c\\u{1b}[31m", "A  name.\\u{202e}", "A  \\xff\\xfe"];
    assert_eq!(apart.shown(), expected);
    let told: Value = serde_json::from_slice(&apart.changes(&["show", "--json"]).stdout).unwrap();
    let paths: Vec<_> = told["changes"].as_array().unwrap().iter().map(|one| one["path"].as_str()).collect();
    assert_eq!(paths, [Some("-rf"), Some("a\nb"), Some("c\u{1b}[31m"), Some("name.\u{202e}"), None]);
    assert_eq!(told["changes"][4]["path_base64"], "//4=");
    assert_fine(&apart.changes(&["commit"]));
    for name in [&b"a\nb"[..], b"\xff\xfe", b"-rf"] {
        assert!(apart.workspace.path().join(OsStr::from_bytes(name)).exists());
    }
}

#[test]
fn what_is_protected_or_denied_stays_so() {
    let apart = Apart::new();
    for place in ["", "deep/repo/"] {
        apart.workspace.write(&format!("{place}.git/hooks/post-commit"), "old");
        apart.workspace.write(&format!("{place}.git/config"), "[core]\n");
    }
    apart.workspace.write("deep/.env", "secret");
    let policy = apart.workspace.write(
        "p.toml",
        "version = 1\nextends = \"dev\"\n[filesystem]\nchanges = \"overlay\"\ndeny = [\"{workspace}/**/.env\"]\n",
    );
    let evil = "mkdir -p .git/hooks; echo evil > .git/hooks/post-commit";
    let script = format!(
        "echo evil > .git/hooks/post-commit; echo evil > deep/repo/.git/hooks/pre-push; echo evil >> deep/repo/.git/config; \
         cat deep/.env; mv .git aside; (mv deep/repo away && mkdir -p deep/repo && cd deep/repo && {evil}); mv away deep/repo; \
         (cd deep && mv repo/.git repo/x && cd repo && {evil}); (mv deep deeper && mkdir -p deep/repo && cd deep/repo && {evil}); \
         echo evil > .envrc; mkdir .vscode; ln deep/.env copy; cat copy; echo fine > fine; true"
    );
    let run = ["run", "--policy", &policy.display().to_string(), "--", "sh", "-c", &script];
    let output = apart.command(&run).output().unwrap();
    assert!(!text(&output.stdout).contains("secret"), "{output:?}");
    assert_fine(&apart.changes(&["commit"]));
    assert!(apart.workspace.join("fine").exists(), "control: what may be changed is");
    let looked = Command::new("grep").args(["-rl", "evil", "."]).current_dir(apart.workspace.path()).output().unwrap();
    assert_eq!(text(&looked.stdout), "", "{}", text(&output.stderr));
    assert!(apart.workspace.join(".git/hooks/post-commit").exists());
    for name in [".envrc", ".vscode", "copy"] {
        assert!(!apart.workspace.join(name).exists(), "{name}");
    }
}

#[test]
fn a_workspace_that_is_exchanged_leads_nowhere() {
    for planted in ["link", "folder"] {
        let (apart, victim) = (Apart::new(), Scratch::new());
        let inner = apart.workspace.join("project");
        fs::create_dir(&inner).unwrap();
        let run = ["run", "--overlay", "--workspace", &inner.display().to_string(), "--", "sh", "-c", "echo x > made"];
        assert_fine(&apart.command(&run).output().unwrap());
        fs::rename(&inner, apart.workspace.join("moved")).unwrap();
        if planted == "link" {
            symlink(victim.path(), &inner).unwrap();
        } else {
            fs::create_dir(&inner).unwrap();
        }
        let set = apart.sets()[0].file_name().unwrap().to_string_lossy().into_owned();
        let output = apart.changes(&["commit", "--json", &set]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["error"]["code"], "changes_conflict", "{planted}: {told}");
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
        assert!(!inner.join("made").exists());
        assert_fine(&apart.changes(&["discard", "--yes", &set]));
    }
}

#[test]
fn links_that_a_guest_or_the_host_plants_lead_nowhere() {
    let (apart, victim) = (Apart::new(), Scratch::new());
    victim.write("file", "precious");
    apart.workspace.write("folder/file", "x");
    apart.workspace.write("plain", "x");
    let out = victim.path().display();
    // By the guest: a link in place of a folder and of a file, and links of its own that lead out.
    let line = format!(
        "rm -r folder plain; ln -s {out} folder; ln -s {out}/file plain; ln -s {out} new; ln -s /etc/passwd secret"
    );
    assert_fine(&apart.shell(&line));
    let shown = text(&apart.changes(&["show", "--diff"]).stdout);
    assert!(!shown.contains("precious") && !shown.contains("root:"), "{shown}");
    assert_fine(&apart.changes(&["commit"]));
    assert_eq!(fs::read_link(apart.workspace.join("folder")).unwrap(), victim.path());
    assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "precious");
    // By the host, or by another guest, after the run.
    for name in ["folder", "plain", "new"] {
        fs::remove_file(apart.workspace.join(name)).unwrap();
    }
    apart.workspace.write("folder/file", "x");
    assert_fine(&apart.shell("echo y > folder/file; echo y > folder/new"));
    fs::remove_dir_all(apart.workspace.join("folder")).unwrap();
    symlink(victim.path(), apart.workspace.join("folder")).unwrap();
    assert_eq!(apart.refused()["code"], "changes_conflict");
    assert_eq!(tree(victim.path()).len(), 2);
    assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "precious");
}

#[test]
fn what_somebody_does_to_the_layer_itself_is_refused() {
    let apart = Apart::new();
    apart.workspace.write("folder/file", "x");
    assert_fine(&apart.shell("echo y > folder/file; mkdir made"));
    let upper = apart.sets()[0].join("upper");
    let script = "import os, sys; os.setxattr(sys.argv[1] + '/made', 'user.overlay.redirect', b'/etc')";
    let set = Command::new("python3").args(["-c", script]).arg(&upper).output().unwrap();
    assert_fine(&set);
    assert_eq!(apart.refused()["code"], "changes_damaged");
    assert_eq!(fs::read_to_string(apart.workspace.join("folder/file")).unwrap(), "x");
}

#[test]
fn the_store_is_the_user_s_alone_and_out_of_reach() {
    let apart = Apart::new();
    assert_fine(&apart.shell("echo x > made"));
    for path in [apart.store(), apart.sets()[0].clone()] {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700, "{path:?}");
    }
    // In the workspace itself, beneath a folder that the policy shows, and in one that others may write to.
    let inside = apart.workspace.join("state");
    let shown = Scratch::new();
    let read = shown.path().display().to_string();
    for (state, option) in [(inside.as_path(), &[][..]), (shown.path(), &["--read", &read])] {
        let arguments = [&["run", "--overlay"][..], option, &["--", "true"]].concat();
        let output = apart.command(&arguments).env("XDG_STATE_HOME", state).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{state:?}");
        assert!(text(&output.stderr).contains("which the program could reach"), "{output:?}");
    }
    Command::new("chmod").arg("777").arg(apart.store()).status().unwrap();
    assert!(text(&apart.changes(&["list"]).stderr).contains("chmod 700"));
}

#[test]
fn where_changes_cannot_be_kept_apart_nothing_runs() {
    let apart = Apart::new();
    let other = Scratch::new();
    let outside = ["run", "--overlay", "--write", &other.path().display().to_string(), "--", "touch", "ran"];
    let output = apart.command(&outside).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("outside of the workspace"), "{output:?}");
    let host = apart.command(&["run", "--overlay", "--plane", "host", "--", "touch", "ran"]).output().unwrap();
    assert_eq!(host.status.code(), Some(125), "{host:?}");
    let overlay = ["--overlay", "--isolation", "landlock"];
    let output = run_without_namespaces(apart.workspace.path(), &overlay, &["touch", "ran"]).output().unwrap();
    if output.status.code() != Some(77) {
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(text(&output.stderr).contains("by a mount alone"), "{output:?}");
    }
    assert!(!apart.workspace.join("ran").exists());
    assert!(apart.sets().is_empty());
}

#[test]
fn a_place_that_a_rule_names_in_the_workspace_is_the_overlay_s_own() {
    let apart = Apart::new();
    apart.workspace.write("data/tool", "#!/bin/sh\necho ran\n");
    let policy = apart.workspace.write(
        "p.toml",
        "version = 1\nextends = \"dev\"\n[filesystem]\nchanges = \"overlay\"\n[commands]\ndeny = [\"{workspace}/data\"]\n",
    );
    let line = "chmod 755 data/tool; data/tool; echo new > data/new";
    let run = ["run", "--policy", &policy.display().to_string(), "--", "sh", "-c", line];
    let output = apart.command(&run).output().unwrap();
    assert!(!text(&output.stdout).contains("ran") && output.status.success(), "{output:?}");
    assert!(!apart.workspace.join("data/new").exists());
    assert_fine(&apart.changes(&["commit"]));
    assert!(apart.workspace.join("data/new").exists());
}

#[test]
fn what_a_guest_writes_in_overlayfs_s_name_is_not_carried_over() {
    let apart = Apart::new();
    let script = "import os; os.mkdir('d'); os.setxattr('d', 'user.overlay.opaque', b'y'); print(os.listxattr('d'))";
    let output = apart.run(&["python3", "-c", script]);
    if !output.status.success() {
        return skip::skipped("this kernel keeps overlayfs's names to itself");
    }
    assert_eq!(apart.shown(), ["A  d/"]);
    assert_fine(&apart.changes(&["commit"]));
    let mut look = Command::new("python3");
    look.args(["-c", "import os; print(os.listxattr('d'))"]).current_dir(apart.workspace.path());
    assert_eq!(text(&look.output().unwrap().stdout), "[]\n");
}

#[test]
fn no_commit_leaves_a_set_id_bit_on_what_a_run_changed() {
    let apart = Apart::new();
    let file = apart.workspace.write("tool", "#!/bin/sh\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6755)).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o6755, "control");
    assert_fine(&apart.shell("echo 'echo evil' >> tool; cp tool other; chmod 6755 other; true"));
    assert_fine(&apart.changes(&["commit"]));
    assert!(fs::read_to_string(&file).unwrap().contains("evil"));
    for name in ["tool", "other"] {
        assert_eq!(fs::metadata(apart.workspace.join(name)).unwrap().mode() & 0o6000, 0, "{name}");
    }
}

#[test]
fn a_tree_of_any_depth_harms_nobody() {
    let script = "import os, sys\nfor _ in range(int(sys.argv[1])): os.mkdir('d'); os.chdir('d')\nopen('f', 'w')";
    let apart = Apart::new();
    assert_fine(&apart.run(&["python3", "-c", script, "245"]));
    assert_eq!(apart.shown().len(), 246);
    assert_fine(&apart.changes(&["commit"]));
    assert!(apart.workspace.join(&"d/".repeat(245)).join("f").exists());
    let apart = Apart::new();
    let output = apart.run(&["python3", "-c", script, "600"]);
    assert!(output.status.success() && text(&output.stderr).contains("not counted"), "{output:?}");
    assert_eq!(apart.refused()["code"], "io_failed");
    assert_fine(&apart.changes(&["discard", "--yes"]));
    assert!(apart.sets().is_empty() && !apart.workspace.join("d").exists());
}
