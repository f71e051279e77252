//! What a run did with one host over the network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The traffic of one run with one port of one host, where the plane carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HostTraffic {
    /// The name that the program asked for, or the address where it asked for none.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Connections that were carried.
    pub connections: u64,
    /// Connections that came to nothing: refused, or to a host that did not answer.
    pub failed: u64,
    /// Bytes from the program to the host.
    pub sent_bytes: u64,
    /// Bytes from the host to the program.
    pub received_bytes: u64,
    /// Whether these were datagrams of UDP: what went between one socket of the program and the host counts as one connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub datagrams: bool,
}

impl HostTraffic {
    /// Nothing yet with `port` of `host`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, connections: 0, failed: 0, sent_bytes: 0, received_bytes: 0, datagrams: false }
    }
}
