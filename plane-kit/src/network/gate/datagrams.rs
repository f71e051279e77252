//! Deciding where a run's datagrams go. Nobody is asked about them, and no proxy takes them.

use super::super::address_book::AddressBook;
use super::super::dial::NotDialled;
use super::super::own_address;
use super::super::traffic::Meter;
use super::{Gate, Target, lock};
use cofferdam_bridge::address_class::AddressClass;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;

impl Gate {
    /// Whether datagrams may go to `target`; a refusal is noted.
    pub fn carries(&self, target: &Target, program: impl FnOnce() -> Option<String>) -> bool {
        let allowed = match target {
            Target::Name(name, port) => self.datagrams.name(name, Some(*port)).is_some(),
            // What stands for a name that was never asked for stands for nothing.
            Target::Address(address) if AddressBook::is_own(address.ip()) => false,
            Target::Address(address) => self.datagrams.address(address.ip(), address.port()).is_some(),
        };
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
        let barred = found.iter().find_map(|address| self.bars_datagrams(*address).map(|class| (*address, class)));
        if let Some((address, class)) = barred {
            self.refuse_leading_datagram(target, address, class, program);
            return Err(NotDialled::Refused);
        }
        found.sort_by_key(|address| address.ip().to_canonical().is_ipv6() != six);
        connected(found).await
    }

    /// What keeps `address`, to which a name led, from being sent to.
    fn bars_datagrams(&self, address: SocketAddr) -> Option<AddressClass> {
        let (ip, port) = (address.ip(), address.port());
        match self.datagrams.dialled(ip, port) {
            Err(class) => Some(class),
            Ok(()) if self.datagrams.address(ip, port).is_some() => None,
            Ok(()) => own_address::is_own(ip).then_some(AddressClass::ThisMachine),
        }
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
