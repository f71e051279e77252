//! Starts one sandbox: launcher, plan, and the wait until the program runs or a step failed.

use crate::counting::Counting;
use crate::format::{message, op};
use crate::network::Sockets;
use crate::parked::{Parked, Stage};
use crate::plan::encode::Plan;
use crate::step_report;
use crate::temporary::TemporaryDirectory;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_plane_kit::process::Process;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A sandbox whose program runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Commands go in, messages come out; closing it ends the sandbox.
    pub(crate) control: OwnedFd,
    /// The master end of the guest's terminal, if it has one.
    pub(crate) terminal: Option<OwnedFd>,
    /// The sockets of its network, where the policy names hosts.
    pub(crate) sockets: Sockets,
    /// Its temporary storage, where that lies on the host.
    pub(crate) temporary: Option<TemporaryDirectory>,
}

/// A message of the launcher.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: u32,
    pub(crate) index: u32,
    pub(crate) code: u32,
    pub(crate) errno: i32,
    pub(crate) values: [u64; message::VALUES],
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// What becomes of a start on its way.
pub(crate) struct Callbacks<'a> {
    /// Called when the launcher has its plan and works on it, unless it counts already.
    pub(crate) count: &'a mut dyn FnMut(BorrowedFd<'_>) -> Result<Counting, BridgeError>,
    /// Called with the sandbox's root directory and the seccomp listener.
    pub(crate) listen: &'a mut dyn FnMut(OwnedFd, OwnedFd) -> Result<(), BridgeError>,
}

/// Why a program does not run.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) error: BridgeError,
    /// The launcher was gone before it had read what to run: nothing of the program has happened.
    pub(crate) unread: bool,
}

impl From<BridgeError> for NotStarted {
    fn from(error: BridgeError) -> Self {
        Self { error, unread: false }
    }
}

/// Hands `plan` and the standard streams to a launcher that waits for them, and waits until the program runs.
pub(crate) fn start(
    launcher: Parked,
    plan: Plan,
    streams: [BorrowedFd<'_>; 3],
    callbacks: Callbacks<'_>,
) -> Result<(Running, Counting), NotStarted> {
    let bytes = plan.encode()?;
    let Some((mut running, mut stage)) = launcher.into_running() else {
        return Err(failed("launcher", io::ErrorKind::NotFound.into()).into());
    };
    stage.plans.push(plan);
    match hand_over(&mut running, stage, &bytes, streams, callbacks) {
        Ok(counting) => Ok((running, counting)),
        Err(error) => {
            drop(running.control);
            // The launcher ends with its control socket; reaping it here leaves nothing behind.
            let _ = running.process.reap();
            Err(error)
        }
    }
}

fn hand_over(
    running: &mut Running,
    stage: Stage,
    bytes: &[u8],
    streams: [BorrowedFd<'_>; 3],
    callbacks: Callbacks<'_>,
) -> Result<Counting, NotStarted> {
    let Stage { plans, counting, listener, sockets } = stage;
    running.sockets = sockets;
    if let Some((root, listener)) = listener {
        (callbacks.listen)(root, listener)?;
    }
    if !send_plan(running.control.as_fd(), bytes, &streams)? && counting.is_some() {
        return Err(NotStarted { error: step_report::silent(), unread: true });
    }
    let counting = match counting {
        Some(counting) => counting,
        None => (callbacks.count)(running.control.as_fd())?,
    };
    wait_until_started(running, &plans, callbacks.listen)?;
    Ok(counting)
}

/// Sends a plan and the descriptors that go with it; answers whether the launcher was there to get them.
pub(crate) fn send_plan(
    control: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, BridgeError> {
    let descriptors: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let all = [ControlMessage::ScmRights(&descriptors)];
    let mut with: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &all };
    let mut rest = bytes;
    while !rest.is_empty() {
        let vector = [IoSlice::new(rest)];
        match sendmsg::<()>(control.as_raw_fd(), &vector, with, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(sent) => {
                rest = rest.get(sent..).unwrap_or_default();
                with = &[];
            }
            Err(nix::errno::Errno::EINTR) => {}
            // The launcher has ended; what it said before tells why.
            Err(nix::errno::Errno::EPIPE) => return Ok(false),
            Err(errno) => return Err(failed("plan", errno.into())),
        }
    }
    Ok(true)
}

fn wait_until_started(
    running: &mut Running,
    plans: &[Plan],
    on_listener: &mut dyn FnMut(OwnedFd, OwnedFd) -> Result<(), BridgeError>,
) -> Result<(), NotStarted> {
    let mut root = None;
    loop {
        let message = receive(running.control.as_fd()).map_err(|error| NotStarted {
            // What the other end of a socket had not read when it went away is told so (unix(7)).
            unread: error.kind() == io::ErrorKind::ConnectionReset,
            error: failed("report", error),
        })?;
        let Some(message) = message else { return Err(step_report::silent().into()) };
        match message.kind {
            message::STARTED => return Ok(()),
            message::FAILED => return Err(step_report::explain(&message, plans).into()),
            message::ROOT => root = message.into_descriptor(),
            message::TERMINAL => running.terminal = message.into_descriptor(),
            message::SOCKETS => running.sockets.take(message),
            message::LISTENER => {
                if let (Some(root), Some(listener)) = (root.take(), message.into_descriptor()) {
                    on_listener(root, listener)?;
                }
            }
            _ => {}
        }
    }
}

/// Receives one message; `None` when the launcher has closed its end.
pub(crate) fn receive(control: BorrowedFd<'_>) -> io::Result<Option<Message>> {
    let mut bytes = [0_u8; message::LENGTH];
    let mut filled = 0;
    let mut all = Vec::new();
    while filled < bytes.len() {
        let mut space = nix::cmsg_space!([RawFd; message::VALUES]);
        let Some(rest) = bytes.get_mut(filled..) else { break };
        let mut vector = [IoSliceMut::new(rest)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = match recvmsg::<()>(control.as_raw_fd(), &mut vector, Some(&mut space), flags) {
            Ok(received) => received,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        for control_message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = control_message {
                all.extend(descriptors.into_iter().map(adopt));
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        filled += received.bytes;
    }
    Ok(Some(parse(&bytes, all)))
}

/// Where the values of a message begin, in bytes.
const FIRST_VALUE: usize = 16;

impl Message {
    /// The only descriptor that came with it.
    pub(crate) fn into_descriptor(mut self) -> Option<OwnedFd> {
        self.descriptors.pop()
    }

    /// The first value.
    pub(crate) fn value(&self) -> u64 {
        self.values[0]
    }

    /// Of which plan a failed step was, from 0.
    pub(crate) fn plan(&self) -> usize {
        usize::try_from(self.values[1]).unwrap_or(usize::MAX)
    }
}

fn parse(bytes: &[u8; message::LENGTH], descriptors: Vec<OwnedFd>) -> Message {
    let word = |at: usize| {
        let mut four = [0; 4];
        four.copy_from_slice(bytes.get(at..at + 4).unwrap_or(&[0; 4]));
        u32::from_le_bytes(four)
    };
    let value = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let values = std::array::from_fn(|place| value(FIRST_VALUE + place * 8));
    Message { kind: word(0), index: word(4), code: word(8), errno: word(12).cast_signed(), values, descriptors }
}

#[expect(unsafe_code, reason = "nix hands received descriptors out as numbers")]
fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel made this descriptor for us in recvmsg; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn failed(step: &str, error: io::Error) -> BridgeError {
    let why = if error.raw_os_error() == Some(libc::ETOOMANYREFS) {
        // unix(7): the sum over the user's processes, held against the sender's own RLIMIT_NOFILE.
        "processes of this user have too many descriptors in flight over sockets; end them, or raise the limit of open files (ulimit -n)"
    } else {
        "the host may be at its limit of descriptors or processes"
    };
    BridgeError::new(ErrorCode::SandboxSetupFailed, format!("the sandbox could not be started: {step}: {error}; {why}"))
        .with("step", step)
        .with("errno", error.raw_os_error().unwrap_or(0))
}

/// Whether a failed start failed in executing the program, which is the guest's fault and not the sandbox's.
pub(crate) fn is_program(code: u32) -> bool {
    code == op::RUN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::Launcher;
    use crate::plan::{landlock, limits, root, view::View};
    use cofferdam_bridge::profile::{CommandRule, ExecutionProfile, PathEffect, PathPattern, PathRule};
    use cofferdam_bridge::verdict::RuleRef;
    use std::fs::File;
    use std::io::Read;

    fn everything() -> i32 {
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP
    }

    fn plan_for(command: &str) -> Plan {
        let mut profile = ExecutionProfile::closed("test");
        let rule = RuleRef::new("test", None, "read");
        for path in ["/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc/ld.so.cache"] {
            let pattern = PathPattern::Literal(path.to_owned());
            profile.filesystem.rules.push(PathRule::new(PathEffect::Read, pattern, rule.clone()));
        }
        profile.commands.allow.push(CommandRule::new("/usr", rule));
        let view = View::new(&profile).unwrap();
        let mut plan = Plan::default();
        root::build(&mut plan, &view, None, None);
        limits::build(&mut plan, &profile.limits, 0);
        landlock::build(&mut plan, &view, crate::plan::landlock_rights::Rights::of(7), landlock::Wall::Second);
        plan.add(op::DROP_PRIVILEGES, "");
        plan.add(op::PROVE, "").u32(crate::format::proof::PID_ONE | crate::format::proof::NO_CAPABILITIES);
        let arguments = [b"sh".to_vec(), b"-c".to_vec(), command.as_bytes().to_vec()];
        plan.add(op::RUN, "/bin/sh").u32(0).text("/bin/sh").texts(&arguments).texts(&[]);
        plan
    }

    #[test]
    fn a_program_runs_in_a_fresh_root_and_its_output_arrives() {
        let launcher = Launcher::new().unwrap();
        let null = File::open("/dev/null").unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let started = std::time::Instant::now();
        let running = start(
            Parked::in_namespaces(&launcher, everything()).unwrap(),
            plan_for(
                "echo $$; ls -la / /dev /proc/self/fd; cat /proc/self/status | grep -E 'Cap|NoNew|Sec|^Uid'; id; cat /proc/self/mountinfo; ls /tmp; hostname",
            ),
            [null.as_fd(), writer.as_fd(), writer.as_fd()],
            Callbacks { count: &mut |_| Ok(Counting::none()), listen: &mut |_, _| Ok(()) },
        );
        let running = match running {
            Ok((running, _)) => running,
            Err(NotStarted { error, .. }) => panic!("{error} {:?}", error.details),
        };
        eprintln!("started in {:?}", started.elapsed());
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let message = receive(running.control.as_fd()).unwrap().unwrap();
        eprintln!("{text}\n{message:?} {:?}", started.elapsed());
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(running.process.pid()), None).unwrap();
        assert!(text.contains("cofferdam"));
    }
}
