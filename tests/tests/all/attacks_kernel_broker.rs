//! The broker itself under attack: memory that changes while it looks, floods of calls that wait, callers that die, and limits of the kernel
//! on what is stacked.

use cofferdam_tests::attack::{Attack, TIERS};
use cofferdam_tests::command::{binary, text};
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_15_a_path_that_changes_while_it_is_judged_shows_nothing_denied() {
    // One thread writes one name over the other in the very memory that open(2) is given; both are as long.
    let body = "
paths = [b'fine/a\\0', b'secr/a\\0']
memory = ctypes.create_string_buffer(b'fine/a')
stop = False
def flip():
    n = 0
    while not stop: ctypes.memmove(memory, paths[n & 1], 7); n += 1
thread = threading.Thread(target=flip); thread.start()
seen = {}; end = time.monotonic() + 0.7
while time.monotonic() < end:
    for flags in [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT]:
        f = libc.open(memory, flags, 0o600)
        if f < 0: seen['refused'] = 1
        else:
            if flags != os.O_WRONLY | os.O_CREAT: seen[os.read(f, 50)] = 1
            os.close(f)
    if libc.rename(memory, b'took') == 0: seen['renamed'] = 1; os.rename('took', 'fine/a')
    if libc.truncate(memory, 8) == 0: pass
stop = True; thread.join()
print(sorted(map(str, seen)))
";
    let Some(attack) = Attack::new(body) else { return };
    let place = || {
        let inside = Scratch::new();
        inside.write("fine/a", "harmless");
        inside.write("secr/a", "SECRET-CANARY");
        inside
    };
    for tier in TIERS {
        let (inside, aside) = (place(), Scratch::new());
        let policy = aside.write(
            "p.toml",
            "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{workspace}/**/secr/*\"]\n[isolation]\nrequire = \"landlock\"\n",
        );
        let answers = attack.inside(tier, inside.path(), &["--policy", policy.to_str().unwrap()]);
        assert!(
            answers.printed.contains("harmless") && answers.printed.contains("refused"),
            "the race was not run: {answers:?}"
        );
        assert!(!answers.printed.contains("SECRET"), "{tier:?}: {answers:?}");
        assert_eq!(fs::read_to_string(inside.join("secr/a")).unwrap(), "SECRET-CANARY", "{tier:?}");
        assert!(answers.is_recorded("secr/a"), "{tier:?}: {answers:?}");
    }
    let control = attack.outside(place().path());
    assert!(control.printed.contains("SECRET") || control.printed.contains("renamed"), "control: {control:?}");
}

#[test]
fn sys_16_threads_that_wait_in_calls_hold_nobody_else_up() {
    // Each waits for the other end of a FIFO, which nobody opens; meanwhile other calls are answered.
    let body = "
os.mkfifo('f')
threading.stack_size(65536)
def wait():
    try: os.open('f', os.O_RDONLY)
    except OSError: pass
started = 0
try:
    for _ in range(300): threading.Thread(target=wait, daemon=True).start(); started += 1
except RuntimeError: pass
time.sleep(0.2)
begun = time.monotonic()
for n in range(50): os.mkdir('d%d' % n)
print('answered', started > 50, time.monotonic() - begun < 5, flush=True)
open('begun', 'w').close()
while not os.path.exists('go'): time.sleep(0.01)
os._exit(0)
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let mut run = tier.run(inside.path(), &["--no-tty"], &["python3", "-c", attack.text()]);
        let child = run.stdout(Stdio::piped()).spawn().unwrap();
        assert!(within(Duration::from_secs(20), || inside.join("begun").exists()), "{tier:?}: no call is answered");
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let threads: u64 = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok()).unwrap();
        inside.write("go", "");
        let output = child.wait_with_output().unwrap();
        assert_eq!(text(&output.stdout), "answered True True\n", "{tier:?}: {output:?}");
        assert!(threads < 200, "{tier:?}: {threads} threads of the host's");
    }
}

#[test]
fn sys_16_callers_that_are_killed_while_they_are_judged_leave_nothing_behind() {
    let body = "
for n in range(150):
    child = os.fork()
    if child == 0:
        while True:
            try: os.mkdir('d'); os.rename('d', 'e'); os.rmdir('e'); os.close(os.open('f', os.O_CREAT | os.O_RDWR))
            except OSError: pass
    time.sleep(0.001); os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
for name in os.listdir('.'): print('left', name) if name not in ('d', 'e', 'f') else None
attempt('after', lambda: os.mkdir('after'))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        assert_eq!(answers.printed, "after ok\n", "{tier:?}: {answers:?}");
        assert!(inside.join("after").exists());
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_17_too_many_layers_are_a_clear_error() {
    // Sixteen layers of Landlock are the most (landlock(7)); the next sandbox finds no room.
    let body = format!(
        "
layers = int(sys.argv[1])
libc.prctl(38, 1, 0, 0, 0)
for _ in range(layers):
    rules = call(444, struct.pack('Q', 1 << 6), 8, 0); call(446, rules, 0); os.close(rules)
os.execv({0:?}, [{0:?}, 'run', '--no-audit', '--json', '--workspace', '.', '--isolation', sys.argv[2], '--', 'touch', 'made'])
",
        binary().display().to_string()
    );
    let Some(attack) = Attack::new(&body) else { return };
    for isolation in ["full", "landlock"] {
        // Under any layer at all nobody mounts, so there the whole tier is refused from the first.
        let cases = if isolation == "full" { [(1, false), (16, false)] } else { [(12, true), (16, false)] };
        for (layers, starts) in cases {
            let inside = Scratch::new();
            let mut python = Command::new("timeout");
            python.args(["-k", "1", "20", "python3", "-c", attack.text(), &layers.to_string(), isolation]);
            let seen = python.current_dir(inside.path()).output().unwrap();
            let result: serde_json::Value =
                serde_json::from_slice(&seen.stdout).unwrap_or_else(|error| panic!("{error}: {seen:?}"));
            assert_eq!(inside.join("made").exists(), starts, "{isolation} {layers}: {result}");
            if !starts {
                assert_eq!(result["exit_code"], 125, "{result}");
                let message = result["error"]["message"].as_str().unwrap_or_default();
                let told =
                    if isolation == "full" { "namespaces are restricted" } else { "Landlock takes at most 16 layers" };
                assert!(message.contains(told), "{isolation}: {message}");
            }
        }
    }
}

#[test]
fn sys_17_a_sandbox_in_a_sandbox_starts_or_says_why_not() {
    // The command itself, inside: it may not make namespaces there, nor a second listener of its own.
    if skip::program("sh").is_none() {
        return;
    }
    for tier in TIERS {
        for inner in ["full", "landlock"] {
            let inside = Scratch::new();
            let own = inside.join("cofferdam");
            fs::copy(binary(), &own).unwrap();
            let line =
                format!("./cofferdam run --no-audit --json --isolation {inner} --workspace . -- touch made; echo $?");
            let mut run = tier.run(inside.path(), &["--timeout", "20s"], &["sh", "-c", &line]);
            let seen = run.output().unwrap();
            let told = text(&seen.stdout);
            assert_eq!(seen.status.code(), Some(0), "{tier:?}/{inner}: {seen:?}");
            let ran = inside.join("made").exists();
            assert!(ran || told.ends_with("125\n"), "{tier:?}/{inner}: neither run nor refused: {seen:?}");
            if !ran {
                let result: serde_json::Value = serde_json::from_str(told.lines().next().unwrap_or_default()).unwrap();
                let code = result["error"]["code"].as_str().unwrap_or_default();
                assert!(!code.is_empty(), "{tier:?}/{inner}: {seen:?}");
                assert!(!text(&seen.stderr).contains("panicked"), "{tier:?}/{inner}: {seen:?}");
            }
        }
    }
}
