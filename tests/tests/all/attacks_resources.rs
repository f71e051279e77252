//! Memory, processes and files in every form in which they can be taken; the limit that ends the run is named, or the call that is past it
//! fails, and the host has what it had.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A run under `dev` with other limits, in a workspace.
fn limited(tier: Tier, workspace: &Scratch, limits: &str, program: &[&str]) -> Value {
    let aside = Scratch::new();
    let text = format!(
        "version = 1\nextends = \"dev\"\n[limits]\nwall = \"20s\"\n{limits}\n[isolation]\nrequire = \"landlock\"\n"
    );
    let policy = aside.write("p.toml", &text);
    tier.json(workspace.path(), &["--policy", policy.to_str().unwrap()], program)
}

fn limit_of(result: &Value) -> &str {
    result["cause"]["limit"].as_str().unwrap_or_default()
}

#[test]
fn res_02_a_fork_bomb_under_other_limits_leaves_the_supervisor_its_descriptors() {
    // Nothing but memory bounds it, up to a number of processes that would fill any table of the supervisor's that grew with them.
    let mark = format!("res02-{}", std::process::id());
    let bomb = format!("b() {{ b {mark} | b & }}; b; sleep 60");
    for tier in TIERS {
        let (inside, aside) = (Scratch::new(), Scratch::new());
        let policy = aside.write(
            "p.toml",
            "version = 1\nextends = \"dev\"\n[limits]\nwall = \"4s\"\nprocesses = 300\nmemory = \"48MiB\"\n[isolation]\nrequire = \"landlock\"\n",
        );
        let mut run =
            tier.run(inside.path(), &["--json", "--policy", policy.to_str().unwrap()], &["bash", "-c", &bomb]);
        let mut child = run.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let descriptors = || fs::read_dir(format!("/proc/{}/fd", child.id())).map_or(0, Iterator::count);
        let mut most = 0;
        within(Duration::from_millis(700), || {
            most = most.max(descriptors());
            false
        });
        let mut told = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut told).unwrap();
        child.wait().unwrap();
        let result: Value = serde_json::from_str(&told).unwrap();
        assert!(
            ["memory", "processes"].contains(&limit_of(&result)) || result["cause"]["cause"] == "timed_out",
            "{tier:?}: {result}"
        );
        assert!(most < 64, "{tier:?}: {most} descriptors");
        assert!(within(Duration::from_secs(2), || processes_with(&mark).is_empty()), "{tier:?}");
        assert!(Command::new("true").status().unwrap().success(), "the host starts programs");
    }
}

/// Takes memory in one form until told no, or until four times the limit of 64 MiB is taken, which is told.
const FILL: &str = r"
import array
MOST = 256 << 20
def memory_file():
    taken = 0; held = []
    while taken < MOST:
        f = os.memfd_create('x'); held.append(f)
        for _ in range(16): taken += os.write(f, bytes(1 << 20))
def many_memory_files():
    held = []
    for _ in range(256):
        f = os.memfd_create('x'); held.append(f); os.write(f, bytes(1 << 20))
def shared_file(place='/dev/shm'):
    taken = 0; n = 0
    while taken < MOST:
        n += 1; f = os.open('%s/x%d' % (place, n), os.O_CREAT | os.O_RDWR)
        for _ in range(16): taken += os.write(f, bytes(1 << 20))
def deleted_file():
    taken = 0; held = []
    while taken < MOST:
        f = os.open(os.environ['TMPDIR'] + '/x', os.O_CREAT | os.O_RDWR); os.unlink(os.environ['TMPDIR'] + '/x'); held.append(f)
        for _ in range(16): taken += os.write(f, bytes(1 << 20))
def shared_mapping():
    held = []
    for _ in range(256): m = mmap.mmap(-1, 1 << 20); m.write(b'x' * (1 << 20)); held.append(m)
def pipes():
    taken = 0; held = []
    while taken < MOST:
        r, w = os.pipe(); held.append((r, w))
        try: fcntl.fcntl(w, 1031, 1 << 20)
        except OSError: pass
        os.set_blocking(w, False)
        try:
            while True: taken += os.write(w, bytes(65536))
        except BlockingIOError: pass
def sockets():
    taken = 0; held = []
    while taken < MOST:
        a, b = socket.socketpair(); held.append((a, b)); a.setblocking(False)
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        try:
            while True: taken += a.send(bytes(65536))
        except BlockingIOError: pass
def behind_descriptors():
    # More descriptors than anybody looks at, in processes that come before the one that holds the memory.
    def apart(fill):
        r, w = os.pipe()
        if os.fork() == 0:
            fill(); os.write(w, b'x'); time.sleep(60); os._exit(0)
        os.close(w)
        if not os.read(r, 1): raise OSError('ended')
    for _ in range(9): apart(lambda: [os.open('/dev/null', 0) for _ in range(3900)])
    def hold():
        f = os.memfd_create('m')
        for _ in range(200): os.write(f, bytes(1 << 20))
    apart(hold)
def page_tables():
    # One page touched in each two megabytes makes a table of a page for it.
    held = []
    for _ in range(64):
        m = mmap.mmap(-1, 1 << 31, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000); held.append(m)
        for at in range(0, 1 << 31, 1 << 21): m[at] = 1
def names():
    for n in range(150000): os.path.exists('/nowhere/' + 'x' * 200 + str(n))
try:
    globals()[sys.argv[1]]()
    print('TAKEN', flush=True)
except (OSError, MemoryError) as error:
    print('refused', error, flush=True)
else:
    # What is looked for where nothing counts it is found late on a busy machine.
    time.sleep(5)
";

/// Runs each form in a sandbox of its own; what is taken for good must have ended the run by the limit on memory.
#[track_caller]
fn assert_bounded(tier: Tier, forms: &[&str]) {
    let Some(attack) = Attack::new(FILL) else { return };
    std::thread::scope(|scope| {
        for form in forms {
            let script = attack.text();
            scope.spawn(move || {
                let inside = Scratch::new();
                let limits = "memory = \"64MiB\"\ndisk = \"1GiB\"\nopen_files = 4000\n";
                let result = limited(tier, &inside, limits, &["python3", "-c", script, form]);
                let refused = result["stdout"].as_str().is_some_and(|told| told.contains("refused"));
                let ended = ["memory", "open_files"].contains(&limit_of(&result));
                let by = result["enforcement"]["mechanisms"].to_string();
                if *form == "sockets" && !ended && by.contains("not what buffers of sockets hold") {
                    // The result says that nothing counts them here.
                    return skip::skipped("without a cgroup nothing counts the buffers of sockets");
                }
                assert!(refused || ended, "{tier:?} {form}: {result}");
            });
        }
    });
}

#[test]
fn res_04_memory_in_the_form_of_files_is_bounded() {
    for tier in TIERS {
        assert_bounded(tier, &["memory_file", "many_memory_files", "behind_descriptors", "shared_mapping"]);
    }
    assert_bounded(Tier::Full, &["shared_file", "deleted_file"]);
}

#[test]
fn res_04_memory_in_the_form_of_buffers_and_tables_is_bounded() {
    for tier in TIERS {
        assert_bounded(tier, &["pipes", "sockets", "page_tables"]);
    }
}

#[test]
fn res_06_files_without_number_are_refused_and_cleaned_up_soon() {
    // Empty files, and directories in each other, in private temporary storage; the workspace is counted, too.
    let body = "
os.chdir(os.environ['TMPDIR']); count = 0
try:
    while count < 300000: os.close(os.open('f%d' % count, os.O_CREAT | os.O_WRONLY)); count += 1
    print('TAKEN', count)
except OSError as error: print('refused', errno.errorcode[error.errno], count)
";
    let Some(attack) = Attack::new(body) else { return };
    let inside = Scratch::new();
    let result =
        limited(Tier::Full, &inside, "disk = \"16MiB\"\nmemory = \"256MiB\"", &["python3", "-c", attack.text()]);
    let told = result["stdout"].as_str().unwrap_or_default();
    assert!(told.contains("refused") || ["memory", "disk"].contains(&limit_of(&result)), "{result}");
    let deep = "
os.chdir(os.environ['TMPDIR'])
try:
    for n in range(2000): os.mkdir('d' * 200); os.chdir('d' * 200)
except OSError as error: print(errno.errorcode[error.errno])
print('deep')
";
    let Some(attack) = Attack::new(deep) else { return };
    for tier in TIERS {
        let begun = Instant::now();
        let result = tier.json(Scratch::new().path(), &[], &["python3", "-c", attack.text()]);
        assert!(result["stdout"].as_str().is_some_and(|told| told.contains("deep")), "{tier:?}: {result}");
        let left = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let own = format!("{}", std::process::id());
        let ours = left.filter(|entry| {
            entry.file_name().to_string_lossy().starts_with("cofferdam-") && entry.path().join("d".repeat(200)).exists()
        });
        assert_eq!(ours.count(), 0, "{tier:?} {own}: something is left");
        assert!(begun.elapsed() < Duration::from_secs(15), "{tier:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn res_09_orphans_and_the_dead_are_reaped() {
    // Grandchildren that end after their parents are children of pid 1, or of whatever stands in for it.
    let body = "
for n in range(250):
    child = os.fork()
    if child == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
end = time.monotonic() + 5
def states():
    count = 0
    for name in os.listdir('/proc') if os.access('/proc', os.R_OK) else []:
        try: count += name.isdigit() and open('/proc/%s/stat' % name).read().rsplit(')', 1)[1].split()[0] == 'Z'
        except OSError: pass
    return count
try:
    while states() and time.monotonic() < end: time.sleep(0.02)
    print('dead', states())
except OSError: print('dead 0')
# As many again as the limit lets live at once: the numbers were given back.
children = [os.posix_spawn('/bin/true', ['true'], {}) for _ in range(60)]
for child in children: os.waitpid(child, 0)
print('again')
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let result = limited(tier, &Scratch::new(), "processes = 100", &["python3", "-c", attack.text()]);
        assert_eq!(result["stdout"], "dead 0\nagain\n", "{tier:?}: {result}");
        assert_eq!(result["cause"]["code"], 0, "{tier:?}: {result}");
    }
}

#[test]
fn res_15_compiling_is_under_the_same_policy_and_limits() {
    if skip::program("gcc").is_none() {
        return;
    }
    let outside = Scratch::new();
    outside.write("secret.h", "SECRET-CANARY is no C;\n");
    let secret = outside.join("secret.h");
    for tier in TIERS {
        let inside = Scratch::new();
        inside.write("shadow.c", "#include \"/etc/shadow\"\n");
        inside.write("secret.c", &format!("#include \"{}\"\n.incbin\n", secret.display()));
        inside.write("bin.c", &format!("__asm__(\".incbin \\\"{}\\\"\");\n", secret.display()));
        inside.write("random.c", "#include \"/dev/urandom\"\n");
        // Each level includes itself twice: without a limit it does not end in years.
        inside.write("bomb.c", "#include \"bomb.c\"\n#include \"bomb.c\"\n");
        inside.write(
            "table.cc",
            "template<int n, int m> struct T { static const int v = T<n - 1, m * 2>::v + T<n - 1, m * 2 + 1>::v; };\n\
                                  template<int m> struct T<0, m> { static const int v = m; }; int x = T<40, 0>::v;\n",
        );
        let line = "gcc -c shadow.c; gcc -c secret.c; gcc -c bin.c; cat *.o 2>/dev/null; true";
        let result = limited(tier, &inside, "", &["sh", "-c", line]);
        assert!(!result.to_string().contains("SECRET") && !result.to_string().contains("root:"), "{tier:?}: {result}");
        assert!(!inside.join("bin.o").exists() && !inside.join("shadow.o").exists(), "{tier:?}: {result}");
        for (program, limits) in [
            (["gcc", "-c", "random.c"], "memory = \"48MiB\"\ncpu = \"1s\""),
            (["gcc", "-c", "table.cc"], "memory = \"48MiB\"\ncpu = \"1s\""),
        ] {
            let result = limited(tier, &inside, limits, &program);
            let bounded =
                ["memory", "cpu", "disk", "stderr"].contains(&limit_of(&result)) || result["cause"]["code"] != 0;
            assert!(bounded, "{tier:?} {program:?}: {result}");
        }
    }
    let control = Command::new("gcc").args(["-E", secret.to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&control.stdout).contains("SECRET"), "control");
}
