//! A look at what the guest's attempts to connect name, so that those which nobody answers can be told of. It decides nothing.

use super::{Failure, check, part};
use crate::format::message::socket;
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};
use crate::report::Sockets;

const AF_INET: usize = 2;
const AF_INET6: usize = 10;
const IPPROTO_TCP: u32 = 6;
const SOCK_RAW_NONBLOCK_CLOEXEC: usize = 0o2_004_003;
const SOL_SOCKET: usize = 1;
const SO_ATTACH_FILTER: usize = 26;
const IPPROTO_IPV6: usize = 41;
const IPV6_RECVPKTINFO: usize = 49;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u8,
}

/// Opens the socket for the supervisor. A kernel without such sockets has less to tell.
///
/// A raw one (raw(7)) rather than one of packet(7): closing such a one waits until every processor has been seen outside of the kernel's
/// packet handlers, ten milliseconds and more at the end of each run.
pub fn watch(version: u32, protocol: u32, filter: Text, sockets: &mut Sockets) -> Result<(), Failure> {
    const INSTRUCTION: usize = 8;
    let program = Program { length: (filter.length / INSTRUCTION) as u16, instructions: filter.at };
    let family = if version == 4 { AF_INET } else { AF_INET6 };
    // Nothing of the guest runs yet, so that nothing arrives before the filter stands.
    // SAFETY: integers only.
    let Ok(opened) = check(unsafe { call!(nr::SOCKET, family, SOCK_RAW_NONBLOCK_CLOEXEC, protocol as usize) }) else {
        return Ok(());
    };
    let (one, option, size) = (1_i32, size_of::<i32>(), size_of::<Program>());
    // SAFETY: program, its instructions and the option live until the calls return and have the lengths told.
    unsafe {
        part(call!(nr::SETSOCKOPT, opened, SOL_SOCKET, SO_ATTACH_FILTER, &raw const program, size), 18)?;
        if family == AF_INET6 {
            part(call!(nr::SETSOCKOPT, opened, IPPROTO_IPV6, IPV6_RECVPKTINFO, &raw const one, option), 19)?;
        }
    }
    let seen = if protocol == IPPROTO_TCP { socket::SEEN_CONNECTIONS } else { socket::SEEN_DATAGRAMS };
    part(sockets.add(version as u64 | seen, opened), 12)?;
    Ok(())
}
