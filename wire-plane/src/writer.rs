//! Frames on their way to a plane's process.

use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::{self, Encoding};
use std::io::Write;
use std::os::unix::net::UnixStream;

/// The sending end. Whoever holds it sends whole frames.
pub(crate) struct Writer {
    pub(crate) socket: UnixStream,
    pub(crate) buffer: Vec<u8>,
    pub(crate) encoding: Encoding,
    pub(crate) frame_bytes: usize,
}

impl Writer {
    /// Encodes a message; nothing is sent yet.
    pub(crate) fn put(&mut self, message: &Data) -> Result<(), WireFault> {
        self.buffer.clear();
        frame::encode(message, self.encoding, self.frame_bytes, &mut self.buffer)
    }

    /// Sends what was encoded.
    pub(crate) fn send(&mut self) -> Result<(), WireFault> {
        self.socket.write_all(&self.buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => WireFault::Unresponsive,
            _ => WireFault::Disconnected,
        })
    }
}
