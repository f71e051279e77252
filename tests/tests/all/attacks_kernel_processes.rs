//! Other processes, terminals, cgroups, and what may be executed.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::command::{binary, text};
use cofferdam_tests::observe::within;
use cofferdam_tests::pseudo_terminal::drive;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::time::Duration;

/// A process of the host's, of the same user; ended when dropped.
struct Victim(Child);

impl Victim {
    fn new() -> Self {
        let victim = Self(Command::new("sleep").arg("300").env("VICTIM", "SECRET-CANARY").spawn().unwrap());
        let asleep =
            || fs::read_to_string(format!("/proc/{}/wchan", victim.0.id())).is_ok_and(|place| place.contains("sleep"));
        let is_sleep =
            || fs::read_to_string(format!("/proc/{}/comm", victim.0.id())).is_ok_and(|name| name == "sleep\n");
        within(Duration::from_secs(5), || is_sleep() && asleep());
        victim
    }

    /// What others might have changed of it: priority, processors, limits, tracer.
    fn witness(&self) -> String {
        let of = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap_or_default();
        let told = of("status");
        let kept = |line: &&str| ["TracerPid", "Cpus_allowed_list", "SigPnd"].iter().any(|name| line.starts_with(name));
        let status: Vec<&str> = told.lines().filter(kept).collect();
        let stat = of("stat");
        let nice = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_ascii_whitespace().nth(16))
            .unwrap_or_default()
            .to_owned();
        format!("{status:?} {nice} {}", of("limits"))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each attempt on a process of the host's succeeds outside, and inside it answers an error and changes nothing.
#[track_caller]
fn assert_untouched(count: usize, attempts: &str, accepted: &[&str]) {
    for tier in TIERS {
        let victim = Victim::new();
        let before = victim.witness();
        let Some(attack) = Attack::new(&format!("pid = {}\n{attempts}", victim.0.id())) else { return };
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        answers.assert_each(count, accepted);
        assert!(!answers.printed.contains("SECRET"), "{tier:?}: {answers:?}");
        assert_eq!(victim.witness(), before, "{tier:?}: {answers:?}");
        attack.outside(Scratch::new().path()).assert_control(count);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_06_no_process_of_the_host_s_is_traced() {
    let attempts = "
def trace(request):
    child = os.fork()
    if child == 0:
        try: call(101, request, pid, 0, 0)
        except OSError as error: os._exit(error.errno)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status: raise OSError(status, 'trace')
attempt('seize', lambda: trace(0x4206))
attempt('attach', lambda: trace(16))
";
    assert_untouched(2, attempts, &["ESRCH", "EPERM", "ENOSYS"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_07_no_memory_and_no_descriptor_of_the_host_s_is_reached() {
    // The address need not be mapped there: the kernel answers EFAULT then, once the process may be reached at all.
    let attempts = "
space = ctypes.create_string_buffer(64); vector = struct.pack('QQ', ctypes.addressof(space), 8)
def reach(number):
    try: call(number, pid, vector, 1, vector, 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT: raise
attempt('read', lambda: reach(310))
attempt('write', lambda: reach(311))
attempt('compare', lambda: call(312, os.getpid(), pid, 1, 0, 0))
attempt('descriptor', lambda: call(438, call(434, pid, 0), 0, 0))
";
    assert_untouched(4, attempts, &["ESRCH", "EPERM", "ENOSYS"]);
    if !nix::unistd::geteuid().is_root() {
        return skip::skipped("advice about another process's memory needs CAP_SYS_NICE outside");
    }
    let advise = "attempt('advise', lambda: call(440, call(434, pid, 0), struct.pack('QQ', 0, 0), 0, 21, 0))\n";
    assert_untouched(1, advise, &["ESRCH", "EPERM", "ENOSYS"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_08_no_signal_reaches_the_host_in_either_tier() {
    let attempts = "
def ask(): # A signal as a file's news goes to whoever is its owner.
    a, b = socket.socketpair(); fcntl.fcntl(a, fcntl.F_SETOWN, pid); fcntl.fcntl(a, fcntl.F_SETSIG, signal.SIGCONT)
attempt('kill', lambda: os.kill(pid, 0))
attempt('thread', lambda: call(234, pid, pid, 0))
attempt('queue', lambda: call(129, pid, 0, struct.pack('iii', 0, 0, -1) + bytes(128)))
attempt('descriptor', lambda: call(424, call(434, pid, 0), 0, 0, 0))
";
    assert_untouched(4, attempts, &["ESRCH", "EPERM", "ENOSYS"]);
    // To nobody in particular: everybody that may be signalled. Without a control, which would end this test.
    for tier in TIERS {
        let victim = Victim::new();
        let before = victim.witness();
        let Some(attack) = Attack::new("attempt('all', lambda: os.kill(-1, signal.SIGTERM))\n") else { return };
        attack.inside(tier, Scratch::new().path(), &[]);
        assert_eq!(victim.witness(), before, "{tier:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_09_priority_processors_and_limits_of_others_stay() {
    let attempts = "
attempt('nice', lambda: os.setpriority(os.PRIO_PROCESS, pid, 0))
attempt('affinity', lambda: os.sched_setaffinity(pid, os.sched_getaffinity(0)))
attempt('scheduler', lambda: os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0)))
attempt('attributes', lambda: call(314, pid, struct.pack('IIQiIQQQ', 48, 0, 0, 0, 0, 0, 0, 0), 0))
attempt('input', lambda: call(251, 1, pid, 0))
attempt('limit', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)))
attempt('look', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE))
";
    assert_untouched(7, attempts, &["ESRCH", "EPERM", "ENOSYS"]);
}

#[test]
fn sys_04_nothing_is_typed_on_the_host_s_terminal() {
    let script = "import fcntl\nfor letter in 'touch canary\\n':\n\ttry: fcntl.ioctl(0, 0x5412, letter.encode())\n\texcept OSError: pass\n";
    let typed = |line: &str| {
        let scratch = Scratch::new();
        scratch.write("attack.py", script);
        // A shell without an editor of lines of its own, whose prompt tells when it is ready.
        let steps = format!("[(b'ready> ', {line:?}.encode() + b'\\n'), (b'ready> ', b'echo done; exit 0\\n')]");
        let shell = scratch.write("shell", "PS1='ready> '; export PS1; exec dash -i\n");
        let seen = drive(&scratch, &steps, &["/bin/sh", shell.to_str().unwrap()])?;
        Some((scratch.join("canary").exists(), seen))
    };
    if skip::program("dash").is_none() {
        return;
    }
    let Some((marked, seen)) = typed("python3 attack.py") else { return };
    for tier in ["full", "landlock"] {
        let line = format!("{} run --workspace . --isolation {tier} -- python3 attack.py", binary().display());
        let (marked, seen) = typed(&line).unwrap();
        assert!(!marked, "{tier}: {seen}");
        assert_eq!(seen, "finished 0\n", "{tier}");
    }
    // The control bites only where the kernel still lets anybody type (dev.tty.legacy_tiocsti).
    if fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|set| set.trim() == "1") {
        assert!(marked, "control: {seen}");
    } else {
        skip::skipped("dev.tty.legacy_tiocsti is off, so that nobody types on terminals here");
    }
}

#[test]
fn sys_04_requests_that_take_a_terminal_over_are_refused_on_one_s_own() {
    let body = "
import pty
master, slave = pty.openpty()
def request(number, argument): 
    libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]; ctypes.set_errno(0)
    if libc.ioctl(slave, number, ctypes.addressof(argument)) < 0: raise OSError(ctypes.get_errno(), 'ioctl')
letter = ctypes.create_string_buffer(b'x'); line = ctypes.c_int(2); paste = ctypes.create_string_buffer(b'\\x03')
attempt('type', lambda: request(0x5412, letter))
attempt('wide', lambda: request(0x5412 + 2**32, letter))
attempt('paste', lambda: request(0x541c, paste))
attempt('discipline', lambda: request(0x5423, line))
attempt('console', lambda: request(0x541d, letter))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        if answers.of("type").is_none() {
            // Where there is no terminal to be had, nothing can be asked of one.
            assert!(answers.complaints().contains("OSError"), "{tier:?}: {answers:?}");
            assert_eq!(tier, Tier::Landlock);
            continue;
        }
        answers.assert_each(5, &["EPERM"]);
    }
    attack.outside(Scratch::new().path()).assert("discipline", &["ok", "EINVAL", "EPERM"]);
}

#[test]
fn sys_22_cgroups_are_not_written() {
    let body = "
places = ['/sys/fs/cgroup', '/sys/fs/cgroup/pids', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/unified', '/proc/self/root/sys/fs/cgroup']
for place in places:
    for name in ['cgroup.procs', 'tasks', 'release_agent', 'notify_on_release', 'cgroup.freeze', 'cgroup.kill', 'pids.max', 'memory.max']:
        attempt(place + '/' + name, lambda: os.close(os.open(place + '/' + name, os.O_WRONLY)))
    attempt(place + '/made', lambda: os.mkdir(place + '/cofferdam-made'))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        answers.assert_each(45, &["ENOENT", "EACCES", "EROFS", "EPERM", "ELOOP"]);
    }
    if nix::unistd::geteuid().is_root() {
        let opens = ["/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/cgroup.procs"];
        assert!(opens.iter().any(|path| fs::OpenOptions::new().write(true).open(path).is_ok()), "control");
    } else {
        skip::skipped("the control of cgroups needs root");
    }
}

/// Under a policy that allows the system's programs and none of the workspace's.
fn only_the_system_s(tier: Tier, inside: &Scratch, line: &str) -> std::process::Output {
    let aside = Scratch::new();
    let policy = aside.write(
        "p.toml",
        "version = 1\nextends = \"strict\"\n[filesystem]\nwrite = [\"{workspace}\"]\n[isolation]\nrequire = \"landlock\"\n",
    );
    tier.run(inside.path(), &["--policy", policy.to_str().unwrap()], &["sh", "-c", line]).output().unwrap()
}

#[test]
fn sys_18_a_program_that_is_not_allowed_is_not_executed_by_a_detour() {
    let Some(id) = skip::program("id") else { return };
    // `prog` is a copy of a program, so it is where it lies that forbids it.
    let memory = "python3 -c \"import os; f = os.memfd_create('x'); os.write(f, open('prog', 'rb').read()); os.execve(f, ['id'], {})\"";
    let lines = [
        "./prog",
        "exec ./prog",
        "ln prog hard; ./hard",
        "ln -s $PWD/prog link; ./link",
        "PATH=$PWD:$PATH; cp prog ls; ls",
        "printf '#!%s/prog\\n' $PWD > chain; chmod +x chain; ./chain",
        "env ./prog; nice ./prog; xargs -a /dev/null ./prog; timeout 5 ./prog",
        "cp prog $TMPDIR/prog; $TMPDIR/prog",
        "/proc/self/cwd/prog",
        memory,
        "/lib64/ld-linux-x86-64.so.2 ./prog",
        "python3 -c \"import ctypes; ctypes.CDLL('./prog')\" && echo uid=mapped",
    ];
    for tier in TIERS {
        // Without mounts nothing keeps the loader from mapping what may be read, which is what an interpreter does with it, too. Whoever
        // requires `full` does not get there, and the result tells whoever does.
        let count = if tier == Tier::Full { lines.len() } else { lines.len() - 2 };
        for line in &lines[..count] {
            let inside = Scratch::new();
            fs::copy(&id, inside.join("prog")).unwrap();
            fs::set_permissions(inside.join("prog"), fs::Permissions::from_mode(0o755)).unwrap();
            let seen = only_the_system_s(tier, &inside, line);
            assert_ne!(seen.status.code(), Some(125), "{tier:?} was not run: {seen:?}");
            let ran = text(&seen.stdout).contains("uid=");
            assert!(!ran, "{tier:?} `{line}`: {seen:?}");
        }
    }
    for line in [lines[0], lines[2], lines[8], memory] {
        let outside = Scratch::new();
        fs::copy(&id, outside.join("prog")).unwrap();
        let control = Command::new("sh").args(["-c", line]).current_dir(outside.path()).output().unwrap();
        assert!(text(&control.stdout).contains("uid="), "control `{line}`: {control:?}");
    }
}

#[test]
fn sys_19_variables_that_load_code_do_not_cross() {
    let names = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "NODE_OPTIONS",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "PYTHONHOME",
        "PERL5OPT",
        "PERL5LIB",
        "RUBYOPT",
        "RUBYLIB",
        "BASH_ENV",
        "ENV",
        "GIT_EXTERNAL_DIFF",
        "GIT_SSH_COMMAND",
        "GIT_CONFIG_COUNT",
        "JAVA_TOOL_OPTIONS",
        "DYLD_INSERT_LIBRARIES",
        "GLIBC_TUNABLES",
        "GCONV_PATH",
        "LOCPATH",
        "BASH_FUNC_x%%",
        "PROMPT_COMMAND",
    ];
    for tier in TIERS {
        let (inside, aside) = (Scratch::new(), Scratch::new());
        let policy = aside.write(
            "p.toml",
            "version = 1\nextends = \"dev\"\n[environment]\npass = [\"*\"]\n[isolation]\nrequire = \"landlock\"\n",
        );
        let mut run = tier.run(inside.path(), &["--policy", policy.to_str().unwrap()], &["env"]);
        // Given to the command itself, which a preloaded library of that name would only be complained about.
        let seen = run.envs(names.map(|name| (name, "/nowhere/POISON"))).env("HARMLESS", "crosses").output().unwrap();
        assert!(text(&seen.stdout).contains("HARMLESS=crosses"), "control: {seen:?}");
        assert!(!text(&seen.stdout).contains("POISON"), "{tier:?}: {seen:?}");
        for name in ["LD_PRELOAD", "NODE_OPTIONS", "BASH_ENV"] {
            let policy =
                aside.write("q.toml", &format!("version = 1\nextends = \"dev\"\n[environment]\npass = [\"{name}\"]\n"));
            let seen = tier.run(inside.path(), &["--policy", policy.to_str().unwrap()], &["env"]).output().unwrap();
            assert!(seen.status.code() == Some(125) && text(&seen.stderr).contains(name), "{name}: {seen:?}");
        }
    }
}
