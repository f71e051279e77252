//! The greeting: who is at the other end, and how both will speak.

use crate::connection::PATIENCE;
use crate::inbox::would_wait;
use cofferdam_bridge::error::BridgeError;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::{self, Encoding, FrameDecoder};
use cofferdam_contract::wire::hello::{Bounds, Welcome};
use cofferdam_contract::wire::kernel_session::{FromPlane, KernelSession};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a plane may take to start and to answer the greeting: an interpreter on a busy machine.
const START: Duration = Duration::from_secs(30);

/// Greets whoever is at the other end, and waits for the answer.
pub(crate) fn greet(
    socket: &UnixStream,
    encodings: &[Encoding],
) -> Result<(KernelSession, FrameDecoder, Box<Welcome>, Bounds), BridgeError> {
    let own = Bounds::default();
    let mut session = KernelSession::new(encodings, own);
    let mut frame = Vec::new();
    let greeting = session.greet()?;
    frame::encode(&greeting, Encoding::Json, own.frame_bytes(), &mut frame).map_err(WireFault::as_plane_fault)?;
    let _ = socket.set_write_timeout(Some(PATIENCE));
    // A program that is no plane may have ended already; what it has said tells more than that it does not listen.
    let _ = (&mut &*socket).write_all(&frame);
    let mut decoder = FrameDecoder::new(own.frame_bytes(), Bounds::DEPTH);
    let end = Instant::now() + START;
    loop {
        if let Some(data) = decoder.next_value().map_err(WireFault::as_plane_fault)? {
            if let FromPlane::Welcomed(welcome, bounds) = session.receive(data).map_err(WireFault::as_plane_fault)? {
                decoder.switch(welcome.encoding, bounds.frame_bytes());
                let _ = socket.set_read_timeout(None);
                return Ok((session, decoder, welcome, bounds));
            }
            continue;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(WireFault::Unresponsive.as_plane_fault());
        }
        let _ = socket.set_read_timeout(Some(left));
        match decoder.read_from(&mut &*socket) {
            Ok(0) => return Err(WireFault::Disconnected.as_plane_fault()),
            Ok(_) => {}
            Err(error) if would_wait(&error) => {}
            Err(_) => return Err(WireFault::Disconnected.as_plane_fault()),
        }
    }
}
