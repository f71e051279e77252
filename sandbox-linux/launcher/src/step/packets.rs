//! A look at what the guest's attempts to connect name, so that those which nobody answers can be told of. It decides nothing.

use super::{Failure, check, part};
use crate::format::message;
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};
use crate::report::{Message, send};

const AF_PACKET: usize = 17;
const SOCK_DGRAM_NONBLOCK_CLOEXEC: usize = 0o2_004_002;
const SOL_SOCKET: usize = 1;
const SO_ATTACH_FILTER: usize = 26;
/// `ETH_P_IP` and `ETH_P_IPV6`: one socket each, since one for everything would see each packet twice.
const PROTOCOLS: [u16; 2] = [0x0800, 0x86dd];

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u8,
}

/// `struct sockaddr_ll` of packet(7).
#[repr(C)]
struct Address {
    family: u16,
    protocol: u16,
    interface: i32,
    rest: [u16; 6],
}

/// Opens the sockets and sends them to the supervisor. A kernel without such sockets has less to tell.
pub fn watch(filter: Text) -> Result<(), Failure> {
    const INSTRUCTION: usize = 8;
    let program = Program { length: (filter.length / INSTRUCTION) as u16, instructions: filter.at };
    for protocol in PROTOCOLS {
        // Of no protocol at first: nothing arrives before the filter stands.
        // SAFETY: integers only.
        let Ok(socket) = check(unsafe { call!(nr::SOCKET, AF_PACKET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0) }) else {
            return Ok(());
        };
        let address = Address { family: AF_PACKET as u16, protocol: protocol.to_be(), interface: 1, rest: [0; 6] };
        let size = size_of::<Program>();
        // SAFETY: program, its instructions and address live until the calls return and have the lengths told.
        unsafe {
            part(call!(nr::SETSOCKOPT, socket, SOL_SOCKET, SO_ATTACH_FILTER, &raw const program, size), 1)?;
            part(call!(nr::BIND, socket, &raw const address, size_of::<Address>()), 2)?;
            part(send(&Message::new(message::PACKETS, 0), socket as i32), 3)?;
            call!(nr::CLOSE, socket);
        }
    }
    Ok(())
}
