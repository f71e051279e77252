//! Processes that are bad planes: each fails its own executions, and the kernel and another plane work on.

use crate::fixture::{LONG, Run, Tenant, python, served_host_plane};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, VmSpec};
use cofferdam_wire_plane::{PlaneCommand, WirePlane};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A plane that does as it should; `hook(method)` is called before each answer, and `BEGIN` is done first.
const PLANE: &str = r#"
import json, os, signal, subprocess, sys, threading, time
sending = threading.Lock()
def send(**message):
    with sending:
        os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
def hook(method):
    pass
def event(execution, **event):
    send(method="execution.event", params={"execution_id": execution, "event": event})
def ended(execution):
    event(execution, event="exited", cause={"cause": "exited", "code": 0}, usage={},
          enforcement={"tier": "none", "mechanisms": []}, denials=[], executable_later=[])
#BEGIN
DESCRIPTOR = {"name": "hostile", "version": "1", "contract_generation": 1, "tiers": [], "features": ["commands", "stdin"], "limits": []}
HELLO = {"protocol_version": 1, "encoding": "json", "descriptor": DESCRIPTOR}
PREFLIGHT = {"enforcement": {"tier": "none", "mechanisms": []}, "shortfalls": []}
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if "id" not in message:
        continue
    hook(method)
    results = {"session.hello": HELLO, "plane.preflight": PREFLIGHT, "plane.create_command_context": {"context_id": "c"},
               "plane.start_execution": {"process_id": None}, "session.ping": {}}
    send(id=message["id"], result=results.get(method))
    if method == "plane.start_execution" and not os.environ.get("SILENT"):
        ended(message["params"]["request"]["execution_id"])
"#;

fn hostile(begin: &str) -> Option<PlaneCommand> {
    Some(PlaneCommand::new(python()?).arg("-c").arg(PLANE.replace("#BEGIN", begin)))
}

fn fault(run: Result<Run, BridgeError>) -> String {
    let error = match run.map(|run| run.finish().1.cause) {
        Ok(ExitCause::PlaneFault { error }) | Err(error) => error,
        Ok(other) => panic!("{other:?}"),
    };
    assert_eq!(error.code, ErrorCode::PlaneFault, "{error:?}");
    error.details["wire_fault"].as_str().unwrap().to_owned()
}

fn gone(pid: &str) -> bool {
    let end = Instant::now() + LONG;
    while Path::new("/proc").join(pid).exists() {
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn b6_a_plane_that_floods_its_output_with_nonsense_is_ended_in_bounded_memory() {
    // Without a line's end; with ends; and more than one frame may hold before it has greeted.
    for (flood, faults) in
        [("b'x' * 65536", ["frame_too_large", "disconnected"]), ("b'y\\n' * 32768", ["malformed", "disconnected"])]
    {
        let begin = format!(
            "def hook(method):\n    if method == 'plane.start_execution':\n        while True:\n            os.write(1, {flood})\n"
        );
        let Some(command) = hostile(&begin) else { return };
        let plane = WirePlane::start(command).unwrap();
        let name = fault(Tenant::new(&plane).try_start("r", "true"));
        assert_eq!(name, faults[0]);
    }
    let Some(command) = hostile("while True: os.write(1, b'x' * 65536)") else { return };
    assert_eq!(WirePlane::start(command).unwrap_err().details["wire_fault"], "frame_too_large");
}

#[test]
fn b6_a_plane_that_floods_its_output_with_what_is_skipped_is_still_heard_and_another_works_on() {
    let begin = "def flood():\n    while True:\n        send(method='plane.of_the_future', params={'x': 'y' * 1000})\ndef hook(method):\n    if method == 'plane.create_command_context':\n        threading.Thread(target=flood, daemon=True).start()\n";
    let Some(command) = hostile(begin) else { return };
    let plane = WirePlane::start(command).unwrap();
    let other = served_host_plane(Encoding::Cbor);
    let (tenant, beside) = (Tenant::new(&plane), Tenant::new(&other));
    for number in 0..5 {
        let report = tenant.start(&format!("r{number}"), "true").finish().1;
        assert_eq!(report.cause, ExitCause::Exited { code: 0 });
        assert_eq!(beside.start(&format!("o{number}"), "echo there").finish().0, b"there\n");
    }
}

#[test]
fn b6_a_plane_that_does_not_read_is_unresponsive_and_another_works_on() {
    let begin = "def hook(method):\n    if method == 'plane.write_stdin':\n        time.sleep(1000)\n";
    let Some(command) = hostile(begin) else { return };
    let plane = WirePlane::start(command.env("SILENT", "1")).unwrap();
    let tenant = Tenant::new(&plane);
    let run = tenant.start("r", "true");
    std::thread::scope(|scope| {
        // Each waits for an answer that does not come, and there are more bytes than a socket holds.
        for _ in 0..32 {
            scope.spawn(|| plane.write_stdin(&run.execution, &[0; 65536]).unwrap_err());
        }
        let other = served_host_plane(Encoding::Cbor);
        assert_eq!(Tenant::new(&other).start("o", "echo there").finish().0, b"there\n");
    });
    assert_eq!(fault(Ok(run)), "unresponsive");
}

#[test]
fn b6_what_a_plane_leaves_behind_is_ended_with_it() {
    let folder = std::env::temp_dir().join(format!("cofferdam-wire-left-{}", std::process::id()));
    // A daemon: of another session, whose parent has ended.
    let begin = format!(
        "subprocess.run(['/bin/sh', '-c', 'setsid sh -c \"echo \\\\$\\\\$ > {0}.new; mv {0}.new {0}; exec sleep 1000\" <&- >&- 2>&- &'])\nwhile not os.path.exists('{0}'): time.sleep(0.01)\n",
        folder.display()
    );
    for how in ["", "def hook(method):\n    if method == 'plane.start_execution':\n        os._exit(3)\n"] {
        let Some(command) = hostile(&format!("{begin}{how}")) else { return };
        let plane = WirePlane::start(command).unwrap();
        let pid = std::fs::read_to_string(&folder).unwrap().trim().to_owned();
        std::fs::remove_file(&folder).unwrap();
        assert!(Path::new("/proc").join(&pid).exists());
        if !how.is_empty() {
            assert_eq!(fault(Tenant::new(&plane).try_start("r", "true")), "disconnected");
            assert!(gone(&pid), "a daemon outlived the plane that crashed");
        }
        drop(plane);
        assert!(gone(&pid), "a daemon outlived its plane");
    }
}

#[test]
fn b6_a_plane_that_greets_and_ends_is_started_with_growing_pauses() {
    let folder = std::env::temp_dir().join(format!("cofferdam-wire-starts-{}", std::process::id()));
    let begin = format!(
        "with open('{}', 'a') as starts: starts.write('x')\ndef hook(method):\n    if method != 'session.hello': os._exit(0)\n",
        folder.display()
    );
    let Some(command) = hostile(&begin) else { return };
    let plane = WirePlane::start(command).unwrap();
    let (mut pauses, end) = (Vec::new(), Instant::now() + LONG);
    while pauses.len() < 4 {
        assert!(Instant::now() < end, "{pauses:?}");
        let preflight = plane.preflight(&crate::fixture::profile());
        assert!(!preflight.accepted(), "a plane that is not there accepts nothing");
        let request = cofferdam_bridge::execution::CreateCommandContextRequest::new(
            cofferdam_bridge::ids::VmId::new("vm"),
            crate::fixture::profile(),
        );
        let error = plane.create_command_context(request).unwrap_err();
        assert!(error.code == ErrorCode::PlaneFault && error.retryable, "{error:?}");
        if let Some(left) = error.details.get("retry_after_ms").and_then(serde_json::Value::as_u64) {
            pauses.push(left);
            std::thread::sleep(Duration::from_millis(left));
        }
    }
    let starts = std::fs::read_to_string(&folder).unwrap().len();
    std::fs::remove_file(&folder).unwrap();
    // 100, 200, 400, 800 ms, less what has passed of each.
    assert!(pauses.windows(2).all(|two| two[0] < two[1]) && pauses[0] <= 100 && pauses[3] > 400, "{pauses:?}");
    assert!(starts <= 5, "{starts} starts within four pauses");
}

#[test]
fn b6_a_kernel_goes_on_with_its_other_planes_when_one_has_gone() {
    let begin = "def hook(method):\n    if method == 'plane.start_execution':\n        os._exit(1)\n";
    let Some(command) = hostile(begin) else { return };
    let host = HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap();
    let kernel = Kernel::builder(WirePlane::start(command).unwrap()).plane(host).build().unwrap();
    let lines = "version = 1\n[isolation]\nrequire = \"none\"\n[commands]\nallow = [\"/\"]\n[limits]\nwall = \"30s\"\n";
    let policy = || Policy::parse(lines, "test", &NoFiles).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let vm = kernel.create_vm(VmSpec::new(policy())).unwrap();
        assert_eq!(vm.plane().name, "hostile");
        let failed = vm.command("/bin/true").output().await;
        assert!(failed.is_err() || !failed.unwrap().success());
        // It is within the pause after its failure, so the next plane has it.
        let vm = kernel.create_vm(VmSpec::new(policy())).unwrap();
        assert_eq!(vm.plane().name, "host");
        let output = vm.command("/bin/sh").args(["-c", "echo on"]).output().await.unwrap();
        assert_eq!((output.stdout.as_slice(), output.success()), (b"on\n".as_slice(), true));
    });
}

#[test]
fn b6_what_a_plane_says_on_standard_error_arrives_escaped_to_its_last_words() {
    let begin = r#"os.write(2, b"\x1b]0;owned\x07 one\r\n\xff two\n\xe2\x80\xae" + b"z" * 5000)
def hook(method):
    if method == 'plane.start_execution':
        os.write(2, b"\nlast words"); os._exit(1)
"#;
    let Some(command) = hostile(begin) else { return };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    let plane = WirePlane::start(command.stderr(move |line| listener.lock().unwrap().push(line.to_owned()))).unwrap();
    fault(Tenant::new(&plane).try_start("r", "true"));
    drop(plane);
    let heard = heard.lock().unwrap();
    assert_eq!(heard[..2], [r"\u{1b}]0;owned\u{7} one\u{d}", r"\xff two"]);
    assert!(heard[2].starts_with(r"\u{202e}zz") && heard.len() == 5, "{heard:?}");
    assert_eq!(heard[4], "last words");
}

#[test]
fn b6_a_plane_that_floods_standard_error_slows_itself_only() {
    let begin = "def flood():\n    while True: os.write(2, b'noise ' * 1000 + b'\\n')\nthreading.Thread(target=flood, daemon=True).start()\n";
    let Some(command) = hostile(begin) else { return };
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    // Whoever listens has stopped reading, until the test is over.
    let command = command.stderr(move |_| assert!(held.lock().unwrap().recv().is_err()));
    let plane = WirePlane::start(command).unwrap();
    let report = Tenant::new(&plane).start("r", "true").finish().1;
    assert_eq!(report.cause, ExitCause::Exited { code: 0 });
    drop(plane);
    drop(hold);
}
