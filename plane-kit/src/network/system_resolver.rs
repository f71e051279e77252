//! getaddrinfo(3), called for the reason it gives: the standard library tells "no such name" and "not now" by text alone.

#![expect(unsafe_code, reason = "getaddrinfo(3) has no safe form that tells why it failed")]

use super::resolver::LookupFault;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of `name`, in the order in which the system would try them.
pub(super) fn addresses(name: &str) -> Result<Vec<IpAddr>, LookupFault> {
    let name = CString::new(name).map_err(|_| LookupFault::NoSuchName)?;
    // SAFETY: a structure of integers and pointers, for which zeros mean nothing in particular.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = libc::AF_UNSPEC;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = std::ptr::null_mut();
    // SAFETY: name and hints live until the call returns; the list is freed below.
    let outcome = unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) };
    match outcome {
        0 => {}
        // EAI_NODATA, of the BSDs and of glibc: the name is there and has no address.
        libc::EAI_NONAME | -5 | 7 => return Err(LookupFault::NoSuchName),
        _ => return Err(LookupFault::Failed),
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: an element of the list that getaddrinfo made, which is not freed yet.
        let one = unsafe { &*next };
        found.extend(address(one).filter(|address| !found.contains(address)));
        next = one.ai_next;
    }
    // SAFETY: the list is that of the call above, freed once.
    unsafe { libc::freeaddrinfo(list) };
    if found.is_empty() { Err(LookupFault::NoSuchName) } else { Ok(found) }
}

fn address(one: &libc::addrinfo) -> Option<IpAddr> {
    if one.ai_addr.is_null() {
        return None;
    }
    match one.ai_family {
        libc::AF_INET => {
            // SAFETY: of this family the address is a sockaddr_in; it is read without regard to alignment.
            let four = unsafe { std::ptr::read_unaligned(one.ai_addr.cast::<libc::sockaddr_in>()) };
            Some(IpAddr::V4(Ipv4Addr::from(four.sin_addr.s_addr.to_ne_bytes())))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, a sockaddr_in6.
            let six = unsafe { std::ptr::read_unaligned(one.ai_addr.cast::<libc::sockaddr_in6>()) };
            Some(IpAddr::V6(Ipv6Addr::from(six.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_own_names() {
        assert!(addresses("localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(addresses("nul\0.example"), Err(LookupFault::NoSuchName));
    }
}
