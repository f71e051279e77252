//! A program that tries every way out at once, where nothing isolates it: all of it is found and ended.

use cofferdam_kernel::session::{CommandSpec, LinePattern, Persistence, Readiness, SessionSpec};
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::session::{PLANES, Plane, open, within_runtime};
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// Sessions and groups of their own, two forks, other names, no environment, no streams, deaf to every signal, stopped, and one that never
/// stays the same process. Each keeps the marked file open, by which alone it is known.
const EVERY_WAY: &str = r"
import ctypes, os, signal, sys, time
mark = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.set_inheritable(mark, True)
libc = ctypes.CDLL(None)
def deaf():
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
def rename(): libc.prctl(15, b'kworker/0:1', 0, 0, 0)
def silent():
    null = os.open('/dev/null', os.O_RDWR)
    for number in range(3): os.dup2(null, number)
def daemon(act):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        os.setsid() if os.getpid() != os.getsid(0) else None
        deaf(); rename(); silent(); os.chdir('/')
        act(); time.sleep(1000)
def other_program(): os.execve('/bin/sleep', ['[kworker/0:1]', '1000'], {})
def hop():
    while True:
        if os.fork(): os._exit(0)
        os.setsid(); rename(); time.sleep(0.002)
def family():
    for _ in range(5):
        if os.fork() == 0: os.setpgid(0, 0); time.sleep(1000)
def traced(): os.kill(os.getpid(), signal.SIGSTOP)
for act in [other_program, hop, family, traced, lambda: None]: daemon(act)
if os.fork() == 0: os.setpgid(0, 0); deaf(); time.sleep(1000)
deaf(); time.sleep(0.3); print('up', flush=True)
if len(sys.argv) > 2: sys.exit(int(sys.argv[2]))
while True: time.sleep(1000)
";

/// Processes that have the file open, whatever they call themselves.
fn holders(file: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let descriptors = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if descriptors.into_iter().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == file)) {
            found.push(pid);
        }
    }
    found
}

/// Nobody has it open, and nobody comes to have it: one that hops from process to process may be missed by a single look.
fn nobody_holds(file: &Path) -> bool {
    within(SOON, || (0..20).all(|_| holders(file).is_empty()))
}

fn marked(workspace: &Scratch) -> PathBuf {
    workspace.path().canonicalize().unwrap().join("mark")
}

fn spec(python: &str, arguments: &[&str]) -> SessionSpec {
    let readiness = Readiness::Line(LinePattern::new("up").unwrap());
    let kept = Persistence::default().ready_when(readiness).grace(Duration::from_millis(100));
    let arguments = [&["-c", EVERY_WAY, "mark"], arguments].concat();
    SessionSpec::default().command(CommandSpec::argv("out", python, arguments).persistent(kept))
}

#[test]
fn c9_every_way_out_at_once_ends_with_a_stop_a_kill_and_the_program_s_own_end() {
    let Some(python) = skip::python() else { return };
    for plane in PLANES {
        for ending in ["stop", "kill", "drop", "exit"] {
            let opened = open(plane, spec(&python, if ending == "exit" { &["7"] } else { &[] }));
            let mark = marked(&opened.workspace);
            within_runtime(async {
                opened.session.start("out").await.unwrap();
                if ending != "exit" {
                    opened.session.wait_ready("out").await.unwrap();
                    assert!(holders(&mark).len() >= 8, "the control: {plane:?}: {:?}", holders(&mark));
                }
                match ending {
                    "stop" => drop(opened.session.stop("out").await.unwrap()),
                    "kill" => {
                        let mut run = opened.session.follow("out").unwrap();
                        opened.session.vm().forget();
                        while run.next().await.is_some() {}
                    }
                    "exit" => {
                        let mut run = opened.session.follow("out").unwrap();
                        while run.next().await.is_some() {}
                        assert_eq!(opened.session.status("out").unwrap().exit_code, Some(7), "{plane:?}");
                    }
                    _ => {}
                }
                if ending != "drop" {
                    assert!(
                        (0..20).all(|_| holders(&mark).is_empty()),
                        "{plane:?} {ending}: told before all had ended"
                    );
                }
            });
            let workspace = opened.workspace;
            drop(opened.session);
            assert!(nobody_holds(&mark), "{plane:?} after {ending}: {:?}", holders(&mark));
            drop(workspace);
        }
    }
}

#[test]
fn c9_every_way_out_at_once_ends_with_a_session_host_that_is_killed() {
    let Some(_) = skip::python() else { return };
    for plane in [Plane::Linux, Plane::Host] {
        let session = HostedSession::declared(
            "[commands.out]\nargv = [\"python3\", \"every_way.py\", \"mark\"]\npersistent = true\nready = { line = \"up\" }\n",
        );
        session.workspace.write("every_way.py", EVERY_WAY);
        let mark = marked(&session.workspace);
        let host = session.opened(&["--plane", if plane == Plane::Linux { "linux" } else { "host" }]);
        session.told(&["start", "s", "out", "--wait"]);
        assert!(holders(&mark).len() >= 8, "the control: {plane:?}");
        kill(Pid::from_raw(i32::try_from(host["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
        assert!(nobody_holds(&mark), "{plane:?}: {:?}", holders(&mark));
    }
}
