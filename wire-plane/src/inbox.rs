//! Frames on their way from a plane's process.

use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::FrameDecoder;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a reader that has a limit of time waits before it looks at the clock. A plane that keeps it from looking by sending little by little
/// does not answer pings meanwhile, and is ended for that.
const TICK: Duration = Duration::from_millis(100);

/// The receiving end. Whoever holds it reads whole frames.
#[derive(Debug)]
pub(crate) struct Inbox {
    socket: UnixStream,
    decoder: FrameDecoder,
    /// Whether reading now gives up after a tick; the socket remembers it.
    ticking: bool,
}

impl Inbox {
    /// Of a socket without a limit on the time of reading.
    pub(crate) fn new(socket: UnixStream, decoder: FrameDecoder) -> Self {
        Self { socket, decoder, ticking: false }
    }

    /// The next value; none when there was nothing for a tick, where `ticking`, else it waits as long as it takes.
    pub(crate) fn next(&mut self, ticking: bool) -> Result<Option<Data>, WireFault> {
        loop {
            if let Some(data) = self.decoder.next_value()? {
                return Ok(Some(data));
            }
            if self.ticking != ticking {
                let _ = self.socket.set_read_timeout(ticking.then_some(TICK));
                self.ticking = ticking;
            }
            match self.decoder.read_from(&mut self.socket) {
                Ok(0) => return Err(WireFault::Disconnected),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if would_wait(&error) && ticking => return Ok(None),
                Err(error) if would_wait(&error) => {}
                Err(_) => return Err(WireFault::Disconnected),
            }
        }
    }
}

/// Whether reading met nothing but the limit of its time, or a signal.
pub(crate) fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
