//! What checks of a plane need: a folder, a profile that the plane accepts, and a way to run a program in it.

use super::sink::{self, Sink};
use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::execution::{
    CreateCommandContextRequest, ExecutionBridge, ExecutionRef, ExecutionSignal, StartExecutionRequest, StreamMode,
    Streams,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile, PathEffect, PathPattern, PathRule, Temporary};
use cofferdam_bridge::verdict::RuleRef;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// More than any check needs, on a busy machine too.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// Where programs find what they need.
const SYSTEM: [&str; 8] =
    ["/bin", "/sbin", "/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"];

/// The plane on its stage.
pub(super) struct Stage {
    pub(super) plane: Arc<dyn ExecutionBridge<Error = BridgeError>>,
    pub(super) descriptor: PlaneDescriptor,
    folder: PathBuf,
    base: ExecutionProfile,
    vm_id: VmId,
    context: ContextId,
    next: AtomicU64,
}

/// A run under way.
pub(super) struct Running<'a> {
    stage: &'a Stage,
    pub(super) execution: ExecutionRef,
    pub(super) sink: Arc<Sink>,
}

/// A run that has ended.
pub(super) struct Ended {
    pub(super) events: Vec<ExecutionEvent>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) report: ExecutionReport,
}

static STAGES: AtomicU64 = AtomicU64::new(1);

impl Stage {
    /// Makes folder and context.
    pub(super) fn new(plane: Arc<dyn ExecutionBridge<Error = BridgeError>>, scratch: &Path) -> Result<Self, String> {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let scratch = scratch.canonicalize().map_err(|error| format!("{}: {error}", scratch.display()))?;
        let folder = scratch.join(format!("cofferdam-conformance-{}-{number}", std::process::id()));
        for part in ["work", "secret"] {
            fs::create_dir_all(folder.join(part)).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let descriptor = plane.describe();
        let base = base_profile(&folder.join("work"));
        let vm_id = VmId::new(format!("conformance-{number}"));
        let mut stage =
            Self { plane, descriptor, folder, base, vm_id, context: ContextId::new(""), next: AtomicU64::new(1) };
        stage.base.isolation.require = stage.strongest_tier();
        stage.context = stage.context_in(&stage.vm_id, stage.profile()).map_err(|error| error.message)?;
        Ok(stage)
    }

    /// The strongest tier that the plane claims and that this machine gives.
    fn strongest_tier(&self) -> Tier {
        let accepted = |tier: &Tier| {
            let mut profile = self.profile();
            profile.isolation.require = *tier;
            self.plane.preflight(&profile).accepted()
        };
        self.descriptor.tiers.iter().rev().copied().find(accepted).unwrap_or(Tier::None)
    }

    /// Whether the plane claims a feature.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.descriptor.has(feature)
    }

    /// The profile of plain runs, to be changed.
    pub(super) fn profile(&self) -> ExecutionProfile {
        self.base.clone()
    }

    /// The folder that programs may change.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The folder beside it that no rule names.
    pub(super) fn secret(&self) -> PathBuf {
        self.folder.join("secret")
    }

    /// A VM that no other check uses.
    pub(super) fn new_vm(&self) -> VmId {
        VmId::new(format!("{}-{}", self.vm_id, self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// A context in `vm_id` under `profile`.
    pub(super) fn context_in(&self, vm_id: &VmId, profile: ExecutionProfile) -> Result<ContextId, BridgeError> {
        let request = CreateCommandContextRequest::new(vm_id.clone(), profile);
        Ok(self.plane.create_command_context(request)?.context_id)
    }

    /// A request to run a shell line in the plain context, output piped.
    pub(super) fn request(&self, line: &str) -> StartExecutionRequest {
        self.request_in(&self.vm_id, &self.context, line)
    }

    /// As [`request`](Self::request), elsewhere.
    pub(super) fn request_in(&self, vm_id: &VmId, context: &ContextId, line: &str) -> StartExecutionRequest {
        let id = ExecutionId::new(format!("{}-run-{}", vm_id, self.next.fetch_add(1, Ordering::Relaxed)));
        let mut request = StartExecutionRequest::new(vm_id.clone(), context.clone(), id, "/bin/sh");
        request.arguments = vec!["-c".to_owned(), line.to_owned()];
        request.environment.insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        request.working_directory = self.work().to_string_lossy().into_owned();
        request.streams =
            Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
        request
    }

    /// Starts a request.
    pub(super) fn start(&self, request: StartExecutionRequest) -> Result<Running<'_>, BridgeError> {
        self.start_into(request, Sink::new())
    }

    /// Starts a request whose events go to `sink`.
    pub(super) fn start_into(
        &self,
        request: StartExecutionRequest,
        sink: Arc<Sink>,
    ) -> Result<Running<'_>, BridgeError> {
        let execution = ExecutionRef::new(request.vm_id.clone(), request.execution_id.clone());
        self.plane.start_execution(request, sink.clone())?;
        Ok(Running { stage: self, execution, sink })
    }

    /// Runs a request to its end.
    pub(super) fn run(&self, request: StartExecutionRequest) -> Result<Ended, String> {
        self.start(request).map_err(|error| told(&error))?.finish()
    }

    /// Runs a shell line to its end.
    pub(super) fn shell(&self, line: &str) -> Result<Ended, String> {
        self.run(self.request(line))
    }

    /// Runs a shell line in a VM of its own under `profile`.
    pub(super) fn shell_under(&self, profile: ExecutionProfile, line: &str) -> Result<Ended, String> {
        let vm_id = self.new_vm();
        let context = self.context_in(&vm_id, profile).map_err(|error| told(&error))?;
        let ended = self.run(self.request_in(&vm_id, &context, line));
        self.plane.forget_vm(&vm_id);
        ended
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.plane.forget_vm(&self.vm_id);
        // What a check made unreadable stays for whoever looks.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Running<'_> {
    /// Waits until `done` says so of the events so far, asking for them where the plane has no push side.
    pub(super) fn wait_for(&self, most: Duration, done: impl Fn(&[ExecutionEvent]) -> bool) -> bool {
        if !self.stage.has(Feature::PolledEvents) {
            return self.sink.wait(most, done);
        }
        let end = std::time::Instant::now() + most;
        while !self.sink.wait(Duration::from_millis(2), &done) {
            if let Ok(Some(event)) = self.stage.plane.poll_execution_event(&self.execution) {
                use cofferdam_bridge::event::ExecutionEventSink;
                self.sink.push(event);
            }
            if std::time::Instant::now() > end {
                return false;
            }
        }
        true
    }

    /// Waits until standard output holds `text`.
    pub(super) fn says(&self, text: &str) -> Result<(), String> {
        let holds = |events: &[ExecutionEvent]| String::from_utf8_lossy(&sink::stdout(events)).contains(text);
        let ended = |events: &[ExecutionEvent]| sink::report(events).is_some();
        self.wait_for(LONG, |events| holds(events) || ended(events));
        if holds(&self.sink.events()) { Ok(()) } else { Err(format!("`{text}` was never printed")) }
    }

    /// Waits for the end.
    pub(super) fn finish(&self) -> Result<Ended, String> {
        if !self.wait_for(LONG, |events| sink::report(events).is_some()) {
            let _ = self.stage.plane.kill_execution(&self.execution, ExecutionSignal::Kill);
            return Err(format!("no end was told within {} s", LONG.as_secs()));
        }
        let events = self.sink.events();
        let report = sink::report(&events).cloned().ok_or("no end was told")?;
        let (stdout, stderr) = (sink::stdout(&events), sink::stderr(&events));
        Ok(Ended { events, stdout, stderr, report })
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: ExecutionSignal) -> Result<(), String> {
        self.stage.plane.kill_execution(&self.execution, signal).map_err(|error| told(&error))
    }
}

/// What a check has given up is not left running.
impl Drop for Running<'_> {
    fn drop(&mut self) {
        if sink::report(&self.sink.events()).is_none() {
            let _ = self.stage.plane.kill_execution(&self.execution, ExecutionSignal::Kill);
        }
    }
}

impl Ended {
    /// Standard output as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the program ended by itself with `code`.
    pub(super) fn exited(&self, code: i32) -> Result<(), String> {
        if self.report.cause == (ExitCause::Exited { code }) {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&self.stderr);
        let stderr: String = stderr.chars().take(200).collect();
        Err(format!("expected exit code {code}, found {:?}; it says: {stderr}", self.report.cause))
    }
}

/// An error as a report tells it.
pub(super) fn told(error: &BridgeError) -> String {
    format!("{}: {}", error.code, error.message)
}

/// Where programs find what they need here.
pub(super) fn system() -> impl Iterator<Item = &'static str> {
    SYSTEM.into_iter().filter(|place| Path::new(place).exists())
}

fn base_profile(work: &Path) -> ExecutionProfile {
    let mut profile = ExecutionProfile::closed("conformance");
    let rule = |text: &str| RuleRef::new("conformance kit", None, text);
    for place in system() {
        let pattern = PathPattern::Literal(place.to_owned());
        profile.filesystem.rules.push(PathRule::new(PathEffect::Read, pattern, rule("filesystem.read")));
    }
    let work = work.to_string_lossy().into_owned();
    let pattern = PathPattern::Literal(work.clone());
    profile.filesystem.rules.push(PathRule::new(PathEffect::Write, pattern, rule("filesystem.write")));
    profile.filesystem.workspace = Some(work);
    profile.filesystem.temporary = Temporary::Private;
    profile.commands.allow = vec![CommandRule::new("/", rule("commands.allow \"/\""))];
    profile
}
