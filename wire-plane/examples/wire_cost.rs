//! What the wire costs: `wire_cost small|running|read ROUNDS` prints the nanoseconds of a round trip in JSON, in CBOR, and of a bare one.
//!
//! Each is over a pair of Unix sockets with another process at the other end, which does nothing else; they take turns, a few rounds each.
//! A bare round trip has as many bytes as the CBOR frames, written and read with nothing looked at. `running` is a small call while a
//! program runs on the plane.

use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::execution::{CreateCommandContextRequest, ExecutionBridge, StartExecutionRequest};
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_wire_plane::{Notices, Operations, Transport, WirePlane, serve};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

const MEBIBYTE: usize = 1 << 20;

/// Bytes of a small call and of its answer, and of a read and of its answer, as CBOR has them.
const SMALL: (usize, usize) = (93, 41);
const READ: (usize, usize) = (94, MEBIBYTE + 45);

/// Turns that each has.
const TURNS: usize = 10;

type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["peer", ask, answer] => peer(ask.parse()?, answer.parse()?),
        ["plane"] => plane(),
        [what @ ("small" | "running" | "read"), rounds] => measure(what, rounds.parse()?),
        _ => Err("wire_cost small|running|read ROUNDS".into()),
    }
}

fn measure(what: &str, rounds: usize) -> Result<(), Fault> {
    let (ask, answer) = if what == "read" { READ } else { SMALL };
    let (mut bare, mut bare_peer) = started(&["peer", &ask.to_string(), &answer.to_string()])?;
    let (json, mut json_peer) = plane_process(Encoding::Json, what)?;
    let (cbor, mut cbor_peer) = plane_process(Encoding::Cbor, what)?;
    let (asked, mut answered) = (vec![1; ask], vec![0; answer]);
    let each = (rounds / TURNS).max(1);
    let mut took = [Duration::ZERO; 3];
    for turn in 0..=TURNS {
        let now = [
            times(each, || Ok(called(&json, what)?))?,
            times(each, || Ok(called(&cbor, what)?))?,
            times(each, || Ok(bare.write_all(&asked).and_then(|()| bare.read_exact(&mut answered))?))?,
        ];
        // The first warms up.
        if turn > 0 {
            took.iter_mut().zip(now).for_each(|(sum, now)| *sum += now);
        }
    }
    let told = took.map(|sum| (sum.as_nanos() / (TURNS * each) as u128).to_string());
    writeln!(std::io::stdout(), "{}", told.join(" "))?;
    drop((bare, json, cbor));
    for peer in [&mut bare_peer, &mut json_peer, &mut cbor_peer] {
        peer.wait()?;
    }
    Ok(())
}

fn times(rounds: usize, mut once: impl FnMut() -> Result<(), Fault>) -> Result<Duration, Fault> {
    let begun = Instant::now();
    for _ in 0..rounds {
        once()?;
    }
    Ok(begun.elapsed())
}

fn called(plane: &WirePlane, what: &str) -> Result<(), BridgeError> {
    let operation = if what == "read" { "filesystem.read_file" } else { "filesystem.exists" };
    let params = Data::map([("vm_id", Data::text("vm-1")), ("path", Data::text("/a/file"))]);
    plane.call(operation, params).map(|_| ())
}

/// This program again, with one end of a pair of sockets as its standard input and output; the other end.
fn started(arguments: &[&str]) -> Result<(UnixStream, Child), Fault> {
    let (ours, its) = UnixStream::pair()?;
    let (input, output) = (OwnedFd::from(its.try_clone()?), OwnedFd::from(its));
    let child = Command::new(std::env::current_exe()?).args(arguments).stdin(input).stdout(output).spawn()?;
    Ok((ours, child))
}

fn plane_process(encoding: Encoding, what: &str) -> Result<(WirePlane, Child), Fault> {
    let (stream, child) = started(&["plane"])?;
    let plane = WirePlane::over(stream, &[encoding])?;
    if what == "running" {
        let vm_id = VmId::new("vm-1");
        let mut profile = ExecutionProfile::closed("cost");
        profile.isolation.require = Tier::None;
        profile.commands.allow = vec![CommandRule::new("/", RuleRef::new("cost", None, "commands.allow \"/\""))];
        let context =
            plane.create_command_context(CreateCommandContextRequest::new(vm_id.clone(), profile))?.context_id;
        let mut request = StartExecutionRequest::new(vm_id, context, ExecutionId::new("runs"), "/bin/sleep");
        request.arguments = vec!["1000".to_owned()];
        plane.start_execution(request, Arc::new(Unheard))?;
    }
    Ok((plane, child))
}

/// Takes events and forgets them.
struct Unheard;

impl ExecutionEventSink for Unheard {
    fn push(&self, _: ExecutionEvent) -> bool {
        true
    }

    fn try_push(&self, _: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        Ok(true)
    }

    fn wake_when_room(&self, waker: &Waker) {
        waker.wake_by_ref();
    }
}

/// Reads so many bytes and writes so many, until nobody asks.
fn peer(ask: usize, answer: usize) -> Result<(), Fault> {
    // The socket itself: no buffer of the standard library's in between.
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (mut asked, answer) = (vec![0; ask], vec![7; answer]);
    while socket.read_exact(&mut asked).is_ok() {
        socket.write_all(&answer)?;
    }
    Ok(())
}

/// A file system with one file in it, which is handed out as it lies in memory: what is measured is the way, not where bytes come from.
struct OneFile(Arc<[u8]>);

impl Operations for OneFile {
    fn groups(&self) -> Vec<String> {
        vec!["filesystem".to_owned()]
    }

    fn perform(&self, operation: &str, _: Data, _: Arc<dyn Notices>) -> Result<Data, BridgeError> {
        Ok(if operation == "filesystem.read_file" { Data::Shared(self.0.clone()) } else { Data::Bool(true) })
    }
}

fn plane() -> Result<(), Fault> {
    let plane = Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated())?);
    let operations = Arc::new(OneFile(vec![7; MEBIBYTE].into()));
    Ok(serve(plane, Some(operations), Transport::stdio()?)?)
}
