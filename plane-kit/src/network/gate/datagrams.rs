//! Deciding where a run's datagrams go. Nobody is asked about them, and no proxy takes them.

use super::super::dial::NotDialled;
use super::super::traffic::Meter;
use super::{Gate, Target, barred_among, lock};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;

impl Gate {
    /// Whether datagrams may go to `target`; a refusal is noted. Where rules are about requests none may, whatever names it: HTTP/3 would
    /// carry requests that nobody looks at.
    pub fn carries(&self, target: &Target, program: impl FnOnce() -> Option<String>) -> bool {
        let allowed = self.requests(target).is_none() && target.rule_among(&self.datagrams).is_some();
        if !allowed {
            self.refuse_datagram(target, program);
        }
        allowed
    }

    /// The meter of the datagrams of a target.
    pub fn datagram_meter(&self, target: &Target) -> Arc<Meter> {
        lock(&self.traffic).datagram_meter(&target.host(), target.port())
    }

    /// A socket that is connected to what `target`, which [`carries`](Self::carries) allowed, leads to, and the address. What its name
    /// leads to is looked at here, and just that is sent to. `six`: an address of IPv6 goes before others.
    ///
    /// # Errors
    /// Why there is none; a refusal is noted.
    pub async fn reach(
        &self,
        target: &Target,
        six: bool,
        program: impl FnOnce() -> Option<String>,
    ) -> Result<(UdpSocket, SocketAddr), NotDialled> {
        let (name, port) = match target {
            Target::Address(address) => return connected([*address]).await,
            Target::Name(name, port) => (name, *port),
        };
        let mut found = self.lookup(name, port).await.map_err(|_| NotDialled::Unresolved)?;
        // One address among others that must not be sent to is a sign of somebody who steers the name.
        if let Some((address, class)) = barred_among(&found, &self.datagrams) {
            self.refuse_leading_datagram(target, address, class, program);
            return Err(NotDialled::Refused);
        }
        found.sort_by_key(|address| address.ip().to_canonical().is_ipv6() != six);
        connected(found).await
    }
}

/// A socket for the first of `addresses` that this machine has a way to.
async fn connected(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<(UdpSocket, SocketAddr), NotDialled> {
    let mut last: io::Error = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        let address = super::canonical(address);
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let connected = async {
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(address).await?;
            Ok(socket)
        };
        match connected.await {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => last = error,
        }
    }
    Err(NotDialled::Failed(last))
}
