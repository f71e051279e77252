//! `cofferdam plane serve`: lets a kernel in another process use one of our planes.

use crate::compose::PlaneName;
use crate::failure::{Failure, io};
use crate::plane_choice;
use clap::Args;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_wire_plane::{Transport, serve};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

/// Serves a plane by the wire protocol, until the kernel that uses it closes the connection.
#[derive(Debug, Args)]
#[command(after_help = "Example, a plane of this command behind its own protocol:\n  \
    printf '#!/bin/sh\\nexec cofferdam plane serve linux\\n' > plane && chmod +x plane\n  \
    cofferdam run --plane ./plane -- true")]
pub(crate) struct PlaneServe {
    /// Which plane: `linux`, or `host`, which isolates nothing.
    #[arg(value_name = "linux|host")]
    plane: PlaneName,
    /// Wait for one kernel on a Unix socket, made here, that only you can connect to; standard input and output unless given.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl PlaneServe {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let plane: Arc<dyn ExecutionBridge<Error = BridgeError>> =
            plane_choice::plane(&self.plane)?.ok_or_else(|| {
                Failure::new(ErrorCode::RequestInvalid, "only planes of this command are served: `linux` or `host`")
            })?;
        let transport = match &self.socket {
            None => Transport::stdio(),
            Some(path) => accept(path),
        };
        let transport = transport.map_err(|error| io("the connection cannot be had", &error))?;
        serve(plane, None, transport).map_err(|error| io("the kernel cannot be heard", &error))?;
        Ok(0)
    }
}

/// Takes one connection, and takes the socket's name away then.
fn accept(path: &std::path::Path) -> std::io::Result<Transport> {
    use std::os::unix::fs::PermissionsExt;
    // Nobody else may connect, not even in the moment before its mode is set: the name is given when the mode is right, and
    // never to what another has made.
    let staged = path.with_extension("starting");
    let listener = UnixListener::bind(&staged)?;
    std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o600))?;
    let named = std::fs::hard_link(&staged, path);
    std::fs::remove_file(&staged)?;
    named?;
    let accepted = listener.accept();
    std::fs::remove_file(path)?;
    Transport::socket(accepted?.0)
}
