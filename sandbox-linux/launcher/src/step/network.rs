//! The network namespace's only interface.

use super::{Failure, part};
use crate::raw_call::{call, nr};

const AF_INET: usize = 2;
const SOCK_DGRAM_CLOEXEC: usize = 0o2_000_002;
const SIOCSIFFLAGS: usize = 0x8914;
const IFF_UP_RUNNING: i16 = 0x41;

/// `struct ifreq` of netdevice(7).
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Brings loopback up; the kernel gives it 127.0.0.1 and ::1 by itself.
pub fn loopback_up() -> Result<(), Failure> {
    let mut request = InterfaceRequest { name: [0; 16], flags: IFF_UP_RUNNING, rest: [0; 22] };
    request.name[0] = b'l';
    request.name[1] = b'o';
    // SAFETY: the request has the size the call expects and lives until it returns.
    unsafe {
        let socket = part(call!(nr::SOCKET, AF_INET, SOCK_DGRAM_CLOEXEC, 0), 1)?;
        part(call!(nr::IOCTL, socket, SIOCSIFFLAGS, &raw mut request), 2)?;
        call!(nr::CLOSE, socket);
    }
    Ok(())
}
