//! Whether a connection goes where its name says: the first bytes of TLS are read and handed on unchanged.

use super::client_hello::{Beginning, ClientHello, LONGEST, Reader};
use cofferdam_bridge::profile::TlsCheck;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The port on which TLS is expected, unless the policy says otherwise.
pub const TLS_PORT: u16 = 443;
/// How long the first bytes may take.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A fatal alert, access denied (RFC 8446, 6.2), so that the program can tell its user more than that the connection broke.
pub const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// What came first.
#[derive(Debug)]
#[non_exhaustive]
pub enum First {
    /// These bytes, to be handed on.
    Passed(Vec<u8>),
    /// Refused, for this reason; `tls`: the program speaks TLS and understands an alert.
    Refused {
        /// A sentence.
        why: String,
        /// What to write in the policy.
        remedy: &'static str,
        /// Whether an alert is understood.
        tls: bool,
    },
}

/// Reads the beginning of `stream`, which goes to `name`, and looks at it as `check` says.
///
/// # Errors
/// That of the socket, and `TimedOut` where nothing whole came.
pub async fn first(stream: &TcpStream, name: &str, check: TlsCheck) -> io::Result<First> {
    let mut bytes = Vec::new();
    let beginning = timeout(LONGEST_WAIT, beginning(stream, &mut bytes)).await;
    let Some(beginning) = beginning.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
        // The program has ended its side without having said anything whole: so be it.
        return Ok(First::Passed(bytes));
    };
    let refused = |why: String, remedy, tls| Ok(First::Refused { why, remedy, tls });
    match (beginning, check) {
        (Beginning::Hello(ClientHello { server_name: Some(other), .. }), _) if other != name => refused(
            format!("the connection was for {name}, and its TLS asked for {other}"),
            "network.tls = \"opaque\"",
            true,
        ),
        (Beginning::Hello(_), TlsCheck::MatchIfNamed) => Ok(First::Passed(bytes)),
        (Beginning::Hello(ClientHello { server_name: None, .. }), _) => {
            refused("its TLS asked for no name".to_owned(), "network.tls = \"match-if-named\"", true)
        }
        (Beginning::Hello(ClientHello { has_encrypted: true, .. }), _) => refused(
            "a part of its TLS that may hold another name is encrypted".to_owned(),
            "network.tls = \"match-if-named\"",
            true,
        ),
        (Beginning::Hello(_), _) => Ok(First::Passed(bytes)),
        _ => refused(format!("what was sent on port {TLS_PORT} is not TLS"), "network.tls = \"opaque\"", false),
    }
}

/// None where the stream ended before there was a whole beginning.
async fn beginning(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Beginning>> {
    let (mut buffer, mut reader) = (vec![0; 4096], Reader::default());
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match reader.read(bytes) {
            Beginning::Unfinished if bytes.len() <= LONGEST => {}
            beginning => return Ok(Some(beginning)),
        }
    }
}
