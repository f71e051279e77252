//! Policies and places that are themselves the attack: a workspace that is a link, odd names, directories to start in, programs that can
//! be overwritten.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::command::{cofferdam, text};
use cofferdam_tests::scratch::Scratch;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

const CANARY: &str = "SECRET-CANARY";

/// Runs a line under a policy of `lines` that extends `base`, in each tier.
fn under(tier: Tier, workspace: &Path, base: &str, lines: &str, line: &str) -> Output {
    let aside = Scratch::new();
    let path = aside.write("policy.toml", &format!("version = 1\nextends = \"{base}\"\n{lines}\n"));
    tier.run(workspace, &["--policy", path.to_str().unwrap()], &["sh", "-c", line]).output().unwrap()
}

#[test]
fn fs_06_what_takes_the_workspace_s_name_is_not_what_was_meant() {
    for tier in TIERS {
        let (outside, folder) = (Scratch::new(), Scratch::new());
        outside.write("canary", CANARY);
        let workspace = folder.join("ws");
        fs::create_dir(&workspace).unwrap();
        // A guest that could replace its own workspace would choose what the next run is given.
        let line = format!(
            "cd /; rmdir {0}; mv {0} {0}.old; ln -sfn {1} {0}; ls -d {0}",
            workspace.display(),
            outside.path().display()
        );
        let seen = tier.run(&workspace, &[], &["sh", "-c", &line]).output().unwrap();
        assert!(fs::symlink_metadata(&workspace).unwrap().is_dir(), "{tier:?}: {seen:?}");
        // Whoever else replaced it (the host's own hand): what a rule names beside it is resolved anew, never through the link's place.
        let inner = folder.join("granted");
        symlink(outside.path(), &inner).unwrap();
        let line = format!("cat {}/canary; ls {}", outside.path().display(), outside.path().display());
        let seen = tier.run(&workspace, &[], &["sh", "-c", &line]).output().unwrap();
        assert!(!text(&seen.stdout).contains("SECRET") && !text(&seen.stdout).contains("canary"), "{tier:?}: {seen:?}");
        // A place inside the workspace that the guest turned into a link gives what is granted, and nothing beyond it.
        fs::create_dir(workspace.join("cache")).unwrap();
        let link = format!("rmdir cache; ln -s {} cache", outside.path().display());
        assert!(tier.run(&workspace, &[], &["sh", "-c", &link]).status().unwrap().success());
        let cache = workspace.join("cache");
        let lines = "[filesystem]\nwrite = [\"{workspace}/cache\"]\n";
        let seen = under(tier, &workspace, "dev", lines, "cat cache/canary; echo changed > cache/canary");
        assert!(cache.is_symlink(), "control");
        assert_eq!(seen.status.code(), Some(125), "{tier:?}: a link chosen by a guest was granted: {seen:?}");
        assert!(text(&seen.stderr).contains("cache") && text(&seen.stderr).contains("policy.toml:4"), "{seen:?}");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), CANARY, "{tier:?}: {seen:?}");
    }
}

#[test]
fn fs_14_a_run_starts_only_where_it_may_be() {
    for tier in TIERS {
        let (outside, inside) = (Scratch::new(), Scratch::new());
        let marker = outside.write("canary", CANARY);
        let place = outside.path().to_str().unwrap();
        symlink(place, inside.join("link")).unwrap();
        let link = inside.join("link");
        for directory in ["/proc/self/fd/7", place, link.to_str().unwrap(), "/proc/1/root", "/nowhere", "../..", ""] {
            let seen = tier
                .run(inside.path(), &["--workdir", directory], &["sh", "-c", "cat canary; touch made"])
                .output()
                .unwrap();
            assert_ne!(seen.status.code(), Some(0), "{tier:?} {directory}: {seen:?}");
            assert!(!text(&seen.stdout).contains("SECRET"), "{tier:?} {directory}: {seen:?}");
            assert!(!outside.join("made").exists() && marker.exists(), "{tier:?} {directory}: {seen:?}");
        }
        fs::create_dir(inside.join("sub")).unwrap();
        let sub = inside.join("sub");
        let seen = tier.run(inside.path(), &["--workdir", sub.to_str().unwrap()], &["pwd"]).output().unwrap();
        assert_eq!(text(&seen.stdout).trim(), sub.to_str().unwrap(), "control: {seen:?}");
    }
}

#[test]
fn fs_22_wildcards_in_the_name_of_the_workspace_mean_themselves() {
    for tier in TIERS {
        let folder = Scratch::new();
        let workspace = folder.join("a[1]*?{x}");
        for name in ["secret/key", "secret/open/note", "a.env"] {
            let path = workspace.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, if name.contains("note") { "allowed" } else { CANARY }).unwrap();
        }
        // What the wildcards would match if they were some.
        folder.write("a1b/secret/key", CANARY);
        let lines = "[filesystem]\nread = [\"{workspace}/secret/open\"]\ndeny = [\"{workspace}/secret/key\", \"{workspace}/**/*.env\"]\n[isolation]\nrequire = \"landlock\"\n";
        let line = "cat secret/key a.env ../a1b/secret/key; mv secret other; cat other/key; cat secret/open/note; echo x > made && cat made";
        let seen = under(tier, &workspace, "dev", lines, line);
        assert!(!text(&seen.stdout).contains("SECRET"), "{tier:?}: {seen:?}");
        assert!(text(&seen.stdout).contains("allowed") && text(&seen.stdout).contains('x'), "{tier:?}: {seen:?}");
    }
}

#[test]
fn fs_24_a_neighbour_with_the_same_beginning_is_none_of_ours() {
    for tier in TIERS {
        let folder = Scratch::new();
        folder.write("ws/own", "own");
        folder.write("ws-evil/canary", CANARY);
        folder.write("wsx", CANARY);
        let body = "
attempt('evil', lambda: show(read('../ws-evil/canary')))
attempt('file', lambda: show(read('../wsx')))
attempt('absolute', lambda: show(read(os.getcwd() + '-evil/canary')))
attempt('nul', lambda: show(call(2, os.fsencode(os.getcwd()) + b'-evil/canary\\0/../own', 0)))
attempt('made', lambda: write('../ws-evil/made'))
";
        let Some(attack) = Attack::new(body) else { return };
        for workspace in [folder.join("ws"), folder.join("ws/")] {
            let answers = attack.inside(tier, &workspace, &[]);
            answers.assert_each(5, &["ENOENT", "EACCES"]);
            assert!(!answers.printed.contains("SECRET"), "{tier:?}: {answers:?}");
        }
        assert!(!folder.join("ws-evil/made").exists());
        attack.outside(&folder.join("ws")).assert_control(5);
    }
}

#[test]
fn fs_25_a_policy_that_names_no_place_or_takes_the_workspace_is_refused() {
    let inside = Scratch::new();
    for (lines, told) in [
        ("[filesystem]\ndeny = [\"..\"]", "policy.toml:4"),
        ("[filesystem]\ndeny = [\"{workspace}\"]", "deny wins"),
        ("[filesystem]\ndeny = [\"{workspace}/..\"]", "policy.toml:4"),
        ("[filesystem]\ndeny = [\"/\"]", "covers the workspace"),
        ("[filesystem]\ndeny = [\"\"]", "policy.toml:4"),
        ("[filesystem]\ndeny = [\"~user/x\"]", "{home}"),
        ("[filesystem]\nread = [\"$UNSET/x\"]", "policy.toml:4"),
        ("[filesystem]\nread = [\"{unset}/x\"]", "not known"),
    ] {
        let seen = under(Tier::Full, inside.path(), "dev", lines, "touch made");
        assert_eq!(seen.status.code(), Some(125), "{lines}: {seen:?}");
        assert!(text(&seen.stderr).contains(told), "{lines}: {seen:?}");
        assert!(!inside.join("made").exists(), "{lines}");
    }
}

#[test]
fn fs_26_an_allowed_program_is_not_overwritten() {
    for tier in TIERS {
        let inside = Scratch::new();
        let tool = inside.write("bin/tool", "#!/bin/sh\necho honest\n");
        let evil = inside.write("evil", "#!/bin/sh\necho EVIL\n");
        for program in [&tool, &evil] {
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let written = "[filesystem]\nwrite = [\"{workspace}\"]\n";
        let isolation = "[isolation]\nrequire = \"landlock\"\n";
        // Refused by name when it lies where the guest writes, or is given to be written itself.
        for filesystem in [written, "[filesystem]\nwrite = [\"{workspace}/bin/tool\"]\n"] {
            let lines = format!("{filesystem}[commands]\nallow = [\"{{workspace}}/bin/tool\"]\n{isolation}");
            let seen = under(tier, inside.path(), "strict", &lines, "true");
            assert_eq!(seen.status.code(), Some(125), "{tier:?} {lines}: {seen:?}");
            let told = text(&seen.stderr);
            assert!(
                told.contains("policy.toml") && told.contains("may overwrite") && told.contains("commands.allow"),
                "{told}"
            );
        }
        // Protected, it stays what it is, whatever is tried.
        let lines = format!(
            "{written}protect = [\"{{workspace}}/bin/tool\"]\n[commands]\nallow = [\"{{workspace}}/bin/tool\"]\n{isolation}"
        );
        let line = "cp evil bin/tool; mv evil bin/tool; ln -sf ../evil bin/tool; mv bin old; mkdir bin; cp evil bin/tool; bin/tool; ./evil; sh -c 'exec ./evil'";
        let seen = under(tier, inside.path(), "strict", &lines, line);
        assert!(!text(&seen.stdout).contains("EVIL"), "{tier:?}: {seen:?}");
        assert_eq!(fs::read_to_string(&tool).unwrap(), "#!/bin/sh\necho honest\n", "{tier:?}");
        assert_ne!(seen.status.code(), Some(125), "{tier:?} was not run: {seen:?}");
    }
    let inside = Scratch::new();
    inside.write("evil", "#!/bin/sh\necho EVIL\n");
    let control = Command::new("sh").args(["-c", "cp evil tool; sh tool"]).current_dir(inside.path()).output().unwrap();
    assert_eq!(text(&control.stdout), "EVIL\n", "control");
}

#[test]
fn fs_25_policy_check_tells_them_too() {
    let aside = Scratch::new();
    let path = aside.write("p.toml", "version = 1\n[filesystem]\nread = [\"~/x\"]\n");
    let told = cofferdam().args(["policy", "check"]).arg(path).output().unwrap();
    assert!(told.status.code() == Some(125) && text(&told.stderr).contains("{home}"), "{told:?}");
}
