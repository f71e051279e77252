//! What a run may do to the host that it runs on: to its causes, its limits, its secrets, its starts, and its files.

use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::command::{binary, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn res_12_a_run_goes_on_when_the_thread_that_began_it_ends() {
    let inside = Scratch::new();
    let place = inside.path().to_str().unwrap().to_owned();
    let kernel = Kernel::builder(LinuxPlane::new().unwrap()).build().unwrap();
    let vm = kernel.create_vm(VmSpec::new(Policy::builtin("dev").unwrap()).workspace(place)).unwrap();
    // Begun on a thread with a runtime of its own, both of which are gone when the program is still at work.
    let beginner = vm.clone();
    let begun = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let line = "sleep 0.3; echo survived > survived";
        runtime.block_on(beginner.command("/bin/sh").arg("-c").arg(line).spawn()).unwrap()
    });
    let mut running = begun.join().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(running.wait());
    assert!(matches!(report.cause, ExitCause::Exited { code: 0 }), "{report:?}");
    assert!(inside.join("survived").exists());
}

#[test]
fn res_16_the_cause_is_the_kernel_s_word_and_not_the_guest_s() {
    let told = r#"{"version":1,"exit_code":0,"cause":{"cause":"exited","code":0},"stdout":"","executable_later":[]}"#;
    let cases = [
        ("exit 137", "exited", 137, 137),
        ("exit 124", "exited", 124, 124),
        ("exit 125", "exited", 125, 125),
        ("exit 139", "exited", 139, 139),
        ("kill -KILL $$", "signalled", 9, 137),
        ("kill -SEGV $$", "signalled", 11, 139),
        ("kill -XCPU $$", "limit", 0, 137),
        (&format!("echo '{told}'; echo '{told}' >&2; exit 7"), "exited", 7, 7),
    ];
    for tier in TIERS {
        for (line, cause, number, code) in cases {
            let result = tier.shell(Scratch::new().path(), &["--cpu", "60s"], line);
            assert_eq!(result["cause"]["cause"], cause, "{tier:?} {line}: {result}");
            let key = if cause == "exited" { "code" } else { "signal" };
            assert!(cause == "limit" || result["cause"][key] == number, "{tier:?} {line}: {result}");
            assert_eq!(result["exit_code"], code, "{tier:?} {line}: {result}");
        }
    }
}

#[test]
fn res_17_what_the_command_says_itself_holds_no_terminal_s_orders() {
    // What a program prints is its own and goes through as it is; in JSON, and in whatever the command says of it, nothing is obeyed.
    let body = "
evil = '\\x1b]52;c;ZXZpbA==\\x07\\x1b]0;title\\x07\\x1bP$q\"p\\x1b\\\\\\x9b6n\\x1b[?1049h'
print(evil); print(evil, file=sys.stderr)
os.makedirs('.vscode', exist_ok=True)
for name in [evil.replace('/', ''), '\\x1b[2J']:
    try: open('.vscode/' + name, 'w')
    except OSError: pass
sys.exit(1)
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        inside.write(".vscode/x", "");
        let json = tier.run(inside.path(), &["--json"], &["python3", "-c", attack.text()]).output().unwrap();
        let orders = |text: &str| text.chars().any(|letter| letter.is_control() && letter != '\n');
        assert!(!orders(&text(&json.stdout)), "{tier:?}: {json:?}");
        let plain = tier.run(inside.path(), &[], &["python3", "-c", attack.text()]).output().unwrap();
        let told = text(&plain.stderr);
        let own: Vec<&str> = told.lines().filter(|line| line.contains("cofferdam")).collect();
        assert!(!own.is_empty() && own.iter().all(|line| !orders(line)), "{tier:?}: {own:?}");
        assert!(text(&plain.stdout).contains('\u{1b}'), "control: the program printed it");
    }
}

#[test]
fn res_18_secrets_of_the_caller_are_nowhere_inside() {
    let secret = "CANARY-SECRET-5468";
    let body = "
found = []
try: names = os.listdir('/proc')
except OSError: names = ['1', 'self', str(os.getppid())]
for name in names:
    for what in ['environ', 'cmdline', 'comm', 'maps']:
        try: found += ['%s/%s' % (name, what)] if b'CANARY-SECRET' in open('/proc/%s/%s' % (name, what), 'rb').read().replace(b'b\\'CANARY-SECRET\\'', b'') else []
        except OSError: pass
own = str(os.getpid())
found = [one for one in found if not one.startswith((own + '/cmdline', 'self/cmdline', 'thread-self/cmdline'))]
print('environ', [name for name, value in os.environ.items() if 'CANARY-SECRET' in value], 'proc', found)
for name in ['.bash_history', '.python_history', '.zsh_history']:
    try: print('history', name, open(os.path.expanduser('~/' + name)).read(3) != '')
    except OSError: pass
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let mut run = tier.run(inside.path(), &[], &["python3", "-c", attack.text()]);
        run.env("AWS_SECRET_ACCESS_KEY", secret).env("TOKEN", secret).env("COFFERDAM_TEST", secret);
        let seen = run.output().unwrap();
        assert_eq!(text(&seen.stdout), "environ [] proc []\n", "{tier:?}: {seen:?}");
    }
    let mut control = Command::new("python3");
    let control = control.args(["-c", attack.text()]).env("TOKEN", secret).output().unwrap();
    assert!(text(&control.stdout).contains("environ ['TOKEN'"), "control: {control:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn res_19_no_limit_is_raised_and_no_priority_taken() {
    let body = "
def raises(which):
    soft, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY: raise OSError(errno.EPERM, 'no limit to raise')
    resource.setrlimit(which, (hard, hard + 1))
def limit(which):
    try: raises(which)
    except ValueError: raise OSError(errno.EPERM, 'setrlimit')
for name in ['RLIMIT_NOFILE', 'RLIMIT_NPROC', 'RLIMIT_FSIZE', 'RLIMIT_DATA', 'RLIMIT_CORE']: attempt(name, lambda: limit(getattr(resource, name)))
attempt('score', lambda: write('/proc/self/oom_score_adj', '-1000'))
attempt('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
attempt('fifo', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt('deadline', lambda: call(314, 0, struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, 10**7, 10**8, 10**8), 0))
attempt('input', lambda: call(251, 1, 0, (1 << 13) | 0))
attempt('lock', lambda: call(151, 3))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        for name in [
            "RLIMIT_NOFILE",
            "RLIMIT_NPROC",
            "RLIMIT_FSIZE",
            "RLIMIT_DATA",
            "RLIMIT_CORE",
            "nice",
            "fifo",
            "deadline",
            "input",
        ] {
            answers.assert(name, &["EPERM", "EACCES", "ENOSYS"]);
        }
        answers.assert("score", &["EACCES", "EPERM", "EROFS", "ENOENT"]);
        // Locking counts for the limit on memory as any other memory does.
        answers.assert("lock", &["ok", "EPERM", "ENOMEM", "EAGAIN", "ENOSYS"]);
    }
    if nix::unistd::geteuid().is_root() {
        attack.outside(Scratch::new().path()).assert("nice", &["ok"]);
    } else {
        skip::skipped("the control of priorities needs root");
    }
}

/// How long a run takes under a policy that denies so many files; the last of them must stay out of reach.
fn start_with_denied(tier: Tier, count: u32) -> Duration {
    let (inside, aside) = (Scratch::new(), Scratch::new());
    let last = format!("files/number-{}", count - 1);
    inside.write(&last, "SECRET-CANARY");
    let denied: Vec<String> = (0..count).map(|number| format!("\"{{workspace}}/files/number-{number}\"")).collect();
    let lines = format!(
        "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [{}]\n[isolation]\nrequire = \"landlock\"\n",
        denied.join(",\n")
    );
    let policy = aside.write("p.toml", &lines);
    let line = format!("cat {last}; echo x > files/number-5; echo started");
    let begun = Instant::now();
    let seen = tier.run(inside.path(), &["--policy", policy.to_str().unwrap()], &["sh", "-c", &line]).output().unwrap();
    let took = begun.elapsed();
    assert_eq!(text(&seen.stdout), "started\n", "{tier:?}: {:?}", text(&seen.stderr).get(..2000));
    assert!(!inside.join("files/number-5").exists(), "{tier:?}");
    took
}

#[test]
fn res_20_a_policy_of_twenty_thousand_denied_files_starts() {
    for tier in TIERS {
        // Ten times the rules cost ten times the time, or what grows with their square would show as a hundred; the fastest of
        // some, since others use the machine, too.
        let least = |count, rounds| (0..rounds).map(|_| start_with_denied(tier, count)).min().unwrap();
        let (few, many) = (least(2_000, 3), least(20_000, 2));
        assert!(many < few * 40, "{tier:?}: {few:?} and {many:?}");
    }
}

#[test]
fn res_20_a_start_does_not_grow_with_the_files_that_are_there() {
    let (small, large) = (Scratch::new(), Scratch::new());
    small.write("a", "");
    // As many folders as a workspace with three hundred worktrees has, each with a place that is protected.
    for number in 0..300 {
        let place = large.join(&format!("tree-{number}/.git/hooks"));
        fs::create_dir_all(&place).unwrap();
        for file in 0..20 {
            fs::write(place.join(format!("hook-{file}")), "").unwrap();
        }
    }
    let once = |place: &Path| {
        let begun = Instant::now();
        assert!(Tier::Full.run(place, &[], &["true"]).status().unwrap().success());
        begun.elapsed()
    };
    // In turn, and the best of each: what else the machine does makes a start slower, never faster.
    let (without, with): (Vec<Duration>, Vec<Duration>) =
        (0..9).map(|_| (once(small.path()), once(large.path()))).unzip();
    let (without, with) = (*without.iter().min().unwrap(), *with.iter().min().unwrap());
    assert!(with < without * 3 + Duration::from_millis(30), "{with:?} against {without:?}");
}

#[test]
fn res_21_many_runs_at_once_keep_to_themselves() {
    // Each has a workspace of the same make, the same names in it, and a number that is its own; half of them flood their output.
    const RUNS: usize = 200;
    let folder = Scratch::new();
    let mut running = Vec::new();
    for number in 0..RUNS {
        let place = folder.join(&format!("run-{number}/ws"));
        fs::create_dir_all(&place).unwrap();
        let flood = if number % 2 == 0 { "head -c 300000 /dev/zero | tr '\\0' x >&2;" } else { "" };
        let line = format!(
            "echo {number} > $TMPDIR/same; echo {number} > same; {flood} sleep 0.05; cat $TMPDIR/same same; echo $$ > pid"
        );
        let mut run = cofferdam_tests::command::run(&place, &["--no-tty"], &["sh", "-c", &line]);
        run.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        running.push((number, run.spawn().unwrap()));
    }
    for (number, child) in running {
        let output = child.wait_with_output().unwrap();
        assert_eq!(text(&output.stdout), format!("{number}\n{number}\n"), "{output:?}");
        assert_eq!(output.status.code(), Some(0), "{number}: {output:?}");
    }
}

/// What is at the top of places that no run may change, with the times at which it changed.
fn witness(places: &[PathBuf]) -> BTreeMap<PathBuf, (u64, i64, i64, u32)> {
    let mut seen = BTreeMap::new();
    for place in places {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if let Ok(facts) = fs::symlink_metadata(entry.path()) {
                seen.insert(entry.path(), (facts.ino(), facts.ctime(), facts.ctime_nsec(), facts.mode()));
            }
        }
    }
    seen
}

#[test]
fn res_22_nothing_that_is_not_granted_changes_on_the_host() {
    let outside = Scratch::new();
    for name in ["a", "b/c", ".hidden/d"] {
        outside.write(name, "words");
    }
    let places: Vec<PathBuf> = ["/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/opt", "/boot", "/srv", "/var/spool"]
        .iter()
        .map(PathBuf::from)
        .chain([outside.path().to_owned(), outside.join("b"), outside.join(".hidden")])
        .collect();
    // Directories whose own entries others change all the time are not looked at.
    let quiet = |mut seen: BTreeMap<PathBuf, _>| {
        seen.retain(|path, _| {
            !["/tmp", "/proc", "/dev", "/run", "/root", "/work", "/var"].iter().any(|other| path == Path::new(other))
        });
        seen
    };
    let before = quiet(witness(&places));
    for tier in TIERS {
        let inside = Scratch::new();
        let line = format!(
            "for d in / /etc /usr /usr/bin /usr/lib /opt /boot /srv /var/spool {0} {0}/b; do touch $d/x; mkdir $d/y; chmod 777 $d $d/*; touch $d/*; \
             mv $d/a $d/z; rm -f $d/*; ln -s x $d/l; done 2>/dev/null; touch own; mkdir -p deep/er; true",
            outside.path().display()
        );
        let seen = tier.run(inside.path(), &[], &["sh", "-c", &line]).output().unwrap();
        assert!(inside.join("own").exists(), "control: {seen:?}");
        let after = quiet(witness(&places));
        let changed: Vec<_> = after.iter().filter(|(path, facts)| before.get(*path) != Some(facts)).collect();
        let gone: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
        assert!(changed.is_empty() && gone.is_empty(), "{tier:?}: {changed:?} {gone:?}");
    }
    assert!(binary().exists());
}
