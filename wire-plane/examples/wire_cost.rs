//! What the wire costs: `wire_cost small|read bare|json|cbor ROUNDS` prints nanoseconds for a round trip, or for a mebibyte.
//!
//! Every figure is over a pair of Unix sockets with a thread at the other end. `bare` is as many bytes as the CBOR frames have, echoed or
//! sent, without anything read into them.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_wire_plane::{Notices, Operations, Transport, WirePlane, serve};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

const MEBIBYTE: usize = 1 << 20;

/// Bytes of a small call and of its answer, as CBOR has them.
const SMALL: (usize, usize) = (91, 40);

type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, how, rounds] = arguments.as_slice() else {
        return Err("wire_cost small|read bare|json|cbor ROUNDS".into());
    };
    let rounds: usize = rounds.parse()?;
    let (ours, its) = UnixStream::pair()?;
    let begun = match (what.as_str(), how.as_str()) {
        ("small", "bare") => bare(ours, its, SMALL, rounds)?,
        ("read", "bare") => bare(ours, its, (SMALL.0, MEBIBYTE), rounds)?,
        (_, encoding) => {
            let encoding = if encoding == "cbor" { Encoding::Cbor } else { Encoding::Json };
            served(ours, its, encoding, what, rounds)?
        }
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", begun / rounds as u128)?;
    Ok(())
}

/// As many bytes there and back, with nothing else.
fn bare(mut ours: UnixStream, mut its: UnixStream, sizes: (usize, usize), rounds: usize) -> Result<u128, Fault> {
    let (ask, answer) = sizes;
    let thread = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut asked, answer) = (vec![0; ask], vec![7; answer]);
        loop {
            its.read_exact(&mut asked)?;
            its.write_all(&answer)?;
        }
    });
    let (asked, mut answered) = (vec![1; ask], vec![0; answer]);
    let mut once = || -> std::io::Result<()> {
        ours.write_all(&asked)?;
        ours.read_exact(&mut answered)
    };
    for _ in 0..rounds / 10 {
        once()?;
    }
    let begun = Instant::now();
    for _ in 0..rounds {
        once()?;
    }
    let took = begun.elapsed().as_nanos();
    drop(ours);
    let _ = thread.join();
    Ok(took)
}

/// A file system with one file in it, which is handed out as it is.
struct OneFile(Vec<u8>);

impl Operations for OneFile {
    fn groups(&self) -> Vec<String> {
        vec!["filesystem".to_owned()]
    }

    fn perform(&self, operation: &str, _: Data, _: Arc<dyn Notices>) -> Result<Data, BridgeError> {
        Ok(if operation == "filesystem.read_file" { Data::Bytes(self.0.clone()) } else { Data::Bool(true) })
    }
}

fn served(ours: UnixStream, its: UnixStream, encoding: Encoding, what: &str, rounds: usize) -> Result<u128, Fault> {
    let plane: Arc<dyn ExecutionBridge<Error = BridgeError>> =
        Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated())?);
    let operations = Arc::new(OneFile(vec![7; MEBIBYTE]));
    let transport = Transport::socket(its)?;
    let thread = std::thread::spawn(move || serve(plane, Some(operations), transport));
    let plane = WirePlane::over(ours, &[encoding])?;
    let operation = if what == "read" { "filesystem.read_file" } else { "filesystem.exists" };
    let params = || Data::map([("vm_id", Data::text("vm-1")), ("path", Data::text("/a/file"))]);
    for _ in 0..rounds / 10 {
        plane.call(operation, params())?;
    }
    let begun = Instant::now();
    for _ in 0..rounds {
        plane.call(operation, params())?;
    }
    let took = begun.elapsed().as_nanos();
    drop(plane);
    let _ = thread.join();
    Ok(took)
}
