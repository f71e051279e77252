//! A port of a run that the host's loopback has, too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a port of a run is published, and what came there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PublishedPort {
    /// The port that a program of the run listens on.
    pub port: u16,
    /// The port of the host's loopback, `127.0.0.1` and, where there is IPv6, `::1`.
    pub host_port: u16,
    /// Connections that were carried.
    pub connections: u64,
    /// Connections that came to nothing, since nobody listened inside.
    pub failed: u64,
    /// Bytes from the run to whoever connected.
    pub sent_bytes: u64,
    /// Bytes from whoever connected to the run.
    pub received_bytes: u64,
}

impl PublishedPort {
    /// `port` of a run at `host_port`; nothing has come there yet.
    pub fn new(port: u16, host_port: u16) -> Self {
        Self { port, host_port, connections: 0, failed: 0, sent_bytes: 0, received_bytes: 0 }
    }
}
