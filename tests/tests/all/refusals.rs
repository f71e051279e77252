//! What the sandbox refuses, looked at from outside: each attack works without the sandbox and has no effect within it.

use cofferdam_tests::command::{run, shell, text};
use cofferdam_tests::scratch::Scratch;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// The line does its harm outside, which proves that the attack is one.
#[track_caller]
fn control(scratch: &Scratch, line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).current_dir(scratch.path()).output().unwrap();
    text(&output.stdout)
}

#[test]
fn fs_01_files_outside_are_neither_read_nor_written() {
    let (outside, inside) = (Scratch::new(), Scratch::new());
    let canary = outside.write("canary", "SECRET-CANARY");
    let path = canary.display();
    let line = format!("cat {path}; echo changed > {path}; ls {}", outside.path().display());
    assert!(control(&inside, &format!("cat {path}")).contains("SECRET-CANARY"));
    let output = shell(inside.path(), &line);
    assert!(!text(&output.stdout).contains("canary") && !text(&output.stdout).contains("SECRET"), "{output:?}");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "SECRET-CANARY");
}

#[test]
fn fs_02_03_08_detours_lead_nowhere() {
    let (outside, inside) = (Scratch::new(), Scratch::new());
    let canary = outside.write("canary", "SECRET-CANARY");
    symlink(&canary, inside.join("planted")).unwrap();
    symlink("/", inside.join("root")).unwrap();
    let path = canary.display().to_string();
    for line in [
        "cat planted".to_owned(),
        format!("cat root{path}"),
        format!("cat ../../../../../../../..{path}"),
        format!("cat /proc/self/root{path}"),
        format!("cat /proc/1/root{path}"),
        format!("ln {path} hard && cat hard"),
        format!("cat /proc/self/cwd/../../../..{path}"),
        "echo changed > planted".to_owned(),
        format!("mv {path} here; cp {path} here; cat here"),
    ] {
        let output = shell(inside.path(), &line);
        assert!(!text(&output.stdout).contains("SECRET"), "{line}: {output:?}");
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "SECRET-CANARY");
}

#[test]
fn secrets_and_other_people_s_files_are_not_there() {
    let inside = Scratch::new();
    let output =
        shell(inside.path(), "cat /etc/shadow; cat ~/.ssh/id_rsa; ls ~/.ssh; ls /root /home; ls /var /srv /mnt /boot");
    assert_eq!(text(&output.stdout).replace("/root:\n", ""), "", "{output:?}");
}

#[test]
fn fs_33_the_host_s_tmp_is_not_visible_and_ours_is_private() {
    let (outside, inside) = (Scratch::new(), Scratch::new());
    outside.write("canary", "x");
    let output =
        shell(inside.path(), "ls -A /tmp | grep cofferdam-test; touch /tmp/mine && stat -c %a /tmp && echo $TMPDIR");
    let name = inside.path().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(text(&output.stdout), format!("{name}\n700\n/tmp\n"), "only the workspace's own folder");
    assert!(!std::path::Path::new("/tmp/mine").exists());
}

#[test]
fn writing_outside_the_workspace_has_no_effect() {
    let inside = Scratch::new();
    let marker = format!("cofferdam-marker-{}", std::process::id());
    let line = format!(
        "for d in / /usr /usr/bin /etc /tmp /var/tmp /dev /dev/shm /proc $HOME; do echo x > $d/{marker}; done 2>/dev/null"
    );
    shell(inside.path(), &line);
    for folder in [
        "/",
        "/usr",
        "/usr/bin",
        "/etc",
        "/tmp",
        "/var/tmp",
        "/dev",
        "/dev/shm",
        &std::env::var("HOME").unwrap_or_default(),
    ] {
        assert!(!std::path::Path::new(folder).join(&marker).exists(), "{folder}");
    }
}

#[test]
fn fs_27_hooks_and_configuration_of_a_repository_stay_as_they_are() {
    let inside = Scratch::new();
    inside.write(".git/hooks/existing", "old");
    inside.write(".git/config", "[core]\n");
    inside.write(".vscode/tasks.json", "{}");
    inside.write(".envrc", "old");
    let line = "echo evil > .git/hooks/post-commit; echo evil > .git/hooks/existing; echo evil >> .git/config; \
                rm -rf .git/hooks; mv .git/hooks x; echo evil > .vscode/tasks.json; mv evil .envrc; echo evil > .envrc; ls .git/hooks";
    let control_place = Scratch::new();
    control_place.write(".git/hooks/existing", "old");
    assert!(control(&control_place, "echo evil > .git/hooks/post-commit; cat .git/hooks/post-commit").contains("evil"));
    let output = shell(inside.path(), line);
    assert!(!inside.join(".git/hooks/post-commit").exists(), "{output:?}");
    assert_eq!(fs::read_to_string(inside.join(".git/hooks/existing")).unwrap(), "old");
    assert_eq!(fs::read_to_string(inside.join(".git/config")).unwrap(), "[core]\n");
    assert_eq!(fs::read_to_string(inside.join(".vscode/tasks.json")).unwrap(), "{}");
    assert_eq!(fs::read_to_string(inside.join(".envrc")).unwrap(), "old");
}

#[test]
fn a_denied_path_is_not_reached_by_any_way() {
    let inside = Scratch::new();
    let secret = inside.write("secret/key", "SECRET-CANARY");
    let root = inside.path().display();
    let policy = inside
        .write("policy.toml", &format!("version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{root}/secret\"]\n"));
    symlink(&secret, inside.join("link")).unwrap();
    let lines = [
        "cat secret/key",
        "cat link",
        "cat ./x/../secret/key",
        "ln secret/key hard; cat hard",
        "cat /proc/self/root$PWD/secret/key",
        "mv secret other; cat other/key",
        "cp -r secret copy; cat copy/key",
        "cd secret && cat key",
        "rm -rf secret; cat secret/key",
        "mkdir m; mount --bind secret m; cat m/key",
        "echo x > secret/key",
    ];
    for line in lines {
        let output =
            run(inside.path(), &["--policy", &policy.display().to_string()], &["sh", "-c", line]).output().unwrap();
        assert!(!text(&output.stdout).contains("SECRET"), "{line}: {output:?}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "SECRET-CANARY", "{line}");
    }
}

#[test]
fn net_01_02_nothing_beyond_the_sandbox_is_reached() {
    let inside = Scratch::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let (tcp, udp) = (listener.local_addr().unwrap().port(), datagrams.local_addr().unwrap().port());
    let script = format!(
        "import socket\n\
         for attempt in [lambda: socket.create_connection(('127.0.0.1', {tcp}), 1),\n\
                         lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp})),\n\
                         lambda: socket.create_connection(('192.0.2.1', 80), 1),\n\
                         lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),\n\
                         lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),\n\
                         lambda: socket.socket(40, socket.SOCK_STREAM)]:\n\
         \ttry:\n\t\tattempt(); print('done')\n\texcept OSError as e: print(type(e).__name__)\n"
    );
    if cofferdam_tests::skip::program("python3").is_none() {
        return;
    }
    let output = run(inside.path(), &[], &["python3", "-c", &script]).output().unwrap();
    assert!(listener.accept().is_err(), "a connection arrived: {output:?}");
    assert!(datagrams.recv(&mut [0; 9]).is_err(), "a datagram arrived: {output:?}");
    assert_eq!(
        text(&output.stdout).lines().filter(|line| *line == "done").count(),
        1,
        "only a datagram to its own loopback: {output:?}"
    );
    let reached = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(listener.accept().is_ok(), "the control did not connect: {reached:?}");
}

#[test]
fn sys_08_host_processes_are_neither_seen_nor_signalled() {
    let inside = Scratch::new();
    let mut victim = Command::new("sleep").arg("300").spawn().unwrap();
    let line = format!("kill -9 {}; kill -9 -1; ls /proc | grep -c '^[0-9]'", victim.id());
    let output = shell(inside.path(), &line);
    assert!(victim.try_wait().unwrap().is_none(), "the victim died: {output:?}");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn sys_13_no_capability_no_new_privileges_and_a_filter() {
    let inside = Scratch::new();
    let output = shell(inside.path(), "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    let seen: Vec<String> = text(&output.stdout).lines().map(|line| line.replace('\t', " ")).collect();
    let zero = "0000000000000000";
    let expected = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(|set| format!("{set} {zero}"));
    assert_eq!(seen[..5], expected);
    assert_eq!(seen[5..], ["NoNewPrivs: 1", "Seccomp: 2"]);
}

#[test]
fn sys_12_set_user_id_gives_nothing_and_is_not_left_behind() {
    let inside = Scratch::new();
    let output = shell(inside.path(), "cp /usr/bin/id own; chmod 4755 own; chmod u+s own; su -c id; id -u");
    let mode = fs::metadata(inside.join("own")).unwrap().permissions().mode();
    assert_eq!(mode & 0o6000, 0, "a set-id file was left: {output:?}");
    assert_eq!(text(&output.stdout).trim(), nix::unistd::geteuid().to_string());
}

#[test]
fn the_caller_s_environment_and_descriptors_stay_outside() {
    use std::os::fd::AsRawFd;
    let inside = Scratch::new();
    let (reader, _writer) = std::io::pipe().unwrap();
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let line = "env; cat /proc/*/environ | tr '\\0' '\\n'; ls -l /proc/self/fd | grep -c -E ' ([3-9]|[1-9][0-9]+) -> (pipe|socket)'";
    let mut command = run(inside.path(), &[], &["sh", "-c", line]);
    let output = command.env("CANARY_SECRET", "planted-value").env("LD_PRELOAD_X", "planted-value").output().unwrap();
    assert!(!text(&output.stdout).contains("planted-value"), "{output:?}");
    assert_eq!(
        text(&output.stdout).lines().last(),
        Some("0"),
        "descriptor {} or another crossed: {output:?}",
        reader.as_raw_fd()
    );
}

#[test]
fn what_was_refused_is_explained() {
    let inside = Scratch::new();
    let policy = inside.write("p.toml", "version = 1\nextends = \"dev\"\n[commands]\ndeny = [\"/usr/bin/id\"]\n");
    let output = run(inside.path(), &["--policy", &policy.display().to_string()], &["/usr/bin/id"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = text(&output.stderr);
    assert!(said.contains("/usr/bin/id") && said.contains("commands.deny") && said.contains("p.toml:4"), "{said}");
}

#[test]
fn what_could_not_be_read_is_explained_when_asked_for() {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    let canary = outside.write("canary", "SECRET-CANARY");
    let line = format!("cat {} /etc/shadow ./../../etc/hostname; cat /no/such/file", canary.display());
    let output = run(inside.path(), &["--explain"], &["sh", "-c", &line]).output().unwrap();
    let told = text(&output.stderr);
    assert!(!text(&output.stdout).contains("SECRET"), "{output:?}");
    assert!(told.contains(&format!("filesystem.read = [\"{}\"]", canary.display())), "{told}");
    assert!(told.contains("built-in secrets") && told.contains("/etc/hostname for cat"), "{told}");
    assert!(!told.contains("of /no/such/file"), "what is not there was not refused: {told}");
}

#[test]
fn a_rule_that_leads_through_a_link_of_the_guest_s_opens_nothing() {
    let (home, aside) = (Scratch::new(), Scratch::new());
    home.write(".ssh/config", "SECRET-CANARY");
    let workspace = home.join("project");
    fs::create_dir(&workspace).unwrap();
    let rules = [
        "read = [\"{workspace}/conf/config\"]",
        "read = [\"{workspace}/con[f]/config\"]",
        "write = [\"{workspace}/conf/config\", \"{workspace}\"]",
        "write = [\"{workspace}/conf/new\", \"{workspace}\"]",
    ];
    for (rule, without) in rules.iter().flat_map(|rule| [(rule, false), (rule, true)]) {
        let tier = if without { "landlock" } else { "full" };
        let policy = format!("version = 1\nextends = \"dev\"\nisolation.require = \"{tier}\"\n[filesystem]\n{rule}\n");
        let policy = aside.write("p.toml", &policy).display().to_string();
        let _ = fs::remove_file(workspace.join("conf"));
        let sandboxed = |program: &[&str]| {
            let start = if without { cofferdam_tests::command::run_without_namespaces } else { run };
            start(&workspace, &["--policy", &policy], program).env("HOME", home.path()).output().unwrap()
        };
        let output = sandboxed(&["ln", "-s", "../.ssh", "conf"]);
        if rule.starts_with("read") {
            assert_eq!(output.status.code(), Some(0), "{rule}: {output:?}");
        } else {
            // What protects names keeps the guest from it; it may come from an archive that was unpacked elsewhere.
            symlink("../.ssh", workspace.join("conf")).unwrap();
        }
        let output = sandboxed(&["sh", "-c", "cat conf/config; echo evil > conf/config; echo evil > conf/new"]);
        assert!(!text(&output.stdout).contains("SECRET") && output.status.code() != Some(0), "{rule}: {output:?}");
        assert_eq!(fs::read_to_string(home.join(".ssh/config")).unwrap(), "SECRET-CANARY", "{rule} {tier}");
        assert!(!home.join(".ssh/new").exists(), "{rule} {tier}");
    }
}
