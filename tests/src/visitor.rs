//! Who comes to ports of this machine from outside a run, and ports that are nobody's.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

/// The body of what `address` answers when it is asked for `path`; none where nobody takes the connection, or it breaks.
pub fn ask(address: &str, port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((address, port)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.rsplit("\r\n").next().map(str::to_owned)
}

/// A port on which nobody listens now: on loopback, or on no address at all.
///
/// # Panics
/// Where there is none.
#[expect(clippy::expect_used, reason = "a test without its port must fail loudly")]
pub fn free_port(everywhere: bool) -> u16 {
    let address = IpAddr::V4(if everywhere { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST });
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
