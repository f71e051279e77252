//! The wire protocol around a plane in Rust: the other end of [`WirePlane`](crate::WirePlane).

mod calls;
pub(crate) mod operations;
mod outgoing;
mod server;
mod transport;

pub use transport::Transport;

use crate::serve::operations::Operations;
use crate::serve::server::Server;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_contract::wire::frame::{Encoding, FrameDecoder};
use cofferdam_contract::wire::hello::Bounds;
use std::io;
use std::sync::Arc;

/// Serves `plane`, and the small operations of `operations` where there are some, until the kernel closes the connection or breaks
/// the protocol. Everything that was started for it is ended before this returns.
///
/// # Errors
/// What reading met. An end of the connection is none.
pub fn serve(
    plane: Arc<dyn ExecutionBridge<Error = BridgeError>>,
    operations: Option<Arc<dyn Operations>>,
    transport: Transport,
) -> io::Result<()> {
    let Transport { mut reader, writer } = transport;
    let bounds = Bounds::default();
    let server = Arc::new(Server::new(plane, operations, writer, &[Encoding::Cbor, Encoding::Json], bounds));
    let mut decoder = FrameDecoder::new(bounds.frame_bytes(), Bounds::DEPTH);
    let served = loop {
        if let Some(frame) = decoder.next_value().transpose() {
            if server.take(frame, &mut decoder) {
                break Ok(());
            }
            continue;
        }
        match decoder.read_from(&mut reader) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    server.end();
    served
}
