//! Each limit met in more than one way, in both tiers; the right one ends the run and is named, and what is left of the run is nothing.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::observe::{cgroups_of, processes_with, within};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A time to sleep that no other process has.
fn mark() -> String {
    format!("7{:05}{:03}", std::process::id() % 100_000, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn limited(tier: Tier, limits: &str, program: &[&str]) -> Value {
    let (inside, aside) = (Scratch::new(), Scratch::new());
    let wall = if limits.contains("wall") { "" } else { "wall = \"20s\"\n" };
    let text =
        format!("version = 1\nextends = \"dev\"\n[limits]\n{wall}{limits}\n[isolation]\nrequire = \"landlock\"\n");
    let policy = aside.write("p.toml", &text);
    tier.json(inside.path(), &["--policy", policy.to_str().unwrap()], program)
}

#[track_caller]
fn assert_limit(tier: Tier, limits: &str, program: &[&str], limit: &str) {
    let result = limited(tier, limits, program);
    assert_eq!(result["cause"]["limit"], limit, "{tier:?}: {result}");
    assert!(result["cause"]["held_by"].as_str().is_some_and(|by| !by.is_empty()), "{result}");
    assert_eq!(result["exit_code"], 137, "{result}");
}

#[test]
fn res_01_processes_in_every_form_are_ended_by_their_limit() {
    let mark = mark();
    let forms = [
        "def go():\n\twhile True:\n\t\tif os.fork() == 0: time.sleep(60)\ngo()",
        "while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "while True: os.posix_spawn('/bin/sleep', ['sleep', sys.argv[1]], {})",
    ];
    for tier in TIERS {
        for form in forms {
            let Some(attack) = Attack::new(&format!(
                "threading.stack_size(65536)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntry:\n\t{}\nexcept BaseException: time.sleep(60)",
                form.replace('\n', "\n\t")
            )) else {
                return;
            };
            assert_limit(tier, "processes = 60", &["python3", "-c", attack.text(), &mark], "processes");
            assert!(within(Duration::from_secs(1), || processes_with(&mark).is_empty()), "{tier:?} {form}");
        }
    }
}

#[test]
fn res_03_memory_of_one_and_of_many_is_ended_by_its_limit() {
    let one = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    let many =
        "for _ in range(16):\n\tif os.fork() == 0: x = bytearray(8 << 20); time.sleep(30); os._exit(0)\ntime.sleep(30)";
    for tier in TIERS {
        for form in [one, many] {
            let Some(attack) = Attack::new(form) else { return };
            assert_limit(tier, "memory = \"64MiB\"", &["python3", "-c", attack.text()], "memory");
        }
    }
}

#[test]
fn res_05_07_files_past_their_limits_are_ended_or_refused() {
    for tier in TIERS {
        let grow = "exec head -c 8000000 /dev/zero > big";
        assert_limit(tier, "disk = \"1MiB\"", &["sh", "-c", grow], "disk");
        // A program that does not want to die of it hears of it: in a workspace, where holes count, and in temporary storage.
        let body = "
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def sparse(): os.truncate(os.open('sparse', os.O_CREAT | os.O_WRONLY), 1 << 30)
def far(): os.pwrite(os.open('far', os.O_CREAT | os.O_WRONLY), b'x', 1 << 30)
def room(): call(285, os.open('room', os.O_CREAT | os.O_WRONLY), 0, 0, 1 << 30)
def gone():
    f = os.open(os.environ['TMPDIR'] + '/gone', os.O_CREAT | os.O_WRONLY); os.unlink(os.environ['TMPDIR'] + '/gone')
    for _ in range(64): os.write(f, bytes(1 << 20))
for act in [sparse, far, room, gone]: attempt(act.__name__, act)
";
        let Some(attack) = Attack::new(body) else { return };
        let result = limited(tier, "disk = \"16MiB\"", &["python3", "-c", attack.text()]);
        let told = result["stdout"].as_str().unwrap_or_default();
        for name in ["sparse", "far", "room", "gone"] {
            let refused = ["EFBIG", "ENOSPC", "EDQUOT"].iter().any(|errno| told.contains(&format!("{name} {errno}")));
            // The last takes more all together than the run may: whoever looks just then ends it.
            let ended = name == "gone" && result["cause"]["limit"] == "disk";
            assert!(refused || ended, "{tier:?} {name}: {result}");
        }
    }
}

#[test]
fn res_07_descriptors_of_every_kind_are_ended_by_their_limit() {
    for tier in TIERS {
        for kind in ["os.open('/dev/null', 0)", "os.pipe()", "socket.socketpair()"] {
            let body = format!(
                "held = []\nwhile True:\n\ttry: held.append({kind})\n\texcept OSError:\n\t\t# Of a pair one may be left.\n\t\ttry: held.append(os.dup(0))\n\t\texcept OSError: time.sleep(0.01)\n"
            );
            let Some(attack) = Attack::new(&body) else { return };
            assert_limit(tier, "open_files = 100", &["python3", "-c", attack.text()], "open_files");
        }
    }
}

#[test]
fn res_08_output_without_end_is_ended_by_its_limit() {
    for tier in TIERS {
        assert_limit(tier, "stdout = \"1MiB\"", &["yes"], "stdout");
        assert_limit(tier, "stdout = \"1MiB\"", &["head", "-c", "100000000", "/dev/zero"], "stdout");
        assert_limit(tier, "stderr = \"1MiB\"", &["sh", "-c", "yes >&2"], "stderr");
    }
}

#[test]
fn res_10_nothing_that_let_go_of_everything_outlives_its_run() {
    let detach = "import os, sys\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nos.closerange(0, 100)\nos.execvp('sleep', ['sleep', sys.argv[1]])";
    if skip::program("python3").is_none() {
        return;
    }
    for tier in TIERS {
        let mark = mark();
        let line = format!("python3 -c \"{detach}\" {mark}; sleep 0.2; nohup setsid sleep {mark} & exit 0");
        let result = tier.shell(Scratch::new().path(), &[], &line);
        assert_eq!(result["cause"]["code"], 0, "{tier:?}: {result}");
        assert!(within(Duration::from_secs(1), || processes_with(&mark).is_empty()), "{tier:?}");
        let line = format!("python3 -c \"{detach}\" {mark}; sleep {mark}");
        let result = tier.shell(Scratch::new().path(), &["--timeout", "500ms"], &line);
        assert_eq!(result["cause"]["cause"], "timed_out", "{tier:?}: {result}");
        assert!(within(Duration::from_secs(1), || processes_with(&mark).is_empty()), "{tier:?}");
    }
}

#[test]
fn res_11_the_command_killed_at_any_moment_leaves_nothing() {
    // From the very start to well into the run, in steps that no start keeps time with.
    for tier in TIERS {
        for step in 0..12_u64 {
            let mark = mark();
            let scratch = Scratch::new();
            let line = format!("setsid sleep {mark} & sleep {mark}");
            let mut run = tier.run(scratch.path(), &["--no-tty"], &["sh", "-c", &line]);
            let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(step * step * 900 + 137));
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            // Those that are on their way may still begin, but not go on.
            assert!(
                within(Duration::from_secs(2), || processes_with(&mark).is_empty()),
                "{tier:?} {step}: {:?}",
                processes_with(&mark)
            );
            assert!(within(Duration::from_secs(2), || cgroups_of(child.id()).is_empty()), "{tier:?} {step}");
        }
    }
}

#[test]
fn res_13_stopping_and_ignoring_does_not_put_the_end_off() {
    for tier in TIERS {
        for line in [
            "trap '' TERM INT HUP; while :; do sleep 1; done",
            "kill -STOP 0; sleep 60",
            "kill -STOP 1; kill -9 1; kill -STOP $$; sleep 60",
            "mkfifo f; cat f",
            "(kill -STOP $$); sleep 60",
        ] {
            let begun = Instant::now();
            let place = Scratch::new();
            let mut run = tier.run(place.path(), &["--json", "--timeout", "200ms"], &["sh", "-c", line]);
            let mut child = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            // A command that stops itself with its guest would be waited for in vain.
            let ended = within(Duration::from_secs(10), || child.try_wait().unwrap().is_some());
            if !ended {
                kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
            }
            let output = child.wait_with_output().unwrap();
            assert!(ended, "{tier:?} `{line}` put the end off");
            let result: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(result["cause"]["cause"], "timed_out", "{tier:?} {line}: {result}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{tier:?} {line}: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn res_14_processor_time_of_many_and_of_the_dead_counts() {
    for tier in TIERS {
        for line in [
            "while :; do :; done & while :; do :; done & wait",
            "while :; do /bin/sh -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done'; done",
        ] {
            assert_limit(tier, "cpu = \"400ms\"", &["sh", "-c", line], "cpu");
        }
        let result = limited(tier, "cpu = \"5s\"\nwall = \"300ms\"", &["sleep", "1000000000"]);
        assert_eq!(result["cause"]["cause"], "timed_out", "{tier:?}: {result}");
    }
}
