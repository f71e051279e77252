//! What is not shown is not there: other processes in /proc, names outside, mounts.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::command::{audit_place, binary};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::process::{Child, Command};

/// A process of the host's own, with a secret in its arguments and environment; ended when dropped.
struct Victim(Child);

impl Victim {
    fn new() -> Self {
        let script = "SECRET-NAME"; // Its command line and, by the variable, its environment.
        Self(Command::new("sleep").args(["987.654321"]).env("VICTIM", script).spawn().unwrap())
    }

    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn fs_11_the_host_s_processes_open_nothing() {
    let victim = Victim::new();
    let body = format!(
        "base = '/proc/{}/'\n\
         for name in ['environ', 'maps', 'exe', 'mem', 'stat', 'task/{}/environ']: attempt(name, lambda: show(read(base + name)))\n\
         for name in ['root', 'cwd', 'fd', 'ns', 'map_files']: attempt(name, lambda: show(os.listdir(base + name)))\n\
         attempt('through', lambda: read(base + 'root/etc/hostname'))\n\
         attempt('link', lambda: os.readlink(base + 'exe'))\n\
         attempt('memory', lambda: os.open(base + 'mem', os.O_RDWR))\n",
        victim.id(),
        victim.id()
    );
    // /proc/PID/ns lists names and no secret; the rest tells or gives something.
    let Some(attack) = Attack::new(&body) else { return };
    let place = Scratch::new();
    let control = attack.outside(place.path());
    control.assert("environ", &["ok"]);
    assert!(control.printed.contains("SECRET-NAME") && control.printed.contains("through ok"), "{control:?}");
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        let hidden: &[&str] = &["ENOENT", "EACCES"];
        for name in ["environ", "maps", "exe", "mem", "root", "cwd", "fd", "ns", "map_files", "through", "memory"] {
            answers.assert(name, hidden);
        }
        answers.assert("link", hidden);
        assert!(!answers.printed.contains("SECRET") && !answers.printed.contains("sleep"), "{tier:?}: {answers:?}");
    }
}

#[test]
fn fs_12_the_host_s_command_lines_are_not_told() {
    let victim = Victim::new();
    let body = format!(
        "for name in ['cmdline', 'status', 'comm', 'stat', 'wchan', 'cgroup', 'limits', 'task']:\n\
         \tpath = '/proc/{}/' + name\n\
         \tattempt(name, lambda: show(os.listdir(path) if name == 'task' else read(path)))\n\
         attempt('all', lambda: show(os.listdir('/proc')))\n",
        victim.id()
    );
    let Some(attack) = Attack::new(&body) else { return };
    let place = Scratch::new();
    let control = attack.outside(place.path());
    control.assert_control(9);
    assert!(control.printed.contains("987.654321"), "{control:?}");
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        for name in ["cmdline", "status", "comm", "stat", "wchan", "cgroup", "limits", "task"] {
            answers.assert(name, &["ENOENT", "EACCES"]);
        }
        assert!(!answers.printed.contains("987.654321"), "{tier:?}: {answers:?}");
        assert!(!answers.printed.contains(&format!("'{}'", victim.id())), "{tier:?}: {answers:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_16_whether_a_hidden_name_exists_is_not_told() {
    let outside = Scratch::new();
    outside.write("there", "SECRET");
    std::os::unix::fs::symlink("SECRET-TARGET", outside.join("link")).unwrap();
    let body = format!(
        "out = {:?}\n\
         for name in ['there', 'absent', 'link']:\n\
         \tpath = out + '/' + name\n\
         \tattempt('stat-' + name, lambda: os.stat(path))\n\
         \tattempt('lstat-' + name, lambda: os.lstat(path))\n\
         \tattempt('statx-' + name, lambda: call(332, AT_FDCWD, path, 0, 0x7ff, bytes(256)))\n\
         \tattempt('access-' + name, lambda: call(21, path, 0))\n\
         \tattempt('faccessat2-' + name, lambda: call(439, AT_FDCWD, path, 4, 0))\n\
         \tattempt('readlink-' + name, lambda: show(os.readlink(path)))\n\
         \tattempt('open-' + name, lambda: os.open(path, os.O_RDONLY))\n\
         \tattempt('path-' + name, lambda: os.open(path, os.O_PATH))\n\
         \tattempt('attribute-' + name, lambda: os.listxattr(path))\n\
         \tattempt('statfs-' + name, lambda: os.statvfs(path))\n\
         \tattempt('run-' + name, lambda: os.execv(path, ['x']))\n\
         \tattempt('watch-' + name, lambda: call(254, libc.inotify_init1(0), path, 0xfff))\n\
         attempt('chdir', lambda: os.chdir(out))\n",
        outside.path().display().to_string()
    );
    let Some(attack) = Attack::new(&body) else { return };
    let place = Scratch::new();
    attack.outside(place.path()).assert("stat-there", &["ok"]);
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        // Opening, listing and changing to: refused in both tiers, and the same whether it is there or not.
        for kind in ["open", "run", "watch"] {
            let there = answers.of(&format!("{kind}-there")).unwrap_or_default();
            assert!(["ENOENT", "EACCES", "EOPNOTSUPP"].contains(&there), "{kind} {tier:?}: {answers:?}");
        }
        answers.assert("chdir", if tier == Tier::Full { &["ENOENT", "EACCES"] } else { &["ENOENT", "EACCES", "ok"] });
        for kind in
            ["stat", "lstat", "statx", "access", "faccessat2", "readlink", "open", "path", "attribute", "statfs"]
        {
            for name in ["there", "absent", "link"] {
                answers.assert(&format!("{kind}-{name}"), &["ENOENT"]);
            }
        }
        if tier == Tier::Landlock {
            // The kernel itself answers these two; the result says so, and whoever requires `full` gets none of it.
            let told = answers.result["enforcement"]["mechanisms"].to_string();
            assert!(told.contains("chdir and execve tell whether a name outside them exists"), "{told}");
        }
        assert!(!answers.printed.contains("SECRET-TARGET"), "{tier:?}: {answers:?}");
    }
}

/// Each way to change what is mounted, by number, so that no library's own check answers.
const MOUNTS: &str = "
null = 0
attempt('mount', lambda: call(165, 'none', here, 'tmpfs', 0, 0))
attempt('bind', lambda: call(165, '/', here, 0, 4096, 0))
attempt('remount', lambda: call(165, 0, '/', 0, 32, 0))
attempt('move', lambda: call(165, here, '/tmp', 0, 8192, 0))
attempt('umount', lambda: call(166, here, 2))
attempt('open_tree', lambda: call(428, AT_FDCWD, here, 1))
attempt('fsopen', lambda: call(430, 'tmpfs', 0))
attempt('fspick', lambda: call(433, AT_FDCWD, '/', 0))
attempt('move_mount', lambda: call(429, AT_FDCWD, here, AT_FDCWD, '/tmp', 0))
attempt('mount_setattr', lambda: call(442, AT_FDCWD, '/', 0, bytes(32), 32))
attempt('pivot_root', lambda: call(155, here, here))
attempt('chroot', lambda: call(161, here))
attempt('setns', lambda: call(308, os.open('/proc/self/ns/mnt', os.O_RDONLY) if os.path.exists('/proc/self/ns/mnt') and not quiet else 0, 0))
attempt('unshare', lambda: call(272, 0x20000))
";

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_17_no_mount_is_made_changed_or_taken_away() {
    let body = format!("quiet = True; here = os.getcwd()\n{MOUNTS}");
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        attack.inside(tier, inside.path(), &[]).assert_each(14, &["EPERM"]);
    }
    // The control, in namespaces of its own: there these calls are answered by the kernel, and most of them succeed.
    let place = Scratch::new();
    std::fs::write(place.join("attack.py"), attack.text()).unwrap();
    let mut unshare = Command::new("unshare");
    let control = unshare.args(["-Urm", "python3", "attack.py"]).current_dir(place.path()).output().unwrap();
    let done = String::from_utf8_lossy(&control.stdout).matches(" ok").count();
    assert!(done >= 5, "control: {control:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_18_a_mask_is_not_taken_away_in_a_namespace_of_the_guest_s() {
    let scratch = Scratch::new();
    scratch.write("secret/key", "SECRET-CANARY");
    let policy = scratch.write("p.toml", "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{workspace}/secret/key\"]\n[isolation]\nrequire = \"landlock\"\n");
    let body = "
attempt('clone', lambda: call(56, 0x10000000 | 0x20000 | 17, 0, 0, 0, 0))
attempt('clone3', lambda: call(435, struct.pack('QQQQQQQQ', 0x10020000, 0, 0, 0, 17, 0, 0, 0), 64))
attempt('user', lambda: call(272, 0x10000000))
attempt('both', lambda: call(272, 0x10020000))
attempt('umount', lambda: call(166, 'secret/key', 2))
attempt('remount', lambda: call(165, 0, 'secret/key', 0, 32 | 4096, 0))
attempt('proc', lambda: call(165, 'proc', '/proc', 'proc', 0, 0))
attempt('key', lambda: show(read('secret/key')))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, scratch.path(), &["--policy", policy.to_str().unwrap()]);
        for name in ["clone", "user", "both", "umount", "remount", "proc"] {
            answers.assert(name, &["EPERM"]);
        }
        answers.assert("clone3", &["ENOSYS"]);
        answers.assert("key", &["ENOENT", "EACCES"]);
        assert!(!answers.printed.contains("SECRET"), "{tier:?}: {answers:?}");
    }
    let line = "unshare -Urm true";
    let control = Command::new("sh").args(["-c", line]).status().unwrap();
    assert!(control.success(), "control");
}

#[test]
fn fs_19_what_the_host_mounts_later_does_not_appear() {
    // The host: namespaces of the test's own, whose mounts are shared; the workspace is on one of them.
    let scratch = Scratch::new();
    let (place, command) = (scratch.path().display(), binary());
    let line = format!(
        "mkdir {place}/later; \
         {} run --no-tty --workspace {place} -- sh -c 'touch begun; while ! test -e go; do sleep 0.01; done; ls later; echo end' > {place}/seen & \
         while ! test -e {place}/begun; do sleep 0.01; done; \
         mount -t tmpfs none {place}/later && touch {place}/later/CANARY && touch {place}/go; wait; ls {place}/later",
        command.display()
    );
    let control = Command::new("timeout")
        .env("COFFERDAM_AUDIT", audit_place())
        .args(["20", "unshare", "-Urm", "--propagation", "shared", "sh", "-c", &line])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&control.stdout), "CANARY\n", "the host sees it: {control:?}");
    let seen = std::fs::read_to_string(scratch.join("seen")).unwrap_or_default();
    if seen.is_empty() {
        return skip::skipped("namespaces cannot be made within namespaces here");
    }
    assert_eq!(seen, "end\n");
}
