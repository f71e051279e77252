//! Privileges, the launcher, devices and protected names, in both tiers.

use cofferdam_tests::attack::{Attack, TIERS};
use cofferdam_tests::command::{binary, text};
use cofferdam_tests::scratch::Scratch;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn sys_12_13_no_privilege_is_had_or_gained_in_either_tier() {
    let line = "cp /usr/bin/id own; chmod 4755 own 2>/dev/null; chmod u+s own 2>/dev/null; su -c id </dev/null 2>/dev/null; ./own -u; id -u; \
                grep -E '^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t '";
    for tier in TIERS {
        let inside = Scratch::new();
        let seen = tier.run(inside.path(), &[], &["sh", "-c", line]).output().unwrap();
        let mode = fs::metadata(inside.join("own")).unwrap().permissions().mode();
        assert_eq!(mode & 0o6000, 0, "{tier:?}: a set-id file was left: {seen:?}");
        let user = nix::unistd::geteuid();
        let none = "0000000000000000";
        let expected = format!(
            "{user}\n{user}\nCapPrm:{none}\nCapEff:{none}\nCapBnd:{none}\nCapAmb:{none}\nNoNewPrivs:1\nSeccomp:2\n"
        );
        // Without namespaces a user other than root keeps a bounding set that no_new_privs makes moot.
        let told = text(&seen.stdout);
        let unbound: String = told
            .lines()
            .map(|line| if line.starts_with("CapBnd:") { format!("CapBnd:{none}\n") } else { format!("{line}\n") })
            .collect();
        assert_eq!(unbound, expected, "{tier:?}: {seen:?}");
    }
    let Some(attack) = Attack::new(
        "attempt('root', lambda: os.setuid(0))\nattempt('effective', lambda: os.seteuid(0))\nattempt('groups', lambda: os.setgroups([0, 4, 27]))\n",
    ) else {
        return;
    };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        let own = nix::unistd::geteuid().is_root();
        for name in ["root", "effective"] {
            answers.assert(name, if own { &["ok", "EPERM"] } else { &["EPERM", "EINVAL"] });
        }
        answers.assert("groups", &["EPERM", "ENOSYS"]);
    }
}

#[test]
fn sys_20_kernel_settings_are_not_written_and_a_crash_leaves_no_image_in_either_tier() {
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let body = "
for path in ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/uid_map', '/proc/self/oom_score_adj', '/proc/sys/kernel/modprobe',
             '/sys/kernel/uevent_helper', '/proc/self/coredump_filter', '/proc/sys/vm/overcommit_memory']:
    attempt(path, lambda: write(path, '0'))
try: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
except (OSError, ValueError): pass
child = os.fork()
if child == 0: os.kill(os.getpid(), signal.SIGSEGV)
print('core', os.WCOREDUMP(os.waitpid(child, 0)[1]))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        answers.assert("core", &["False"]);
        for (number, path) in [
            "/proc/sys/kernel/core_pattern",
            "/proc/sysrq-trigger",
            "/proc/self/uid_map",
            "/proc/self/oom_score_adj",
            "/proc/sys/kernel/modprobe",
            "/sys/kernel/uevent_helper",
        ]
        .iter()
        .enumerate()
        {
            assert!(answers.of(path).is_some_and(|answer| answer != "ok"), "{tier:?} {number} {path}: {answers:?}");
        }
        assert_eq!(fs::read_dir(inside.path()).unwrap().count(), 0, "{tier:?}: an image was left");
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
    }
}

#[test]
fn sys_21_neither_the_launcher_nor_the_command_is_overwritten_in_either_tier() {
    let command = fs::read(binary()).unwrap();
    let body = format!(
        "
for path in ['/proc/1/exe', '/proc/%d/exe' % os.getppid(), {:?}]:
    attempt(path + ':write', lambda: os.open(path, os.O_WRONLY))
    attempt(path + ':append', lambda: open(path, 'ab'))
for name in ['mem', 'environ', 'root', 'fd/3', 'cwd', 'maps']:
    attempt('1/' + name, lambda: show(read('/proc/1/' + name)))
for who in [1, os.getppid()]:
    try: os.kill(who, 9)
    except OSError: pass
print('alive', 'yes')
",
        binary().display().to_string()
    );
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        for name in
            ["1/mem", "1/environ", "1/root", "1/fd/3", "1/cwd", "1/maps", "/proc/1/exe:write", "/proc/1/exe:append"]
        {
            answers.assert(name, &["ENOENT", "EACCES", "EPERM", "EROFS", "ETXTBSY", "ENOTDIR", "ELOOP", "EISDIR"]);
        }
        assert!(!answers.printed.contains("exe:write ok") && !answers.printed.contains("exe:append ok"), "{answers:?}");
        assert_eq!(fs::read(binary()).unwrap(), command, "{tier:?}: the command's own file changed");
    }
}

#[test]
fn sys_23_devices_of_the_host_are_not_opened_in_either_tier() {
    let body = "
for name in ['kvm', 'mem', 'kmsg', 'port', 'fuse', 'loop-control', 'loop0', 'vda', 'sda', 'dri/card0', 'nvidia0', 'input/event0', 'vhost-net', 'vhost-vsock',
             'net/tun', 'hpet', 'snapshot', 'uinput', 'btrfs-control', 'mapper/control', 'console', 'tty0', 'tty1', 'ttyS0', 'userfaultfd', 'rtc0', 'watchdog']:
    attempt(name, lambda: os.open('/dev/' + name, os.O_RDONLY | os.O_NONBLOCK))
attempt('null', lambda: os.open('/dev/null', os.O_RDWR))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        answers.assert("null", &["ok"]);
        assert_eq!(answers.printed.matches(" ok").count(), 1, "{tier:?}: {answers:?}");
    }
}

#[test]
fn fs_20_21_27_protected_and_denied_names_hold_without_namespaces_too() {
    for tier in TIERS {
        let (inside, aside) = (Scratch::new(), Scratch::new());
        for place in [".env", "sub/.env"] {
            inside.write(place, "SECRET-CANARY");
        }
        inside.write(".git/config", "[core]\n");
        inside.write(".git/hooks/a", "old");
        let policy = aside.write("p.toml", "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{workspace}/**/.env\"]\n[isolation]\nrequire = \"landlock\"\n");
        let line = "cat .env sub/.env; mv sub moved; cat moved/.env; cp -r . ../x; ln sub/.env hard; cat hard; mkdir new; echo x > new/.env; \
                    echo evil > .envrc; mkdir .vscode; echo evil > .git/hooks/pre-push; echo evil >> .git/config; mv .git g; mkdir -p .git/hooks; \
                    echo evil > .git/hooks/pre-push; ln -s /tmp .mcp.json; mkfifo deep.envrc; mv deep.envrc .envrc; true";
        let result = tier.json(inside.path(), &["--policy", policy.to_str().unwrap()], &["sh", "-c", line]);
        assert!(!result["stdout"].to_string().contains("SECRET"), "{tier:?}: {result}");
        for name in [".envrc", ".vscode/x", ".mcp.json", ".git/hooks/pre-push", "new/.env"] {
            assert!(
                !inside.join(name).exists() && fs::symlink_metadata(inside.join(name)).is_err(),
                "{tier:?} {name}: {result}"
            );
        }
        assert_eq!(fs::read_to_string(inside.join(".git/config")).unwrap(), "[core]\n", "{tier:?}");
        assert!(result["denials"].to_string().contains("**/.env"), "{tier:?}: {result}");
    }
}
