//! Names: what is protected or denied by name stays so, whether it exists or not and whatever is renamed to what.

use cofferdam_tests::command::{run, shell, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A workspace with a repository at the top and one deeper down, each with a hook and a configuration.
fn workspace() -> Scratch {
    let scratch = Scratch::new();
    for place in ["", "deep/er/repo/"] {
        scratch.write(&format!("{place}.git/hooks/post-commit"), "old");
        scratch.write(&format!("{place}.git/config"), "[core]\n");
        scratch.write(&format!("{place}readme"), "words\n");
    }
    scratch
}

/// Every file beneath, with its contents: what an attack may not have changed.
fn witness(folder: &Path) -> String {
    let line = "find . \\( -name hooks -o -name config -o -name .envrc -o -name .vscode -o -name .mcp.json \\) \
                -exec sh -c 'ls -ld --time-style=+ \"$1\"; test -d \"$1\" && ls -la --time-style=+ \"$1\"; test -f \"$1\" && cat \"$1\"' x {} \\; | sort";
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).output().unwrap();
    text(&output.stdout)
}

/// The line changes what is protected when nothing protects it, and changes nothing in the sandbox.
#[track_caller]
fn assert_refused(line: &str) -> Output {
    let outside = workspace();
    let before = witness(outside.path());
    Command::new("sh").args(["-c", line]).current_dir(outside.path()).output().unwrap();
    assert_ne!(witness(outside.path()), before, "control: `{line}` does nothing outside either");
    let inside = workspace();
    let output = shell(inside.path(), line);
    assert_eq!(witness(inside.path()), before, "`{line}`: {}", text(&output.stderr));
    output
}

#[test]
fn fs_20_protected_names_that_do_not_exist_cannot_be_made() {
    for line in [
        "echo evil > .envrc",
        "echo evil > deep/.envrc",
        "mkdir .vscode && echo evil > .vscode/tasks.json",
        "mkdir deep/.vscode",
        "echo evil > .git/hooks/pre-push",
        "echo evil > deep/er/repo/.git/hooks/pre-push",
        "ln -s /tmp deep/.vscode",
        "ln readme .mcp.json",
        "mv readme deep/.envrc",
        "mkfifo deep/.envrc",
        "python3 -c \"import os; os.open('.envrc', os.O_RDWR | os.O_CREAT)\"",
        "ln -s .envrc link; echo evil > link",
        "python3 -c \"import os; f = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o755); os.link('/proc/self/fd/%d' % f, '.envrc', dst_dir_fd=os.open('.', os.O_RDONLY))\"",
    ] {
        assert_refused(line);
    }
}

#[test]
fn fs_27_what_is_protected_deeper_down_cannot_be_changed() {
    for line in [
        "echo evil > deep/er/repo/.git/hooks/post-commit",
        "echo evil >> deep/er/repo/.git/config",
        "cd deep/er/repo/.git/hooks && echo evil > post-commit",
        "cd deep/er/repo/.git/hooks && echo evil > ../config",
        "rm -f deep/er/repo/.git/hooks/post-commit",
        "rm -rf deep",
        "truncate -s 0 deep/er/repo/.git/config",
        "chmod 755 deep/er/repo/.git/hooks/post-commit",
        "exec 3<deep/er/repo/.git/config; echo evil > /proc/self/fd/3",
        "python3 -c \"import os; f = os.open('deep/er/repo/.git/hooks/post-commit', os.O_RDONLY); os.fchmod(f, 0o755)\"",
        "ln deep/er/repo/.git/config alias; echo evil > alias",
        "mv deep/er/repo/.git/hooks/post-commit away",
        "echo new > new; mv new deep/er/repo/.git/hooks/post-commit",
        "ln -s deep/er/repo/.git/hooks inner; echo evil > inner/post-commit",
        "python3 -c \"import os; d = os.open('deep/er/repo/.git', os.O_RDONLY); os.open('hooks/post-commit', os.O_WRONLY | os.O_TRUNC, dir_fd=d)\"",
        "python3 -c \"open('deep/er/repo/.git/config', 'r+').write('evil')\"",
    ] {
        assert_refused(line);
    }
}

/// No tool that was looked at stops all of these.
#[test]
fn renaming_what_holds_protected_files_gives_no_way_to_them() {
    let evil = "mkdir -p .git/hooks && echo evil > .git/hooks/post-commit";
    for line in [
        format!("mv .git aside && {evil}"),
        format!("cd deep/er/repo && mv .git aside && {evil}"),
        format!("mv deep/er/repo aside && mkdir -p deep/er/repo && cd deep/er/repo && {evil}"),
        format!("mv deep aside && mkdir -p deep/er/repo && cd deep/er/repo && {evil}"),
        format!("mv deep aside && mkdir new && (cd new && mkdir -p er/repo && cd er/repo && {evil}); mv new deep"),
        format!("mv deep/er/repo x && mv deep y && mkdir -p y/er/repo && (cd y/er/repo && {evil}); mv y deep"),
        "mkdir -p new/hooks && echo evil > new/hooks/post-commit && mv .git aside && mv new .git".to_owned(),
        "mkdir -p new && echo 'gitdir: evil' > new/config && cd deep/er/repo && mv .git aside && mv ../../../new .git"
            .to_owned(),
        "cd deep/er/repo && mv .git x && echo 'gitdir: /tmp' > .git && rm -r x/hooks".to_owned(),
        "mv deep/er/repo/.git/hooks deep/er/repo/.git/old && mkdir deep/er/repo/.git/hooks".to_owned(),
    ] {
        let inside = workspace();
        shell(inside.path(), &line);
        for place in [".git", "deep/er/repo/.git"] {
            let place = inside.join(place);
            let hook = place.join("hooks/post-commit");
            let moved = !hook.exists();
            assert!(moved || fs::read_to_string(&hook).unwrap() == "old", "`{line}`: {place:?}");
            let new = ["hooks", "config"].iter().any(|name| place.join(name).exists());
            let pointer = fs::symlink_metadata(&place).is_ok_and(|metadata| !metadata.is_dir());
            assert!(!(moved && (new || pointer)), "`{line}`: something else stands at {place:?}");
        }
    }
}

#[test]
fn a_repository_can_be_renamed_and_comes_back() {
    let inside = workspace();
    let line = "mv deep/er/repo deep/er/other && mv deep/er/other deep/er/repo && mv deep shallow && cat shallow/er/repo/readme";
    let output = shell(inside.path(), line);
    assert_eq!(text(&output.stdout), "words\n", "{}", text(&output.stderr));
}

#[test]
fn in_a_folder_of_its_own_a_program_makes_what_it_likes_and_it_is_listed() {
    if skip::program("git").is_none() {
        return;
    }
    let inside = Scratch::new();
    let line = "git init -q own && cd own && echo '#!/bin/sh' > .git/hooks/post-commit && chmod +x .git/hooks/post-commit \
                && mkdir .vscode && echo {} > .vscode/tasks.json && mv .vscode .idea && echo done; cd .. && mv own theirs && echo x > theirs/.envrc && echo again";
    let output = run(inside.path(), &["--json"], &["sh", "-c", line]).output().unwrap();
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = result["executable_later"].to_string();
    assert!(inside.join("theirs/.git/hooks/post-commit").exists(), "{result}");
    for name in ["own/.git/hooks", "own/.vscode", "theirs/.envrc"] {
        assert!(listed.contains(name), "{name} in {listed}");
    }
}

#[test]
fn a_new_execute_bit_in_a_folder_that_was_there_is_listed() {
    let inside = Scratch::new();
    inside.write("plain", "#!/bin/sh\n");
    let line = "chmod +x plain; umask 022; python3 -c \"import os; os.open('made', os.O_CREAT | os.O_WRONLY, 0o755)\"";
    let output = run(inside.path(), &["--json"], &["sh", "-c", line]).output().unwrap();
    let listed = text(&output.stdout);
    assert!(listed.contains("/plain") && listed.contains("/made"), "{listed}");
}

fn policy(scratch: &Scratch, lines: &str) -> String {
    let path = scratch.write("policy.toml", &format!("version = 1\nextends = \"dev\"\n[filesystem]\n{lines}\n"));
    path.display().to_string()
}

#[test]
fn fs_21_a_denied_pattern_hides_what_it_names_however_it_is_reached() {
    let (inside, aside) = (Scratch::new(), Scratch::new());
    for place in [".env", "sub/.env", "sub/deep/.env"] {
        inside.write(place, "SECRET-CANARY");
    }
    let policy = policy(&aside, "deny = [\"{workspace}/**/.env\"]");
    for line in [
        "cat .env",
        "cat sub/.env ./sub/../sub//deep/.env",
        "ln -s .env link; cat link",
        "ln sub/.env hard; cat hard",
        "mv sub/.env seen; cat seen",
        "mv sub moved; cat moved/.env",
        "cp -r sub copy; cat copy/*",
        "cd sub && cat < .env",
        "python3 -c \"import os; f = os.open('.env', os.O_PATH); print(open('/proc/self/fd/%d' % f).read())\"",
        "python3 -c \"import os; d = os.open('sub', os.O_RDONLY); print(os.read(os.open('.env', os.O_RDONLY, dir_fd=d), 99))\"",
        "cat /proc/self/cwd/.env /proc/self/root$PWD/.env /proc/thread-self/cwd/sub/.env",
        "python3 -c \"import mmap; f = open('.env', 'r+b'); print(mmap.mmap(f.fileno(), 0)[:])\"",
    ] {
        let output = run(inside.path(), &["--policy", &policy], &["sh", "-c", line]).output().unwrap();
        assert!(!text(&output.stdout).contains("SECRET"), "{line}: {output:?}");
    }
    let output =
        run(inside.path(), &["--policy", &policy], &["sh", "-c", "echo x > new/.env; mkdir new; echo x > new/.env"]);
    let output = { output }.output().unwrap();
    assert!(!inside.join("new/.env").exists(), "{output:?}");
    assert!(text(&output.stderr).contains("**/.env"), "the refusal names its rule: {output:?}");
}

#[test]
fn fs_04_a_name_that_flips_between_two_files_never_shows_the_denied_one() {
    let (inside, aside) = (Scratch::new(), Scratch::new());
    inside.write("secret/.env", "SECRET-CANARY");
    inside.write("harmless", "harmless");
    let policy = policy(&aside, "deny = [\"{workspace}/**/.env\"]");
    let script = "
import os, threading
os.symlink('secret/.env', 'a'); os.symlink('harmless', 'b')
stop = False
def flip():
    while not stop:
        os.rename('a', 'c'); os.rename('b', 'a'); os.rename('c', 'b')
thread = threading.Thread(target=flip); thread.start()
seen = set()
for _ in range(20000):
    try: seen.add(open('a').read())
    except OSError as error: seen.add(type(error).__name__)
stop = True; thread.join()
print(sorted(seen))
";
    let output = run(inside.path(), &["--policy", &policy], &["python3", "-c", script]).output().unwrap();
    let seen = text(&output.stdout);
    assert!(seen.contains("harmless") && seen.contains("PermissionError"), "the race was run: {output:?}");
    assert!(!seen.contains("SECRET"), "{seen}");
}

#[test]
fn files_that_are_no_files_open_as_they_do_outside() {
    let inside = Scratch::new();
    let line = "echo one > /dev/stdout; echo two > /dev/stderr; echo three > /proc/self/fd/1; echo x > /dev/null; \
                mkfifo f; (echo through > f &) ; cat f; bash -c 'cat <(echo substituted); echo tee | tee >(cat; echo > done) > /dev/null; until test -e done; do sleep 0.01; done'; \
                sh -c 'echo x > /dev/tty' 2>/dev/null || echo no terminal; ln -s /dev/stdout out; echo linked > out; \
                echo y > /dev/shm/s && cat /dev/shm/s; (cat f > got &) ; sleep 0.1; echo late > f; sleep 0.1; cat got";
    let output = shell(inside.path(), line);
    let expected = "one\nthree\nthrough\nsubstituted\ntee\nno terminal\nlinked\ny\nlate\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
}

#[test]
fn modes_and_masks_and_errors_are_those_of_the_kernel() {
    let inside = Scratch::new();
    inside.write("file", "x");
    let script = "
import errno, os
os.umask(0o027)
os.close(os.open('made', os.O_CREAT | os.O_WRONLY, 0o666)); os.mkdir('folder', 0o777); os.mkfifo('fifo', 0o666)
print([oct(os.stat(name).st_mode & 0o7777) for name in ('made', 'folder', 'fifo')])
def code(call, *arguments, **more):
    try: call(*arguments, **more); return 'fine'
    except OSError as error: return errno.errorcode[error.errno]
print(code(os.mkdir, 'folder'), code(os.mkdir, 'no/where'), code(os.mkdir, 'file/x'), code(os.mkdir, ''), code(os.mkdir, '.'))
print(code(os.open, 'folder', os.O_WRONLY), code(os.open, 'file', os.O_CREAT | os.O_EXCL | os.O_WRONLY), code(os.open, 'file/', os.O_WRONLY))
print(code(os.unlink, 'folder'), code(os.rmdir, 'file'), code(os.unlink, 'none'), code(os.rename, 'none', 'x'), code(os.rename, 'file', 'folder'))
os.symlink('loop', 'loop'); os.symlink('nowhere', 'dangling')
print(code(os.open, 'loop', os.O_WRONLY), code(os.open, 'dangling', os.O_WRONLY), code(os.open, 'dangling', os.O_WRONLY | os.O_NOFOLLOW))
print(code(os.open, 'dangling', os.O_WRONLY | os.O_CREAT), os.path.exists('nowhere'), code(os.open, 'x' * 300, os.O_WRONLY | os.O_CREAT))
print(code(os.link, 'file', 'made'), code(os.symlink, 'x', 'file'), code(os.truncate, 'folder', 0), code(os.chmod, 'none', 0o600))
f = os.open('file', os.O_RDWR | os.O_APPEND | os.O_CLOEXEC); print(os.get_inheritable(f), os.write(f, b'yz'), open('file').read())
";
    let output = run(inside.path(), &[], &["python3", "-c", script]).output().unwrap();
    let outside = Scratch::new();
    outside.write("file", "x");
    let control = Command::new("python3").args(["-c", script]).current_dir(outside.path()).output().unwrap();
    assert_eq!(text(&output.stdout), text(&control.stdout), "{}", text(&output.stderr));
    assert!(text(&control.stdout).contains("yz"), "the script runs to its end");
}

/// Who looks through a deep folder for what is protected must not run out of stack or descriptors.
#[test]
fn a_folder_of_any_depth_that_takes_the_name_of_another_harms_nobody() {
    if skip::program("python3").is_none() {
        return;
    }
    for depth in [100, 500] {
        let inside = Scratch::new();
        inside.write("host/file", "x");
        let script = format!(
            "import os; top = os.getcwd(); os.mkdir('own'); os.chdir('own')\n\
             for _ in range({depth}): os.mkdir('d'); os.chdir('d')\n\
             os.chdir(top); os.rename('host', 'away')\n\
             try: os.rename('own', 'host')\nexcept OSError: pass\n\
             os.rename('away', 'host') if not os.path.exists('host') else None; print('still here')"
        );
        let output = run(inside.path(), &[], &["python3", "-c", &script]).output().unwrap();
        assert!(output.status.success() && text(&output.stdout) == "still here\n", "{depth}: {output:?}");
    }
}
