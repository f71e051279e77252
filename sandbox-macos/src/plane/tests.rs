//! All of the plane but the profile's effect, with a stand-in for sandbox-exec that applies none and starts the rest.

use super::*;
use crate::model::{Model, Request};
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::execution::StreamMode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_bridge::profile::CommandRule;
use cofferdam_bridge::verdict::RuleRef;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Waker;
use std::time::Duration;

const MAC: Facts = Facts { is_macos: true, has_sandbox_exec: true, is_sandboxed: false };
/// More than anything here takes, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

struct Queue(Mutex<Sender<ExecutionEvent>>);

impl ExecutionEventSink for Queue {
    fn push(&self, event: ExecutionEvent) -> bool {
        self.0.lock().unwrap().send(event).is_ok()
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        Ok(self.push(event))
    }

    fn wake_when_room(&self, waker: &Waker) {
        waker.wake_by_ref();
    }
}

/// A plane whose stand-in writes the profile down beside itself.
struct Stage {
    plane: MacosPlane,
    folder: PrivateFolder,
}

impl Stage {
    fn new() -> Self {
        let folder = PrivateFolder::make().unwrap();
        let launcher = Path::new(folder.real()).join("launcher");
        let script = format!("#!/bin/sh\nprintf %s \"$2\" > {}/profile\nshift 2\nexec \"$@\"\n", folder.real());
        std::fs::write(&launcher, script).unwrap();
        std::fs::set_permissions(&launcher, PermissionsExt::from_mode(0o755)).unwrap();
        Self { plane: MacosPlane::with(MAC, launcher).unwrap(), folder }
    }

    fn profile(&self) -> Model {
        Model::parse(&std::fs::read_to_string(Path::new(self.folder.real()).join("profile")).unwrap()).unwrap()
    }

    fn request(&self, profile: ExecutionProfile, line: &str) -> StartExecutionRequest {
        let vm = VmId::new("vm");
        let context = CreateCommandContextRequest::new(vm.clone(), profile);
        let context = self.plane.create_command_context(context).unwrap().context_id;
        let mut request = StartExecutionRequest::new(vm, context, ExecutionId::new("run"), "/bin/sh");
        request.arguments = vec!["-c".to_owned(), line.to_owned()];
        request.streams =
            Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
        request
    }

    fn run(&self, profile: ExecutionProfile, line: &str) -> (String, ExitCause) {
        let events = self.start(self.request(profile, line)).unwrap();
        ended(&events)
    }

    fn start(&self, request: StartExecutionRequest) -> Result<Receiver<ExecutionEvent>, BridgeError> {
        let (sender, events) = channel();
        self.plane.start_execution(request, Arc::new(Queue(Mutex::new(sender))))?;
        Ok(events)
    }
}

fn ended(events: &Receiver<ExecutionEvent>) -> (String, ExitCause) {
    let mut printed = Vec::new();
    loop {
        match events.recv_timeout(LONG).unwrap() {
            ExecutionEvent::Stdout { bytes } => printed.extend(bytes),
            ExecutionEvent::Exited(report) => return (String::from_utf8(printed).unwrap(), report.cause),
            _ => {}
        }
    }
}

fn profile() -> ExecutionProfile {
    let mut profile = ExecutionProfile::closed("test");
    profile.isolation.require = Tier::Landlock;
    profile.commands.allow = vec![CommandRule::new("/", RuleRef::new("test", None, "commands.allow \"/\""))];
    profile
}

#[test]
fn a_program_is_started_behind_its_profile_and_its_end_is_its_own() {
    let stage = Stage::new();
    let (printed, cause) = stage.run(profile(), "echo said; exit 7");
    assert_eq!((printed.as_str(), cause), ("said\n", ExitCause::Exited { code: 7 }));
    assert!(!stage.profile().allows(&Request::file("file-read-data", "/etc/hosts")).unwrap());
}

#[test]
fn the_private_folder_is_named_writable_and_gone_afterwards() {
    let stage = Stage::new();
    let mut profile = profile();
    profile.filesystem.temporary = Temporary::Private;
    let (printed, cause) = stage.run(profile, "echo x > $TMPDIR/kept && echo $TMPDIR; echo $TMP $TEMP");
    assert_eq!(cause, ExitCause::Exited { code: 0 });
    let folder = printed.lines().next().unwrap();
    assert_eq!(printed.lines().nth(1), Some(format!("{folder} {folder}").as_str()));
    assert!(folder.contains("cofferdam-") && !Path::new(folder).exists(), "{folder}");
    let model = stage.profile();
    assert!(model.allows(&Request::file("file-write-data", &format!("{folder}/kept"))).unwrap());
}

#[test]
fn nothing_crosses_but_what_was_asked_for() {
    let stage = Stage::new();
    let mut request = stage.request(profile(), "unset PWD OLDPWD SHLVL _; export -p");
    request.environment.insert("GIVEN".to_owned(), "value".to_owned());
    let (printed, _) = ended(&stage.start(request).unwrap());
    let names: Vec<_> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert!(names.contains(&"GIVEN") && names.contains(&"PATH"), "{printed}");
    assert!(names.iter().all(|name| ["GIVEN", "PATH", "PWD"].contains(name)), "{printed}");
}

#[test]
fn limits_of_each_process_and_of_time_hold() {
    let stage = Stage::new();
    let mut limited = profile();
    limited.limits.open_files = Some(33);
    assert_eq!(stage.run(limited, "ulimit -n").0, "33\n");
    let mut short = profile();
    short.limits.wall_ms = Some(200);
    let (_, cause) = stage.run(short, "sleep 1000");
    assert!(matches!(cause, ExitCause::TimedOut { limit_ms: 200 }), "{cause:?}");
}

#[test]
fn a_program_that_the_policy_does_not_name_is_not_started() {
    let stage = Stage::new();
    let mut none = profile();
    none.commands.allow.clear();
    let refused = stage.start(stage.request(none, "true")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::DeniedByPolicy);
    assert!(!Path::new(stage.folder.real()).join("profile").exists(), "nothing was started");
}

#[test]
fn a_terminal_is_named_in_the_profile_and_is_the_run_s_own() {
    let stage = Stage::new();
    let mut request = stage.request(profile(), "tty");
    request.streams = Streams::Terminal { size: TerminalSize::new(24, 80) };
    let (printed, _) = ended(&stage.start(request).unwrap());
    let device = printed.trim();
    assert!(device.starts_with("/dev/"), "{printed}");
    assert!(stage.profile().allows(&Request::file("file-read-data", device)).unwrap(), "{device}");
}

#[test]
fn elsewhere_than_on_macos_no_policy_is_accepted_and_nothing_starts() {
    let plane = MacosPlane::new().unwrap();
    assert!(!plane.preflight(&profile()).accepted());
    let refused =
        plane.create_command_context(CreateCommandContextRequest::new(VmId::new("vm"), profile())).unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnsupportedBackendFeature);
}

#[test]
fn a_rehearsal_names_the_program_and_starts_nothing() {
    let stage = Stage::new();
    let request = stage.request(profile(), "true");
    let told = stage.plane.rehearse_execution(&request).unwrap();
    assert_eq!(told.program, "/bin/sh");
    assert!(!Path::new(stage.folder.real()).join("profile").exists());
}

#[test]
fn hosts_are_reached_by_the_proxy_alone_whose_port_the_profile_lets_out() {
    let stage = Stage::new();
    let mut hosts = profile();
    hosts.network.mode = NetworkMode::Allowlist;
    let (printed, _) = stage.run(hosts, "echo $HTTPS_PROXY");
    let port: u16 = printed.trim().rsplit_once(':').unwrap().1.parse().unwrap();
    let text = std::fs::read_to_string(Path::new(stage.folder.real()).join("profile")).unwrap();
    let outbound: Vec<_> = text.lines().filter(|line| line.contains("network-outbound")).collect();
    assert_eq!(outbound, [format!("(allow network-outbound (remote ip \"localhost:{port}\"))")]);
    // It ended with the run.
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
