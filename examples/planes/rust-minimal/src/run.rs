//! One program: its start, its output on the way out, its end.

use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{StartExecutionRequest, StreamMode, Streams};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::usage::Usage;
use cofferdam_plane_kit::environment::Environment;
use cofferdam_plane_kit::exit_status::cause_of;
use cofferdam_plane_kit::keeper::{Keeper, Kept, KeptControl, ProgramPlan, Told};
use cofferdam_plane_kit::wakeup::readable;
use std::fs::OpenOptions;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// A program under way.
#[derive(Debug)]
pub(crate) struct Running {
    control: KeptControl,
    process_id: u32,
    killed: AtomicBool,
}

impl Running {
    /// Ends everything in it.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.control.kill();
    }
}

/// A program that was started and is not followed yet, so that it can be entered before its end can be told.
pub(crate) struct Begun {
    running: Arc<Running>,
    follow: Box<dyn FnOnce() + Send>,
}

impl Begun {
    /// For display only.
    pub(crate) fn process_id(&self) -> u32 {
        self.running.process_id
    }

    /// Has it entered, then follows it to its end on a thread of its own.
    pub(crate) fn add_to(self, enter: impl FnOnce(Arc<Running>)) {
        enter(self.running);
        thread::spawn(self.follow);
    }
}

type Sink = Arc<dyn ExecutionEventSink>;

/// Starts what `request` asks for. `over` is called when nothing of it is left, before that is told.
pub(crate) fn start(
    keeper: &Keeper,
    request: StartExecutionRequest,
    sink: Sink,
    enforcement: Enforcement,
    over: impl FnOnce() + Send + 'static,
) -> Result<Begun, BridgeError> {
    let Streams::Separate { stdin: StreamMode::Null, stdout, stderr } = request.streams else {
        return Err(BridgeError::new(
            ErrorCode::UnsupportedOperation,
            "this plane gives programs no input and no terminal",
        ));
    };
    let directory = PathBuf::from(&request.working_directory);
    let environment = Environment::set(request.environment);
    let program = find(&request.program, environment.search_path(), &directory)?;
    let mut arguments = vec![request.program];
    arguments.extend(request.arguments);
    let variables = environment.entries().collect();
    let plan = ProgramPlan {
        program,
        arguments,
        variables,
        directory,
        terminal: false,
        limits: Vec::new(),
        held: None,
        output_wait: false,
        task_group: None,
    };
    let no_pipe =
        |error: std::io::Error| BridgeError::new(ErrorCode::SpawnFailed, format!("no pipe could be had: {error}"));
    let null = OpenOptions::new().read(true).open("/dev/null").map_err(no_pipe)?;
    let (out, its_out) = end(stdout).map_err(no_pipe)?;
    let (err, its_err) = end(stderr).map_err(no_pipe)?;
    let began = Instant::now();
    let kept = keeper.start(&plan, [null.as_fd(), its_out.as_fd(), its_err.as_fd()])?;
    drop((its_out, its_err));
    let control = kept.control().map_err(no_pipe)?;
    let running = Arc::new(Running { control, process_id: kept.program_id(), killed: AtomicBool::new(false) });
    let own = running.clone();
    let follow = Box::new(move || {
        let stdout = out.map(|pipe| carry(pipe, sink.clone(), own.clone(), |bytes| ExecutionEvent::Stdout { bytes }));
        let stderr = err.map(|pipe| carry(pipe, sink.clone(), own.clone(), |bytes| ExecutionEvent::Stderr { bytes }));
        let status = wait(&kept);
        kept.reap();
        let count = |thread: Option<JoinHandle<u64>>| thread.and_then(|thread| thread.join().ok()).unwrap_or(0);
        let mut usage = Usage::default();
        (usage.stdout_bytes, usage.stderr_bytes) = (count(stdout), count(stderr));
        usage.wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let cause = match status {
            // What ended by itself in the same moment keeps its own cause.
            Some(status) => match cause_of(status) {
                ExitCause::Signalled { signal: 9, .. } if own.killed.load(Ordering::SeqCst) => ExitCause::Killed,
                cause => cause,
            },
            None => ExitCause::PlaneFault { error: BridgeError::new(ErrorCode::PlaneFault, "the keeper was killed") },
        };
        over();
        sink.push(ExecutionEvent::Exited(Box::new(ExecutionReport::new(cause, usage, enforcement))));
    });
    Ok(Begun { running, follow })
}

/// Our end and the program's.
fn end(mode: StreamMode) -> std::io::Result<(Option<PipeReader>, OwnedFd)> {
    if matches!(mode, StreamMode::Piped | StreamMode::Followed) {
        let (ours, its) = pipe()?;
        return Ok((Some(ours), its.into()));
    }
    Ok((None, OpenOptions::new().write(true).open("/dev/null")?.into()))
}

/// Hands on what comes. `push` waits while nobody has room, and the program with it; when nobody reads any more, the program is ended.
fn carry(
    mut pipe: PipeReader,
    sink: Sink,
    running: Arc<Running>,
    event: fn(Vec<u8>) -> ExecutionEvent,
) -> JoinHandle<u64> {
    thread::spawn(move || {
        let (mut buffer, mut count) = (vec![0; 64 * 1024], 0);
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            count += length as u64;
            if !sink.push(event(buffer.get(..length).unwrap_or_default().to_vec())) {
                running.kill();
                break;
            }
        }
        count
    })
}

/// The wait status, when nothing of the program is left.
fn wait(kept: &Kept) -> Option<i32> {
    loop {
        let _ = readable(kept.waits_on(), None);
        match kept.told() {
            Some(Told::Ended(status)) => return Some(status),
            Some(Told::Gone) => return None,
            _ => {}
        }
    }
}

fn find(program: &str, search_path: &str, directory: &Path) -> Result<PathBuf, BridgeError> {
    if program.is_empty() || program.contains('\0') || !directory.is_absolute() {
        let message = "the program's name is empty or holds a NUL byte, or the directory is no absolute path";
        return Err(BridgeError::new(ErrorCode::PathInvalid, message));
    }
    if program.contains('/') {
        return Ok(directory.join(program));
    }
    let places = search_path.split(':').filter(|place| place.starts_with('/'));
    let found = places.map(|place| Path::new(place).join(program)).find(|path| path.is_file());
    found.ok_or_else(|| {
        BridgeError::new(ErrorCode::ProgramNotFound, format!("`{program}` is in no directory of the run's PATH"))
    })
}
