//! `policy learn`: the least policy under which a program works, reviewed by nobody but proved by a run.

use cofferdam_tests::command::{audit_place, binary, cofferdam, run, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs what follows where no namespace can be made.
const WITHOUT_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77; \
                                  exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"";

fn learn(workspace: &Path, options: &[&str], program: &[&str]) -> Output {
    let mut command = cofferdam();
    command.args(["policy", "learn"]).args(options).arg("--").args(program).current_dir(workspace);
    command.output().unwrap()
}

fn learn_without_namespaces(workspace: &Path, options: &[&str], program: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.env("COFFERDAM_AUDIT", audit_place());
    command.args(["--map-current-user", "--keep-caps", "sh", "-c", WITHOUT_NAMESPACES, "sh"]).arg(binary());
    command.args(["policy", "learn", "--isolation", "landlock"]).args(options).arg("--").args(program);
    command.current_dir(workspace).output().unwrap()
}

/// The lines in force: no comments, no keys.
fn active(policy: &str) -> Vec<String> {
    let entries = policy.lines().map(str::trim).filter(|line| line.starts_with('"'));
    entries
        .filter_map(|line| line.split("\",  #").next())
        .map(|entry| entry.trim_start_matches('"').to_owned())
        .collect()
}

/// Learns a policy, and holds that it is proved, loads, and that the program works under it when it is run by itself.
#[track_caller]
fn assert_learned(inside: &Scratch, options: &[&str], program: &[&str]) -> String {
    let aside = Scratch::new();
    let file = aside.join("learned.toml").display().to_string();
    let output = learn(inside.path(), &[&["--output", file.as_str()], options].concat(), program);
    let said = text(&output.stderr);
    let policy = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{said}\n{policy}");
    assert!(said.contains("proved: under"), "{said}");
    let check = cofferdam().args(["policy", "check", &file]).output().unwrap();
    assert!(check.status.success(), "{check:?}\n{policy}");
    let again = run(inside.path(), &["--policy", &file], program).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}\n{policy}");
    policy
}

#[test]
fn real_programs_work_under_what_was_learned_from_them() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let data = outside.write("data/words", "b\na\n").display().to_string();
    let policy = assert_learned(&inside, &[], &["cat", &data]);
    assert_eq!(active(&policy), [data.as_str()], "just that file: {policy}");
    for (name, flag, script) in [
        ("python3", "-c", "print(open('PATH').read())"),
        ("node", "-e", "console.log(require('fs').readFileSync('PATH','utf8'))"),
    ] {
        if skip::program(name).is_some() {
            let policy = assert_learned(&inside, &["--base", "dev"], &[name, flag, &script.replace("PATH", &data)]);
            assert!(active(&policy).contains(&data), "{policy}");
        }
    }
}

#[test]
fn git_and_gcc_work_under_what_was_learned_from_them() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    if skip::program("git").is_some() {
        let line =
            "git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m told";
        assert!(Command::new("sh").args(["-c", line]).current_dir(outside.path()).status().unwrap().success());
        let repository = outside.join("repo").display().to_string();
        let policy = assert_learned(&inside, &[], &["git", "-C", &repository, "log", "-1"]);
        assert!(active(&policy).iter().all(|entry| entry.starts_with(&repository)), "{policy}");
    }
    if skip::program("gcc").is_some() {
        outside.write("include/told.h", "#define TOLD 0\n");
        inside.write("main.c", "#include <told.h>\nint main(void) { return TOLD; }\n");
        let include = format!("-I{}", outside.join("include").display());
        let line = format!("gcc {include} main.c -o main && ./main && rm main");
        // What it compiles lies in the workspace, of which `strict` shows nothing.
        let policy = assert_learned(&inside, &[], &["sh", "-c", &line]);
        assert!(active(&policy).contains(&"{workspace}".to_owned()), "{policy}");
    }
}

#[test]
fn a_pipeline_is_learned_in_both_tiers() {
    for without in [false, true] {
        let (inside, outside) = (Scratch::new(), Scratch::new());
        outside.write("in", "b\na\nb\n");
        let tool = outside.write("bin/tool", "#!/bin/sh\nsort -u\n");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(outside.join("out")).unwrap();
        let place = outside.path().display();
        let line =
            format!("set -e; cat {place}/in | {place}/bin/tool > {place}/out/result; test -s {place}/out/result");
        let file = inside.join("learned.toml").display().to_string();
        let learn = if without { learn_without_namespaces } else { learn };
        let consent = outside.join("out").display().to_string();
        let output = learn(inside.path(), &["--output", &file, "--write", &consent], &["sh", "-c", &line]);
        let policy = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(output.status.code(), Some(0), "{}\n{policy}", text(&output.stderr));
        assert!(policy.contains(&format!("\"{place}/out\",  # sh")), "{policy}");
        assert!(policy.contains(&format!("\"{place}/bin/tool\",  # sh")), "{policy}");
        assert_eq!(policy.contains("require = \"landlock\""), without);
        assert_eq!(fs::read_to_string(outside.join("out/result")).unwrap(), "a\nb\n");
    }
}

#[test]
fn a_secret_is_never_proposed_unmarked() {
    let (inside, home) = (Scratch::new(), Scratch::new());
    home.write(".ssh/config", "SECRET-CANARY");
    home.write(".netrc", "SECRET-CANARY");
    home.write("plain/notes", "words");
    let link = home.join("plain/link");
    std::os::unix::fs::symlink(home.join(".ssh/config"), &link).unwrap();
    let place = home.path().display();
    let line = format!(
        "cat {place}/.ssh/config {place}/.netrc /etc/shadow {place}/plain/notes {place}/plain/link; echo x > {place}/.ssh/new; ls {place}; exit 0"
    );
    let file = inside.join("learned.toml");
    let mut command = cofferdam();
    command.args(["policy", "learn", "--output", &file.display().to_string(), "--", "sh", "-c", &line]);
    let output = command.env("HOME", home.path()).current_dir(inside.path()).output().unwrap();
    let policy = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{output:?}"));
    let active = active(&policy);
    assert!(active.contains(&"{home}/plain/notes".to_owned()), "{policy}");
    for entry in &active {
        assert!(!["ssh", "netrc", "shadow", "link"].iter().any(|name| entry.contains(name)), "{policy}");
        assert!(entry != "{home}", "a home directory is not opened by itself: {policy}");
    }
    for marked in [
        "# secret: \"{home}/.ssh/config\"",
        "# secret: \"{home}/.netrc\"",
        "# secret: \"/etc/shadow\"",
        "# wide: \"{home}\"",
    ] {
        assert!(policy.contains(marked), "{marked}: {policy}");
    }
    assert!(!text(&output.stdout).contains("SECRET"), "{output:?}");
    let again = run(inside.path(), &["--policy", &file.display().to_string()], &["sh", "-c", &line]);
    let again = { again }.env("HOME", home.path()).output().unwrap();
    assert!(!text(&again.stdout).contains("SECRET") && !home.join(".ssh/new").exists(), "{again:?}");
}

#[test]
fn a_program_that_is_learned_from_changes_nothing_outside_the_workspace() {
    for without in [false, true] {
        let (inside, home) = (Scratch::new(), Scratch::new());
        home.write(".bashrc", "own");
        home.write("Documents/letter", "own");
        inside.write(".git/hooks/pre-push", "own");
        let place = home.path().display();
        let line = format!(
            "echo evil >> {place}/.bashrc; rm -rf {place}/Documents; echo evil > {place}/Documents/new; \
             mv {place}/Documents gone; chmod 777 {place}/.bashrc; echo evil > .git/hooks/pre-push; echo x > .git/hooks/new; \
             echo fine > result; exit 1"
        );
        let learn = if without { learn_without_namespaces } else { learn };
        let output = learn(inside.path(), &[], &["sh", "-c", &line]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(fs::read_to_string(home.join(".bashrc")).unwrap(), "own", "{output:?}");
        assert_eq!(fs::read_to_string(home.join("Documents/letter")).unwrap(), "own", "{output:?}");
        assert_eq!(fs::read_to_string(inside.join(".git/hooks/pre-push")).unwrap(), "own", "{output:?}");
        assert!(!inside.join(".git/hooks/new").exists() && !home.join("Documents/new").exists(), "{output:?}");
        let policy = text(&output.stdout);
        assert!(policy.contains(&format!("# outside: \"{place}/Documents\"")), "{policy}");
        assert!(policy.contains(&format!("# protected: \"{place}/.bashrc\"")), "{policy}");
    }
}

#[test]
fn the_network_and_what_is_protected_are_left_to_the_reader() {
    if skip::program("python3").is_none() {
        return;
    }
    let inside = Scratch::new();
    inside.write(".envrc", "own");
    let script = "
import socket
for address in ['192.0.2.1', '10.1.2.3', '169.254.169.254']:
    try: socket.create_connection((address, 80), 1)
    except OSError: pass
try: open('.envrc', 'w')
except OSError: pass
";
    let output = learn(inside.path(), &["--base", "dev", "--workspace", "."], &["python3", "-c", script]);
    let policy = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(active(&policy), Vec::<String>::new(), "{policy}");
    assert!(policy.contains("#   \"192.0.2.1:80\"") && policy.contains("#   private: \"10.1.2.3:80\""), "{policy}");
    assert!(policy.contains("#   metadata service: \"169.254.169.254:80\""), "{policy}");
    assert!(policy.contains("# protected: \".envrc\""), "{policy}");
    assert!(!policy.lines().any(|line| line.contains("inherit") && !line.starts_with('#')), "{policy}");
    assert_eq!(fs::read_to_string(inside.join(".envrc")).unwrap(), "own");
}

#[test]
fn a_hostile_name_stays_within_its_line() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let name = "x\"]\n[network]\nmode = \"inherit\"\n# \u{1b}[2J\u{202e}";
    let path = outside.write(name, "words").display().to_string();
    // A program may call itself what it likes, too.
    let line = "printf 'a\\n]\\nb' > /proc/$$/comm; cat \"$0\"";
    let policy = assert_learned(&inside, &[], &["sh", "-c", line, &path]);
    assert_eq!(active(&policy).len(), 1, "{policy}");
    assert!(!policy.lines().any(|line| line.starts_with("[network]") || line.starts_with("mode")), "{policy}");
    assert!(policy.chars().all(|character| character == '\n' || (!character.is_control() && character != '\u{202e}')));
}

#[test]
fn a_file_that_exists_is_left_and_one_that_the_program_rewrites_is_not_trusted() {
    let inside = Scratch::new();
    let file = inside.write("mine.toml", "mine").display().to_string();
    let output = learn(inside.path(), &["--output", &file], &["true"]);
    assert_eq!(
        (output.status.code(), fs::read_to_string(&file).unwrap()),
        (Some(125), "mine".to_owned()),
        "{output:?}"
    );
    let output = learn(inside.path(), &["--output", &file, "--force"], &["true"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read_to_string(&file).unwrap().contains("extends = \"strict\""));
    let line = "test -e learned.toml && echo 'version = 1' > learned.toml; true";
    let output = learn(inside.path(), &["--base", "dev", "--output", "learned.toml"], &["sh", "-c", line]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(text(&output.stderr).contains("was changed while the program ran"), "{output:?}");
}

#[test]
fn what_did_not_help_is_taken_back() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    inside.write("words", "words");
    let flag = outside.write("flag", "").display().to_string();
    // It only asks about the flag, and fails for want of the workspace.
    let policy = assert_learned(&inside, &[], &["sh", "-c", &format!("test -e {flag}; cat words")]);
    assert_eq!(active(&policy), ["{workspace}"], "{policy}");
    assert!(policy.contains(&format!("# looked at: \"{flag}\"")), "{policy}");
    // It needs both.
    let policy = assert_learned(&inside, &[], &["sh", "-c", &format!("test -e {flag} && cat words")]);
    assert_eq!(active(&policy), ["{workspace}".to_owned(), flag], "{policy}");
}

#[test]
fn a_base_of_one_s_own_is_extended_and_a_time_is_kept() {
    let (inside, aside) = (Scratch::new(), Scratch::new());
    let base = aside.write("base.toml", "version = 1\nextends = \"strict\"\n[filesystem]\ndeny = [\"/srv\"]\n");
    let data = aside.write("data", "words").display().to_string();
    let base = base.display().to_string();
    let policy = assert_learned(&inside, &["--base", &base], &["cat", &data]);
    assert!(policy.contains(&format!("extends = \"{base}\"")), "{policy}");
    let output = learn(inside.path(), &["--timeout", "300ms"], &["sleep", "60"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("exit code 124") && !text(&output.stdout).contains("\nwall ="), "{output:?}");
}

#[test]
fn one_run_alone_proves_nothing_and_a_program_that_fails_by_itself_is_told() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let data = outside.write("data", "words").display().to_string();
    let counter = inside.join("counter");
    let line = format!("echo x >> counter; cat {data}; exit 7");
    let output = learn(inside.path(), &["--base", "dev", "--once"], &["sh", "-c", &line]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_to_string(&counter).unwrap(), "x\n", "it ran once: {output:?}");
    assert!(text(&output.stdout).contains(&data) && !text(&output.stderr).contains("proved: under"), "{output:?}");
    let output = learn(inside.path(), &["--base", "dev"], &["sh", "-c", &line]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("not proved") && text(&output.stderr).contains("exit code 7"), "{output:?}");
}

#[test]
fn a_program_that_lies_in_a_hidden_folder_of_path_is_found() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let tool = outside.write("bin/learned-tool", "#!/bin/sh\necho ran\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", outside.join("bin").display(), std::env::var("PATH").unwrap());
    let file = inside.join("learned.toml").display().to_string();
    let mut command = cofferdam();
    command.args(["policy", "learn", "--output", &file, "--", "learned-tool"]).env("PATH", &path);
    let output = command.current_dir(inside.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?} {}", fs::read_to_string(&file).unwrap_or_default());
    let again = run(inside.path(), &["--policy", &file], &["learned-tool"]).env("PATH", &path).output().unwrap();
    assert_eq!(text(&again.stdout), "ran\n", "{again:?}");
}
