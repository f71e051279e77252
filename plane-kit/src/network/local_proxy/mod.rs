//! A proxy at a port of loopback, for runs that have no network of their own: HTTP (`CONNECT` and whole URLs) and SOCKS5, by name.
//!
//! It is the only thing that such a run can connect to; that it is so is for the plane to hold. Programs find it by variables
//! ([`LocalProxy::environment`]) that most of them honour. What they ask of it goes through the run's [`Gate`], like a connection in a
//! network of the run's own: one decision, one way to dial, one look at TLS, one count.
//!
//! Each run has a proxy of its own. Who speaks to it must know what the variables say: another user of the machine could connect to the
//! port, too. Another run of the host cannot even do that.

mod anteroom;
mod authority;
mod body;
mod credential;
mod forward;
pub mod http_head;
mod http_proxy;
mod reading;
mod serve;
pub mod socks_message;
mod socks_proxy;
mod tunnel;

use self::anteroom::Anteroom;
use self::credential::Credential;
use self::serve::Serving;
use super::gate::Gate;
use super::room::Room;
use super::unpaced::unpaced;
use super::worker::Worker;
use cofferdam_bridge::host_traffic::HostTraffic;
use cofferdam_bridge::verdict::Denial;
use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Variables by which programs find a proxy. Both spellings are read, by some programs one and by some the other.
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// What else is set: nothing is reached without the proxy, and Node.js looks for one only where it is told to.
const OTHER_VARIABLES: [(&str, &str); 3] = [("NO_PROXY", ""), ("no_proxy", ""), ("NODE_USE_ENV_PROXY", "1")];

/// Finds out who asks, where something is told of it.
pub trait Asker: Debug + Send + Sync {
    /// The name of the program whose socket has `address`.
    fn program(&self, address: SocketAddr) -> Option<String>;
}

/// For planes that cannot find out who asks.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct UnknownAsker;

impl Asker for UnknownAsker {
    fn program(&self, _: SocketAddr) -> Option<String> {
        None
    }
}

/// A proxy that listens, with the thread that serves it. Dropping it ends both.
#[derive(Debug)]
pub struct LocalProxy {
    gate: Arc<Gate>,
    address: SocketAddr,
    credential: Arc<Credential>,
    worker: Worker,
}

impl LocalProxy {
    /// Listens at a port of `127.0.0.1` that was free, and decides by `gate`.
    ///
    /// # Errors
    /// Where there is no port, no thread, no descriptor or no random bytes for it.
    pub fn start(gate: Gate, asker: Arc<dyn Asker>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        unpaced(&listener, address.ip());
        let (gate, credential) = (Arc::new(gate), Arc::new(Credential::new()?));
        let (own, known) = (gate.clone(), credential.clone());
        let worker = Worker::start(move |stop| async move {
            // Without it the run reaches nothing, and hears so at once.
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            Serving { gate: own, asker, credential: known, room: Room::new(), stop }
                .all(listener, Anteroom::default())
                .await;
        })?;
        Ok(Self { gate, address, credential, worker })
    }

    /// What decides.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The port that the run must be able to connect to, and no other.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The variables to set for programs, with their values, which are nobody else's to know. They go before those of the policy.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}@{}", self.credential.user_info(), self.address);
        let proxies = PROXY_VARIABLES.iter().map(|name| (*name, url.clone()));
        proxies.chain(OTHER_VARIABLES.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
    }

    /// Ends it, when what was sent has been handed on.
    pub fn end(&mut self) {
        self.worker.end();
    }

    /// What has happened since it was last taken.
    pub fn take(&self) -> (Vec<HostTraffic>, Vec<Denial>) {
        self.gate.take()
    }
}

#[cfg(test)]
mod tests;
