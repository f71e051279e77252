//! The network namespace's only interface, and the sockets on which all that leaves it arrives.

use super::{Errno, Failure, check, packets, part};
use crate::format::message::socket;
use crate::plan_reader::Cursor;
use crate::raw_call::{call, nr};
use crate::report::Sockets;

const AF_INET: usize = 2;
const AF_INET6: usize = 10;
const AF_NETLINK: usize = 16;
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

const SOCK_RAW_CLOEXEC: usize = 0o2_000_003;
const SOCK_STREAM_NONBLOCK: usize = 0o2_004_001;
const SOCK_DGRAM_NONBLOCK: usize = 0o2_004_002;
const EAFNOSUPPORT: Errno = 97;
const IPPROTO_IP: usize = 0;
const IP_PKTINFO: usize = 8;
const IPPROTO_IPV6: usize = 41;
const IPV6_V6ONLY: usize = 26;
const IPV6_RECVPKTINFO: usize = 49;
const IPV6_FREEBIND: usize = 78;
const IPPROTO_ICMP: usize = 1;
const IPPROTO_ICMPV6: usize = 58;
const SOL_SOCKET: usize = 1;
const SO_RCVBUF: usize = 8;
const SOCK_RAW_NONBLOCK: usize = 0o2_004_003;
/// The kernel takes as many as its own bound (`net.core.somaxconn`).
const BACKLOG: usize = 4096;
const NAME_SERVER: u16 = 53;

/// `RTM_NEWROUTE` of rtnetlink(7): one route, which makes every address of a family local to loopback.
#[repr(C)]
struct NewRoute {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    // `struct rtmsg`.
    family: u8,
    destination_length: u8,
    source_length: u8,
    service: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    route_kind: u8,
    route_flags: u32,
    // `RTA_OIF`: loopback is the first interface of every network namespace.
    attribute_length: u16,
    attribute: u16,
    interface: u32,
    // `RTA_METRICS` with `RTAX_CC_ALGO`: the congestion control of connections there.
    metrics_length: u16,
    metrics: u16,
    algorithm_length: u16,
    algorithm: u16,
    name: [u8; 8],
}

/// Makes every address local, and listens; the sockets go to the supervisor, which decides about whatever arrives there.
pub fn listen(body: &mut Cursor) -> Result<(), Failure> {
    let mut sockets = Sockets::new();
    packets::watch(&mut sockets)?;
    // SAFETY: integers only.
    let netlink = part(unsafe { call!(nr::SOCKET, AF_NETLINK, SOCK_RAW_CLOEXEC, 0) }, 2)?;
    local_route(netlink, AF_INET)?.map_err(|errno| Failure { errno, detail: 1 })?;
    // A kernel or a system without IPv6 has no such route, and nothing that could take it.
    let has_v6 = matches!(local_route(netlink, AF_INET6), Ok(Ok(())));
    // SAFETY: integers only; nobody else has it.
    unsafe { call!(nr::CLOSE, netlink) };
    let has_v6 = if has_v6 { socket::HAS_V6 } else { 0 };
    open(NAME_SERVER, socket::DATAGRAMS | has_v6, &mut sockets)?;
    let count = body.u32()?;
    for _ in 0..count {
        open(body.u16()?, socket::CONNECTIONS | has_v6, &mut sockets)?;
    }
    let count = body.u32()?;
    for _ in 0..count {
        open(body.u16()?, socket::DATAGRAMS | has_v6, &mut sockets)?;
    }
    if count > 0 {
        refusals(has_v6, &mut sockets)?;
    }
    part(sockets.send(), 20)?;
    Ok(())
}

/// Raw sockets by which the supervisor refuses datagrams on ports that it has, as the kernel does on others.
fn refusals(has_v6: u64, sockets: &mut Sockets) -> Result<(), Failure> {
    let option = size_of::<i32>();
    for (family, protocol, number) in [(AF_INET, IPPROTO_ICMP, 4), (AF_INET6, IPPROTO_ICMPV6, 6)] {
        if family == AF_INET6 && has_v6 == 0 {
            continue;
        }
        let (one, none) = (1_i32, 0_i32);
        // SAFETY: integers and options of four bytes, which live until the calls return.
        unsafe {
            let raw = part(call!(nr::SOCKET, family, SOCK_RAW_NONBLOCK, protocol), 13)?;
            if family == AF_INET6 {
                part(call!(nr::SETSOCKOPT, raw, IPPROTO_IPV6, IPV6_FREEBIND, &raw const one, option), 14)?;
            }
            // Nobody reads what arrives there.
            part(call!(nr::SETSOCKOPT, raw, SOL_SOCKET, SO_RCVBUF, &raw const none, option), 15)?;
            part(sockets.add(number | socket::REFUSALS | has_v6, raw), 16)?;
        }
    }
    Ok(())
}

/// Adds the route of a family by a socket of rtnetlink(7); the kernel's own answer is the inner one.
fn local_route(netlink: usize, family: usize) -> Result<Result<(), Errno>, Failure> {
    const SCOPE_HOST: u8 = 254;
    let request = NewRoute {
        length: size_of::<NewRoute>() as u32,
        kind: 24,
        // NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE.
        flags: 0x405,
        sequence: 1,
        port: 0,
        family: family as u8,
        destination_length: 0,
        source_length: 0,
        service: 0,
        // RT_TABLE_LOCAL, RTPROT_BOOT, RTN_LOCAL.
        table: 255,
        protocol: 3,
        scope: if family == AF_INET { SCOPE_HOST } else { 0 },
        route_kind: 2,
        route_flags: 0,
        attribute_length: 8,
        attribute: 4,
        interface: 1,
        metrics_length: 16,
        metrics: 8,
        algorithm_length: 9,
        algorithm: 16,
        // Every kernel has it. Where the system's own is one that spaces packets, as BBR does, loopback would lose a fifth by it.
        name: *b"reno\0\0\0\0",
    };
    let mut answer = [0_u32; 64];
    // SAFETY: request and answer live until the calls return and have the lengths told.
    unsafe {
        part(call!(nr::WRITE, netlink, &raw const request, size_of::<NewRoute>()), 3)?;
        part(call!(nr::READ, netlink, answer.as_mut_ptr(), size_of_val(&answer)), 4)?;
    }
    // `struct nlmsgerr` follows the header of 16 bytes: 0, or a negative error number.
    match answer[4] as i32 {
        0 => Ok(Ok(())),
        errno => Ok(Err(-errno)),
    }
}

/// One socket on every address of both families, of which `told` tells the rest.
fn open(port: u16, told: u64, sockets: &mut Sockets) -> Result<(), Failure> {
    let datagrams = told & socket::PURPOSE == socket::DATAGRAMS;
    let kind = if datagrams { SOCK_DGRAM_NONBLOCK } else { SOCK_STREAM_NONBLOCK };
    // `struct sockaddr_in6` and `struct sockaddr_in` begin alike: family, then port in network order; zeros mean every address.
    let mut address = [0_u16; 14];
    let (zero, one) = (0_i32, 1_i32);
    let option = size_of::<i32>();
    // SAFETY: integers, options of four bytes and addresses of the lengths told, which live until the calls return.
    unsafe {
        let (opened, family, length) = match check(call!(nr::SOCKET, AF_INET6, kind, 0)) {
            Ok(opened) => {
                part(call!(nr::SETSOCKOPT, opened, IPPROTO_IPV6, IPV6_V6ONLY, &raw const zero, option), 5)?;
                part(call!(nr::SETSOCKOPT, opened, IPPROTO_IPV6, IPV6_RECVPKTINFO, &raw const one, option), 6)?;
                if datagrams {
                    // Answers come from any address, and IPv6 counts those that only a route makes local as nobody's.
                    part(call!(nr::SETSOCKOPT, opened, IPPROTO_IPV6, IPV6_FREEBIND, &raw const one, option), 17)?;
                }
                (opened, AF_INET6, 28)
            }
            Err(EAFNOSUPPORT) => {
                let opened = part(call!(nr::SOCKET, AF_INET, kind, 0), 7)?;
                part(call!(nr::SETSOCKOPT, opened, IPPROTO_IP, IP_PKTINFO, &raw const one, option), 8)?;
                (opened, AF_INET, 16)
            }
            Err(errno) => return Err(Failure { errno, detail: 9 }),
        };
        address[0] = family as u16;
        address[1] = port.to_be();
        part(call!(nr::BIND, opened, address.as_ptr(), length), 10)?;
        if !datagrams {
            part(call!(nr::LISTEN, opened, BACKLOG), 11)?;
        }
        part(sockets.add(port as u64 | told, opened), 12)?;
    }
    Ok(())
}
