//! A look at what the guest's attempts to connect name, so that those which nobody answers can be told of. It decides nothing.

use super::{Failure, check, part};
use crate::format::message::socket;
use crate::raw_call::{call, nr};
use crate::report::Sockets;

const AF_INET: usize = 2;
const AF_INET6: usize = 10;
const IPPROTO_TCP: usize = 6;
const IPPROTO_UDP: usize = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC: usize = 0o2_004_003;
const IPPROTO_IPV6: usize = 41;
const IPV6_RECVPKTINFO: usize = 49;

/// Opens the sockets for the supervisor, which has them filtered once one has something. A kernel without such sockets has less to tell.
///
/// Raw ones (raw(7)) rather than those of packet(7): closing such a one waits until every processor has been seen outside of the kernel's
/// packet handlers, ten milliseconds and more at the end of each run.
pub fn watch(sockets: &mut Sockets) -> Result<(), Failure> {
    for (family, version) in [(AF_INET, 4), (AF_INET6, 6)] {
        for (protocol, seen) in [(IPPROTO_TCP, socket::SEEN_CONNECTIONS), (IPPROTO_UDP, socket::SEEN_DATAGRAMS)] {
            // SAFETY: integers only.
            let Ok(opened) = check(unsafe { call!(nr::SOCKET, family, SOCK_RAW_NONBLOCK_CLOEXEC, protocol) }) else {
                continue;
            };
            if family == AF_INET6 {
                let one = 1_i32;
                let size = size_of_val(&one);
                // SAFETY: the option lives until the call returns and has the length told.
                part(
                    unsafe { call!(nr::SETSOCKOPT, opened, IPPROTO_IPV6, IPV6_RECVPKTINFO, &raw const one, size) },
                    19,
                )?;
            }
            part(sockets.add(version | seen, opened), 12)?;
        }
    }
    Ok(())
}
